//! `kv init`: a vault, and at a terminal the offer of a factor for approvals. The offer can fail; the vault is made by then.

use kv_api::{Code, Hidden, InitRequest, InitResult, SuggestedPassphrase};
use serde_json::Value;

use super::{Context, factor};
use crate::arguments::Init;
use crate::client::{Client, Request};
use crate::input::until_interrupted;
use crate::output::{inert, print, tell};
use crate::problem::Problem;
use crate::time::left;

pub(super) async fn run(context: &Context, arguments: Init) -> Result<(), Problem> {
    let mut client = context.person().await?;
    let passphrase = choose(context, &mut client, &arguments).await?;
    let again = Hidden::new(passphrase.reveal().to_owned());
    let request = InitRequest {
        passphrase,
        for_ms: u64::try_from(arguments.lasts.as_millis()).unwrap_or(u64::MAX),
        accept_weak: arguments.accept_weak,
        throw_away: arguments.throw_away,
    };
    let made: InitResult = client.ask(Request::post("/v1/vault/init", &request)?).await?;
    if context.output.json {
        return context.output.show(&made, |_| String::new());
    }
    print(&format!(
        "vault      {} (XChaCha20-Poly1305, Argon2id)\ndaemon     started; the vault is open for {}",
        inert(&made.path),
        left(made.until_ms)
    ))?;
    let approvals = approvals(context, again, arguments.no_2fa).await;
    print(&format!(
        "approvals  {approvals}\n\n\
         kv runs as your own user here: it keeps credentials out of what agents see, and is no wall against a program\n\
         that attacks kv itself. Read: kv help isolation\n\nNext: kv set OPENAI_API_KEY"
    ))
}

const LATER: &str = "take your passphrase; something that only you have is better: kv factor add totp";

/// Offers to set up an authenticator app where somebody is there to scan, and says what approvals take.
async fn approvals(context: &Context, passphrase: Hidden, no_2fa: bool) -> String {
    if no_2fa || !context.asking.possible() {
        return LATER.to_owned();
    }
    tell("\nApprovals need something only you have. Scan with an authenticator app:");
    let enrolled =
        until_interrupted(factor::enrol(context, passphrase, "Code shown by the app (Enter to do this later):")).await;
    match enrolled {
        Ok(true) => "take a code of your authenticator app, or a recovery code".to_owned(),
        Ok(false) => LATER.to_owned(),
        Err(problem) => format!("{LATER}\n           (not set up: {})", inert(&problem.error().message)),
    }
}

async fn choose(context: &Context, client: &mut Client, arguments: &Init) -> Result<Hidden, Problem> {
    if let Some(file) = &arguments.passphrase.passphrase_file {
        return context.asking.passphrase("Passphrase:", Some(file));
    }
    let otherwise = "give --passphrase-file FILE";
    context
        .output
        .note("Choose a passphrase for your vault: four or more unrelated words do well. Enter lets kv make one.");
    let first = context.asking.hidden("Passphrase:", otherwise)?;
    if first.is_empty() {
        let made: SuggestedPassphrase = client.ask(Request::post("/v1/vault/suggest", &Value::Null)?).await?;
        return written_down(context, made.passphrase);
    }
    let again = context.asking.hidden("Again:", otherwise)?;
    if *first != *again {
        return Err(Problem::new(Code::Usage, "the two passphrases differ; no vault was made").next("kv init"));
    }
    Ok(Hidden::new(first.to_string()))
}

/// Shows a passphrase that kv made and has it typed back: what was not written down opens nothing tomorrow.
fn written_down(context: &Context, made: Hidden) -> Result<Hidden, Problem> {
    context.asking.show_once(&format!(
        "\n    {}\n\nWrite it down, or keep it in your password manager: it is not shown again, and nothing else opens the vault.\n",
        made.reveal()
    ))?;
    for _ in 0..TRIES {
        let typed = context.asking.hidden("Type it:", "give --passphrase-file FILE")?;
        if *typed == *made.reveal() {
            return Ok(made);
        }
        context.output.note("That is another one.");
    }
    Err(Problem::new(Code::Usage, "the passphrase was not typed back; no vault was made").next("kv init"))
}

/// How often it may be typed back.
const TRIES: usize = 3;
