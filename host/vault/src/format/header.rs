use kv_model::{Digest, VaultId};

use super::cursor::Cursor;
use super::{FORMAT_VERSION, FormatError, NONCE_BYTES, TAG_BYTES};
use crate::kdf::KdfParams;

/// The one part that is readable without a key: how to make the key-encrypting key, and the wrapped data key. Format version,
/// algorithms and flags have a single legal value each, so they are checked when parsing and are no fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub vault: VaultId,
    pub kdf: KdfParams,
    pub created_ms: u64,
    pub salt: [u8; 32],
    pub nonce: [u8; NONCE_BYTES],
    pub wrapped: [u8; 32 + TAG_BYTES],
}

/// Reads a header, and refuses key-derivation costs outside the bounds before anybody allocates for them.
pub fn parse_header(bytes: &[u8]) -> Result<Header, FormatError> {
    let bytes: &[u8; HEADER_BYTES] =
        bytes.try_into().map_err(|_| FormatError::Length { what: "the header", bytes: bytes.len() })?;
    let mut cursor = Cursor(bytes);
    if cursor.array()? != MAGIC {
        return Err(FormatError::Magic);
    }
    match cursor.u16()? {
        FORMAT_VERSION => {}
        other => return Err(FormatError::Version(other)),
    }
    let (signed, checksum) = bytes.split_at(CHECKSUM_AT);
    // Not a defence, since anybody can compute it: it tells a damaged disk from a wrong passphrase.
    if Digest::of(signed).as_bytes() != checksum {
        return Err(FormatError::Checksum);
    }
    match cursor.u8()? {
        ARGON2ID => {}
        other => return Err(FormatError::KdfAlgorithm(other)),
    }
    match cursor.u8()? {
        XCHACHA20_POLY1305 => {}
        other => return Err(FormatError::Cipher(other)),
    }
    match cursor.u32()? {
        0 => {}
        other => return Err(FormatError::Flags(other)),
    }
    let vault = VaultId::from_bytes(cursor.array()?);
    let kdf = KdfParams::new(cursor.u32()?, cursor.u32()?, cursor.u32()?)?;
    let created_ms = cursor.u64()?;
    let salt = cursor.array()?;
    if salt == [0; 32] {
        return Err(FormatError::Salt);
    }
    Ok(Header { vault, kdf, created_ms, salt, nonce: cursor.array()?, wrapped: cursor.array()? })
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = self.front();
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.wrapped);
        let checksum = Digest::of(&out);
        out.extend_from_slice(checksum.as_bytes());
        let mut bytes = [0; HEADER_BYTES];
        for (to, from) in bytes.iter_mut().zip(out) {
            *to = from;
        }
        bytes
    }

    /// The associated data of the wrap: everything in front of the nonce, so that no parameter can be exchanged.
    pub(crate) fn wrap_aad(&self) -> Vec<u8> {
        let mut aad = b"kv-vault/1/wrap".to_vec();
        aad.extend(self.front());
        aad
    }

    fn front(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        out.extend_from_slice(&[ARGON2ID, XCHACHA20_POLY1305]);
        out.extend_from_slice(&0_u32.to_be_bytes());
        out.extend_from_slice(self.vault.as_bytes());
        for cost in [self.kdf.memory_kib(), self.kdf.passes(), self.kdf.lanes()] {
            out.extend_from_slice(&cost.to_be_bytes());
        }
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        out.extend_from_slice(&self.salt);
        out
    }
}

/// Magic 8, version 2, algorithms 2, flags 4, vault 16, costs 12, created 8, salt 32, nonce 24, wrap 48, checksum 32.
pub const HEADER_BYTES: usize = CHECKSUM_AT + 32;
const CHECKSUM_AT: usize = 156;
const MAGIC: [u8; 8] = *b"kv-vault";
const ARGON2ID: u8 = 1;
const XCHACHA20_POLY1305: u8 = 1;
