//! Host keys: who a server has to prove to be. A person pins them; nothing here trusts one by itself.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::Digest;

/// As many keys and authorities as one connection may pin.
pub const MAX_HOST_KEYS: usize = 32;
/// The longest key that is read: RSA with 16,384 bits has 2 KiB.
const MAX_BLOB: usize = 4 << 10;
/// Shorter RSA keys have been factored, or soon will be.
const LEAST_RSA_BITS: usize = 2048;

/// A server's public key. Its form has been checked, so two keys are the same exactly if their bytes are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    algorithm: HostKeyAlgorithm,
    blob: Vec<u8>,
}

/// The kinds of host key that can be pinned. DSA is too weak, and keys of security tokens are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostKeyAlgorithm {
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
    Rsa,
}

/// `SHA256:...` as `ssh-keygen -l` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// What a person accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedKey {
    /// Whoever holds a certificate of this authority for the host's name.
    Authority(HostKey),
    /// Whoever holds this very key.
    Host(HostKey),
    /// Nobody who holds this key, or a certificate of it or for it, whatever else is pinned.
    Revoked(HostKey),
}

/// The setting `host-keys`: at least one that is believed, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedKeys(Vec<PinnedKey>);

/// Why a text is no host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    #[error("it is a key of a kind that is not supported: use ed25519, ECDSA or RSA")]
    Algorithm,
    #[error("it is not `ALGORITHM BASE64`")]
    Form,
    #[error("no host key is pinned")]
    Missing,
    #[error("there are more than {MAX_HOST_KEYS} of them")]
    TooMany,
    #[error("it is an RSA key of fewer than {LEAST_RSA_BITS} bits")]
    Weak,
}

impl HostKeyAlgorithm {
    pub const ALL: [HostKeyAlgorithm; 5] = [
        HostKeyAlgorithm::Ed25519,
        HostKeyAlgorithm::EcdsaP256,
        HostKeyAlgorithm::EcdsaP384,
        HostKeyAlgorithm::EcdsaP521,
        HostKeyAlgorithm::Rsa,
    ];

    /// As the key's own bytes and `known_hosts` name it.
    pub fn name(self) -> &'static str {
        match self {
            HostKeyAlgorithm::EcdsaP256 => "ecdsa-sha2-nistp256",
            HostKeyAlgorithm::EcdsaP384 => "ecdsa-sha2-nistp384",
            HostKeyAlgorithm::EcdsaP521 => "ecdsa-sha2-nistp521",
            HostKeyAlgorithm::Ed25519 => "ssh-ed25519",
            HostKeyAlgorithm::Rsa => "ssh-rsa",
        }
    }

    fn parse(name: &str) -> Result<Self, HostKeyError> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or(HostKeyError::Algorithm)
    }
}

impl HostKey {
    /// `ssh-ed25519 AAAA...`, with or without a comment.
    pub fn parse(text: &str) -> Result<Self, HostKeyError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else { return Err(HostKeyError::Form) };
        let algorithm = HostKeyAlgorithm::parse(name)?;
        if encoded.len() > MAX_BLOB * 4 / 3 + 4 {
            return Err(HostKeyError::Form);
        }
        let key = Self::from_blob(&base64_decode(encoded).ok_or(HostKeyError::Form)?)?;
        if key.algorithm == algorithm { Ok(key) } else { Err(HostKeyError::Form) }
    }

    /// From the key's bytes as they go over the wire (RFC 4253, 6.6).
    pub fn from_blob(blob: &[u8]) -> Result<Self, HostKeyError> {
        if blob.len() > MAX_BLOB {
            return Err(HostKeyError::Form);
        }
        let mut fields = Fields(blob);
        let name = fields.next().and_then(|name| std::str::from_utf8(name).ok()).ok_or(HostKeyError::Form)?;
        let algorithm = HostKeyAlgorithm::parse(name)?;
        let good = match algorithm {
            HostKeyAlgorithm::Ed25519 => fields.next().is_some_and(|point| point.len() == 32),
            HostKeyAlgorithm::EcdsaP256 => fields.is_point("nistp256", 65),
            HostKeyAlgorithm::EcdsaP384 => fields.is_point("nistp384", 97),
            HostKeyAlgorithm::EcdsaP521 => fields.is_point("nistp521", 133),
            HostKeyAlgorithm::Rsa => {
                let (exponent, modulus) = (fields.next(), fields.next());
                let bits = modulus.and_then(bits_of).ok_or(HostKeyError::Form)?;
                if bits < LEAST_RSA_BITS {
                    return Err(HostKeyError::Weak);
                }
                exponent.and_then(bits_of).is_some_and(|bits| bits > 1)
            }
        };
        if !good || !fields.0.is_empty() {
            return Err(HostKeyError::Form);
        }
        Ok(Self { algorithm, blob: blob.to_vec() })
    }

    pub fn algorithm(&self) -> HostKeyAlgorithm {
        self.algorithm
    }

    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }
}

