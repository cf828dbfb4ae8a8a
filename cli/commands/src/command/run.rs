//! `kv run -- CMD`: a command with some secrets in its environment, or with none.
//!
//! The daemon hands out exactly the named values, after the passphrase; it says which other variables hold a secret, and
//! those are taken away; and all that the command prints goes through the daemon, which masks what it knows. So this
//! program sees no value but the named ones. Output goes through pipes: a command that asks may find that it is not on a
//! terminal.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kv_api::{HiddenBytes, RunEnd, RunRequest, RunStart};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Context, secret, set};
use crate::arguments::Run;
use crate::client::Request;
use crate::problem::Problem;

/// What `env`, `nice` and the like end with when the command itself did not run.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// As much as is read from the command at once.
const CHUNK: usize = 16 << 10;

pub(super) fn run(context: &Context, arguments: Run) -> Result<ExitCode, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(format!("the system refused an event loop: {error}")))?;
    match runtime.block_on(carry_out(context, arguments)) {
        Ok(code) => Ok(ExitCode::from(code)),
        // The command did not run: its own codes begin at 1, so this one says that it is kv's.
        Err(problem) if matches!(problem.code(), kv_api::Code::Failed) => {
            let _ = problem.report(context.output.json);
            Ok(ExitCode::from(FAILED))
        }
        Err(problem) => Err(problem),
    }
}

async fn carry_out(context: &Context, arguments: Run) -> Result<u8, Problem> {
    if arguments.secrets.is_empty() && !arguments.no_secrets {
        return Err(Problem::usage("say which secrets the command gets")
            .next("--secret NAME, once for each")
            .next("--no-secrets for none"));
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Problem::usage("there is no command"));
    };
    let mut client = context.person().await?;
    set::open(context, &mut client).await?;
    let secrets = arguments.secrets.iter().map(|name| secret::parse(name)).collect::<Result<Vec<_>, _>>()?;
    let passphrase = match secrets.is_empty() {
        true => None,
        false => Some(context.asking.passphrase("Passphrase:", arguments.passphrase.passphrase_file.as_deref())?),
    };
    let request = RunRequest { program: name_of(program), secrets, passphrase, environment: environment() };
    let start: RunStart = client.ask(Request::post("/v1/run", &request)?).await?;
    drop((request, client));
    for name in &start.strip {
        context.output.note(&format!("kv: {} held a secret and was taken away", crate::output::inert(name)));
    }
    let run = start.run.clone();
    let mut child = match spawn(program, rest, start) {
        Ok(child) => child,
        Err(error) => {
            end(context, &run, None).await?;
            return not_started(program, &error);
        }
    };
    let masked = tokio::try_join!(
        through(context, &run, child.stdout.take(), tokio::io::stdout()),
        through(context, &run, child.stderr.take(), tokio::io::stderr()),
        wait(&mut child),
    );
    let status = match masked {
        Ok(((), (), status)) => status,
        Err(problem) => {
            // Unmasked output is worse than none: the command ends with its mask.
            let _ = child.kill().await;
            let _ = end(context, &run, None).await;
            return Err(problem);
        }
    };
    if let Err(problem) = end(context, &run, Some(status)).await {
        context.output.note(&format!(
            "kv: the end of the run was not recorded: {}",
            crate::output::inert(&problem.error().message)
        ));
    }
    Ok(code(status))
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

fn spawn(program: &OsStr, rest: &[OsString], start: RunStart) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(rest).env_clear().stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

fn not_started(program: &OsStr, error: &std::io::Error) -> Result<u8, Problem> {
    let (code, why) = match error.kind() {
        std::io::ErrorKind::NotFound => (NOT_FOUND, "was not found"),
        std::io::ErrorKind::PermissionDenied => (NOT_EXECUTABLE, "cannot be executed"),
        _ => return Err(Problem::failed(format!("the command did not start: {error}"))),
    };
    eprintln!("kv: {} {why}", crate::output::inert(&program.to_string_lossy()));
    Ok(code)
}

/// What the command writes, through the daemon's mask, to our own output, as it comes.
async fn through(
    context: &Context,
    run: &str,
    from: Option<impl AsyncRead + Unpin + Send + Sync + 'static>,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Problem> {
    let Some(from) = from else { return Ok(()) };
    let pieces = unfold(from, |mut from| async move {
        let mut chunk = vec![0; CHUNK];
        match from.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Frame::data(Bytes::from(chunk))), from))
            }
            Err(error) => Some((Err(error), from)),
        }
    });
    let body = BodyExt::boxed(StreamBody::new(pieces));
    let mut client = context.running().await?;
    let request = Request { method: "POST", body, ..Request::get(format!("/v1/run/{run}/mask")) };
    let mut masked = client.send(request).await?;
    while let Some(bytes) = masked.next().await? {
        let written = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        // A reader that has gone (`| head`) is the command's to notice: the end of its pipe goes with this call.
        if written.await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits for the command and passes signals on to it. What the terminal sends (interrupt, stop) goes to the whole group
/// anyway, and is then only survived here.
async fn wait(child: &mut Child) -> Result<ExitStatus, Problem> {
    let failed = |error: std::io::Error| Problem::failed(format!("waiting for the command: {error}"));
    let listen = |kind: SignalKind| signal(kind).map_err(failed);
    let (mut hangup, mut terminate, mut quit) =
        (listen(SignalKind::hangup())?, listen(SignalKind::terminate())?, listen(SignalKind::quit())?);
    let (mut interrupt, mut user1, mut user2) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?);
    let from_terminal = std::io::stdin().is_terminal();
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status.map_err(failed),
            signal = next(&mut hangup, rustix::process::Signal::HUP) => signal,
            signal = next(&mut terminate, rustix::process::Signal::TERM) => signal,
            signal = next(&mut user1, rustix::process::Signal::USR1) => signal,
            signal = next(&mut user2, rustix::process::Signal::USR2) => signal,
            signal = next(&mut interrupt, rustix::process::Signal::INT) => if from_terminal { continue } else { signal },
            signal = next(&mut quit, rustix::process::Signal::QUIT) => if from_terminal { continue } else { signal },
        };
        if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            // It may have ended this moment; then there is nobody to tell.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

async fn next(signals: &mut Signal, signal: rustix::process::Signal) -> rustix::process::Signal {
    signals.recv().await;
    signal
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

/// The command's own code, or 128 and its signal.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(i32::from(FAILED));
    u8::try_from(code).unwrap_or(FAILED)
}
