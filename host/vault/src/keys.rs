//! The keys of an unlocked vault. They are boxed, so that moving them copies a pointer and not the bytes; they wipe
//! themselves; and nothing here can be cloned or printed.

use hmac::{Hmac, KeyInit, Mac};
use kv_model::VaultId;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::format::Header;
use crate::kdf::KdfParams;
use crate::random::{self, RandomError};
use crate::seal::{self, SealError};

/// 32 secret bytes on the heap.
pub(crate) struct Key(Box<Zeroizing<[u8; 32]>>);

impl Key {
    pub(crate) fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    pub(crate) fn random() -> Result<Self, RandomError> {
        let mut key = Self::zero();
        random::fill(key.bytes_mut())?;
        Ok(key)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

/// The data key and the three keys made from it, one for each job.
pub(crate) struct Keys {
    data: Key,
    /// Seals heads and bodies of records.
    pub(crate) records: Key,
    /// Authenticates the set of records.
    pub(crate) set: Key,
    /// Seals the root of the set.
    pub(crate) root: Key,
}

impl Keys {
    pub(crate) fn new(data: Key) -> Self {
        let records = expand(&data, b"kv-vault/1/records");
        let set = expand(&data, b"kv-vault/1/set");
        let root = expand(&data, b"kv-vault/1/root");
        Self { data, records, set, root }
    }

    /// Opens the wrap in a header. `None`: the passphrase is another one (or the wrap is not whole, which looks the same).
    pub(crate) fn unwrap(header: &Header, kek: &Key) -> Option<Self> {
        let plain = seal::open(kek, &header.wrap_aad(), &header.nonce, &header.wrapped)?;
        let mut data = Key::zero();
        if plain.len() != 32 {
            return None;
        }
        data.bytes_mut().copy_from_slice(&plain);
        Some(Self::new(data))
    }

    /// A header that holds the data key wrapped anew.
    pub(crate) fn wrap(&self, kek: &Key, terms: WrapTerms) -> Result<Header, SealError> {
        let mut header = Header {
            vault: terms.vault,
            kdf: terms.kdf,
            created_ms: terms.created_ms,
            salt: terms.salt,
            nonce: random::bytes()?,
            wrapped: [0; 48],
        };
        let tagged = seal::seal_with(kek, &header.wrap_aad(), &header.nonce, self.data.bytes(), 32)?;
        for (to, from) in header.wrapped.iter_mut().zip(tagged) {
            *to = from;
        }
        Ok(header)
    }

    #[cfg(test)]
    pub(crate) fn copy_for_test(&self) -> Self {
        let mut data = Key::zero();
        data.bytes_mut().copy_from_slice(self.data.bytes());
        Self::new(data)
    }

    pub(crate) fn same_data_key(&self, other: &Keys) -> bool {
        self.data.bytes().ct_eq(other.data.bytes()).into()
    }
}

/// What a header says beside the wrap itself.
pub(crate) struct WrapTerms {
    pub(crate) vault: VaultId,
    pub(crate) kdf: KdfParams,
    pub(crate) created_ms: u64,
    pub(crate) salt: [u8; 32],
}

/// The first block of HKDF-Expand (RFC 5869) with SHA-256; the data key is random, so there is nothing to extract.
fn expand(key: &Key, info: &[u8]) -> Key {
    let mut mac = hmac(key);
    mac.update(info);
    mac.update(&[1]);
    let mut out = Key::zero();
    out.bytes_mut().copy_from_slice(&mac.finalize().into_bytes());
    out
}

pub(crate) fn hmac(key: &Key) -> Hmac<Sha256> {
    // HMAC pads a short key with zeros to a block; done here, since a key of exactly a block cannot be refused.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.bytes()) {
        *to = *from;
    }
    Hmac::new((&*block).into())
}
