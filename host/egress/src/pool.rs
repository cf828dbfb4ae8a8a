//! Connections that wait for their next use.
//!
//! Two credentials never share a socket, and neither do two versions of one: whatever a service remembers of a
//! connection (a session, a header table, a login) belongs to one credential. A call that breaks off takes its
//! connection with it. Nothing in here retries.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kv_model::{Connection, SecretId};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::connect::{self, Driver, Opened, Sender};
use crate::error::SendError;
use crate::limits::Limits;
use crate::meter::Call;
use crate::shared::Shared;
use crate::vet;

/// Which requests may follow one another on a connection: same origin, same trust, same values.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) connection: Arc<Connection>,
    /// Every secret on the request, with its version.
    pub(crate) credential: Arc<[(SecretId, u32)]>,
}

/// The connections of one worker.
pub(crate) struct Pool {
    slots: Mutex<Slots>,
    limits: Limits,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    swept: bool,
}

/// All that there is for one key.
struct Slot {
    tls: Option<Arc<ClientConfig>>,
    speaks: Speaks,
    http2: Option<Shared2>,
    idle: VecDeque<Idle>,
    calls: Arc<Semaphore>,
    /// Held while a connection is opened to a service of which it is not known whether one is enough for all.
    gate: Arc<tokio::sync::Mutex<()>>,
    last_used: Instant,
}

/// What a call needs of its slot before it has a connection.
struct Entered {
    calls: Arc<Semaphore>,
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Since the last call.
    rested: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
    Unknown,
}

/// One HTTP/2 connection, for any number of calls at a time.
struct Shared2 {
    sender: hyper::client::conn::http2::SendRequest<http_body_util::Full<bytes::Bytes>>,
    driver: Arc<Driver>,
    until: Instant,
}

struct Idle {
    sender: hyper::client::conn::http1::SendRequest<http_body_util::Full<bytes::Bytes>>,
    driver: Arc<Driver>,
    until: Instant,
}

