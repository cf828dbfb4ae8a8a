//! One-time codes by the clock: RFC 6238 over RFC 4226, with what every authenticator app takes (SHA-1, six digits,
//! thirty seconds).
//!
//! The fifteen lines that there are of it stand here over a kept HMAC, and not in a library, since what matters is what the
//! libraries leave to their caller: no clock, one comparison in constant time for each step, and which step it was.

use hmac::{Hmac, KeyInit, Mac};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// RFC 4226 wants 128 bits at least and recommends 160, the length of its hash.
pub(crate) const SEED_BYTES: usize = 20;
/// RFC 6238's own.
const STEP_MS: u64 = 30_000;
const DIGITS: usize = 6;
/// As far as a phone's clock may be off: one step either way, as RFC 6238 (5.2) has it.
const SKEW_STEPS: u64 = 1;

/// Six ASCII digits and nothing else: what is not typed as shown is not a code.
#[derive(Clone, Copy)]
pub(crate) struct Digits([u8; DIGITS]);

impl Digits {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }
}

/// The step that this is the code of, if it is one that the clock allows. All of them are looked at, so that the time it
/// takes does not tell which.
pub(crate) fn step_of(seed: &[u8; SEED_BYTES], code: Digits, now_ms: u64) -> Option<u64> {
    let now = now_ms / STEP_MS;
    let mut found = None;
    for step in now.saturating_sub(SKEW_STEPS)..=now.saturating_add(SKEW_STEPS) {
        let same: Choice = code_of(seed, step)?.ct_eq(&code.0);
        if bool::from(same) {
            found = Some(step);
        }
    }
    found
}

/// `None` only for a key that HMAC does not take, and it takes any.
fn code_of(seed: &[u8; SEED_BYTES], step: u64) -> Option<[u8; DIGITS]> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(seed).ok()?;
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash.last()? & 15);
    let word: [u8; 4] = hash.get(offset..offset + 4)?.try_into().ok()?;
    let mut number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000;
    let mut code = [b'0'; DIGITS];
    for digit in code.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    Some(code)
}

/// RFC 4648, upper case, without padding: how apps take a seed that is typed.
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    for chunk in bytes.chunks(5) {
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().skip(3).zip(chunk) {
            *to = *from;
        }
        let bits = u64::from_be_bytes(bits);
        for index in 0..(chunk.len() * 8).div_ceil(5) {
            let digit = (bits >> (35 - 5 * index) & 31) as usize;
            text.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'A')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: &[u8; SEED_BYTES] = b"12345678901234567890";

    #[test]
    fn the_vectors_of_the_rfcs() {
        // RFC 4226, appendix D: counters 0 to 9.
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, code) in (0..).zip(codes) {
            assert_eq!(code_of(SEED, step).unwrap(), code.as_bytes(), "{step}");
        }
        // RFC 6238, appendix B, SHA-1: the last six of the eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let code = Digits::parse(code).unwrap();
            assert_eq!(step_of(SEED, code, seconds * 1000), Some(seconds / 30));
        }
    }

    #[test]
    fn one_step_either_way() {
        let at = |now: u64| step_of(SEED, Digits::parse("359152").unwrap(), now);
        for (now, found) in [(29_999, None), (30_000, Some(2)), (60_000, Some(2)), (119_999, Some(2)), (120_000, None)]
        {
            assert_eq!(at(now), found, "{now}");
        }
        assert_eq!(step_of(SEED, Digits::parse("000000").unwrap(), u64::MAX), None);
    }

    #[test]
    fn base32_is_the_rfcs() {
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(*base32(bytes.as_bytes()), text);
        }
        assert_eq!(*base32(SEED), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    proptest! {
        #[test]
        fn nothing_but_six_ascii_digits_is_a_code(text in "\\PC{0,8}|[0-9]{0,8}|[ +-]?[0-9]{5,6} ?|[０-９]{6}") {
            let canonical = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(Digits::parse(&text).is_some(), canonical);
        }
    }
}
