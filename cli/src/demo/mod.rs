//! `kv demo`: the whole of it in one sitting, with a throw-away vault and fake services on loopback,
//! and real servers where they are installed.
//!
//! Nothing is played: the daemon, the commands and the MCP server are this program, started as a person and an agent
//! would start them, and the services speak TLS and the real wire formats. Everything is in one temporary directory,
//! which goes when the demonstration ends, however it ends.

mod agent;
mod home;
mod report;
mod servers;
mod timing;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kv_commands::DemoOptions;
use kv_fakes::{FakeOpenAi, FakeStripe, OpenAiOptions, StripeOptions, TestCa};
use serde_json::Value;

use agent::Agent;
use home::{DemoHome, Keys};
use report::Report;
use servers::Starting;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub(crate) fn run(options: DemoOptions) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = show(options) => outcome,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: the demonstration broke off: {error}");
    ExitCode::FAILURE
}

/// The person's side of a call that asks: what is shown, and a no. A yes would take what the agent does not have.
async fn says_no(report: &mut Report, home: &DemoHome) -> Result<()> {
    for _ in 0..100 {
        let listed = home.run(&["approval", "list", "--json"], None).await?;
        let listed: Value = serde_json::from_slice(&listed.stdout)?;
        if let Some(id) = listed["approvals"][0]["id"].as_str() {
            report.ran(home, &["approval", "show", id], None).await?;
            return report.ran(home, &["deny", id], None).await.map(|_| ());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the payout did not wait for the person".into())
}

/// `false` if a promise was not kept.
async fn show(options: DemoOptions) -> Result<bool> {
    let mut report = Report::new(options);
    let keys = Keys::random()?;
    let ca = Arc::new(TestCa::new());
    let servers = Starting::begin(&ca)?;
    let openai = FakeOpenAi::start(&ca, OpenAiOptions { key: keys.openai.clone(), ..Default::default() })?;
    let stripe = FakeStripe::start(&ca, StripeOptions { key: keys.stripe.clone(), ..Default::default() })?;
    let home = DemoHome::new(&ca)?;

    report.title("A person sets kv up");
    let passphrase = home.passphrase_file.display().to_string();
    report
        .ran(&home, &["init", "--passphrase-file", &passphrase, "--no-2fa", "--no-input", "--throw-away"], None)
        .await?;
    report.ran(&home, &["set", "DEMO_OPENAI_KEY", "--stdin"], Some(&keys.openai)).await?;
    report.ran(&home, &["set", "DEMO_STRIPE_KEY", "--stdin"], Some(&keys.stripe)).await?;
    let ca_file = home.ca_file.display().to_string();
    for (provider, service, secret) in
        [("openai", &openai, "key=DEMO_OPENAI_KEY"), ("stripe", &stripe, "key=DEMO_STRIPE_KEY")]
    {
        let origin = service.origin();
        report
            .ran(&home, &["connect", provider, "--origin", &origin, "--ca", &ca_file, "--bind", secret, "--yes"], None)
            .await?;
    }

    report.title("An agent works through MCP, and holds no key");
    let mut agent = Agent::start(&home).await?;
    agent.session().await?;
    report.saw(&agent.exchanges);

    report.title("A payout waits for the person, who says no");
    let seen = agent.exchanges.len();
    tokio::try_join!(agent.payout(), says_no(&mut report, &home))?;
    report.saw(agent.exchanges.get(seen..).unwrap_or_default());

    report.title("What the services saw");
    report.services(&[("openai", &openai), ("stripe", &stripe)], &keys);

    let servers = servers.wait()?;
    servers.show(&mut report, &home).await?;

    report.title("The trail");
    report.ran(&home, &["audit", "--agent", agent::NAME], None).await?;
    let verified = report.ran(&home, &["audit", "verify"], None).await?;

    report.title("What it costs");
    let timings = timing::measure(&home, &ca, &openai, &stripe, &keys).await?;
    report.timing(&timings);

    let kept = report.verdict(&agent, &[&openai, &stripe], &keys, &servers, verified);
    agent.end().await;
    home.end().await?;
    report.finish()?;
    Ok(kept)
}
