//! What the bytes of a vault mean: pure parsing and encoding, no keys, no files.
//!
//! Every input here may come from somebody who wants to break the reader. Parsing is strict: one encoding for one meaning, so
//! that what is read back and written again is the same bytes. Integers are big-endian.

mod cursor;
mod header;
mod record;

pub use header::{HEADER_BYTES, Header, parse_header};
pub use record::{
    DocumentKind, HEAD_BYTES, Head, Kind, RecordId, RecordState, SealedRecord, body_class, parse_head, parse_record,
};

pub(crate) use record::head_aad;

use crate::kdf::KdfBounds;

/// Why bytes are not what they should be. None of these needs a key to find out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the header's checksum does not fit its bytes")]
    Checksum,
    #[error("cipher {0} is not known to this version of kv")]
    Cipher(u8),
    #[error("flags {0:#x} are not known to this version of kv")]
    Flags(u32),
    #[error("the header asks for what is refused")]
    Kdf(#[from] KdfBounds),
    #[error("key derivation {0} is not known to this version of kv")]
    KdfAlgorithm(u8),
    #[error("record kind {0} is not known to this version of kv")]
    Kind(u8),
    #[error("{what} is {bytes} bytes long")]
    Length { what: &'static str, bytes: usize },
    #[error("it does not begin as a vault's header does")]
    Magic,
    #[error("the name in a record breaks the rules for names")]
    Name,
    #[error("padding is not zero")]
    Padding,
    #[error("the salt is all zeros")]
    Salt,
    #[error("record state {0} does not fit its kind and times")]
    State(u8),
    #[error("format version {0} is not known to this version of kv")]
    Version(u16),
    #[error("a record has version 0")]
    ZeroVersion,
}

/// The format that this code reads and writes. There is no older one.
pub const FORMAT_VERSION: u16 = 1;
/// XChaCha20's nonce.
pub const NONCE_BYTES: usize = 24;
/// Poly1305's tag.
pub const TAG_BYTES: usize = 16;
/// The largest secret. Kernels limit one environment variable to 128 KiB, and the largest keys people hold (PEM chains, JSON
/// service accounts) stay under 16 KiB.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The largest document: a connection with a company's bundle of certificate authorities.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Room for every name that the model has, and then the head stays at one size.
pub const MAX_DOCUMENT_NAME_BYTES: usize = 128;
/// The plaintext of the sealed root: epoch and authenticator.
pub const ROOT_BYTES: usize = 8 + 32;