impl Fingerprint {
    /// Of a key's bytes as they go over the wire.
    pub fn of(blob: &[u8]) -> Self {
        Fingerprint(*Digest::of(blob).as_bytes())
    }
}

impl PinnedKey {
    pub fn key(&self) -> &HostKey {
        match self {
            PinnedKey::Authority(key) | PinnedKey::Host(key) | PinnedKey::Revoked(key) => key,
        }
    }

    /// `ssh-ed25519 AAAA...`, or the same with `@cert-authority` or `@revoked` before it.
    pub fn parse(line: &str) -> Result<Self, HostKeyError> {
        let line = line.trim();
        let (marker, key) = match line.split_once([' ', '\t']) {
            Some((marker, key)) if marker.starts_with('@') => (marker, key),
            _ => return Ok(PinnedKey::Host(HostKey::parse(line)?)),
        };
        match marker {
            AUTHORITY => Ok(PinnedKey::Authority(HostKey::parse(key)?)),
            REVOKED => Ok(PinnedKey::Revoked(HostKey::parse(key)?)),
            _ => Err(HostKeyError::Form),
        }
    }
}

impl PinnedKeys {
    /// One a line; empty lines and lines that begin with `#` are passed over. One bad line spoils all: what was meant to
    /// be trusted is not guessed.
    pub fn parse(text: &str) -> Result<Self, HostKeyError> {
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let key = PinnedKey::parse(line)?;
            if keys.len() == MAX_HOST_KEYS {
                return Err(HostKeyError::TooMany);
            }
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let is_believed = |pinned: &PinnedKey| !matches!(pinned, PinnedKey::Revoked(_));
        if keys.iter().any(is_believed) { Ok(Self(keys)) } else { Err(HostKeyError::Missing) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &PinnedKey> {
        self.0.iter()
    }

    pub fn hosts(&self) -> impl Iterator<Item = &HostKey> {
        self.0.iter().filter_map(|pinned| match pinned {
            PinnedKey::Host(key) => Some(key),
            PinnedKey::Authority(_) | PinnedKey::Revoked(_) => None,
        })
    }

    pub fn authorities(&self) -> impl Iterator<Item = &HostKey> {
        self.0.iter().filter_map(|pinned| match pinned {
            PinnedKey::Authority(key) => Some(key),
            PinnedKey::Host(_) | PinnedKey::Revoked(_) => None,
        })
    }

    /// Whether a key, as its bytes go over the wire, is one that nobody may hold.
    pub fn is_revoked(&self, blob: &[u8]) -> bool {
        self.0.iter().any(|pinned| matches!(pinned, PinnedKey::Revoked(key) if key.blob() == blob))
    }
}

/// As `known_hosts` writes it, without a comment: what [`HostKey::parse`] reads.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), base64(&self.blob, true))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), self.fingerprint())
    }
}

impl fmt::Display for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinnedKey::Authority(key) => write!(f, "{AUTHORITY} {key}"),
            PinnedKey::Host(key) => key.fmt(f),
            PinnedKey::Revoked(key) => write!(f, "{REVOKED} {key}"),
        }
    }
}

/// One a line: what [`PinnedKeys::parse`] reads.
impl fmt::Display for PinnedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| writeln!(f, "{key}"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", base64(&self.0, false))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The strings of a key's bytes, each with its length before it.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.0 = rest;
        Some(field)
    }

    fn is_point(&mut self, curve: &str, length: usize) -> bool {
        self.next() == Some(curve.as_bytes())
            && self.next().is_some_and(|point| point.len() == length && point.first() == Some(&4))
    }
}

