//! Random secrets in random texts, cut at random.

use super::oracle::leaks;
use super::patterns;
use crate::check::{check, cut};
use proptest::collection::vec;
use proptest::prelude::*;

/// Values of the characters that real ones are made of.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9_/+-]{8,60}", "[a-c]{8,20}", "[!-~ ]{12,40}"]
}

/// A text in which escapes and beginnings of secrets abound.
fn noise() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        Just("\\"),
        Just("%"),
        Just("&"),
        Just("="),
        Just("\r\n"),
        Just("\n "),
        Just("'"),
        Just("\""),
        Just("u0041"),
        Just("25"),
        Just("amp;"),
        Just("#x61;"),
        Just("41"),
        Just("a"),
        Just("ab"),
        Just("{"),
        Just("}"),
        Just(" "),
        Just("é"),
    ];
    vec(bit, 0..40).prop_map(|bits| bits.concat())
}

fn escape(c: u8, how: u8) -> String {
    match how % 12 {
        0 => format!("%{c:02x}"),
        1 => format!("\\u{c:04X}"),
        2 => format!("\\x{c:02x}"),
        3 => format!("&#{c};"),
        4 => format!("&#x{c:x};"),
        5 => format!("%25{c:02X}"),
        6 => format!("\\\\u{c:04x}"),
        _ if matches!(c, b'%' | b'\\' | b'&' | b'\'' | b'"' | b'=' | b' ') => format!("\\u{c:04x}"),
        _ => char::from(c).to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_escapes_is_found(
        secret in "[A-Za-z0-9_/+-]{12,40}",
        how in vec(any::<u8>(), 40),
        before in "[a-z <>{}:,]{0,20}",
        after in "[g-z <>{}:,]{0,20}",
        cuts in vec(0..300usize, 0..12),
    ) {
        let written: String = secret.bytes().zip(&how).map(|(c, how)| escape(c, *how)).collect();
        let text = format!("{before}{written}{after}");
        let patterns = patterns(&[secret.as_bytes()]);
        let (whole, hits) = cut(&patterns, text.as_bytes(), &[]);
        let expected = format!("{before}[kv:redacted]{after}").into_bytes();
        prop_assert_eq!(&whole, &expected, "{}", text);
        prop_assert_eq!(leaks(&whole, secret.as_bytes()), None);
        let all: Vec<usize> = (0..text.len()).collect();
        for cuts in [&cuts, &all] {
            prop_assert_eq!(cut(&patterns, text.as_bytes(), cuts), (whole.clone(), hits.clone()));
        }
    }

    #[test]
    fn cuts_make_no_difference(
        secret in secret(),
        parts in vec((noise(), 0..4u8, 0..60usize), 1..6),
        cuts in vec(0..600usize, 0..20),
    ) {
        let text: String = parts.iter().map(|(noise, what, at)| match what {
            0 => format!("{noise}{secret}"),
            1 => format!("{noise}{}", secret.chars().take(*at).collect::<String>()),
            2 => format!("{noise}{}", secret.bytes().enumerate().map(|(i, c)| escape(c, (i + at) as u8)).collect::<String>()),
            _ => noise.clone(),
        }).collect();
        check(secret.as_bytes(), text.as_bytes(), &cuts);
        check(secret.as_bytes(), text.as_bytes(), &(0..text.len()).collect::<Vec<_>>());
    }

    #[test]
    fn cuts_make_no_difference_with_many_secrets(
        secrets in vec(secret(), 2..6),
        parts in vec((noise(), any::<proptest::sample::Index>(), 0..4u8, 0..60usize), 1..8),
        cuts in vec(0..600usize, 0..20),
    ) {
        let text: String = parts.iter().map(|(noise, which, what, at)| {
            let secret = which.get(&secrets);
            match what {
                0 => format!("{noise}{secret}"),
                1 => format!("{noise}{}", secret.chars().take(*at).collect::<String>()),
                2 => format!("{noise}{}", secret.bytes().map(|c| escape(c, (usize::from(c) + at) as u8)).collect::<String>()),
                _ => noise.clone(),
            }
        }).collect();
        let patterns = patterns(&secrets.iter().map(|secret| secret.as_bytes()).collect::<Vec<_>>());
        let whole = cut(&patterns, text.as_bytes(), &[]);
        for secret in secrets.iter().filter(|secret| !secret.contains(['[', ']'])) {
            prop_assert!(!String::from_utf8_lossy(&whole.0).contains(secret.as_str()));
        }
        for cuts in [cuts, (0..text.len()).collect()] {
            prop_assert_eq!(&cut(&patterns, text.as_bytes(), &cuts), &whole);
        }
    }

    #[test]
    fn any_bytes_at_all(secret in vec(any::<u8>(), 0..40), text in vec(any::<u8>(), 0..300), cuts in vec(0..400usize, 0..20)) {
        check(&secret, &text, &cuts);
        check(&secret, &[&text, secret.as_slice(), &text].concat(), &cuts);
    }

    #[test]
    fn small_alphabets_and_many_secrets(
        secrets in vec("[ab]{4,24}", 1..12),
        text in "[ab]{0,300}",
        cuts in vec(0..300usize, 0..20),
    ) {
        let patterns = patterns(&secrets.iter().map(|secret| secret.as_bytes()).collect::<Vec<_>>());
        let whole = cut(&patterns, text.as_bytes(), &[]);
        prop_assert_eq!(&cut(&patterns, text.as_bytes(), &cuts), &whole);
        prop_assert_eq!(&cut(&patterns, text.as_bytes(), &(0..300).collect::<Vec<_>>()), &whole);
        let expected = naive(&secrets, &text);
        prop_assert_eq!(String::from_utf8(whole.0).unwrap(), expected);
    }

    #[test]
    fn texts_without_secrets_pass_unchanged(text in noise(), tail in "\\PC{0,80}", cuts in vec(0..200usize, 0..20)) {
        let patterns = patterns(&[b"sk-proj-Zq81Tn4vWc0", b"whsec_9f8g7h6j5k"]);
        let text = format!("{text}{tail}{text}");
        prop_assert_eq!(cut(&patterns, text.as_bytes(), &cuts).0, text.as_bytes());
    }
}

/// Masks raw, reversed, upper case and plain hits by trying each at each place.
fn naive(secrets: &[String], text: &str) -> String {
    let mut covers: Vec<(usize, usize)> = Vec::new();
    for secret in secrets {
        let reversed = if secret.len() >= 8 { secret.chars().rev().collect() } else { secret.clone() };
        for form in [secret, &reversed] {
            let starts = (0..text.len()).filter(|&at| text[at..].starts_with(form.as_str()));
            covers.extend(starts.map(|at| (at, at + form.len())));
        }
    }
    covers.sort_unstable();
    let (mut out, mut to) = (String::new(), 0);
    for (start, end) in covers {
        if start >= to {
            out.push_str(&text[to..start]);
            out.push_str("[kv:redacted]");
        }
        to = to.max(end);
    }
    out.push_str(&text[to..]);
    out
}
