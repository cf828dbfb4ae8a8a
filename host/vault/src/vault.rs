use std::path::Path;
use std::sync::{Arc, PoisonError};

use kv_model::VaultId;

use crate::attempts::{Attempts, Gate};
use crate::error::{CreateError, OpenError, Refusal, StorageError, UnlockError};
use crate::format::Header;
use crate::kdf::{self, KdfParams};
use crate::keys::{Key, Keys, WrapTerms};
use crate::passphrase::Passphrase;
use crate::place::{self, Inspected, Place, PlaceError};
use crate::random;
use crate::state::State;
use crate::store::{self, MAX_FILE_BYTES, Store, StoreError};
use crate::unlocked::Unlocked;

/// A vault's file, found safe to use and held against other processes, without its keys.
pub struct Vault {
    pub(crate) store: Arc<Store>,
}

impl Vault {
    /// Makes a vault in `dir` (which is made with mode 0700 if only it is missing) and unlocks it. A kill at any moment leaves
    /// either no vault or a whole one: it is built under another name.
    pub fn create(
        dir: &Path,
        passphrase: &Passphrase,
        params: KdfParams,
        now_ms: u64,
    ) -> Result<Unlocked, CreateError> {
        let place = Place::enter_or_make(dir)?;
        if place.exists(FILE)? {
            return Err(CreateError::Exists(place.path("")));
        }
        let keys = Keys::new(Key::random()?);
        let salt = random::bytes()?;
        let kek =
            kdf::derive(passphrase, &salt, params).map_err(|e| CreateError::Memory { memory_kib: e.memory_kib })?;
        let terms = WrapTerms { vault: VaultId::from_bytes(random::bytes()?), kdf: params, created_ms: now_ms, salt };
        let header = keys.wrap(&kek, terms)?;
        let root = State::first(&header).root_of(&keys, header.vault).seal(&keys, header.vault)?;
        build(&place, &header, &root)?;
        let vault = Self::open_in(place).map_err(|error| CreateError::Open(Box::new(error)))?;
        Unlocked::load(vault.store, keys).map_err(|error| CreateError::Open(Box::new(error.into())))
    }

    /// Whether something lies where a vault would, be it usable or not.
    pub fn exists(dir: &Path) -> bool {
        place::something_at(dir, FILE)
    }

    /// Looks at the directory, the file and what lies beside it, takes the lock, and lets SQLite undo what a kill left half-way.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_in(Place::enter(dir)?)
    }

    fn open_in(place: Place) -> Result<Self, OpenError> {
        let Inspected { identity, front } = place
            .inspect(FILE, MAX_FILE_BYTES, store::FRONT_BYTES)?
            .ok_or_else(|| OpenError::NoVault(place.path("")))?;
        store::check_front(&front)?;
        // Our own journal after a kill is a plain file of ours. A write-ahead log is never ours.
        place.check(&beside(FILE, "-journal"), MAX_FILE_BYTES)?;
        for planted in ["-wal", "-shm"] {
            place.refuse_any(&beside(FILE, planted))?;
        }
        let connection = store::connect(&place.path(FILE))?;
        store::check_structure(&connection)?;
        // SQLite opened a path; it must have led to the file that was looked at.
        if place.check(FILE, MAX_FILE_BYTES)? != Some(identity) {
            return Err(Refusal::Exchanged(place.path(FILE)).into());
        }
        store::check_size(&connection, place.size(FILE)?)?;
        let id = store::read_header(&connection)?.vault;
        Ok(Self { store: Arc::new(Store::new(place, connection, id)) })
    }

    pub(crate) fn of(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Opens the vault with its passphrase. Each try is counted on disk before it is judged; see [`UnlockError::TooSoon`].
    ///
    /// May be called again while an earlier [`Unlocked`] is alive (calls in flight after a lock): whichever of them writes
    /// first ends the other's writing.
    pub fn unlock(&self, passphrase: &Passphrase, now_ms: u64) -> Result<Unlocked, UnlockError> {
        let (_, keys) = prove(&self.store, passphrase, now_ms)?;
        Ok(Unlocked::load(self.store.clone(), keys)?)
    }

    pub fn id(&self) -> VaultId {
        self.store.id
    }
}

/// Counts a try, derives, and gives the keys to the right passphrase. All ways to try a passphrase go through here.
pub(crate) fn prove(store: &Store, passphrase: &Passphrase, now_ms: u64) -> Result<(Header, Keys), UnlockError> {
    let _turn = store.deriving.lock().unwrap_or_else(PoisonError::into_inner);
    let attempts = store.attempts(|counters| match counters.gate(now_ms) {
        Gate::Counted(next) => (next, Ok(next.failed)),
        Gate::TooSoon { retry_after_ms, keep } => (keep, Err(UnlockError::TooSoon { retry_after_ms })),
    })??;
    let header = store.header()?;
    let kek = kdf::derive(passphrase, &header.salt, header.kdf)
        .map_err(|error| UnlockError::Memory { memory_kib: error.memory_kib })?;
    let keys = Keys::unwrap(&header, &kek).ok_or(UnlockError::WrongPassphrase { attempts })?;
    store.attempts(|_| (Attempts::NONE, ()))?;
    Ok((header, keys))
}

fn build(place: &Place, header: &Header, root: &[u8]) -> Result<(), CreateError> {
    // What an earlier, killed creation left, and the journal of a vault whose file somebody took away: SQLite would play it
    // back into the new one.
    for leftover in [NEW.to_owned(), beside(NEW, "-journal"), beside(FILE, "-journal")] {
        if place.check(&leftover, MAX_FILE_BYTES)?.is_some() {
            place.remove(&leftover)?;
        }
    }
    place.make(NEW)?;
    let mut connection = store::connect(&place.path(NEW))?;
    store::lay_out(&mut connection, header, root)?;
    connection.close().map_err(|(_, error)| StorageError::Sqlite(error))?;
    place.remove(&beside(NEW, "-journal"))?;
    if place.publish(NEW, FILE)? { Ok(()) } else { Err(CreateError::Exists(place.path(""))) }
}

fn beside(file: &str, suffix: &str) -> String {
    format!("{file}{suffix}")
}

impl From<PlaceError> for OpenError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::InUse => OpenError::InUse,
            PlaceError::Missing(path) => OpenError::NoVault(path),
            PlaceError::Refused(refusal) => OpenError::Refused(refusal),
            PlaceError::Storage(error) => OpenError::Storage(error),
        }
    }
}

impl From<PlaceError> for CreateError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::InUse => CreateError::InUse,
            PlaceError::Missing(path) => {
                StorageError::File { path, source: std::io::ErrorKind::NotFound.into() }.into()
            }
            PlaceError::Refused(refusal) => CreateError::Refused(refusal),
            PlaceError::Storage(error) => CreateError::Storage(error),
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(damage) => OpenError::Damaged(damage),
            StoreError::Storage(StorageError::Busy) => OpenError::InUse,
            StoreError::Storage(error) => OpenError::Storage(error),
        }
    }
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        CreateError::Open(Box::new(error.into()))
    }
}

impl From<StoreError> for UnlockError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(damage) => UnlockError::Damaged(damage),
            StoreError::Storage(error) => UnlockError::Storage(error),
        }
    }
}

const FILE: &str = "vault.db";
const NEW: &str = "vault.db.new";
