//! What answers are cleaned of: every value of the vault, old versions within their day, and what was derived from them.
//!
//! All values rather than those of one origin: a service may echo what another one was sent, a caller may have planted
//! it, and the search costs the same for one value as for a thousand.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kv_model::SecretId;
use kv_redact::{Hits, Patterns, PatternsBuilder};
use kv_vault::{ReadError, SecretValue, Unlocked};
use zeroize::Zeroizing;

use crate::error::SendError;

/// The values of a vault at one moment.
pub(crate) struct Snapshot {
    pub(crate) patterns: Arc<Patterns>,
    /// Whose value each pattern's owner is.
    owners: Vec<SecretId>,
    /// The version of each secret that may be used; old ones may only be searched for.
    current: HashMap<SecretId, u32>,
    derived: Vec<Derived>,
    vault: Weak<Unlocked>,
    generation: u64,
    made_ms: u64,
}

/// A value that was made of a secret's and goes onto the wire as it is.
#[derive(Clone)]
pub(crate) struct Derived {
    pub(crate) from: SecretId,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// The latest snapshot, shared by all workers. Building one takes 100 us for each value.
#[derive(Default)]
pub(crate) struct PatternCache {
    latest: Mutex<Latest>,
    /// One builds, the others wait and share.
    building: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Latest {
    snapshot: Option<Arc<Snapshot>>,
    /// Rises with each `forget`, so that what was begun before it is not kept after it.
    forgotten: u64,
}

impl PatternCache {
    pub(crate) fn forget(&self) {
        let mut latest = self.lock();
        latest.snapshot = None;
        latest.forgotten += 1;
    }

    /// The values as they are now, and those in `derived`.
    pub(crate) async fn snapshot(
        &self,
        vault: &Arc<Unlocked>,
        now_ms: u64,
        derived: &[Derived],
    ) -> Result<Arc<Snapshot>, SendError> {
        if let Some(fresh) = self.fresh(vault, now_ms, derived) {
            return Ok(fresh);
        }
        let _turn = self.building.lock().await;
        if let Some(fresh) = self.fresh(vault, now_ms, derived) {
            return Ok(fresh);
        }
        let (forgotten, before) = {
            let latest = self.lock();
            (latest.forgotten, latest.snapshot.clone())
        };
        let mut all = derived.to_vec();
        all.extend(before.iter().filter(|old| old.is_of(vault)).flat_map(|old| old.derived.iter().cloned()));
        let vault = Arc::clone(vault);
        let built = tokio::task::spawn_blocking(move || Snapshot::build(&vault, now_ms, all)).await;
        let snapshot = Arc::new(built.map_err(|_| SendError::VaultPatterns)?.map_err(|_| SendError::VaultPatterns)?);
        let mut latest = self.lock();
        if latest.forgotten == forgotten {
            latest.snapshot = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    fn fresh(&self, vault: &Arc<Unlocked>, now_ms: u64, derived: &[Derived]) -> Option<Arc<Snapshot>> {
        let latest = self.lock();
        latest.snapshot.as_ref().filter(|snapshot| snapshot.is_fresh(vault, now_ms) && snapshot.knows(derived)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    fn build(vault: &Arc<Unlocked>, now_ms: u64, candidates: Vec<Derived>) -> Result<Self, ReadError> {
        // Read first: if something changes meanwhile, this snapshot is old at once and the next call builds another.
        let generation = vault.generation();
        let current: HashMap<SecretId, u32> = vault.secrets().into_iter().map(|meta| (meta.id, meta.version)).collect();
        let mut builder = PatternsBuilder::new();
        let mut owners = Vec::new();
        for (id, version) in vault.redactable(now_ms) {
            let value = match vault.open_version(id, version) {
                // Pruned since it was listed: its day is over.
                Err(ReadError::NoSuchVersion(_) | ReadError::NoSuchSecret) => continue,
                value => value?,
            };
            builder.add(read(&value));
            owners.push(id);
        }
        let mut derived: Vec<Derived> = Vec::with_capacity(candidates.len().min(MAX_DERIVED));
        for value in candidates {
            if derived.len() < MAX_DERIVED && derived.iter().all(|known| known.bytes != value.bytes) {
                derived.push(value);
            }
        }
        for value in &derived {
            builder.add(&value.bytes);
            owners.push(value.from);
        }
        let patterns = Arc::new(builder.build());
        Ok(Snapshot { patterns, owners, current, derived, vault: Arc::downgrade(vault), generation, made_ms: now_ms })
    }

    /// The version of a secret to use with this snapshot: one that its patterns know.
    pub(crate) fn version(&self, id: SecretId) -> Option<u32> {
        self.current.get(&id).copied()
    }

    /// Adds up hits by secret.
    pub(crate) fn count(&self, hits: Hits, into: &mut BTreeMap<SecretId, u64>) {
        for (owner, count) in hits.by_secret {
            if let Some(id) = self.owners.get(owner) {
                *into.entry(*id).or_default() += count;
            }
        }
    }

    fn is_of(&self, vault: &Arc<Unlocked>) -> bool {
        std::ptr::eq(self.vault.as_ptr(), Arc::as_ptr(vault))
    }

    fn is_fresh(&self, vault: &Arc<Unlocked>, now_ms: u64) -> bool {
        let age_ms = now_ms.abs_diff(self.made_ms);
        self.is_of(vault) && self.generation == vault.generation() && age_ms < MAX_AGE_MS
    }

    fn knows(&self, derived: &[Derived]) -> bool {
        derived.iter().all(|wanted| self.derived.iter().any(|known| known.bytes == wanted.bytes))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an answer can only be cleaned of a value that is known: it becomes patterns"
)]
fn read(value: &SecretValue) -> &[u8] {
    value.expose()
}

/// Old versions leave the vault's list by time alone, which raises no generation. Cleaning an hour longer harms nobody.
const MAX_AGE_MS: u64 = 60 * 60 * 1000;
/// One for each connection with basic authentication and each rotation of it; the latest are kept.
const MAX_DERIVED: usize = 256;
