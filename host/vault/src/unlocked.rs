use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kv_model::{SecretId, SecretName, VaultId};
use zeroize::Zeroizing;

use crate::error::{Damage, PassphraseChangeError, ReadError, UnlockError, WriteError};
use crate::format::{DocumentKind, Head, Kind, MAX_DOCUMENT_BYTES, MAX_VALUE_BYTES, RecordId, RecordState};
use crate::kdf::{self, KdfParams};
use crate::keys::{Keys, WrapTerms};
use crate::passphrase::Passphrase;
use crate::random;
use crate::seal;
use crate::secret::SecretValue;
use crate::state::{Edit, Record, SecretMeta, State};
use crate::store::{Change, CommitError, Row, Store, StoreError};
use crate::vault::{self, Vault};

/// An open vault: the only thing that turns ciphertext into values. Share it in an `Arc`; when the last one is dropped the
/// keys are wiped.
///
/// Reads come from memory and never wait for a write. Writes wait for the disk, one after another; when one returns, it is
/// durable.
pub struct Unlocked {
    store: Arc<Store>,
    pub(crate) keys: Keys,
    /// Held for as long as it takes to copy a pointer.
    state: RwLock<Arc<State>>,
    /// One writer prepares at a time, so that none works on a state that another is about to replace.
    writing: Mutex<()>,
}

/// A document, opened.
pub struct Document {
    pub name: String,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Secrets.
impl Unlocked {
    /// A new secret, under a name that no other has.
    pub fn put_secret(&self, name: &SecretName, value: SecretValue, now_ms: u64) -> Result<SecretMeta, WriteError> {
        check_value(&value)?;
        self.write_secrets(|state| {
            if state.named(name).is_some() {
                return Err(WriteError::NameTaken(name.clone()));
            }
            let head = Head {
                kind: Kind::Secret,
                state: RecordState::Live,
                version: 1,
                item: random::bytes()?,
                created_ms: now_ms,
                changed_ms: now_ms,
                length: length(value.len()),
                name: name.as_str().to_owned(),
            };
            let record = self.seal_value(random::record_id()?, head, &value)?;
            let meta = meta(&record)?;
            Ok((Edit { put: vec![record], ..Edit::default() }, meta))
        })
    }

    /// A new value in the same secret. The old one stays sealed in the vault, to be masked for
    /// [`REDACT_OLD_MS`](crate::REDACT_OLD_MS).
    pub fn rotate_secret(&self, name: &SecretName, value: SecretValue, now_ms: u64) -> Result<SecretMeta, WriteError> {
        check_value(&value)?;
        self.write_secrets(|state| {
            let old = state.named(name).ok_or_else(|| WriteError::NoSuchSecret(name.clone()))?;
            let head = Head {
                version: old.head.version.checked_add(1).ok_or(WriteError::TooManyVersions)?,
                changed_ms: now_ms,
                length: length(value.len()),
                ..old.head.clone()
            };
            let record = self.seal_value(random::record_id()?, head, &value)?;
            let meta = meta(&record)?;
            let old = self.retire(old, RecordState::Replaced { at_ms: now_ms })?;
            Ok((Edit { put: vec![old, record], ..Edit::default() }, meta))
        })
    }

    /// Another name for the same secret: same id, same version. Old values follow.
    pub fn rename_secret(&self, from: &SecretName, to: &SecretName) -> Result<SecretMeta, WriteError> {
        self.write_secrets(|state| {
            let current = state.named(from).ok_or_else(|| WriteError::NoSuchSecret(from.clone()))?;
            if state.named(to).is_some() {
                return Err(WriteError::NameTaken(to.clone()));
            }
            let renamed: Vec<_> =
                state.versions(current.secret_id()).map(|record| self.rename(record, to)).collect::<Result<_, _>>()?;
            let meta = renamed
                .iter()
                .find(|r| r.head.state == RecordState::Live)
                .map_or(Err(Damage::Root.into()), |r| meta(r))?;
            Ok((Edit { put: renamed, ..Edit::default() }, meta))
        })
    }

