//! Codes on paper for the day that the phone is gone: 65 random bits each, so that a plain keyed hash is enough to keep.

use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::totp::SEED_BYTES;
use crate::random::{self, RandomError};

/// As many as are made at once.
pub(crate) const COUNT: usize = 8;
/// In characters of five bits.
const LENGTH: usize = 13;
/// Crockford's, in lower case: no i, l, o and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is kept of one.
pub(crate) type Hash = [u8; 32];

/// Shown once: `k7f3-9qbm-2xre-d`.
pub(crate) fn generate() -> Result<Zeroizing<String>, RandomError> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    random::fill(bytes.as_mut())?;
    let mut text = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / 4));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0')));
    }
    Ok(text)
}

/// What was typed, without its hyphens and in lower case; `None` if it cannot be a code.
pub(crate) fn canonical(text: &str) -> Option<Zeroizing<String>> {
    if text.len() > 2 * LENGTH {
        return None;
    }
    let mut code = Zeroizing::new(String::with_capacity(2 * LENGTH));
    for c in text.chars().filter(|c| *c != '-') {
        let c = c.to_ascii_lowercase();
        if !u8::try_from(c).is_ok_and(|byte| ALPHABET.contains(&byte)) {
            return None;
        }
        code.push(c);
    }
    (code.len() == LENGTH).then_some(code)
}

/// Under the seed, which is as secret and as random as a key: a hash that is taken out of the vault tells nothing.
pub(crate) fn hash(seed: &[u8; SEED_BYTES], code: &str) -> Option<Hash> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(seed).ok()?;
    mac.update(b"kv recovery code");
    mac.update(code.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

/// Which of them it is. All are looked at.
pub(crate) fn find(hashes: &[Hash], wanted: &Hash) -> Option<usize> {
    let mut found = None;
    for (index, hash) in hashes.iter().enumerate() {
        if bool::from(hash.ct_eq(wanted)) {
            found = Some(index);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_shown_and_as_people_type() {
        let shown = generate().unwrap();
        assert_eq!(shown.len(), 16);
        let code = canonical(&shown).unwrap();
        assert_eq!(canonical(&shown.to_uppercase()), Some(code.clone()));
        assert_eq!(canonical(&shown.replace('-', "")), Some(code.clone()));
        assert_eq!(canonical(&shown[..15]), None);
        assert_ne!(generate().unwrap(), shown);
        let seed = [7; SEED_BYTES];
        let hashes = [hash(&seed, "a").unwrap(), hash(&seed, &code).unwrap()];
        assert_eq!(find(&hashes, &hash(&seed, &code).unwrap()), Some(1));
        assert_eq!(find(&hashes, &hash(&[8; SEED_BYTES], &code).unwrap()), None);
    }

    proptest! {
        #[test]
        fn anything_can_be_typed(text in "(?s:.){0,40}|[0-9a-zA-Z-]{10,20}") {
            if let Some(code) = canonical(&text) {
                prop_assert_eq!(code.as_str(), text.replace('-', "").to_ascii_lowercase());
                prop_assert!(!code.contains(['i', 'l', 'o', 'u']));
            }
        }
    }
}
