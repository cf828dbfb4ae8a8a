//! XChaCha20-Poly1305 with a random nonce, and the shapes of what is sealed with it.
//!
//! 192 random bits do not meet again in any number of writes, whatever a snapshot, a fork or a clock does: no counter is kept.

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use kv_model::VaultId;
use zeroize::Zeroizing;

use crate::error::Damage;
use crate::format::{HEAD_BYTES, Head, NONCE_BYTES, RecordId, TAG_BYTES, head_aad, parse_head, parse_record};
use crate::keys::Key;
use crate::random::{self, RandomError};

/// Something could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("{bytes} bytes are more than the cipher takes")]
    TooLong { bytes: usize },
}

/// Seals `plain`, padded with zeros to `padded` bytes. The buffer has its final size from the start, so the plaintext is
/// overwritten by its ciphertext and stays nowhere else.
pub(crate) fn seal_with(
    key: &Key,
    aad: &[u8],
    nonce: &[u8; NONCE_BYTES],
    plain: &[u8],
    padded: usize,
) -> Result<Vec<u8>, SealError> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(padded.max(plain.len()) + TAG_BYTES));
    buffer.extend_from_slice(plain);
    if padded > plain.len() {
        buffer.resize(padded, 0);
    }
    XChaCha20Poly1305::new(key.bytes().into())
        .encrypt_in_place(nonce.into(), aad, &mut *buffer)
        .map_err(|_| SealError::TooLong { bytes: plain.len() })?;
    Ok(std::mem::take(&mut *buffer))
}

/// Opens what [`seal_with`] made, padding included; `None` when key, nonce, associated data or a byte is another.
pub(crate) fn open(key: &Key, aad: &[u8], nonce: &[u8; NONCE_BYTES], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    XChaCha20Poly1305::new(key.bytes().into()).decrypt_in_place(nonce.into(), aad, &mut *buffer).ok()?;
    Some(buffer)
}

/// A row's blob: head and body, each under a nonce of its own.
pub(crate) fn seal_record(
    key: &Key,
    vault: VaultId,
    record: RecordId,
    head: &Head,
    value: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut blob = seal_head(key, vault, record, head)?;
    let nonce = random::bytes()?;
    let body = seal_with(key, &head.body_aad(vault, record), &nonce, value, head.body_class())?;
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(&body);
    Ok(blob)
}

/// The same body under a new head. Only its state may differ: all else is bound to the body.
pub(crate) fn reseal_head(
    key: &Key,
    vault: VaultId,
    record: RecordId,
    head: &Head,
    blob: &[u8],
) -> Result<Vec<u8>, ResealError> {
    let parts = parse_record(blob).map_err(Damage::Record)?;
    let mut new = seal_head(key, vault, record, head)?;
    new.extend_from_slice(parts.body_nonce);
    new.extend_from_slice(parts.body);
    Ok(new)
}

/// A record could not be given a new head.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResealError {
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error(transparent)]
    Seal(#[from] SealError),
}

fn seal_head(key: &Key, vault: VaultId, record: RecordId, head: &Head) -> Result<Vec<u8>, SealError> {
    let nonce = random::bytes()?;
    let mut blob = nonce.to_vec();
    blob.extend(seal_with(key, &head_aad(vault, record), &nonce, &head.encode(), HEAD_BYTES)?);
    Ok(blob)
}

pub(crate) fn open_head(key: &Key, vault: VaultId, record: RecordId, blob: &[u8]) -> Result<Head, Damage> {
    let parts = parse_record(blob).map_err(Damage::Record)?;
    let plain = open(key, &head_aad(vault, record), parts.head_nonce, parts.head).ok_or(Damage::Seal)?;
    let head = parse_head(&plain).map_err(Damage::Record)?;
    if parts.body.len() != head.body_class() + TAG_BYTES {
        return Err(Damage::Seal);
    }
    Ok(head)
}

/// The value, without its padding.
pub(crate) fn open_body(
    key: &Key,
    vault: VaultId,
    record: RecordId,
    head: &Head,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Damage> {
    let parts = parse_record(blob).map_err(Damage::Record)?;
    let mut value = open(key, &head.body_aad(vault, record), parts.body_nonce, parts.body).ok_or(Damage::Seal)?;
    let length = usize::try_from(head.length).map_err(|_| Damage::Seal)?;
    if value.iter().skip(length).any(|byte| *byte != 0) {
        return Err(Damage::Seal);
    }
    value.truncate(length);
    wipe_stack();
    Ok(value)
}

/// Overwrites the part of the stack that the cipher has just used: it works on blocks there, and leaves the last one. The
/// cipher's frames are far smaller than this one.
#[inline(never)]
fn wipe_stack() {
    let mut block = [0_u8; 16 << 10];
    std::hint::black_box(&mut block);
}
