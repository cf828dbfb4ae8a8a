//! The root: one authenticator over the header and the whole set of records, with the epoch that rises by one with each write.
//!
//! A row that was deleted, restored, doubled or replaced by its own former self opens well by itself; the root is what tells.
//! A whole file that was put back is consistent in itself and cannot be told from here.

use hmac::Mac;
use kv_model::{Digest, VaultId};

use crate::error::Damage;
use crate::format::{NONCE_BYTES, ROOT_BYTES, RecordId};
use crate::keys::{Keys, hmac};
use crate::random;
use crate::seal::{self, SealError};

/// What the root says about one record.
pub(crate) struct Leaf {
    pub(crate) record: RecordId,
    pub(crate) version: u32,
    pub(crate) digest: Digest,
}

/// The root's plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) epoch: u64,
    authenticator: [u8; 32],
}

impl Root {
    /// `leaves` come in the order of their record ids.
    pub(crate) fn of(
        keys: &Keys,
        vault: VaultId,
        epoch: u64,
        header: Digest,
        count: usize,
        leaves: impl Iterator<Item = Leaf>,
    ) -> Self {
        let mut mac = hmac(&keys.set);
        mac.update(b"kv-vault/1/set");
        mac.update(vault.as_bytes());
        mac.update(&epoch.to_be_bytes());
        mac.update(header.as_bytes());
        mac.update(&(count as u64).to_be_bytes());
        for leaf in leaves {
            mac.update(&leaf.record.0);
            mac.update(&leaf.version.to_be_bytes());
            mac.update(leaf.digest.as_bytes());
        }
        Self { epoch, authenticator: mac.finalize().into_bytes().into() }
    }

    pub(crate) fn seal(&self, keys: &Keys, vault: VaultId) -> Result<Vec<u8>, SealError> {
        let nonce = random::bytes()?;
        let mut plain = self.epoch.to_be_bytes().to_vec();
        plain.extend_from_slice(&self.authenticator);
        let mut sealed = nonce.to_vec();
        sealed.extend(seal::seal_with(&keys.root, &aad(vault), &nonce, &plain, ROOT_BYTES)?);
        Ok(sealed)
    }

    pub(crate) fn open(keys: &Keys, vault: VaultId, sealed: &[u8]) -> Result<Self, Damage> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Damage::Root)?;
        let plain = seal::open(&keys.root, &aad(vault), nonce, sealed).ok_or(Damage::Root)?;
        let (epoch, authenticator) = plain.split_first_chunk::<8>().ok_or(Damage::Root)?;
        Ok(Self {
            epoch: u64::from_be_bytes(*epoch),
            authenticator: authenticator.try_into().map_err(|_| Damage::Root)?,
        })
    }
}

fn aad(vault: VaultId) -> Vec<u8> {
    let mut aad = b"kv-vault/1/root".to_vec();
    aad.extend_from_slice(vault.as_bytes());
    aad
}