    /// The secret is gone for all uses; its value stays sealed in the vault, to be masked as after a rotation.
    pub fn remove_secret(&self, name: &SecretName, now_ms: u64) -> Result<SecretMeta, WriteError> {
        self.write_secrets(|state| {
            let current = state.named(name).ok_or_else(|| WriteError::NoSuchSecret(name.clone()))?;
            let meta = meta(current)?;
            let put = vec![self.retire(current, RecordState::Removed { at_ms: now_ms })?];
            Ok((Edit { put, ..Edit::default() }, meta))
        })
    }

    /// Erases the values that no longer need to be masked, and says how many there were.
    pub fn prune(&self, now_ms: u64) -> Result<usize, WriteError> {
        if self.state().prunable(now_ms).next().is_none() {
            return Ok(0);
        }
        self.write_secrets(|state| {
            let remove: Vec<_> = state.prunable(now_ms).map(|record| record.id).collect();
            let count = remove.len();
            Ok((Edit { remove, ..Edit::default() }, count))
        })
    }

    /// In the order of their names.
    pub fn secrets(&self) -> Vec<SecretMeta> {
        self.state().names().filter_map(Record::meta).collect()
    }

    pub fn secret(&self, name: &SecretName) -> Option<SecretMeta> {
        self.state().named(name)?.meta()
    }

    pub fn secret_by_id(&self, id: SecretId) -> Option<SecretMeta> {
        self.state().current(id)?.meta()
    }

    /// The current value. From memory: no lock is held while it is opened, and no file is read.
    pub fn open_secret(&self, id: SecretId) -> Result<SecretValue, ReadError> {
        let state = self.state();
        self.open(state.current(id).ok_or(ReadError::NoSuchSecret)?)
    }

    /// Any value that the vault still holds, for masking.
    pub fn open_version(&self, id: SecretId, version: u32) -> Result<SecretValue, ReadError> {
        let state = self.state();
        self.open(state.version(id, version).ok_or(ReadError::NoSuchVersion(version))?)
    }

    /// Every value that must be masked: all current ones, and those replaced or removed in the last
    /// [`REDACT_OLD_MS`](crate::REDACT_OLD_MS). A clock that goes back only makes it more.
    pub fn redactable(&self, now_ms: u64) -> Vec<(SecretId, u32)> {
        self.state().redactable(now_ms).map(|record| (record.secret_id(), record.head.version)).collect()
    }

    /// Rises with every change to secrets, through all unlocks of this process: what was computed from them at one number is
    /// right for as long as the number stands. Time passing alone does not raise it.
    pub fn generation(&self) -> u64 {
        self.store.generation.load(Ordering::Acquire)
    }
}

/// Documents: other things that are kept sealed, by kind and name.
impl Unlocked {
    /// Writes a document, whether or not there is one of that name.
    pub fn put_document(&self, kind: DocumentKind, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        if !Kind::Document(kind).allows_name(name) {
            return Err(WriteError::DocumentName { bytes: name.len() });
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(WriteError::DocumentTooLong { bytes: bytes.len() });
        }
        self.write(|state| {
            let record = self.next_document(state, kind, name, bytes)?;
            Ok((Edit { put: vec![record], ..Edit::default() }, ()))
        })
    }

    /// Changes a document by what it is: nobody else changes it between the reading and the writing. `None` leaves it.
    pub(crate) fn edit_document<T>(
        &self,
        kind: DocumentKind,
        name: &str,
        edit: impl FnOnce(Option<&[u8]>) -> (Option<Zeroizing<Vec<u8>>>, T),
    ) -> Result<T, WriteError> {
        self.write(|state| {
            let there = state.document(kind, name).map(|record| self.open_body(record)).transpose()?;
            let (bytes, out) = edit(there.as_ref().map(|bytes| bytes.as_slice()));
            let put = bytes.map(|bytes| self.next_document(state, kind, name, &bytes)).transpose()?;
            Ok((Edit { put: put.into_iter().collect(), ..Edit::default() }, out))
        })
    }

