//! From passphrase to key-encrypting key: Argon2id. Parameters are bounded by their type, so that neither a file nor a
//! command can ask for less than the floor or for more memory than the ceiling.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::keys::Key;
use crate::passphrase::Passphrase;

/// Argon2id's cost, between [`KdfParams::FLOOR`] and [`KdfParams::CEILING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl KdfParams {
    /// OWASP's least: below it a graphics card tries too many guesses a second.
    pub const FLOOR: KdfParams = KdfParams { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// What an unlock may cost at most: a planted header must not exhaust the machine.
    pub const CEILING: KdfParams = KdfParams { memory_kib: 1024 * 1024, passes: 16, lanes: 8 };

    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, KdfBounds> {
        let within = |name, value, floor, ceiling| {
            if (floor..=ceiling).contains(&value) { Ok(value) } else { Err(KdfBounds { name, value, floor, ceiling }) }
        };
        Ok(Self {
            memory_kib: within("memory in KiB", memory_kib, Self::FLOOR.memory_kib, Self::CEILING.memory_kib)?,
            passes: within("passes", passes, Self::FLOOR.passes, Self::CEILING.passes)?,
            lanes: within("lanes", lanes, Self::FLOOR.lanes, Self::CEILING.lanes)?,
        })
    }

    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    pub fn passes(&self) -> u32 {
        self.passes
    }

    pub fn lanes(&self) -> u32 {
        self.lanes
    }
}

impl Default for KdfParams {
    /// 64 MiB, 3 passes, 4 lanes (RFC 9106's second choice): 185 ms on the machine that the design was measured on.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

/// A cost that is too low to protect or too high to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key derivation with {name} = {value} is refused: it must be {floor} to {ceiling}")]
pub struct KdfBounds {
    pub name: &'static str,
    pub value: u32,
    pub floor: u32,
    pub ceiling: u32,
}

/// The memory for the key derivation could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{memory_kib} KiB of memory for the key derivation could not be had")]
pub(crate) struct KdfMemory {
    pub(crate) memory_kib: u32,
}

pub(crate) fn derive(passphrase: &Passphrase, salt: &[u8; 32], params: KdfParams) -> Result<Key, KdfMemory> {
    let short = KdfMemory { memory_kib: params.memory_kib };
    let cost = Params::new(params.memory_kib, params.passes, params.lanes, Some(32)).map_err(|_| short)?;
    // Our own blocks, because the crate frees its own unwiped and aborts when there is no memory.
    let mut memory: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(cost.block_count()).map_err(|_| short)?;
    memory.resize(cost.block_count(), Block::new());
    let mut key = Key::zero();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into_with_memory(passphrase.as_bytes(), salt, key.bytes_mut(), memory.as_mut_slice())
        .map_err(|_| short)?;
    Ok(key)
}
