//! How a process becomes the daemon: hardened first, then its places, its parts, its sockets, its workers.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use kv_api::home::Home;
use kv_audit::{AuditLog, Claim, Event, LockCause, StopCause};
use kv_egress::Egress;

use crate::clock::now_ms;
use crate::gate::Gate;
use crate::places::Places;
use crate::providers::{Builtin, Providers};
use crate::shared::Shared;
use crate::socket::{SocketError, Sockets, private_directory};
use crate::worker::work;

/// What the daemon is started with.
#[derive(Debug)]
pub struct Options {
    pub home: Home,
    pub builtins: Vec<Builtin>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the audit log does not open: {0}")]
    Audit(kv_audit::OpenError),
    #[error("the audit log takes no entry: {0}")]
    Record(kv_audit::AuditError),
    #[error("{0}")]
    Provider(String),
    #[error("the engine for providers does not start: {0}")]
    Runtime(kv_runtime::EngineError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the system refused a thread, a signal handler or a restart: {0}")]
    System(#[from] io::Error),
    #[error("the vault does not open: {0}")]
    Vault(kv_vault::OpenError),
}

/// Fewer than somebody with a few dozen sessions of agents would notice.
const FEW_AGENTS: usize = 512;

/// Runs the daemon until it is told to stop.
pub fn run(options: Options) -> Result<(), StartError> {
    let mut warnings = kv_harden::harden().0;
    restart_without(kv_harden::unwanted_variables())?;
    // To the log that standard error is. The level is fixed: nothing in the environment can make it say more.
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_max_level(tracing::Level::INFO).init();
    if let Err(why) = kv_harden::lock_memory() {
        warnings.push(format!("memory may be swapped to disk: {why}"));
    }
    let places = Places::within(kv_harden::raise_file_limit());
    if places.most_agents() < FEW_AGENTS {
        warnings
            .push(format!("the limit of open files leaves room for {} connections of agents", places.most_agents()));
    }
    let home = options.home;
    for directory in [&home.data, &home.state, &home.runtime] {
        private_directory(directory)?;
    }
    // Adopted before anything is connected to: behind sockets of a service manager there is always somebody.
    let adopted = Sockets::adopt(&home)?;
    if adopted.is_none() {
        Sockets::refuse_second(&home)?;
    }
    // The log and the vault are locked files: of two daemons that start at once, one stops here, before it touches a socket.
    let (audit, opened) =
        AuditLog::open(&home.audit(), kv_audit::Options::default(), now_ms()).map_err(StartError::Audit)?;
    let audit = Arc::new(audit);
    if opened.damaged {
        warnings.push("the last entry of the trail is damaged: kv audit verify".to_owned());
    }
    let gate = Gate::open(home.data.clone()).map_err(StartError::Vault)?;
    let socket_activated = adopted.is_some();
    let sockets = match adopted {
        Some(sockets) => sockets,
        None => Sockets::bind(&home)?,
    };
    let runtime = kv_runtime::Runtime::new().map_err(StartError::Runtime)?;
    let providers = Providers::load(&runtime, &options.builtins).map_err(StartError::Provider)?;
    let shared = Arc::new(Shared::new(home, gate, providers, audit, warnings, places, socket_activated));
    let uid = rustix::process::getuid().as_raw();
    let started = Event::DaemonStarted { version: Claim::cut(env!("CARGO_PKG_VERSION")), pid: std::process::id(), uid };
    shared.audit.record_event(started, now_ms()).map_err(StartError::Record)?;
    let cause = serve(&shared, &sockets)?;
    // Best effort by nature: the process ends either way, and the next start notices a missing last entry's neighbour.
    let locked = shared.end_session();
    let _ = shared.settle(locked, LockCause::Shutdown);
    let _ = shared.audit.record_event(Event::DaemonStopped { cause }, now_ms());
    sockets.unlink();
    Ok(())
}

fn serve(shared: &Arc<Shared>, sockets: &Sockets) -> Result<StopCause, StartError> {
    let mut threads = Vec::new();
    for index in 0..workers() {
        let (agent, human) = (sockets.agent.try_clone()?, sockets.human.try_clone()?);
        let (shared, egress) = (Arc::clone(shared), Egress::new(Arc::clone(&shared.egress)));
        threads.push(
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || work(shared, egress, agent, human))?,
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Absent where no service manager started us.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let cause = runtime.block_on(crate::status::watch(Arc::clone(shared)))?;
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => return Err(io::Error::other("a worker ended in a panic").into()),
        }
    }
    Ok(cause)
}

/// A worker a core, up to eight: beyond that the disk that keeps the trail is what there is to wait for.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// Replaces this process by itself without variables that steer its TLS, logging or loader. An exec, since removing a
/// variable from a running process is only safe while it has one thread, and the loader has read them by then.
fn restart_without(unwanted: Vec<String>) -> io::Result<()> {
    if unwanted.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    for name in unwanted {
        command.env_remove(name);
    }
    Err(command.exec())
}
