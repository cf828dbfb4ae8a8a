//! The vault's door. Locked, the process holds no key; unlocked, a [`Session`] holds them all, and ends with the door.
//!
//! A call takes an `Arc` of the session when it begins. Locking takes the session out of the gate, tells it that it has
//! ended, and waits for nobody: calls see [`Session::ended`] and stop, and the last of them drops the keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use kv_model::{Connection, ConnectionName};
use kv_vault::{DocumentKind, KdfParams, Passphrase, Unlocked, Vault};
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::fault::Fault;

/// As long as one unlock lasts at most: a working day. The risk is carried by what calls may do, not by short unlocks.
pub(crate) const MAX_UNLOCK: Duration = Duration::from_secs(12 * 3600);

pub(crate) struct Gate {
    directory: PathBuf,
    /// The locked file. `None`: there is none yet. Held across the key derivation, so that guesses come one at a time.
    file: Mutex<Option<Vault>>,
    session: ArcSwapOption<Session>,
    changes: watch::Sender<u64>,
}

/// The time between an unlock and the lock after it.
pub(crate) struct Session {
    pub(crate) vault: Arc<Unlocked>,
    connections: ArcSwap<BTreeMap<ConnectionName, Arc<Connection>>>,
    /// Writers of connections take turns; readers take the map as it is.
    writing: Mutex<()>,
    /// The gate's, told after each of their changes.
    changes: watch::Sender<u64>,
    began: Instant,
    /// When it ends by the wall clock, and how long after its beginning by the other one.
    until_ms: AtomicU64,
    lasts_ms: AtomicU64,
    ended: watch::Sender<bool>,
}

impl Gate {
    /// Opens the file where there is one; it stays locked.
    pub(crate) fn open(directory: PathBuf) -> Result<Self, kv_vault::OpenError> {
        let file = if Vault::exists(&directory) { Some(Vault::open(&directory)?) } else { None };
        Ok(Self { directory, file: Mutex::new(file), session: ArcSwapOption::empty(), changes: watch::Sender::new(0) })
    }

