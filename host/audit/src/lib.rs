//! The audit log: an append-only, hash-chained record of what was allowed, refused, sent and changed.
//!
//! This crate never sees a secret's value, a body or a query string: its entries are a closed set of typed records, and
//! it knows neither the vault nor egress. It reads no calendar clock; every time is an argument. It never rewrites an
//! entry: all that it ever removes is the torn end of a line that a crash left behind, and it records that it did.
//!
//! [`AuditLog::record_intent`] spends a `Permit` and gives back a [`Recorded`] one: the only thing that egress accepts.
//! It has private fields and is made nowhere else:
//!
//! ```compile_fail
//! fn forge(permit: kv_policy::Permit) -> kv_audit::Recorded<kv_policy::Permit> {
//!     kv_audit::Recorded { seq: 1, value: permit }
//! }
//! ```
//!
//! ```compile_fail
//! fn twice(recorded: kv_audit::Recorded<kv_policy::Permit>) {
//!     let _ = recorded.clone();
//!     fn cloned<T: Clone>(_: T) {}
//!     cloned(recorded);
//! }
//! ```
//!
//! What the chain proves and what it does not: an edit, a deletion, an insertion or a change of order is found by
//! [`verify`]. Who can write the files can also write a whole new chain, or cut the end off; only a [`Head`] that is
//! kept elsewhere (the daemon keeps it in the vault) tells. The format, for other people's verifiers, is described in
//! `docs/reference/audit-format.md`.
//!
//! Begin reading at [`log`](AuditLog), then `chain.rs` (order) and `syncer.rs` (durability).

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod chain;
mod directory;
mod disk;
mod error;
mod event;
mod field;
pub mod format;
mod lines;
mod log;
mod open;
mod read;
mod record;
mod recorded;
mod setup;
mod syncer;
mod text;
mod verify;

#[cfg(test)]
mod tests;

pub use directory::DirectoryError;
pub use error::{Action, AuditError, OpenError, ReadError, Trouble};
pub use event::{Answer, Attempt, Event, FactorUsed, LockCause, StopCause};
pub use field::Later;
pub use format::{Entry, Head, LineError, MAX_LINE_BYTES};
pub use log::{AuditLog, Health, Options};
pub use open::Opened;
pub use read::{Ending, Entries, Filter, Open, read, read_on, read_whole};
pub use record::{Denied, Intent, Outcome, OutcomeOf, Record, Repair, SegmentReason, SegmentStart, Sent};
pub use recorded::{Pending, Recorded};
pub use setup::{Decided, MAX_NAMED, Setup};
pub use text::{Claim, Code, MAX_CLAIM_CHARS};
pub use verify::{Anchored, Bad, Loss, Note, Problem, Report, anchored, verify};
