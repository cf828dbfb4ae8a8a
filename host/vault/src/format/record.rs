use kv_model::{SecretName, VaultId};

use super::cursor::Cursor;
use super::{FormatError, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NAME_BYTES, MAX_VALUE_BYTES, NONCE_BYTES, TAG_BYTES};

/// A row's name in the file: random, and says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 16]);

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Document(DocumentKind),
    Secret,
}

/// Things other than secrets that are kept sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    AuditHead,
    Connection,
    /// An authenticator app and its recovery codes.
    Factor,
    /// What a secret's value is, as far as its beginning told: "test key".
    SecretLabel,
}

/// Whether a record is the one that counts, and since when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    Live,
    /// The secret is gone; this value is kept to be masked.
    Removed {
        at_ms: u64,
    },
    /// A newer version took its place; this value is kept to be masked.
    Replaced {
        at_ms: u64,
    },
}

/// What a record says of itself once its head is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub state: RecordState,
    pub version: u32,
    /// The same through all versions and names of one secret or document.
    pub item: [u8; 16],
    /// When the first version was made.
    pub created_ms: u64,
    /// When this version was made.
    pub changed_ms: u64,
    /// Of the value, without its padding.
    pub length: u32,
    pub name: String,
}

/// The parts of a row's blob, still sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedRecord<'a> {
    pub head_nonce: &'a [u8; NONCE_BYTES],
    pub head: &'a [u8; HEAD_BYTES + TAG_BYTES],
    pub body_nonce: &'a [u8; NONCE_BYTES],
    pub body: &'a [u8],
}

