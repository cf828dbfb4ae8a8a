//! What all workers share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kv_api::home::Home;
use kv_audit::{AuditLog, Event, LockCause};
use kv_vault::DocumentKind;
use tokio::sync::watch;

use crate::budget::Budgets;
use crate::clock::now_ms;
use crate::desk::Desk;
use crate::factors::Enrolling;
use crate::fault::Fault;
use crate::gate::{Gate, Session};
use crate::places::Places;
use crate::providers::Providers;
use crate::refusals::Refusals;
use crate::run::Runs;

/// A session that has ended and is not written down yet.
pub(crate) struct Locked(Option<Arc<Session>>);

pub(crate) struct Shared {
    pub(crate) home: Home,
    pub(crate) uid: u32,
    pub(crate) started: Instant,
    pub(crate) gate: Gate,
    pub(crate) providers: Providers,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) egress: Arc<kv_egress::Shared>,
    pub(crate) runs: Runs,
    pub(crate) refusals: Refusals,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) budgets: Budgets,
    pub(crate) desk: Desk,
    pub(crate) enrolling: Enrolling,
    pub(crate) places: Arc<Places>,
    /// The sockets were handed over by a service manager, which listens on when this process has ended.
    pub(crate) socket_activated: bool,
    /// What could not be done for the process's own safety at its start.
    pub(crate) warnings: Vec<String>,
    /// Set when the daemon is to end.
    pub(crate) stop: watch::Sender<bool>,
    /// Counts the locks, for workers to let go of answers that are under way, whether somebody reads them or not.
    pub(crate) locks: watch::Sender<u64>,
    /// The entry up to which the vault knows the trail.
    anchored: Mutex<u64>,
}

impl Shared {
    pub(crate) fn new(
        home: Home,
        gate: Gate,
        providers: Providers,
        audit: Arc<AuditLog>,
        warnings: Vec<String>,
        places: Places,
        socket_activated: bool,
    ) -> Self {
        let limits = kv_egress::Limits { sockets: places.upstream, ..kv_egress::Limits::default() };
        Self {
            home,
            uid: rustix::process::getuid().as_raw(),
            started: Instant::now(),
            gate,
            providers,
            audit,
            egress: kv_egress::Shared::new(limits),
            runs: Runs::default(),
            refusals: Refusals::default(),
            in_flight: AtomicUsize::new(0),
            budgets: Budgets::default(),
            desk: Desk::default(),
            enrolling: Enrolling::default(),
            places: Arc::new(places),
            socket_activated,
            warnings,
            stop: watch::Sender::new(false),
            locks: watch::Sender::new(0),
            anchored: Mutex::new(0),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Records what is about to be done to kv itself, and returns when that is durable: what cannot be recorded is not done.
    pub(crate) async fn intend(&self, event: Event) -> Result<(), Fault> {
        self.audit.record_event_durably(event, now_ms()).await.map(|_| ()).map_err(Fault::audit)
    }

    /// Records what happened.
    pub(crate) fn event(&self, event: Event) -> Result<(), Fault> {
        self.audit.record_event(event, now_ms()).map(|_| ()).map_err(Fault::audit)
    }

    /// Writes the trail's head into the vault, so that a cut tail is noticed.
    pub(crate) fn anchor(&self, session: &Session) -> Result<(), Fault> {
        let head = self.audit.head();
        let mut anchored = self.anchored.lock().unwrap_or_else(PoisonError::into_inner);
        if *anchored == head.seq {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&head).map_err(Fault::broken)?;
        session.vault.put_document(DocumentKind::AuditHead, "head", &bytes).map_err(Fault::write)?;
        *anchored = head.seq;
        Ok(())
    }

    /// Ends the session at once, and waits for nothing: calls under way stop, connections to services close, patterns
    /// made of secrets go. What is left to do comes back as [`Locked`].
    pub(crate) fn end_session(&self) -> Locked {
        let session = self.gate.lock();
        self.desk.clear();
        self.enrolling.forget();
        self.egress.forget();
        self.locks.send_modify(|count| *count += 1);
        Locked(session)
    }

    /// Writes down that the vault was locked, and the trail's head into it. This waits for the disk; with it the last key
    /// goes. `true` if the vault was open.
    pub(crate) fn settle(&self, locked: Locked, cause: LockCause) -> Result<bool, Fault> {
        let Some(session) = locked.0 else { return Ok(false) };
        self.event(Event::Locked { cause })?;
        self.anchor(&session).map(|()| true)
    }
}
