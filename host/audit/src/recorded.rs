//! Proofs that something stands in the log.

use kv_model::CallId;

/// Proof that `T` has been recorded. There is no way to take `T` out again: a permit is recorded once and spent once,
/// together with its proof.
#[derive(Debug)]
#[must_use]
pub struct Recorded<T> {
    seq: u64,
    value: T,
}

impl<T> Recorded<T> {
    pub(crate) fn new(seq: u64, value: T) -> Self {
        Self { seq, value }
    }

    /// The entry.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub fn get(&self) -> &T {
        &self.value
    }
}

/// An intent that still wants its outcome. There is one for each intent and [`crate::AuditLog::record_outcome`] takes
/// it, so an intent has one outcome at most.
#[derive(Debug)]
#[must_use = "an intent without an outcome looks like a crash"]
pub struct Pending {
    pub(crate) intent: u64,
    pub(crate) call: CallId,
    pub(crate) step: u32,
}

impl Pending {
    /// The intent's entry.
    pub fn seq(&self) -> u64 {
        self.intent
    }
}
