//! How the daemon is, what it checks of itself, and the tasks that run beside the calls.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_api::{AuditState, Check, Checks, Status, Stopping, VaultState};
use kv_audit::{Health, LockCause, StopCause};
use tokio::signal::unix::{SignalKind, signal};

use crate::answer::{self, Answered};
use crate::approvals;
use crate::clock::now_ms;
use crate::connections::blocking;
use crate::fault::Fault;
use crate::shared::Shared;
use crate::trail;

/// How often the trail's head goes into the vault while it is open.
const ANCHOR_EVERY: Duration = Duration::from_secs(60);
/// As late as the keys go after an unlock's time is over. Calls are refused to the millisecond all the same.
const REST: Duration = Duration::from_secs(2);

pub(crate) fn status(shared: &Shared) -> Result<Answered, Fault> {
    let session = shared.gate.session().ok();
    let vault = match &session {
        Some(session) => VaultState::Unlocked { until_ms: session.until_ms() },
        None if shared.gate.exists() => VaultState::Locked,
        None => VaultState::Absent,
    };
    let audit = match unhealthy(shared) {
        None => AuditState::Healthy { entries: shared.audit.head().seq },
        Some(why) => AuditState::Unavailable { why },
    };
    answer::json(&Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        vault,
        connections: session.as_ref().map(|session| session.connections().len()),
        secrets: session.as_ref().map(|session| session.vault.secrets().len()),
        calls_in_flight: shared.in_flight(),
        approvals_waiting: shared.desk.waiting(),
        audit,
        warnings: shared.warnings.clone(),
        socket_activated: shared.socket_activated,
    })
}

pub(crate) fn stop(shared: &Shared) -> Result<Answered, Fault> {
    shared.stop.send_replace(true);
    answer::json(&Stopping { pid: std::process::id(), socket_activated: shared.socket_activated })
}

/// What the daemon can check of itself and its files.
pub(crate) async fn doctor(shared: &Arc<Shared>) -> Result<Answered, Fault> {
    let mut checks = vec![hardened(), modes(shared), audit(shared)];
    let directory = shared.home.audit();
    // A log that takes nothing is a finding of its own, above.
    let _ = shared.audit.flush().await;
    let chain = blocking(move || Ok(kv_audit::verify(&directory, None))).await?;
    checks.push(match chain {
        Ok(report) if trail::is_intact(&report) => {
            fine("audit chain", format!("{} entries in {} segments, unbroken", report.entries, report.segments))
        }
        Ok(report) => bad("audit chain", trail::what_is_wrong(&report), "kv audit verify"),
        Err(error) => bad("audit chain", error.to_string(), "kv audit verify"),
    });
    checks.extend(shared.warnings.iter().map(|warning| Check {
        name: "daemon".to_owned(),
        ok: false,
        message: warning.clone(),
        next: vec!["kv help isolation".to_owned()],
    }));
    answer::json(&Checks { checks })
}

fn hardened() -> Check {
    match kv_harden::still_hardened() {
        Ok(()) => fine("daemon memory", "not dumpable, no core files, nobody is tracing it".to_owned()),
        Err(why) => bad("daemon memory", why, "kv daemon restart"),
    }
}

fn modes(shared: &Shared) -> Check {
    let home = &shared.home;
    for path in [&home.data, &home.state, &home.runtime] {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.mode() & 0o077 == 0 && found.is_dir() => {}
            Ok(_) => {
                return bad(
                    "directories",
                    format!("{} can be entered by others", path.display()),
                    &format!("chmod 700 {}", path.display()),
                );
            }
            Err(error) => return bad("directories", format!("{}: {error}", path.display()), "kv daemon restart"),
        }
    }
    fine("directories", "entered by this user only".to_owned())
}

fn audit(shared: &Shared) -> Check {
    match unhealthy(shared) {
        None => fine("audit log", "takes entries".to_owned()),
        Some(why) => bad("audit log", why, "free disk space, then: kv daemon restart"),
    }
}

/// Why the trail takes nothing, if it does not.
fn unhealthy(shared: &Shared) -> Option<String> {
    match shared.audit.health() {
        Health::Failed(trouble) => Some(trouble.to_string()),
        Health::Healthy => None,
        Health::Recovering => Some("an earlier failure is being recovered from".to_owned()),
        Health::Stalled => Some("the disk does not answer".to_owned()),
    }
}

fn fine(name: &str, message: String) -> Check {
    Check { name: name.to_owned(), ok: true, message, next: Vec::new() }
}

fn bad(name: &str, message: String, next: &str) -> Check {
    Check { name: name.to_owned(), ok: false, message, next: vec![next.to_owned()] }
}

/// Runs until the daemon is to stop: signals, the end of an unlock, the anchor.
pub(crate) async fn watch(shared: Arc<Shared>) -> std::io::Result<StopCause> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stop = shared.stop.subscribe();
    let mut anchored = Instant::now();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(StopCause::Asked),
            _ = term.recv() => break,
            _ = int.recv() => break,
            () = tick(&shared, &mut anchored) => {}
        }
    }
    shared.stop.send_replace(true);
    Ok(StopCause::Signal)
}

/// Waits a little, then ends an unlock whose time is over and anchors the trail now and then.
async fn tick(shared: &Arc<Shared>, anchored: &mut Instant) {
    let rest = shared.gate.session().map_or(REST, |session| session.remaining().min(REST));
    tokio::time::sleep(rest).await;
    approvals::expire(shared);
    if shared.gate.is_over() {
        // What fails here is the log, and it says so at the next call.
        let locked = shared.end_session();
        let settling = Arc::clone(shared);
        let _ = blocking(move || settling.settle(locked, LockCause::TimeLimit)).await;
    } else if matches!(shared.audit.health(), Health::Failed(_)) {
        // A disk that was full for a moment must not stop kv until somebody looks; what fails again is told as before.
        let _ = shared.audit.retry(now_ms()).await;
    } else if anchored.elapsed() >= ANCHOR_EVERY
        && let Ok(session) = shared.gate.session()
    {
        *anchored = Instant::now();
        // The vault is still consistent, and the next round tries again.
        let _ = shared.anchor(&session);
    }
}
