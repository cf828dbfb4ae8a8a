//! What the workers of one daemon share: bounds, resolver, roots, patterns, and the news that the vault was locked.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kv_redact::Patterns;
use kv_vault::Unlocked;
use tokio::sync::{Semaphore, watch};

use crate::error::SendError;
use crate::limits::Limits;
use crate::patterns::PatternCache;
use crate::pool::Pool;
use crate::postgres;
use crate::resolve::{Resolve, SystemResolver};
use crate::ssh::Backlog;
use crate::tls::Roots;

/// Made once; each worker's [`Egress`](crate::Egress) holds it.
pub struct Shared {
    pub(crate) limits: Limits,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) roots: Roots,
    pub(crate) patterns: PatternCache,
    pools: Mutex<Vec<Weak<Pool>>>,
    databases: Mutex<Vec<Weak<postgres::Pool>>>,
    /// A place for each connection.
    pub(crate) sockets: Arc<Semaphore>,
    /// Output of commands that waits for its readers.
    pub(crate) backlog: Arc<Backlog>,
    locks: watch::Sender<u64>,
}

impl Shared {
    pub fn new(limits: Limits) -> Arc<Self> {
        Shared::with_resolver(limits, Arc::new(SystemResolver))
    }

    /// With another source of addresses than the system's.
    pub fn with_resolver(limits: Limits, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        let sockets = Arc::new(Semaphore::new(limits.sockets.min(Semaphore::MAX_PERMITS)));
        Arc::new(Shared {
            limits,
            sockets,
            resolver,
            roots: Roots::default(),
            patterns: PatternCache::default(),
            pools: Mutex::default(),
            databases: Mutex::default(),
            backlog: Arc::default(),
            locks: watch::Sender::new(0),
        })
    }

    /// For a lock of the vault: calls under way end with `egress.locked`, kept connections close, and all that was made
    /// of values is dropped. A body that nobody reads keeps its patterns until it is dropped: drop it.
    pub fn forget(&self) {
        self.patterns.forget();
        self.roots.forget();
        for pool in self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            pool.clear();
        }
        for pool in self.databases.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            pool.clear();
        }
        self.locks.send_modify(|count| *count += 1);
    }

    /// What everything that leaves is cleaned of, for output that does not come from a service.
    pub async fn patterns(&self, vault: &Arc<Unlocked>, now_ms: u64) -> Result<Arc<Patterns>, SendError> {
        Ok(Arc::clone(&self.patterns.snapshot(vault, now_ms, &[]).await?.patterns))
    }

    pub(crate) fn pool(&self) -> Arc<Pool> {
        let pool = Pool::new(self.limits.clone());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    pub(crate) fn databases(&self) -> Arc<postgres::Pool> {
        let pool = postgres::Pool::new(self.limits.clone());
        let mut pools = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Ends at the next lock.
    pub(crate) fn locked(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let mut locks = self.locks.subscribe();
        Box::pin(async move {
            // An error means that there is nobody left who could lock.
            if locks.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
