use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 of something: a component, a request, an audit entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    pub const ZERO: Digest = Digest([0; 32]);

    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(bytes);
        hash.finish()
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 64 hexadecimal digits, lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (hex(*pair.first()?)?, hex(*pair.get(1)?)?);
            *byte = high << 4 | low;
        }
        Some(Self(bytes))
    }
}

/// An incremental SHA-256 that ends in a [`Digest`]. Lengths go in before variable parts, so that no two different
/// sequences of parts hash alike.
#[derive(Clone)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    #[expect(clippy::new_without_default, reason = "a hash begins by being asked to")]
    pub fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The length as eight bytes, big end first, then the bytes.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// A part with every occurrence of some texts left out: their places count, the texts themselves do not.
    pub fn part_without(&mut self, bytes: &[u8], without: &[&str]) {
        let pieces = pieces(bytes, without);
        self.part(&(pieces.len() as u64).to_be_bytes());
        for piece in pieces {
            self.part(piece);
        }
    }

    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

fn pieces<'a>(bytes: &'a [u8], without: &[&str]) -> Vec<&'a [u8]> {
    let (mut pieces, mut begin, mut at) = (Vec::new(), 0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match without.iter().find(|text| !text.is_empty() && rest.starts_with(text.as_bytes())) {
            Some(text) => {
                pieces.push(bytes.get(begin..at).unwrap_or_default());
                at += text.len();
                begin = at;
            }
            None => at += 1,
        }
    }
    pieces.push(bytes.get(begin..).unwrap_or_default());
    pieces
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Digest::parse(&text).ok_or("a digest is 64 hexadecimal digits in lower case")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse(&digest.to_string().to_uppercase()), None);
        assert_eq!(Digest::parse(""), None);
    }

    #[test]
    fn what_is_left_out_is_left_out_where_it_stands() {
        let of = |bytes: &str, id: &str| {
            let mut hash = Sha256::new();
            hash.part_without(bytes.as_bytes(), &[id]);
            hash.finish()
        };
        assert_eq!(of("key=1234-2", "1234"), of("key=9876-2", "9876"));
        assert_ne!(of("key=1234-2", "1234"), of("key=1234-3", "1234"));
        assert_ne!(of("1234a", "1234"), of("a1234", "1234"));
        assert_ne!(of("a", "1234"), of("a1234", "1234"));
        assert_eq!(pieces(b"xxabxx", &["xx"]), [b"".as_slice(), b"ab", b""]);
        assert_eq!(pieces(b"ab", &[""]), [b"ab"]);
    }
}