    fn next_document(
        &self,
        state: &State,
        kind: DocumentKind,
        name: &str,
        bytes: &[u8],
    ) -> Result<Arc<Record>, WriteError> {
        let old = state.document(kind, name);
        let version = match old {
            Some(old) => old.head.version.checked_add(1).ok_or(WriteError::TooManyVersions)?,
            None => 1,
        };
        let head = Head {
            kind: Kind::Document(kind),
            state: RecordState::Live,
            version,
            item: old.map_or_else(random::bytes, |old| Ok(old.head.item))?,
            created_ms: 0,
            changed_ms: 0,
            length: length(bytes.len()),
            name: name.to_owned(),
        };
        self.seal(old.map_or_else(random::record_id, |old| Ok(old.id))?, head, bytes)
    }

    pub fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Damage> {
        self.state().document(kind, name).map(|record| self.open_body(record)).transpose()
    }

    /// All of one kind, in the order of their names.
    pub fn documents(&self, kind: DocumentKind) -> Result<Vec<Document>, Damage> {
        let state = self.state();
        state
            .documents(kind)
            .map(|record| Ok(Document { name: record.head.name.clone(), bytes: self.open_body(record)? }))
            .collect()
    }

    /// Whether there was one.
    pub fn remove_document(&self, kind: DocumentKind, name: &str) -> Result<bool, WriteError> {
        if self.state().document(kind, name).is_none() {
            return Ok(false);
        }
        self.write(|state| {
            let remove: Vec<_> = state.document(kind, name).map(|record| record.id).into_iter().collect();
            let found = !remove.is_empty();
            Ok((Edit { remove, ..Edit::default() }, found))
        })
    }
}

/// The vault itself.
impl Unlocked {
    pub(crate) fn load(store: Arc<Store>, keys: Keys) -> Result<Self, StoreError> {
        let state = State::load(&keys, store.id, store.contents()?)?;
        Ok(Self { store, keys, state: RwLock::new(Arc::new(state)), writing: Mutex::new(()) })
    }

    /// The same file without its keys: what is left after a lock.
    pub fn vault(&self) -> Vault {
        Vault::of(self.store.clone())
    }

    pub fn id(&self) -> VaultId {
        self.store.id
    }

    /// Rises by one with each write to the file. It is sealed with the set of records.
    pub fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// Whether the person at the keyboard knows the passphrase. Counts like an unlock.
    pub fn verify_passphrase(&self, passphrase: &Passphrase, now_ms: u64) -> Result<(), UnlockError> {
        let (_, keys) = vault::prove(&self.store, passphrase, now_ms)?;
        if keys.same_data_key(&self.keys) { Ok(()) } else { Err(Damage::HeaderExchanged.into()) }
    }

    /// A new salt, a new key-encrypting key and the same data key, wrapped anew over the old wrap. The old passphrase is tried
    /// and counted like an unlock. Whoever has an old copy of the file *and* the old passphrase keeps the data key: after such
    /// a loss the secrets themselves have to be rotated.
    pub fn change_passphrase(
        &self,
        old: &Passphrase,
        new: &Passphrase,
        params: KdfParams,
        now_ms: u64,
    ) -> Result<(), PassphraseChangeError> {
        let (header, keys) = vault::prove(&self.store, old, now_ms).map_err(PassphraseChangeError::Old)?;
        if !keys.same_data_key(&self.keys) {
            return Err(PassphraseChangeError::Old(Damage::HeaderExchanged.into()));
        }
        let salt = random::bytes().map_err(WriteError::from)?;
        let kek = {
            let _turn = self.store.deriving.lock().unwrap_or_else(PoisonError::into_inner);
            kdf::derive(new, &salt, params).map_err(|e| PassphraseChangeError::Memory { memory_kib: e.memory_kib })?
        };
        let terms = WrapTerms { vault: header.vault, kdf: params, created_ms: header.created_ms, salt };
        let header = self.keys.wrap(&kek, terms).map_err(WriteError::from)?;
        Ok(self.write(|_| Ok((Edit { header: Some(header), ..Edit::default() }, ())))?)
    }

    fn write_secrets<T>(&self, edit: impl FnOnce(&State) -> Result<(Edit, T), WriteError>) -> Result<T, WriteError> {
        let out = self.write(edit)?;
        self.store.next_generation();
        Ok(out)
    }