/// A connection for one call. Dropped in the middle of an answer, it closes (HTTP/1.1) or resets its stream (HTTP/2).
pub(crate) struct Lease {
    pub(crate) sender: Sender,
    /// It has carried a request before, so the service may be closing it.
    pub(crate) reused: bool,
    driver: Arc<Driver>,
    key: Key,
    pool: Weak<Pool>,
    _call: Call,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Pool { slots: Mutex::default(), limits })
    }

    /// Drops everything. Calls under way keep their connection until they end.
    pub(crate) fn clear(&self) {
        self.lock().by_key.clear();
    }

    /// A connection for one call: a kept one unless `fresh`, else a new one, by the deadline.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        key: &Key,
        fresh: bool,
        deadline: Instant,
        shared: &Shared,
    ) -> Result<Lease, SendError> {
        let Entered { calls, gate, rested } = self.enter(key);
        if rested > RESTED {
            // The service may have closed what is kept, and on a busy worker nobody may have looked since. One turn of the
            // runtime is enough to see it.
            tokio::task::yield_now().await;
        }
        let waits = timeout_at(deadline, calls.acquire_owned()).await;
        let Ok(Ok(place)) = waits else {
            return Err(SendError::Busy { limit: self.limits.calls, waited: self.limits.connect });
        };
        let lease = self.acquire_in(key, fresh, deadline, shared, &gate, place);
        timeout_at(deadline, lease).await.unwrap_or(Err(SendError::TimeoutConnect(self.limits.connect)))
    }

    async fn acquire_in(
        self: &Arc<Self>,
        key: &Key,
        fresh: bool,
        deadline: Instant,
        shared: &Shared,
        gate: &tokio::sync::Mutex<()>,
        place: OwnedSemaphorePermit,
    ) -> Result<Lease, SendError> {
        let kept = || if fresh { None } else { self.take(key) };
        if let Some((sender, driver)) = kept() {
            return Ok(self.lease(key, sender, driver, true, place));
        }
        // 64 first calls at once want one HTTP/2 connection, not 64: the first opens it while the others wait. Once the
        // service is known to speak HTTP/1.1 nobody waits.
        let mut turn = None;
        if self.speaks(key) != Speaks::Http1 {
            turn = Some(gate.lock().await);
            if let Some((sender, driver)) = kept() {
                return Ok(self.lease(key, sender, driver, true, place));
            }
            if self.speaks(key) == Speaks::Http1 {
                turn = None;
            }
        }
        let Opened { sender, driver } = self.open(key, deadline, shared).await?;
        let driver = Arc::new(driver);
        self.learn(key, &sender, &driver);
        drop(turn);
        Ok(self.lease(key, sender, driver, false, place))
    }

    async fn open(&self, key: &Key, deadline: Instant, shared: &Shared) -> Result<Opened, SendError> {
        let (origin, connection) = (&key.connection.origin, &key.connection);
        let addresses = vet::addresses(origin, connection.allow_private, &*shared.resolver, &self.limits).await?;
        let tls = if origin.is_tls() { Some(self.tls(key, shared).await?) } else { None };
        let place = self.place(shared, deadline).await?;
        connect::open(origin, &addresses, tls, deadline, &self.limits, place).await
    }

    /// A place among all connections of the daemon. Where there is none, those that only wait for their next use go first.
    async fn place(&self, shared: &Shared, deadline: Instant) -> Result<OwnedSemaphorePermit, SendError> {
        if let Ok(place) = Arc::clone(&shared.sockets).try_acquire_owned() {
            return Ok(place);
        }
        self.lock().by_key.values_mut().for_each(|slot| slot.idle.clear());
        match timeout_at(deadline, Arc::clone(&shared.sockets).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(SendError::Busy { limit: self.limits.sockets, waited: self.limits.connect }),
        }
    }

    /// One configuration for each key: it holds the session tickets.
    async fn tls(&self, key: &Key, shared: &Shared) -> Result<Arc<ClientConfig>, SendError> {
        if let Some(known) = self.lock().by_key.get(key).and_then(|slot| slot.tls.clone()) {
            return Ok(known);
        }
        let config = shared.roots.client_config(key.connection.ca.as_ref()).await?;
        if let Some(slot) = self.lock().by_key.get_mut(key) {
            slot.tls = Some(Arc::clone(&config));
        }
        Ok(config)
    }

    /// Makes a place for the key, and drains those of the same credential's other versions.
    fn enter(self: &Arc<Self>, key: &Key) -> Entered {
        let mut slots = self.lock();
        if let Some(slot) = slots.by_key.get_mut(key) {
            let rested = slot.last_used.elapsed();
            slot.last_used = Instant::now();
            return Entered { calls: Arc::clone(&slot.calls), gate: Arc::clone(&slot.gate), rested };
        }
        slots.by_key.retain(|other, _| !other.is_other_version_of(key));
        let slot = Slot {
            tls: None,
            speaks: if key.connection.origin.is_tls() { Speaks::Unknown } else { Speaks::Http1 },
            http2: None,
            idle: VecDeque::new(),
            calls: Arc::new(Semaphore::new(self.limits.calls)),
            gate: Arc::default(),
            last_used: Instant::now(),
        };
        let entered = Entered { calls: Arc::clone(&slot.calls), gate: Arc::clone(&slot.gate), rested: Duration::ZERO };
        slots.by_key.insert(key.clone(), slot);
        if !std::mem::replace(&mut slots.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.keep));
        }
        entered
    }

    fn speaks(&self, key: &Key) -> Speaks {
        self.lock().by_key.get(key).map_or(Speaks::Unknown, |slot| slot.speaks)
    }

    /// A kept connection that is fit for a request now. Those that are not are dropped on the way.
    fn take(&self, key: &Key) -> Option<(Sender, Arc<Driver>)> {
        let mut slots = self.lock();
        let slot = slots.by_key.get_mut(key)?;
        let now = Instant::now();
        if let Some(http2) = &mut slot.http2 {
            if !http2.sender.is_closed() && http2.until > now {
                http2.until = now + self.limits.keep;
                return Some((Sender::Http2(http2.sender.clone()), Arc::clone(&http2.driver)));
            }
            slot.http2 = None;
        }
        // The one used last first: the others grow old and go. One that is not ready after its answer has ended is still
        // busy with a request that the service answered early.
        while let Some(idle) = slot.idle.pop_back() {
            if idle.until > now && idle.sender.is_ready() && !idle.sender.is_closed() {
                return Some((Sender::Http1(idle.sender), idle.driver));
            }
        }
        None
    }

    fn learn(&self, key: &Key, sender: &Sender, driver: &Arc<Driver>) {
        let mut slots = self.lock();
        let Some(slot) = slots.by_key.get_mut(key) else { return };
        match sender {
            Sender::Http1(_) => slot.speaks = Speaks::Http1,
            Sender::Http2(sender) => {
                slot.speaks = Speaks::Http2;
                let until = Instant::now() + self.limits.keep;
                slot.http2 = Some(Shared2 { sender: sender.clone(), driver: Arc::clone(driver), until });
            }
        }
    }

    fn lease(
        self: &Arc<Self>,
        key: &Key,
        sender: Sender,
        driver: Arc<Driver>,
        reused: bool,
        place: OwnedSemaphorePermit,
    ) -> Lease {
        let call = driver.call();
        Lease { sender, reused, driver, key: key.clone(), pool: Arc::downgrade(self), _call: call, _place: place }
    }

    /// Ends the tasks of kept connections. Until they next run, the connections look as good as before.
    #[cfg(test)]
    pub(crate) fn break_kept(&self) {
        for slot in self.lock().by_key.values() {
            slot.idle.iter().for_each(|idle| idle.driver.end());
            slot.http2.iter().for_each(|http2| http2.driver.end());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The answer has been read to its end. `keep_for` is what the service said that it would keep the connection for.
    pub(crate) fn give_back(self, keep_for: Option<Duration>) {
        let (Sender::Http1(sender), Some(pool)) = (self.sender, self.pool.upgrade()) else { return };
        let keep = keep_for.map_or(pool.limits.keep, |keep| keep.min(pool.limits.keep));
        if sender.is_closed() || keep.is_zero() {
            return;
        }
        let mut slots = pool.lock();
        // After a rotation or a lock there is no slot: the connection has been used for the last time.
        let Some(slot) = slots.by_key.get_mut(&self.key) else { return };
        if slot.idle.len() >= pool.limits.idle_connections {
            slot.idle.pop_front();
        }
        slot.last_used = Instant::now();
        slot.idle.push_back(Idle { sender, driver: self.driver, until: Instant::now() + keep });
    }
}

impl Key {
    fn is_other_version_of(&self, other: &Key) -> bool {
        let ids = |key: &Key| key.credential.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        self.connection.origin == other.connection.origin
            && ids(self) == ids(other)
            && self.credential != other.credential
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.connection, &other.connection);
        self.credential == other.credential
            && (Arc::ptr_eq(a, b) || (a.origin == b.origin && a.allow_private == b.allow_private && a.ca == b.ca))
    }
}

impl Eq for Key {}

/// The certificates are left out: they are long, and keys that differ in them alone are rare.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.connection.origin.hash(state);
        self.connection.allow_private.hash(state);
        self.credential.hash(state);
    }
}

/// Closes what has waited too long. Ends when there is nothing left to wait for.
async fn sweep(pool: Weak<Pool>, keep: Duration) {
    loop {
        tokio::time::sleep(keep / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut slots = pool.lock();
        let now = Instant::now();
        slots.by_key.retain(|_, slot| {
            slot.idle.retain(|idle| idle.until > now && !idle.sender.is_closed());
            if slot.http2.as_ref().is_some_and(|http2| http2.until <= now || http2.sender.is_closed()) {
                slot.http2 = None;
            }
            let in_use = Arc::strong_count(&slot.calls) > 1;
            in_use || !slot.idle.is_empty() || slot.http2.is_some() || slot.last_used + keep > now
        });
        if slots.by_key.is_empty() {
            slots.swept = false;
            return;
        }
    }
}

/// Shorter than any service waits before it closes, longer than the pause between the calls of a busy agent.
const RESTED: Duration = Duration::from_millis(100);
