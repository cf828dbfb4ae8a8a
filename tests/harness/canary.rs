//! Secrets that open nothing, unique to one test, and the search for them.
//!
//! Each is looked for twice: by kv's own patterns, which know every encoding that redaction promises, and by a plain search
//! written here, which shares no code with kv and so does not share its mistakes.

use std::sync::Arc;

use kv_redact::{Patterns, PatternsBuilder};

/// A secret and what it is called in the message of a failing test.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    search: Arc<Search>,
}

struct Search {
    patterns: Arc<Patterns>,
    plain: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// A key in OpenAI's format. Its beginning stands in pieces, so that scanners for leaked keys do not take it for one.
    pub(crate) fn openai() -> Self {
        Self::new("the OpenAI key", ["sk-", "proj-", "kvcanary", &random(40)].concat())
    }

    /// A test key in Stripe's format.
    pub(crate) fn stripe() -> Self {
        Self::new("the Stripe key", ["sk_", "test_", "kvcanary", &random(32)].concat())
    }

    pub(crate) fn passphrase() -> Self {
        Self::new("the passphrase", format!("kvcanary {} {} {}", random(8), random(8), random(8)))
    }

    pub(crate) fn new(name: &'static str, value: String) -> Self {
        let mut builder = PatternsBuilder::new();
        builder.add(value.as_bytes());
        let search = Search { patterns: Arc::new(builder.build()), plain: plain_forms(value.as_bytes()) };
        Self { name, value, search: Arc::new(search) }
    }

    /// In which form it is there, if it is.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let plain = self.search.plain.iter().find(|(_, form)| contains(bytes, form)).map(|(name, _)| *name);
        plain.or_else(|| self.search.patterns.find_any(bytes).then_some("one of the forms that kv masks"))
    }
}

/// Letters and digits, as keys have them.
pub(crate) fn random(length: usize) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789xQ";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    count(haystack, needle) > 0
}

pub(crate) fn count(haystack: &[u8], needle: &[u8]) -> usize {
    let Some(first) = needle.first() else { return 0 };
    let mut rest = haystack;
    let mut found = 0;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            found += 1;
        }
        rest = &rest[at + 1..];
    }
    found
}

fn plain_forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |format: fn(&u8) -> String| value.iter().map(format).collect::<String>().into_bytes();
    let mut forms = vec![
        ("as it is", value.to_vec()),
        ("in lower case", value.to_ascii_lowercase()),
        ("in upper case", value.to_ascii_uppercase()),
        ("backwards", value.iter().rev().copied().collect()),
        ("hex", hex(|byte| format!("{byte:02x}"))),
        ("upper-case hex", hex(|byte| format!("{byte:02X}"))),
        ("percent escapes", hex(|byte| format!("%{byte:02x}"))),
        ("upper-case percent escapes", hex(|byte| format!("%{byte:02X}"))),
        ("JSON escapes", hex(|byte| format!("\\u{byte:04x}"))),
        ("character references", hex(|byte| format!("&#{byte};"))),
        ("UTF-16", value.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    for (alphabet, name) in [(STANDARD, "base64"), (URL, "base64url")] {
        for before in 0..3 {
            forms.push((name, base64_middle(value, before, alphabet)));
        }
    }
    forms
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 with `=` at its end.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = digits(bytes, STANDARD);
    text.resize(text.len().next_multiple_of(4), b'=');
    text.into_iter().map(char::from).collect()
}

/// The characters that hold nothing but bits of the value, when so many bytes come before it.
fn base64_middle(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let padded = [&vec![0; before][..], value].concat();
    let (from, until) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    digits(&padded, alphabet)[from..until].to_vec()
}

fn digits(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let digit = |at: usize| (0..6).fold(0, |digit, place| digit << 1 | bit(at * 6 + place));
    (0..(bytes.len() * 8).div_ceil(6)).map(|at| alphabet[digit(at)]).collect()
}

#[test]
fn the_plain_search_finds_what_it_says() {
    assert_eq!(
        [base64(b"a"), base64(b"ab"), base64(b"abc"), base64(b"\xff\xfe\xfd")],
        ["YQ==", "YWI=", "YWJj", "//79"]
    );
    let canary = Canary::openai();
    for before in ["", "x", "xy"] {
        let text = base64(format!("{before}{}", canary.value).as_bytes());
        assert_eq!(canary.found_in(text.as_bytes()), Some("base64"), "{before}");
    }
    assert_eq!(canary.found_in(format!("key={}.", canary.value).as_bytes()), Some("as it is"));
    assert_eq!(canary.found_in(&canary.value.as_bytes()[1..]), None);
    assert_eq!((count(b"aaaa", b"aa"), count(b"ab ab", b"ab"), count(b"", b"a")), (3, 2, 0));
}
