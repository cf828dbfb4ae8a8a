//! Commands that a person runs with some secrets in their environment, or with none: the daemon hands out exactly the
//! named values, says which variables hold a secret they should not, and masks what the command prints.
//!
//! This is an exposure, and priced as one: the passphrase is asked for again, with a code where an app is enrolled, and the trail names every secret.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body, Incoming};
use kv_api::{Code, HiddenBytes, RunEnd, RunRequest, RunStart};
use kv_audit::{Attempt, Event};
use kv_model::{CallId, Connection, SecretName};
use serde_json::json;
use tokio::time::{Sleep, sleep};

use crate::answer::{self, Answered};
use crate::claims::Claims;
use crate::clock::now_ms;
use crate::connections::blocking;
use crate::factors;
use crate::fault::Fault;
use crate::gate::Session;
use crate::ongoing::{Cut, Source};
use crate::pipeline::new_call_id;
use crate::request;
use crate::route::Caller;
use crate::shared::Shared;
use crate::vault::{passphrase, unlock_failed};
use crate::worker::Worker;

/// As many runs as are under way at once.
const MAX_RUNS: usize = 256;
/// After so long without output, the few bytes that might be the beginning of a secret are let go.
const QUIET: Duration = Duration::from_millis(50);
/// As many variables as an environment may have; far over what systems give a process.
const MAX_VARIABLES: usize = 4096;

/// Variables that no secret may be put in: they load code, change what is run, or redirect what it reads.
const REFUSED: [&str; 21] = [
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELL",
    "SHELLOPTS",
];

/// The runs under way.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashMap<CallId, Masked>>);

/// How many times a run's output was masked.
type Masked = Arc<AtomicU64>;

