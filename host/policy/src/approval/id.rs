use std::fmt;

/// The short name of a question: four characters that a person reads and types, `7F3K`. It says which; it is no secret
/// and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(u32);

/// Crockford's: no I, L, O and U, which are read as something else.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 4;
const COUNT: u32 = 1 << (5 * LENGTH);

impl ApprovalId {
    pub(super) fn of(seed: u32) -> Self {
        Self(seed % COUNT)
    }

    pub(super) fn next(self) -> Self {
        Self::of(self.0.wrapping_add(1))
    }

    /// Four of its characters, in either case. What reads like another is not taken for it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let digit = |byte: u8| DIGITS.iter().position(|known| *known == byte.to_ascii_uppercase());
        text.bytes().try_fold(0_u32, |id, byte| Some(id << 5 | u32::try_from(digit(byte)?).ok()?)).map(Self)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..LENGTH).rev().try_for_each(|place| {
            let digit = DIGITS.get((self.0 >> (5 * place) & 31) as usize).copied().unwrap_or(b'?');
            fmt::Write::write_char(f, char::from(digit))
        })
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
