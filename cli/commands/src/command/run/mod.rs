//! `kv run -- CMD`: a command with some secrets in its environment, or with none.
//!
//! The daemon hands out exactly the named values, after the passphrase; it says which other variables hold a secret, and
//! those are taken away; and all that the command prints goes through the daemon, which masks what it knows. So this
//! program sees no value but the named ones. Where kv stands on a terminal, the command gets one of its own
//! ([`terminal`]); otherwise it gets pipes.

mod output;
mod signals;
mod status;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};

use kv_api::{HiddenBytes, RunEnd, RunRequest, RunStart};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use self::output::{Ended, Pieces, pieces, through};
use self::signals::Signals;
use self::status::Unfinished;
use self::terminal::Terminal;
use super::{Context, proof, secret, set};
use crate::arguments::Run;
use crate::client::Request;
use crate::problem::Problem;

pub(crate) use self::status::FAILED;
pub(crate) use self::terminal::{ATTACH, attach};

pub(super) fn run(context: &Context, arguments: Run) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(format!("the system refused an event loop: {error}")).into());
    match runtime.and_then(|runtime| runtime.block_on(carry_out(context, arguments))) {
        Ok(code) => ExitCode::from(code),
        Err(unfinished) => unfinished.report(context.output.json),
    }
}

async fn carry_out(context: &Context, arguments: Run) -> Result<u8, Unfinished> {
    if arguments.secrets.is_empty() && !arguments.no_secrets {
        return Err(Problem::usage("say which secrets the command gets")
            .next("--secret NAME, once for each")
            .next("--no-secrets for none")
            .into());
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Problem::usage("there is no command").into());
    };
    let mut client = context.person().await?;
    set::open(context, &mut client).await?;
    let secrets = arguments.secrets.iter().map(|name| secret::parse(name)).collect::<Result<Vec<_>, _>>()?;
    let passphrase = match secrets.is_empty() {
        true => None,
        false => Some(context.asking.passphrase("Passphrase:", arguments.passphrase.passphrase_file.as_deref())?),
    };
    let request = RunRequest { program: name_of(program), secrets, passphrase, environment: environment() };
    let start: RunStart = proof::send(context, &mut client, "/v1/run", &request).await?;
    drop((request, client));
    for name in &start.strip {
        context.output.note(&format!("kv: {} held a secret and was taken away", crate::output::inert(name)));
    }
    let run = start.run.clone();
    let mut started = match start_on(program, rest, start, !arguments.no_pty && terminal::possible()) {
        Ok(started) => started,
        Err(unfinished) => {
            end(context, &run, None).await?;
            return Err(unfinished);
        }
    };
    let (ending, ended) = watch::channel(None);
    let (stdout, stderr) = (started.stdout.take(), started.stderr.take());
    let masked = tokio::try_join!(
        through(context, &run, stdout, Ended::clone(&ended), tokio::io::stdout()),
        through(context, &run, stderr, ended, tokio::io::stderr()),
        async {
            let status = started.wait().await;
            // Nobody listens any more when the output was over first.
            let _ = ending.send(Some(Instant::now()));
            status
        },
    );
    let status = match masked {
        Ok(((), (), status)) => status,
        Err(problem) => {
            // Unmasked output is worse than none: the command ends with its mask.
            let _ = started.child.kill().await;
            drop(started);
            let _ = end(context, &run, None).await;
            return Err(problem.into());
        }
    };
    // What is said from here on is said on the person's terminal as it was.
    drop(started);
    if let Err(problem) = end(context, &run, Some(status)).await {
        context.output.note(&format!(
            "kv: the end of the run was not recorded: {}",
            crate::output::inert(&problem.error().message)
        ));
    }
    Ok(status::code(status))
}

/// A command under way.
struct Started {
    child: Child,
    signals: Signals,
    terminal: Option<Terminal>,
    stdout: Option<Pieces>,
    /// On a terminal there is one stream, as ever.
    stderr: Option<Pieces>,
}

fn start_on(program: &OsStr, rest: &[OsString], start: RunStart, on_terminal: bool) -> Result<Started, Unfinished> {
    let signals = Signals::listen()?;
    let not_started = |error: std::io::Error| Unfinished::start(program, &error);
    if on_terminal {
        let (terminal, inner, printed) = Terminal::open()?;
        // That this program was not found is its own misfortune, not the command's.
        let failed = |error: std::io::Error| Problem::failed(format!("the command did not start: {error}"));
        let command = Command::from(inner.command(program).map_err(failed)?);
        let child = spawn(command, rest, start).map_err(failed)?;
        return Ok(Started { child, signals, terminal: Some(terminal), stdout: Some(printed), stderr: None });
    }
    let mut command = Command::new(program);
    command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command, rest, start).map_err(not_started)?;
    let (stdout, stderr) = (child.stdout.take().map(pieces), child.stderr.take().map(pieces));
    Ok(Started { child, signals, terminal: None, stdout, stderr })
}

impl Started {
    /// Waits for the command and passes signals on to it.
    async fn wait(&mut self) -> Result<ExitStatus, Problem> {
        loop {
            let signal = tokio::select! {
                status = self.child.wait() => {
                    return status.map_err(|error| Problem::failed(format!("waiting for the command: {error}")));
                }
                signal = self.signals.next() => signal,
            };
            signals::pass(signal, &self.child, self.terminal.as_ref());
        }
    }
}

/// Only the program's name is recorded; a path tells more than the trail needs.
fn name_of(program: &OsStr) -> String {
    std::path::Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// This process's variables. One whose name is not text cannot be named to the daemon, and is taken away unasked.
fn environment() -> Vec<(String, HiddenBytes)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, HiddenBytes::new(value.into_vec()))))
        .collect()
}

/// Starts a command with what is left of this environment, and with the values.
fn spawn(mut command: Command, rest: &[OsString], start: RunStart) -> std::io::Result<Child> {
    command.args(rest).env_clear();
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| !start.strip.iter().any(|stripped| stripped == name)) {
            command.env(name, value);
        }
    }
    for (name, value) in &start.values {
        command.env(name.as_str(), OsStr::from_bytes(value.reveal()));
    }
    command.spawn()
}

/// On a connection of its own: the first one has been idle for as long as the command ran, and the daemon keeps none so long.
async fn end(context: &Context, run: &str, status: Option<ExitStatus>) -> Result<(), Problem> {
    let ended = RunEnd {
        exit_code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
    };
    let mut client = context.running().await?;
    let _: Value = client.ask(Request::post(format!("/v1/run/{run}/end"), &ended)?).await?;
    Ok(())
}
