//! What a person types. It is normalised once, here, so that the same keys on two machines give the same bytes.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::random::{self, RandomError};

/// A passphrase in NFC, 1 to [`MAX_PASSPHRASE_BYTES`] bytes of UTF-8. Wiped when dropped; prints only its type.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Nothing is trimmed: a line's end is the prompt's business, and a space may be meant.
    pub fn new(text: String) -> Result<Self, PassphraseError> {
        let text = Zeroizing::new(text);
        check_length(text.len())?;
        // NFC makes at most three bytes out of one. With that room the buffer never grows, so it leaves no copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * 3));
        normal.extend(text.nfc());
        check_length(normal.len())?;
        Ok(Self(normal))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Why a text cannot be a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    #[error("the passphrase is empty")]
    Empty,
    #[error("the passphrase is longer than {MAX_PASSPHRASE_BYTES} bytes")]
    TooLong,
}

fn check_length(bytes: usize) -> Result<(), PassphraseError> {
    match bytes {
        0 => Err(PassphraseError::Empty),
        1..=MAX_PASSPHRASE_BYTES => Ok(()),
        _ => Err(PassphraseError::TooLong),
    }
}

/// How long a guesser who knows people would need.
#[derive(Debug, Clone, PartialEq)]
pub struct Strength {
    /// The number of guesses, as a power of ten.
    pub guesses_log10: f64,
    /// 0 (guessed at once) to 4 (out of reach).
    pub score: u8,
    /// What makes it weak, as a sentence for the person.
    pub warning: Option<String>,
    /// What would make it better.
    pub suggestions: Vec<String>,
}

/// Estimates with zxcvbn, which looks at the first 100 characters. Its working copies are freed without being wiped: ask only
/// when a passphrase is chosen, never when one is checked.
pub fn passphrase_strength(passphrase: &Passphrase) -> Strength {
    let entropy = zxcvbn::zxcvbn(&passphrase.0, &[]);
    let feedback = entropy.feedback();
    Strength {
        guesses_log10: entropy.guesses_log10(),
        score: u8::from(entropy.score()),
        warning: feedback.and_then(|f| f.warning()).map(|w| w.to_string()),
        suggestions: feedback.map(|f| f.suggestions().iter().map(ToString::to_string).collect()).unwrap_or_default(),
    }
}

/// Six groups of four characters, 120 random bits: `7k2m-qv9c-...`. It is given back as text because a person has to see it
/// once; what they then type (or the text itself) becomes a [`Passphrase`].
pub fn generate_passphrase() -> Result<Zeroizing<String>, RandomError> {
    let mut random = Zeroizing::new([0; GROUPS * GROUP_CHARS]);
    random::fill(random.as_mut_slice())?;
    let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP_CHARS + 1)));
    for group in random.chunks(GROUP_CHARS) {
        if !text.is_empty() {
            text.push('-');
        }
        // 256 is a multiple of 32, so five bits of each byte are as even as the byte.
        text.extend(group.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31))).map(|c| char::from(*c)));
    }
    Ok(text)
}

/// Longer than anything a person types; bounds the work of normalising.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;
const GROUPS: usize = 6;
const GROUP_CHARS: usize = 4;
/// Crockford's base32 in lower case: no i, l, o, u, which are misread or make words.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