/// Of a positive number in its shortest form (RFC 4251, 5); any other is refused.
fn bits_of(number: &[u8]) -> Option<usize> {
    let magnitude = match number {
        [0, next, ..] if *next >= 0x80 => number.get(1..)?,
        [first, ..] if (1..0x80).contains(first) => number,
        _ => return None,
    };
    Some(magnitude.len() * 8 - magnitude.first()?.leading_zeros() as usize)
}

fn base64(bytes: &[u8], padded: bool) -> String {
    if padded { STANDARD.encode(bytes) } else { STANDARD_NO_PAD.encode(bytes) }
}

pub(super) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) const AUTHORITY: &str = "@cert-authority";
pub(super) const REVOKED: &str = "@revoked";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_known_fingerprint() {
        let key = HostKey::parse(&format!("{ED25519} root@github")).unwrap();
        assert_eq!(key.to_string(), ED25519);
        assert_eq!(key.fingerprint().to_string(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }

    #[test]
    fn what_is_no_key() {
        let ed25519 = HostKey::parse(ED25519).unwrap();
        let cut = base64(&ed25519.blob()[..50], true);
        let longer = base64(&[ed25519.blob(), &[0]].concat(), true);
        let rsa = |bits: usize| {
            let modulus = [&[0, 0x80][..], &vec![1; bits / 8 - 1]].concat();
            let mut blob = Vec::new();
            for field in [&b"ssh-rsa"[..], &[1, 0, 1], &modulus] {
                blob.extend((field.len() as u32).to_be_bytes());
                blob.extend(field);
            }
            format!("ssh-rsa {}", base64(&blob, true))
        };
        for (text, why) in [
            ("", HostKeyError::Form),
            ("ssh-ed25519", HostKeyError::Form),
            ("ssh-ed25519 !", HostKeyError::Form),
            ("ssh-dss AAAA", HostKeyError::Algorithm),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", HostKeyError::Algorithm),
            (&ED25519.replace("ssh-ed25519", "ssh-rsa"), HostKeyError::Form),
            (&format!("ssh-ed25519 {cut}"), HostKeyError::Form),
            (&format!("ssh-ed25519 {longer}"), HostKeyError::Form),
            (&rsa(1024), HostKeyError::Weak),
        ] {
            assert_eq!(HostKey::parse(text), Err(why), "{text}");
        }
        assert_eq!(HostKey::parse(&rsa(2048)).unwrap().algorithm(), HostKeyAlgorithm::Rsa);
    }

    #[test]
    fn pinned() {
        let text = format!("\n# mine\n{ED25519} a comment\n@cert-authority {ED25519}\n{ED25519}\n@revoked {ED25519}\n");
        let keys = PinnedKeys::parse(&text).unwrap();
        assert_eq!((keys.hosts().count(), keys.authorities().count(), keys.iter().count()), (1, 1, 3));
        assert!(keys.is_revoked(HostKey::parse(ED25519).unwrap().blob()) && !keys.is_revoked(b""));
        assert_eq!(PinnedKeys::parse(&keys.to_string()).unwrap(), keys);
        for (text, why) in [
            ("", HostKeyError::Missing),
            ("# none\n", HostKeyError::Missing),
            ("@revoked ssh-ed25519 AAAA", HostKeyError::Form),
            (&format!("{ED25519}\nx"), HostKeyError::Form),
            (&format!("@cert-authorityx {ED25519}"), HostKeyError::Form),
            (&format!("@any {ED25519}"), HostKeyError::Form),
            // What nobody may hold is nobody to believe.
            (&format!("@revoked {ED25519}"), HostKeyError::Missing),
        ] {
            assert_eq!(PinnedKeys::parse(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,200}") {
            if let Ok(keys) = PinnedKeys::parse(&text) {
                prop_assert_eq!(PinnedKeys::parse(&keys.to_string()), Ok(keys));
            }
        }

        #[test]
        fn any_blob(blob in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(key) = HostKey::from_blob(&blob) {
                prop_assert_eq!(HostKey::parse(&key.to_string()), Ok(key));
            }
        }

        #[test]
        fn other_bytes_are_another_key(at in 19..51_usize, flip in 1..=255_u8) {
            let key = HostKey::parse(ED25519).unwrap();
            let mut blob = key.blob().to_vec();
            blob[at] ^= flip;
            let other = HostKey::from_blob(&blob).unwrap();
            prop_assert_ne!(other.fingerprint(), key.fingerprint());
            prop_assert_ne!(other, key);
        }
    }
}
