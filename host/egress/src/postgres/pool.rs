//! Sessions that wait for their next use.
//!
//! Two credentials, two versions of one, two databases or two users never share a session. Each is told to forget, and
//! used again only when the server has said that it is; one in which something went wrong is ended, and so is what it was
//! at. Nothing in here repeats a statement.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kv_model::{Connection, SecretId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::open::open;
use super::session::Session;
use super::target::{Credential, Target};
use super::types::TypeCache;
use crate::error::SendError;
use crate::limits::Limits;
use crate::shared::Shared;

/// Which statements may follow one another in a session.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) connection: Arc<Connection>,
    pub(super) target: Arc<Target>,
    /// Every secret of the login, with its version.
    pub(super) credential: Arc<[(SecretId, u32)]>,
}

/// The sessions of one worker.
pub(crate) struct Pool {
    slots: Mutex<Slots>,
    limits: Limits,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    swept: bool,
}

struct Slot {
    idle: VecDeque<Idle>,
    places: Arc<Semaphore>,
    types: Arc<TypeCache>,
    last_used: Instant,
}

struct Idle {
    session: Session,
    until: Instant,
}

/// A session for one statement. Dropped before it is given back, it is ended: the statement first, then the session.
pub(super) struct Lease {
    session: Option<Session>,
    pub(super) types: Arc<TypeCache>,
    key: Key,
    pool: Weak<Pool>,
    place: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Pool { slots: Mutex::default(), limits })
    }

    /// Drops everything. Statements under way keep their session until they end.
    pub(crate) fn clear(&self) {
        self.lock().by_key.clear();
    }

    /// A session for one statement, by the deadline.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        key: &Key,
        credential: &Credential,
        deadline: Instant,
        shared: &Shared,
    ) -> Result<Lease, SendError> {
        let (places, types) = self.enter(key);
        let Ok(Ok(place)) = timeout_at(deadline, places.acquire_owned()).await else {
            return Err(SendError::Busy { limit: self.limits.sessions, waited: self.limits.connect });
        };
        let session = async {
            while let Some((mut session, rested)) = self.take(key) {
                if rested >= RESTED {
                    // On a busy worker nobody may have looked since whether the server is still there.
                    tokio::task::yield_now().await;
                }
                // The server has had all the time since the last use: an answer that is not there now is a bad sign.
                if timeout(SETTLE, session.is_settled()).await.is_ok_and(|settled| settled) {
                    return Ok(session);
                }
            }
            open(&key.connection, &key.target, credential, shared, deadline).await.map(Session::new)
        };
        let session =
            timeout_at(deadline, session).await.map_err(|_| SendError::TimeoutConnect(self.limits.connect))??;
        Ok(Lease { session: Some(session), types, key: key.clone(), pool: Arc::downgrade(self), place: Some(place) })
    }

    /// Makes a place for the key, and closes what other versions of the same credential opened.
    fn enter(self: &Arc<Self>, key: &Key) -> (Arc<Semaphore>, Arc<TypeCache>) {
        let mut slots = self.lock();
        if let Some(slot) = slots.by_key.get_mut(key) {
            slot.last_used = Instant::now();
            return (Arc::clone(&slot.places), Arc::clone(&slot.types));
        }
        slots.by_key.retain(|other, _| !other.is_other_version_of(key));
        let slot = Slot {
            idle: VecDeque::new(),
            places: Arc::new(Semaphore::new(self.limits.sessions)),
            types: Arc::default(),
            last_used: Instant::now(),
        };
        let entered = (Arc::clone(&slot.places), Arc::clone(&slot.types));
        slots.by_key.insert(key.clone(), slot);
        if !std::mem::replace(&mut slots.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.keep));
        }
        entered
    }

    /// The one used last first: the others grow old and go.
    fn take(&self, key: &Key) -> Option<(Session, Duration)> {
        let mut slots = self.lock();
        let idle = &mut slots.by_key.get_mut(key)?.idle;
        let now = Instant::now();
        while let Some(Idle { session, until }) = idle.pop_back() {
            if until > now {
                return Some((session, self.limits.keep.saturating_sub(until - now)));
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// There until the lease is given back.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// The statement is over and the session stands where it should: it is kept.
    pub(super) fn give_back(mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut slots = pool.lock();
        // After a rotation or a lock there is no slot: the session has been used for the last time.
        let Some(slot) = slots.by_key.get_mut(&self.key) else { return };
        if let Some(session) = self.session.take() {
            slot.last_used = Instant::now();
            slot.idle.push_back(Idle { session, until: Instant::now() + pool.limits.keep });
        }
    }
}

impl Lease {
    /// The statement is over and the session is not to be used again. There is nothing to be cancelled.
    pub(super) fn close(mut self) {
        let (Some(session), place) = (self.session.take(), self.place.take()) else { return };
        tokio::spawn(async move {
            let _ = timeout(SETTLE, session.close()).await;
            drop(place);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else { return };
        let place = self.place.take();
        runtime.spawn(async move {
            // A server goes on with a statement whose caller is gone until it has something to say. The place is taken until
            // then: whoever keeps leaving cannot open session upon session.
            session.cancel().await;
            drop(place);
        });
    }
}

impl Key {
    fn is_other_version_of(&self, other: &Key) -> bool {
        let ids = |key: &Key| key.credential.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        self.connection.origin == other.connection.origin
            && self.target == other.target
            && ids(self) == ids(other)
            && self.credential != other.credential
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.connection, &other.connection);
        self.credential == other.credential
            && self.target == other.target
            && (Arc::ptr_eq(a, b) || (a.origin == b.origin && a.allow_private == b.allow_private && a.ca == b.ca))
    }
}

impl Eq for Key {}

/// The certificates are left out: they are long, and keys that differ in them alone are rare.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.connection.origin.hash(state);
        self.target.hash(state);
        self.credential.hash(state);
    }
}

/// Closes what has waited too long. Ends when there is nothing left to wait for.
async fn sweep(pool: Weak<Pool>, keep: Duration) {
    loop {
        tokio::time::sleep(keep / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut over = Vec::new();
        let is_done = {
            let mut slots = pool.lock();
            let now = Instant::now();
            slots.by_key.retain(|_, slot| {
                while slot.idle.front().is_some_and(|idle| idle.until <= now) {
                    over.extend(slot.idle.pop_front());
                }
                let in_use = Arc::strong_count(&slot.places) > 1;
                in_use || !slot.idle.is_empty() || slot.last_used + keep > now
            });
            slots.swept = !slots.by_key.is_empty();
            !slots.swept
        };
        for Idle { session, .. } in over {
            let _ = timeout(SETTLE, session.close()).await;
        }
        if is_done {
            return;
        }
    }
}

/// For a server to have cleaned a session.
const SETTLE: Duration = Duration::from_secs(1);
/// Longer than the pause between the calls of a busy agent.
const RESTED: Duration = Duration::from_millis(100);
