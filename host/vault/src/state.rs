//! What an unlocked vault knows in memory: every record's head in the clear, every value still sealed.
//!
//! A state is never changed. A write makes the next one and puts it in place after the disk has it, so a reader always sees one
//! whole state and never waits for the disk. Making the next one costs time in proportion to the number of records (about a
//! microsecond for each); reading costs a look-up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kv_model::{Digest, SecretId, SecretName, VaultId};

use crate::error::{Damage, WriteError};
use crate::format::{DocumentKind, Head, Header, Kind, RecordId, RecordState};
use crate::keys::Keys;
use crate::root::{Leaf, Root};
use crate::seal;
use crate::store::{Contents, Row};

/// What the person sees of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMeta {
    pub id: SecretId,
    pub name: SecretName,
    pub version: u32,
    pub created_ms: u64,
    /// When the current value was set.
    pub changed_ms: u64,
    /// Of the value, in bytes. For the person's eyes: an agent that knows it guesses less.
    pub length: usize,
}

pub(crate) struct Record {
    pub(crate) id: RecordId,
    pub(crate) head: Head,
    pub(crate) sealed: Vec<u8>,
    digest: Digest,
}

pub(crate) struct State {
    pub(crate) epoch: u64,
    /// The root as it lies in the file.
    pub(crate) root: Vec<u8>,
    header: Digest,
    records: BTreeMap<RecordId, Arc<Record>>,
    names: BTreeMap<SecretName, SecretId>,
    current: HashMap<SecretId, Arc<Record>>,
    versions: BTreeMap<(SecretId, u32), Arc<Record>>,
    documents: BTreeMap<(DocumentKind, String), Arc<Record>>,
}

impl Record {
    pub(crate) fn new(id: RecordId, head: Head, sealed: Vec<u8>) -> Self {
        let digest = Digest::of(&sealed);
        Self { id, head, sealed, digest }
    }

    pub(crate) fn secret_id(&self) -> SecretId {
        SecretId::from_bytes(self.head.item)
    }

    /// Whether the value must still be masked in what others may see.
    fn is_redactable(&self, now_ms: u64) -> bool {
        match self.head.state {
            RecordState::Live => true,
            RecordState::Removed { at_ms } | RecordState::Replaced { at_ms } => {
                now_ms < at_ms.saturating_add(REDACT_OLD_MS)
            }
        }
    }

    pub(crate) fn meta(&self) -> Option<SecretMeta> {
        Some(SecretMeta {
            id: self.secret_id(),
            name: SecretName::parse(&self.head.name).ok()?,
            version: self.head.version,
            created_ms: self.head.created_ms,
            changed_ms: self.head.changed_ms,
            length: usize::try_from(self.head.length).ok()?,
        })
    }
}

impl State {
    /// Opens all heads and proves that the set is the one that was written last.
    pub(crate) fn load(keys: &Keys, vault: VaultId, contents: Contents) -> Result<Self, Damage> {
        let root = Root::open(keys, vault, &contents.root)?;
        let mut records = BTreeMap::new();
        for Row { id, sealed } in contents.rows {
            let head = seal::open_head(&keys.records, vault, id, &sealed)?;
            if records.insert(id, Arc::new(Record::new(id, head, sealed))).is_some() {
                return Err(Damage::Root);
            }
        }
        let state = Self::index(root.epoch, contents.root, Digest::of(&contents.header.encode()), records)?;
        if state.root_of(keys, vault) == root { Ok(state) } else { Err(Damage::Root) }
    }

    /// The state of a vault that was just made.
    pub(crate) fn first(header: &Header) -> Self {
        Self {
            epoch: 1,
            root: Vec::new(),
            header: Digest::of(&header.encode()),
            records: BTreeMap::new(),
            names: BTreeMap::new(),
            current: HashMap::new(),
            versions: BTreeMap::new(),
            documents: BTreeMap::new(),
        }
    }

    /// The state after a write, its root not sealed yet.
    pub(crate) fn next(&self, edit: Edit) -> Result<Self, WriteError> {
        let mut records = self.records.clone();
        for id in &edit.remove {
            records.remove(id);
        }
        for record in edit.put {
            records.insert(record.id, record);
        }
        let epoch = self.epoch.checked_add(1).ok_or(Damage::Root)?;
        let header = edit.header.as_ref().map_or(self.header, |header| Digest::of(&header.encode()));
        let next = Self::index(epoch, Vec::new(), header, records)?;
        // What makes the vault smaller is always allowed.
        let grows_past = |now: usize, then: usize, most: usize| then > most && then > now;
        if grows_past(self.records.len(), next.records.len(), MAX_RECORDS)
            || grows_past(self.sealed_bytes(), next.sealed_bytes(), MAX_SEALED_BYTES)
        {
            return Err(WriteError::Full);
        }
        Ok(next)
    }