/// Splits a row's blob. The body must have the length of a size class.
pub fn parse_record(bytes: &[u8]) -> Result<SealedRecord<'_>, FormatError> {
    let wrong = || FormatError::Length { what: "a record", bytes: bytes.len() };
    let (head_nonce, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
    let (head, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let (body_nonce, body) = rest.split_first_chunk().ok_or_else(wrong)?;
    let padded = body.len().checked_sub(TAG_BYTES).ok_or_else(wrong)?;
    if padded > MAX_DOCUMENT_BYTES || body_class(padded) != padded {
        return Err(wrong());
    }
    Ok(SealedRecord { head_nonce, head, body_nonce, body })
}

/// Reads the plaintext of a head.
pub fn parse_head(bytes: &[u8]) -> Result<Head, FormatError> {
    if bytes.len() != HEAD_BYTES {
        return Err(FormatError::Length { what: "a record's head", bytes: bytes.len() });
    }
    let mut cursor = Cursor(bytes);
    let kind = Kind::from_byte(cursor.u8()?)?;
    let state = cursor.u8()?;
    let version = match cursor.u32()? {
        0 => return Err(FormatError::ZeroVersion),
        version => version,
    };
    let item = cursor.array()?;
    let (created_ms, changed_ms) = (cursor.u64()?, cursor.u64()?);
    let state = RecordState::parse(state, cursor.u64()?, kind)?;
    let length = cursor.u32()?;
    let most = kind.most_bytes();
    if !usize::try_from(length).is_ok_and(|length| length <= most) {
        return Err(FormatError::Length { what: "a value", bytes: usize::try_from(length).unwrap_or(usize::MAX) });
    }
    let name_bytes = usize::from(cursor.u8()?);
    let name = String::from_utf8(cursor.slice(name_bytes)?.to_vec()).map_err(|_| FormatError::Name)?;
    if !kind.allows_name(&name) {
        return Err(FormatError::Name);
    }
    if cursor.0.iter().any(|byte| *byte != 0) {
        return Err(FormatError::Padding);
    }
    Ok(Head { kind, state, version, item, created_ms, changed_ms, length, name })
}

impl Head {
    /// The plaintext of the head. Its name is one that [`Kind::allows_name`], so it fits.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + TAG_BYTES);
        let (state, retired_ms) = self.state.encode();
        out.extend_from_slice(&[self.kind.byte(), state]);
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.item);
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        out.extend_from_slice(&self.changed_ms.to_be_bytes());
        out.extend_from_slice(&retired_ms.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.name.as_bytes());
        out.resize(HEAD_BYTES, 0);
        out
    }

    /// The associated data of this record's body: what it is, in which vault and under which name, so that a body opens in no
    /// other place.
    pub(crate) fn body_aad(&self, vault: VaultId, record: RecordId) -> Vec<u8> {
        let mut aad = Vec::with_capacity(96 + self.name.len());
        aad.extend_from_slice(b"kv-vault/1/body");
        aad.extend_from_slice(vault.as_bytes());
        aad.extend_from_slice(&record.0);
        aad.push(self.kind.byte());
        aad.extend_from_slice(&self.item);
        aad.extend_from_slice(&self.version.to_be_bytes());
        aad.extend_from_slice(&self.length.to_be_bytes());
        aad.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        aad.extend_from_slice(self.name.as_bytes());
        aad
    }

    pub(crate) fn body_class(&self) -> usize {
        body_class(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// The associated data of a head: where it lies. What it says is not known before it is open.
pub(crate) fn head_aad(vault: VaultId, record: RecordId) -> Vec<u8> {
    let mut aad = b"kv-vault/1/head".to_vec();
    aad.extend_from_slice(vault.as_bytes());
    aad.extend_from_slice(&record.0);
    aad
}

/// The size that a value is padded to: the next power of two, at least 64. So a file shows each length to within a factor of
/// two, and the common keys (20 to 64 bytes) not at all.
pub fn body_class(length: usize) -> usize {
    length.max(LEAST_CLASS).checked_next_power_of_two().unwrap_or(usize::MAX)
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Secret => 1,
            Kind::Document(DocumentKind::AuditHead) => 2,
            Kind::Document(DocumentKind::Connection) => 3,
            Kind::Document(DocumentKind::SecretLabel) => 4,
            Kind::Document(DocumentKind::Factor) => 5,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, FormatError> {
        match byte {
            1 => Ok(Kind::Secret),
            2 => Ok(Kind::Document(DocumentKind::AuditHead)),
            3 => Ok(Kind::Document(DocumentKind::Connection)),
            4 => Ok(Kind::Document(DocumentKind::SecretLabel)),
            5 => Ok(Kind::Document(DocumentKind::Factor)),
            other => Err(FormatError::Kind(other)),
        }
    }

    fn most_bytes(self) -> usize {
        match self {
            Kind::Secret => MAX_VALUE_BYTES,
            Kind::Document(_) => MAX_DOCUMENT_BYTES,
        }
    }

    pub(crate) fn allows_name(self, name: &str) -> bool {
        match self {
            Kind::Secret => SecretName::parse(name).is_ok(),
            Kind::Document(_) => (1..=MAX_DOCUMENT_NAME_BYTES).contains(&name.len()),
        }
    }
}

impl RecordState {
    fn encode(self) -> (u8, u64) {
        match self {
            RecordState::Live => (0, 0),
            RecordState::Replaced { at_ms } => (1, at_ms),
            RecordState::Removed { at_ms } => (2, at_ms),
        }
    }

    fn parse(byte: u8, at_ms: u64, kind: Kind) -> Result<Self, FormatError> {
        match (byte, at_ms, kind) {
            (0, 0, _) => Ok(RecordState::Live),
            (1, _, Kind::Secret) => Ok(RecordState::Replaced { at_ms }),
            (2, _, Kind::Secret) => Ok(RecordState::Removed { at_ms }),
            _ => Err(FormatError::State(byte)),
        }
    }
}

/// Fixed, so that a head shows nothing by its length: 51 bytes of fields, 128 of name, and room for fields to come.
pub const HEAD_BYTES: usize = 256;
const LEAST_CLASS: usize = 64;