impl Runs {
    fn begin(&self, id: CallId) -> Result<(), Fault> {
        let mut runs = self.under_way();
        if runs.len() >= MAX_RUNS {
            // Runs whose command was killed are never ended; nothing masks for them any more.
            runs.retain(|_, masked| Arc::strong_count(masked) > 1);
        }
        if runs.len() >= MAX_RUNS {
            return Err(Fault::new(Code::Conflict, format!("{MAX_RUNS} runs are under way already")));
        }
        runs.insert(id, Masked::default());
        Ok(())
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<CallId, Masked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn start(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Answered, Fault> {
    let wanted: RunRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    if wanted.environment.len() > MAX_VARIABLES {
        return Err(Fault::usage(format!("an environment of over {MAX_VARIABLES} variables")));
    }
    let program: String = wanted.program.chars().filter(|c| !c.is_control()).take(100).collect();
    if !wanted.secrets.is_empty() {
        prove_presence(shared, &session, wanted.passphrase.as_ref()).await?;
        factors::demand(shared, &session, caller, Attempt::Run).await?;
    }
    session.check_live()?;
    check_names(&session, &wanted.secrets)?;
    let patterns = patterns(shared, &session).await?;
    let holds_secret = |value: &HiddenBytes| patterns.find_any(value.reveal());
    let strip: Vec<_> =
        wanted.environment.iter().filter(|(_, value)| holds_secret(value)).map(|(name, _)| name.clone()).collect();
    let id = new_call_id()?;
    shared.runs.begin(id)?;
    let secrets = wanted.secrets.clone();
    let command = Claims::of(shared, &session).await?.claim(&program);
    shared.intend(Event::RunStarted { run: id, command, secrets, uid: shared.uid }).await?;
    session.check_live()?;
    let values = wanted.secrets.iter().map(|name| value_of(&session, name)).collect::<Result<_, _>>()?;
    answer::json(&RunStart { run: id.to_string(), values, strip })
}

/// Whether there are such secrets, and variables can carry them. Nothing is opened for it.
fn check_names(session: &Session, names: &[SecretName]) -> Result<(), Fault> {
    for name in names {
        let upper = name.as_str().to_ascii_uppercase();
        if REFUSED.contains(&upper.as_str()) || kv_harden::is_scrubbed(&upper) {
            return Err(Fault::usage(format!("`{name}` is a variable that steers programs: it cannot carry a secret"))
                .next(format!("kv secret rename {name} OTHER_NAME")));
        }
        session.vault.secret(name).ok_or_else(|| Fault::no_secret(name))?;
    }
    Ok(())
}

/// Tries the passphrase. That it is tried is on the disk before, as with an unlock: a stop in between hides no try.
async fn prove_presence(shared: &Shared, session: &Session, given: Option<&kv_api::Hidden>) -> Result<(), Fault> {
    let given = given.ok_or_else(|| {
        Fault::new(Code::NeedsHuman, "handing out a value takes a person: the passphrase is asked for again")
            .reason("passphrase")
    })?;
    let passphrase = passphrase(given)?;
    shared.intend(Event::Attempted { what: Attempt::Run, uid: shared.uid }).await?;
    let vault = Arc::clone(&session.vault);
    let trying = move || vault.verify_passphrase(&passphrase, now_ms()).map_err(Fault::unlock);
    if let Err(fault) = blocking(trying).await {
        unlock_failed(shared, &fault)?;
        return Err(fault);
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person asked, with the passphrase, for this value in a command's environment"
)]
fn value_of(session: &Session, name: &SecretName) -> Result<(SecretName, HiddenBytes), Fault> {
    let meta = session.vault.secret(name).ok_or_else(|| Fault::no_secret(name))?;
    let value = session.vault.open_secret(meta.id).map_err(Fault::read)?;
    if value.expose().contains(&0) {
        return Err(Fault::usage(format!("`{name}` holds a NUL byte, which no environment variable can")));
    }
    Ok((name.clone(), HiddenBytes::new(value.expose().to_vec())))
}

/// Masks a stream: what comes in as the request's body goes out, cleaned, as the answer's, while it comes. A lock of the
/// vault ends it: the patterns are made of values.
pub(crate) async fn mask(
    worker: &Worker,
    id: &str,
    trailers: bool,
    request: Request<Incoming>,
) -> Result<Answered, Fault> {
    let shared = &worker.shared;
    let session = shared.gate.session()?;
    let masked = CallId::parse(id).and_then(|id| shared.runs.under_way().get(&id).cloned()).ok_or_else(no_run)?;
    let patterns = patterns(shared, &session).await?;
    let stream = Some(kv_redact::Stream::new(patterns));
    let mask = Mask { body: request.into_body(), stream, masked, quiet: None };
    Ok(answer::until_locked(worker, mask, trailers))
}

/// A command's output on its way through.
struct Mask {
    body: Incoming,
    /// `None`: all of it has gone through.
    stream: Option<kv_redact::Stream>,
    masked: Masked,
    /// Runs while bytes are held back that nothing has followed.
    quiet: Option<Pin<Box<Sleep>>>,
}

impl Source for Mask {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let mut out = Vec::new();
        while out.is_empty() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
            let hits = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let hits = stream.push(&data, &mut out);
                    self.quiet = (stream.held() > 0).then(|| Box::pin(sleep(QUIET)));
                    hits
                }
                // The command's output is over, or its run broke off: what was held back goes out, masked.
                Poll::Ready(Some(Err(_)) | None) => {
                    self.quiet = None;
                    self.stream.take().map(|stream| stream.finish(&mut out)).unwrap_or_default()
                }
                // A prompt that waits for an answer should be seen.
                Poll::Pending => {
                    let Some(quiet) = &mut self.quiet else { return Poll::Pending };
                    ready!(quiet.as_mut().poll(cx));
                    self.quiet = None;
                    stream.release(&mut out)
                }
            };
            self.masked.fetch_add(hits.total, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(out.into())))
    }

    /// How the run ended is told by the command that began it.
    fn cut(&mut self, _: Cut) {}

    fn connection(&self) -> Option<&Arc<Connection>> {
        None
    }
}

pub(crate) async fn end(shared: &Arc<Shared>, id: &str, request: Request<Incoming>) -> Result<Answered, Fault> {
    let ended: RunEnd = request::json(request).await?;
    let run = CallId::parse(id).ok_or_else(no_run)?;
    let masked = shared.runs.under_way().remove(&run).ok_or_else(no_run)?.load(Ordering::Relaxed);
    shared.event(Event::RunEnded { run, exit_code: ended.exit_code, signal: ended.signal, redactions: masked })?;
    answer::json(&json!({ "ended": true }))
}

fn no_run() -> Fault {
    Fault::new(Code::NotFound, "there is no such run")
}

async fn patterns(shared: &Shared, session: &Session) -> Result<Arc<kv_redact::Patterns>, Fault> {
    let patterns = shared.egress.patterns(&session.vault, now_ms()).await.map_err(|error| Fault::send(&error))?;
    // What was built while the vault was being locked must not stay.
    session.check_live().inspect_err(|_| shared.egress.forget())?;
    Ok(patterns)
}