    /// Next state, one transaction, then the swap: readers see the new state only once the disk has it.
    fn write<T>(&self, edit: impl FnOnce(&State) -> Result<(Edit, T), WriteError>) -> Result<T, WriteError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        let (edit, out) = edit(&state)?;
        let put: Vec<Row> = edit.put.iter().map(|r| Row { id: r.id, sealed: r.sealed.clone() }).collect();
        let (remove, header) = (edit.remove.clone(), edit.header.clone());
        let mut next = state.next(edit)?;
        next.root = next.root_of(&self.keys, self.store.id).seal(&self.keys, self.store.id)?;
        self.store.commit(&Change {
            expected_root: &state.root,
            root: &next.root,
            header: header.as_ref(),
            put: &put,
            remove: &remove,
        })?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(out)
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self, record: &Record) -> Result<SecretValue, ReadError> {
        Ok(SecretValue::from_wiping(self.open_body(record)?))
    }

    fn open_body(&self, record: &Record) -> Result<Zeroizing<Vec<u8>>, Damage> {
        seal::open_body(&self.keys.records, self.store.id, record.id, &record.head, &record.sealed)
    }

    fn seal_value(&self, id: RecordId, head: Head, value: &SecretValue) -> Result<Arc<Record>, WriteError> {
        #[expect(clippy::disallowed_methods, reason = "the vault reads a value to seal it")]
        self.seal(id, head, value.expose())
    }

    fn seal(&self, id: RecordId, head: Head, value: &[u8]) -> Result<Arc<Record>, WriteError> {
        let sealed = seal::seal_record(&self.keys.records, self.store.id, id, &head, value)?;
        Ok(Arc::new(Record::new(id, head, sealed)))
    }

    fn retire(&self, record: &Record, state: RecordState) -> Result<Arc<Record>, WriteError> {
        let head = Head { state, ..record.head.clone() };
        let sealed = seal::reseal_head(&self.keys.records, self.store.id, record.id, &head, &record.sealed)?;
        Ok(Arc::new(Record::new(record.id, head, sealed)))
    }

    fn rename(&self, record: &Record, to: &SecretName) -> Result<Arc<Record>, WriteError> {
        let value = self.open_body(record)?;
        self.seal(record.id, Head { name: to.as_str().to_owned(), ..record.head.clone() }, &value)
    }
}

fn check_value(value: &SecretValue) -> Result<(), WriteError> {
    match value.len() {
        0 => Err(WriteError::EmptyValue),
        1..=MAX_VALUE_BYTES => Ok(()),
        bytes => Err(WriteError::ValueTooLong { bytes }),
    }
}

/// Lengths are checked against bounds that fit before they come here.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn meta(record: &Record) -> Result<SecretMeta, WriteError> {
    record.meta().ok_or_else(|| Damage::Seal.into())
}

impl From<seal::ResealError> for WriteError {
    fn from(error: seal::ResealError) -> Self {
        match error {
            seal::ResealError::Damage(damage) => WriteError::Damaged(damage),
            seal::ResealError::Seal(error) => WriteError::Seal(error),
        }
    }
}

impl From<CommitError> for WriteError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(StoreError::Damaged(damage)) => WriteError::Damaged(damage),
            CommitError::Store(StoreError::Storage(error)) => WriteError::Storage(error),
            CommitError::Superseded => WriteError::Superseded,
        }
    }
}

#[cfg(test)]
impl Unlocked {
    pub(crate) fn store_for_test(&self) -> &Store {
        &self.store
    }

    /// Many secrets in one write.
    pub(crate) fn put_many_for_test(&self, count: usize, bytes: usize) {
        self.write_secrets(|_| {
            let put = (0..count).map(|n| {
                let head = Head {
                    kind: Kind::Secret,
                    state: RecordState::Live,
                    version: 1,
                    item: random::bytes()?,
                    created_ms: 0,
                    changed_ms: 0,
                    length: length(bytes),
                    name: format!("MANY_{n}"),
                };
                self.seal(random::record_id()?, head, &vec![7; bytes])
            });
            Ok((Edit { put: put.collect::<Result<_, _>>()?, ..Edit::default() }, ()))
        })
        .unwrap();
    }

    pub(crate) fn sealed_for_test(&self, id: SecretId, version: u32) -> Vec<u8> {
        self.state().version(id, version).unwrap().sealed.clone()
    }
}