    /// Told whenever a connection was made, edited or removed, of this session or another.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn exists(&self) -> bool {
        // While a key is being derived the file is there.
        self.file.try_lock().map_or(true, |file| file.is_some())
    }

    /// The session, if the vault is open and its time has not run out by either clock.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Fault> {
        match self.session.load_full() {
            Some(session) if session.is_live() => Ok(session),
            Some(_) => Err(Fault::locked()),
            None if self.exists() => Err(Fault::locked()),
            None => Err(Fault::no_vault()),
        }
    }

    /// A session is there whose time is over: it wants to be locked.
    pub(crate) fn is_over(&self) -> bool {
        self.session.load().as_ref().is_some_and(|session| !session.is_live())
    }

    pub(crate) fn create(
        &self,
        passphrase: &Passphrase,
        params: KdfParams,
        lasts: Duration,
    ) -> Result<Arc<Session>, Fault> {
        let mut file = self.file();
        if file.is_some() {
            return Err(Fault::vault_exists());
        }
        // Made, closed and opened anew: what is unlocked below is what the disk holds.
        drop(Vault::create(&self.directory, passphrase, params, now_ms()).map_err(Fault::create)?);
        let vault = Vault::open(&self.directory).map_err(Fault::open)?;
        let unlocked = vault.unlock(passphrase, now_ms()).map_err(Fault::unlock)?;
        *file = Some(vault);
        drop(file);
        self.begin(unlocked, lasts)
    }

    /// Opens the vault, or lets an open one stay open for so long from now: calls under way go on.
    pub(crate) fn unlock(&self, passphrase: &Passphrase, lasts: Duration) -> Result<Arc<Session>, Fault> {
        let file = self.file();
        if let Ok(session) = self.session() {
            session.vault.verify_passphrase(passphrase, now_ms()).map_err(Fault::unlock)?;
            session.last(lasts);
            return Ok(session);
        }
        let vault = file.as_ref().ok_or_else(Fault::no_vault)?;
        let unlocked = vault.unlock(passphrase, now_ms()).map_err(Fault::unlock)?;
        drop(file);
        self.begin(unlocked, lasts)
    }

    fn begin(&self, vault: Unlocked, lasts: Duration) -> Result<Arc<Session>, Fault> {
        let session = Arc::new(Session {
            connections: ArcSwap::from_pointee(read_connections(&vault)?),
            vault: Arc::new(vault),
            writing: Mutex::new(()),
            changes: self.changes.clone(),
            began: Instant::now(),
            until_ms: AtomicU64::new(0),
            lasts_ms: AtomicU64::new(0),
            ended: watch::Sender::new(false),
        });
        session.last(lasts);
        if let Some(before) = self.session.swap(Some(Arc::clone(&session))) {
            before.end();
        }
        Ok(session)
    }

    /// Ends the session, over or not, and gives it back for the last that is to be done with it.
    pub(crate) fn lock(&self) -> Option<Arc<Session>> {
        let session = self.session.swap(None);
        session.inspect(|session| session.end())
    }

    fn file(&self) -> MutexGuard<'_, Option<Vault>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Relaxed)
    }

    fn last(&self, lasts: Duration) {
        let lasts = u64::try_from(lasts.min(MAX_UNLOCK).as_millis()).unwrap_or(u64::MAX);
        let so_far = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.lasts_ms.store(so_far.saturating_add(lasts), Ordering::Relaxed);
        self.until_ms.store(now_ms().saturating_add(lasts), Ordering::Relaxed);
    }

    fn is_live(&self) -> bool {
        !self.remaining().is_zero() && !*self.ended.borrow()
    }

    /// After waiting for something: whether the vault is still open.
    pub(crate) fn check_live(&self) -> Result<(), Fault> {
        if self.is_live() { Ok(()) } else { Err(Fault::locked()) }
    }

    /// How long it still lasts. Both clocks count: one that is turned back does not lengthen the time, nor does a
    /// suspended machine's.
    pub(crate) fn remaining(&self) -> Duration {
        let so_far = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let by_began = self.lasts_ms.load(Ordering::Relaxed).saturating_sub(so_far);
        Duration::from_millis(by_began.min(self.until_ms().saturating_sub(now_ms())))
    }

    fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Resolves when the vault is locked; a call then stops where it is.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub(crate) fn connection(&self, name: &ConnectionName) -> Result<Arc<Connection>, Fault> {
        let connections = self.connections.load();
        connections.get(name).cloned().ok_or_else(|| Fault::no_connection(name, connections.keys()))
    }

    pub(crate) fn connections(&self) -> Arc<BTreeMap<ConnectionName, Arc<Connection>>> {
        self.connections.load_full()
    }

    /// Seals a connection and lets calls see it, if the one of its name is still the one that was looked at.
    pub(crate) fn put_connection(
        &self,
        connection: Connection,
        before: Option<&Arc<Connection>>,
    ) -> Result<Arc<Connection>, Fault> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_live()?;
        let same = match (self.connections.load().get(&connection.name), before) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Err(Fault::new(
                kv_api::Code::Conflict,
                format!("connection `{}` was changed meanwhile", connection.name),
            )
            .next("look at it, then repeat the command"));
        }
        let bytes = serde_json::to_vec(&connection).map_err(Fault::broken)?;
        self.vault.put_document(DocumentKind::Connection, connection.name.as_str(), &bytes).map_err(Fault::write)?;
        let connection = Arc::new(connection);
        let mut connections = BTreeMap::clone(&self.connections.load());
        connections.insert(connection.name.clone(), Arc::clone(&connection));
        self.replace(connections);
        Ok(connection)
    }

    pub(crate) fn remove_connection(&self, name: &ConnectionName) -> Result<(), Fault> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connections = BTreeMap::clone(&self.connections.load());
        if connections.remove(name).is_none() {
            return Err(Fault::no_connection(name, connections.keys()));
        }
        self.vault.remove_document(DocumentKind::Connection, name.as_str()).map_err(Fault::write)?;
        self.replace(connections);
        Ok(())
    }

    fn replace(&self, connections: BTreeMap<ConnectionName, Arc<Connection>>) {
        self.connections.store(Arc::new(connections));
        self.changes.send_modify(|count| *count += 1);
    }
}

fn read_connections(vault: &Unlocked) -> Result<BTreeMap<ConnectionName, Arc<Connection>>, Fault> {
    vault
        .documents(DocumentKind::Connection)
        .map_err(Fault::damaged)?
        .into_iter()
        .map(|document| {
            let connection: Connection = serde_json::from_slice(&document.bytes).map_err(Fault::broken)?;
            Ok((connection.name.clone(), Arc::new(connection)))
        })
        .collect()
}
