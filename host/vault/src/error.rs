//! What can go wrong, one enum per operation, and the four causes that they share.
//!
//! No error holds a value or a part of one. Some name a path or a secret's name: they are for the person's side, not the agent's.

use std::path::PathBuf;

use kv_model::SecretName;

use crate::format::{FormatError, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NAME_BYTES, MAX_VALUE_BYTES};
use crate::random::RandomError;
use crate::seal::SealError;
use crate::state::{MAX_RECORDS, MAX_SEALED_BYTES};

/// A vault could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("there is a vault in `{}` already; it will not be overwritten", .0.display())]
    Exists(PathBuf),
    #[error("another kv holds the vault's lock")]
    InUse,
    #[error("{memory_kib} KiB of memory for the key derivation could not be had")]
    Memory { memory_kib: u32 },
    /// The file was made and could not be taken into use.
    #[error("the new vault does not open")]
    Open(#[source] Box<OpenError>),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the new vault's keys could not be sealed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A vault could not be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the vault is damaged")]
    Damaged(#[from] Damage),
    #[error("another kv holds the vault's lock")]
    InUse,
    #[error("there is no vault in `{}`", .0.display())]
    NoVault(PathBuf),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A passphrase did not open the vault.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    #[error("the vault is damaged")]
    Damaged(#[from] Damage),
    #[error("{memory_kib} KiB of memory for the key derivation could not be had")]
    Memory { memory_kib: u32 },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("too many wrong passphrases; the next may be tried in {} s", .retry_after_ms.div_ceil(1000))]
    TooSoon { retry_after_ms: u64 },
    /// `attempts` counts the failures since the last success.
    #[error("the passphrase is wrong")]
    WrongPassphrase { attempts: u32 },
}

/// The passphrase was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseChangeError {
    #[error("the old passphrase was not accepted")]
    Old(#[source] UnlockError),
    #[error("{memory_kib} KiB of memory for the key derivation could not be had")]
    Memory { memory_kib: u32 },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Nothing was written, unless it is [`StorageError::Uncertain`].
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the vault is damaged")]
    Damaged(#[from] Damage),
    #[error("a document's name has 1 to {MAX_DOCUMENT_NAME_BYTES} bytes, not {bytes}")]
    DocumentName { bytes: usize },
    #[error("a document has at most {MAX_DOCUMENT_BYTES} bytes, not {bytes}")]
    DocumentTooLong { bytes: usize },
    #[error("the value is empty")]
    EmptyValue,
    #[error("the vault is full: it holds {MAX_RECORDS} records and {} MiB at most, old versions included", MAX_SEALED_BYTES >> 20)]
    Full,
    #[error("there is a secret `{0}` already")]
    NameTaken(SecretName),
    #[error("there is no secret `{0}`")]
    NoSuchSecret(SecretName),
    #[error("the record could not be sealed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Somebody unlocked the vault anew and wrote: this handle's view is old.
    #[error("the vault was changed through a later unlock; this one is over")]
    Superseded,
    #[error("there are no more version numbers for this record")]
    TooManyVersions,
    #[error("a value has at most {MAX_VALUE_BYTES} bytes, not {bytes}")]
    ValueTooLong { bytes: usize },
}

/// Nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the vault is damaged")]
    Damaged(#[from] Damage),
    #[error("there is no such secret in the vault")]
    NoSuchSecret,
    #[error("there is no version {0} of this secret in the vault")]
    NoSuchVersion(u32),
}

/// The file is not what a vault wrote, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("the file has {found} bytes where its pages need {wanted}")]
    FileSize { found: u64, wanted: u64 },
    #[error("the header is not one")]
    Header(#[source] FormatError),
    #[error("the header belongs to another vault")]
    HeaderExchanged,
    #[error("two records are `{0}` at once")]
    Doubled(String),
    #[error("what is kept of an authenticator app is not that")]
    Factor,
    #[error("a record is not one")]
    Record(#[source] FormatError),
    #[error("the set of records is not the one that was written last: one was removed, restored, doubled or exchanged")]
    Root,
    #[error("the file holds `{0}`, which kv did not put there")]
    Schema(String),
    #[error("a record is not the one that was sealed in its place")]
    Seal,
    #[error("the file is not a whole SQLite database: {0}")]
    Structure(String),
    #[error("the file holds more than {MAX_RECORDS} records or {} MiB of them", MAX_SEALED_BYTES >> 20)]
    TooMuch,
}

/// What lies there is not safe to use, and kv touches it no further.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("`{}` is writable by everybody, so what lies in it can be exchanged", .0.display())]
    AncestorOpen(PathBuf),
    #[error("`{}` was exchanged while it was being opened", .0.display())]
    Exchanged(PathBuf),
    #[error("`{}` has {links} names; a vault has one", .path.display())]
    HardLinked { path: PathBuf, links: u64 },
    #[error("`{}` has mode {mode:04o}; it must be {wanted:04o}", .path.display())]
    Mode { path: PathBuf, mode: u32, wanted: u32 },
    #[error("`{}` is {found}, not a directory", .path.display())]
    NotADirectory { path: PathBuf, found: &'static str },
    #[error("`{}` is {found}, not a regular file", .path.display())]
    NotAFile { path: PathBuf, found: &'static str },
    #[error("`{}` belongs to uid {uid}", .path.display())]
    Owner { path: PathBuf, uid: u32 },
    #[error("`{}` lies beside the vault and is none of kv's files", .0.display())]
    Planted(PathBuf),
    #[error("`{}` has {bytes} bytes, more than a vault can have", .path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
}

/// The disk, the file system or SQLite did not do their work.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("another program holds the vault's file")]
    Busy,
    #[error("`{}` could not be used", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the disk is full; nothing was written")]
    Full,
    #[error("the vault's file could not be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// A sync or a write failed, so it is not known what the disk holds. A sync is never repeated as if nothing had been.
    #[error("an earlier write to the vault failed half-way; open the vault anew")]
    Uncertain,
}

impl From<RandomError> for CreateError {
    fn from(error: RandomError) -> Self {
        CreateError::Seal(error.into())
    }
}

impl From<RandomError> for WriteError {
    fn from(error: RandomError) -> Self {
        WriteError::Seal(error.into())
    }
}
