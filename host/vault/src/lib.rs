//! Secrets at rest: the only crate that turns ciphertext into a value.
//!
//! It never opens a socket, never starts a task, never reads a clock (time is an argument) and never writes a value, a name or
//! a key to disk in the clear. Every call is blocking; those that write wait for the disk and those that take a [`Passphrase`]
//! for the key derivation.
//!
//! Begin with [`Vault`] (a file that is ours and locked) and [`Unlocked`] (what its passphrase opens). What the bytes on disk
//! mean is in [`format`] and, for authors of other readers, in `docs/reference/vault-format.md`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod attempts;
mod error;
mod factor;
pub mod format;
mod kdf;
mod keys;
mod passphrase;
mod place;
mod random;
mod root;
mod seal;
mod secret;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod unlocked;
mod vault;

pub use error::{
    CreateError, Damage, OpenError, PassphraseChangeError, ReadError, Refusal, StorageError, UnlockError, WriteError,
};
pub use factor::{FactorError, FactorProof, FactorsState, ProofKind, RecoveryCodes, TotpEnrolment, TotpState};
pub use format::{DocumentKind, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NAME_BYTES, MAX_VALUE_BYTES};
pub use kdf::{KdfBounds, KdfParams};
pub use passphrase::{
    MAX_PASSPHRASE_BYTES, Passphrase, PassphraseError, Strength, generate_passphrase, passphrase_strength,
};
pub use random::RandomError;
pub use seal::SealError;
pub use secret::SecretValue;
pub use state::{MAX_RECORDS, MAX_SEALED_BYTES, REDACT_OLD_MS, SecretMeta};
pub use unlocked::{Document, Unlocked};
pub use vault::Vault;
