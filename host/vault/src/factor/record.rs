//! The sealed document that an enrolled app is kept as. Its form stands in `docs/reference/vault-format.md`.

use zeroize::Zeroizing;

use super::recovery::{self, Hash};
use super::totp::SEED_BYTES;
use crate::attempts::Attempts;
use crate::error::Damage;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 1 + 8 + 8 + 4 + 8 + SEED_BYTES + 1;

/// An authenticator app and its recovery codes.
pub(crate) struct Enrolled {
    pub(crate) since_ms: u64,
    /// The step of the last code that was taken: this one and all before it are spent for ever.
    pub(crate) last_step: u64,
    pub(crate) attempts: Attempts,
    pub(crate) seed: Zeroizing<[u8; SEED_BYTES]>,
    /// Of those that are left.
    pub(crate) recovery: Vec<Hash>,
}

impl Enrolled {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(FIXED_BYTES + recovery::COUNT * size_of::<Hash>()));
        out.push(VERSION);
        out.extend_from_slice(&self.since_ms.to_be_bytes());
        out.extend_from_slice(&self.last_step.to_be_bytes());
        out.extend_from_slice(&self.attempts.failed.to_be_bytes());
        out.extend_from_slice(&self.attempts.last_ms.to_be_bytes());
        out.extend_from_slice(self.seed.as_slice());
        out.push(u8::try_from(self.recovery.len()).unwrap_or(u8::MAX));
        for hash in &self.recovery {
            out.extend_from_slice(hash);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        Self::parse(bytes).ok_or(Damage::Factor)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<1>()?;
        let (since_ms, rest) = rest.split_first_chunk()?;
        let (last_step, rest) = rest.split_first_chunk()?;
        let (failed, rest) = rest.split_first_chunk()?;
        let (last_ms, rest) = rest.split_first_chunk()?;
        let (seed, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk::<1>()?;
        let (hashes, odd) = rest.as_chunks();
        if *version != [VERSION]
            || usize::from(count[0]) != hashes.len()
            || hashes.len() > recovery::COUNT
            || !odd.is_empty()
        {
            return None;
        }
        Some(Self {
            since_ms: u64::from_be_bytes(*since_ms),
            last_step: u64::from_be_bytes(*last_step),
            attempts: Attempts { failed: u32::from_be_bytes(*failed), last_ms: u64::from_be_bytes(*last_ms) },
            seed: Zeroizing::new(*seed),
            recovery: hashes.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_read(since_ms: u64, last_step: u64, failed: u32, last_ms: u64, seed: [u8; SEED_BYTES], recovery in proptest::collection::vec(any::<Hash>(), 0..=recovery::COUNT)) {
            let enrolled = Enrolled { since_ms, last_step, attempts: Attempts { failed, last_ms }, seed: Zeroizing::new(seed), recovery };
            let bytes = enrolled.encode();
            let read = Enrolled::decode(&bytes).unwrap();
            prop_assert_eq!(read.encode(), bytes.clone());
            prop_assert!(Enrolled::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn anything_else_is_damage(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(read) = Enrolled::decode(&bytes) {
                let again = read.encode();
                prop_assert_eq!(again.as_slice(), bytes.as_slice());
            }
        }
    }
}
