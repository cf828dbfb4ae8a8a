//! Where calls that need a person wait: the state machine of `kv_policy::approval` under a lock that is held for as long as
//! it takes to look something up, and a bell that rings when anything changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kv_model::{Connection, Request, Scheme, SecretId};
use kv_policy::approval::{Approvals, Now, State};
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::gate::Session;

/// As long as a caller may be held while a person makes up their mind; the question itself stays open no longer.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(kv_policy::approval::OPEN_MS);

pub(crate) struct Desk {
    approvals: Mutex<Approvals>,
    bell: watch::Sender<u64>,
    began: Instant,
}

impl Default for Desk {
    fn default() -> Self {
        Self { approvals: Mutex::default(), bell: watch::Sender::new(0), began: Instant::now() }
    }
}

impl Desk {
    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        Now { wall_ms: now_ms(), steady_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX) }
    }

    /// Looks, or changes something that nobody waits for. Nothing is awaited meanwhile.
    pub(crate) fn approvals(&self) -> MutexGuard<'_, Approvals> {
        self.approvals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait that they should look again.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// To be taken before looking, so that nothing that happens after is missed.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// How many questions wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        let now = self.now();
        self.approvals().list(now).iter().filter(|approval| approval.state == State::Pending).count()
    }

    /// The vault is locked: questions and answers go with it.
    pub(crate) fn clear(&self) {
        self.approvals().clear();
        self.ring();
    }
}

/// The secrets that the request's schemes place on it, and which value of each: an answer is for these.
pub(crate) fn credentials(session: &Session, connection: &Connection, request: &Request) -> Vec<(SecretId, u32)> {
    let slots = request.auth().iter().flat_map(|(_, scheme)| Scheme::slots(scheme));
    let mut credentials: Vec<_> = slots
        .filter_map(|slot| {
            let id = connection.bindings.get(slot)?.id;
            // Version 0 is that of a secret that is gone: egress says so.
            Some((id, session.vault.secret_by_id(id).map_or(0, |secret| secret.version)))
        })
        .collect();
    credentials.sort_unstable();
    credentials.dedup();
    credentials
}