    fn sealed_bytes(&self) -> usize {
        self.records.values().map(|record| record.sealed.len()).sum()
    }

    pub(crate) fn root_of(&self, keys: &Keys, vault: VaultId) -> Root {
        let leaves = self.records.values().map(|record| Leaf {
            record: record.id,
            version: record.head.version,
            digest: record.digest,
        });
        Root::of(keys, vault, self.epoch, self.header, self.records.len(), leaves)
    }

    fn index(
        epoch: u64,
        root: Vec<u8>,
        header: Digest,
        records: BTreeMap<RecordId, Arc<Record>>,
    ) -> Result<Self, Damage> {
        let mut state = Self {
            epoch,
            root,
            header,
            records,
            names: BTreeMap::new(),
            current: HashMap::new(),
            versions: BTreeMap::new(),
            documents: BTreeMap::new(),
        };
        for record in state.records.values() {
            let doubled = || Damage::Doubled(record.head.name.clone());
            match record.head.kind {
                Kind::Document(kind) => {
                    if state.documents.insert((kind, record.head.name.clone()), record.clone()).is_some() {
                        return Err(doubled());
                    }
                }
                Kind::Secret => {
                    let id = record.secret_id();
                    if state.versions.insert((id, record.head.version), record.clone()).is_some() {
                        return Err(doubled());
                    }
                    if record.head.state == RecordState::Live {
                        let name = SecretName::parse(&record.head.name).map_err(|_| doubled())?;
                        if state.names.insert(name, id).is_some() || state.current.insert(id, record.clone()).is_some()
                        {
                            return Err(doubled());
                        }
                    }
                }
            }
        }
        Ok(state)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Record> {
        self.names.values().filter_map(|id| self.current.get(id)).map(Arc::as_ref)
    }

    pub(crate) fn current(&self, id: SecretId) -> Option<&Record> {
        self.current.get(&id).map(Arc::as_ref)
    }

    pub(crate) fn named(&self, name: &SecretName) -> Option<&Record> {
        self.current(*self.names.get(name)?)
    }

    pub(crate) fn version(&self, id: SecretId, version: u32) -> Option<&Record> {
        self.versions.get(&(id, version)).map(Arc::as_ref)
    }

    /// All versions of a secret that the vault still holds, removed or not.
    pub(crate) fn versions(&self, id: SecretId) -> impl Iterator<Item = &Record> {
        self.versions.range((id, 0)..=(id, u32::MAX)).map(|(_, record)| record.as_ref())
    }

    pub(crate) fn redactable(&self, now_ms: u64) -> impl Iterator<Item = &Record> {
        self.versions.values().map(Arc::as_ref).filter(move |record| record.is_redactable(now_ms))
    }

    pub(crate) fn prunable(&self, now_ms: u64) -> impl Iterator<Item = &Record> {
        self.versions.values().map(Arc::as_ref).filter(move |record| !record.is_redactable(now_ms))
    }

    pub(crate) fn document(&self, kind: DocumentKind, name: &str) -> Option<&Record> {
        self.documents.get(&(kind, name.to_owned())).map(Arc::as_ref)
    }

    pub(crate) fn documents(&self, kind: DocumentKind) -> impl Iterator<Item = &Record> {
        self.documents.iter().filter(move |((its, _), _)| *its == kind).map(|(_, record)| record.as_ref())
    }
}

/// What a write does to a state.
#[derive(Default)]
pub(crate) struct Edit {
    pub(crate) put: Vec<Arc<Record>>,
    pub(crate) remove: Vec<RecordId>,
    pub(crate) header: Option<Header>,
}

/// How long a value that was replaced or removed is still masked: a response may be under way, a cache may hold it, and the
/// service may accept it for a while.
pub const REDACT_OLD_MS: u64 = 24 * 60 * 60 * 1000;
/// Far more than a person has. At this number an unlock takes some 30 ms beside the key derivation, and a write 10 ms; with a
/// dozen records both are under 1 ms.
pub const MAX_RECORDS: usize = 10_000;
/// All sealed bytes together, since they are kept in memory while unlocked: 500 secrets of the largest size, or all 10,000
/// records with values of up to 4 KiB.
pub const MAX_SEALED_BYTES: usize = 64 * 1024 * 1024;
