//! What leaves when, what is counted, and what is let through.

use super::{key, patterns};
use crate::check::cut;
use crate::{MARKER, Patterns, Stream, Weakness, mask, mask_bytes};
use std::borrow::Cow;
use std::sync::Arc;

fn clean(patterns: &Arc<Patterns>, text: &str) -> String {
    String::from_utf8(cut(patterns, text.as_bytes(), &[]).0).unwrap()
}

#[test]
fn only_a_live_prefix_is_held_back() {
    let patterns = patterns(&[b"secret-value-1234"]);
    let (mut stream, mut out) = (Stream::new(Arc::clone(&patterns)), Vec::new());
    stream.push(b"data: {\"a\":1}\n\n", &mut out);
    assert_eq!((out.as_slice(), stream.held()), (&b"data: {\"a\":1}\n\n"[..], 0));
    stream.push(b"xx secret-val", &mut out);
    assert!(out.ends_with(b"xx "));
    assert_eq!(stream.held(), 10);
    stream.push(b"id", &mut out);
    assert!(out.ends_with(b"xx secret-valid"));
    stream.push(b"\\u0073ecre\\u007", &mut out);
    assert_eq!(stream.held(), 15);
    stream.push(b"4-value-1234.", &mut out);
    assert!(out.ends_with(b"[kv:redacted]."));
    assert_eq!(stream.finish(&mut out).total, 0);
}

#[test]
fn a_held_prefix_is_released_at_the_end_and_on_request() {
    let patterns = patterns(&[b"secret-value-1234"]);
    let (mut stream, mut out) = (Stream::new(Arc::clone(&patterns)), Vec::new());
    stream.push(b"Are you sure? y/s", &mut out);
    assert_eq!(stream.held(), 1);
    stream.release(&mut out);
    assert!(out.ends_with(b"y/s"));
    let hits = stream.push(b"ecret-value-1234!", &mut out);
    assert_eq!((out.as_slice(), hits.total), (&b"Are you sure? y/s[kv:redacted]!"[..], 1));
    stream.push(b"secret-v", &mut out);
    stream.release(&mut out);
    assert_eq!(stream.held(), 8, "a longer prefix stays");
    stream.finish(&mut out);
    assert!(out.ends_with(b"!secret-v"));
}

#[test]
fn what_is_held_stays_within_the_bound() {
    let secret = key(40);
    let patterns = patterns(&[secret.as_bytes()]);
    let escaped: String = secret.bytes().map(|c| format!("&amp;#x0000{c:02x};\n")).collect();
    let text = format!("{} {} {}", &escaped[..escaped.len() - 9], "\n ".repeat(10_000), &secret[..39]);
    let (mut stream, mut out) = (Stream::new(Arc::clone(&patterns)), Vec::new());
    let mut most = 0;
    for byte in text.as_bytes().chunks(1) {
        stream.push(byte, &mut out);
        most = most.max(stream.held());
    }
    stream.finish(&mut out);
    assert_eq!(out, text.as_bytes());
    assert!(most > 400 && most <= patterns.max_held(), "{most} {}", patterns.max_held());
}

#[test]
fn parts_of_a_value_pass() {
    let secret = key(40);
    let patterns = patterns(&[secret.as_bytes()]);
    for end in 0..secret.len() {
        let text = format!("key {}...{} is wrong", &secret[..end], &secret[(end + 1).max(secret.len() - 4)..]);
        assert_eq!(clean(&patterns, &text), text);
        let text = format!("key {}*{}", &secret[..end], &secret[end + 1..]);
        assert_eq!(clean(&patterns, &text), text);
        let wrong = format!("\"{}~{}\"", &secret[..end], &secret[end + 1..]);
        assert_eq!(clean(&patterns, &wrong), wrong);
    }
}

#[test]
fn the_longest_wins_and_overlaps_share_a_marker() {
    let patterns = patterns(&[b"abcdefgh-1234", b"abcdefgh-1234-5678", b"5678-overlapping"]);
    assert_eq!(clean(&patterns, "<abcdefgh-1234>"), "<[kv:redacted]>");
    assert_eq!(clean(&patterns, "<abcdefgh-1234-567>"), "<[kv:redacted]-567>");
    assert_eq!(clean(&patterns, "<abcdefgh-1234-5678-overlap>"), "<[kv:redacted]-overlap>");
    let all = "<abcdefgh-1234-5678-overlapping>";
    let (whole, hits) = cut(&patterns, all.as_bytes(), &[]);
    assert_eq!(whole, b"<[kv:redacted]>");
    assert_eq!((hits.total, hits.by_secret.len()), (1, 3));
    for at in 0..all.len() {
        assert_eq!(cut(&patterns, all.as_bytes(), &[at]), (whole.clone(), hits.clone()));
    }
    let twice = "abcdefgh-1234abcdefgh-1234";
    assert_eq!(cut(&patterns, twice.as_bytes(), &[]).1.total, 2);
}

#[test]
fn the_marker_is_the_same_for_all() {
    let secrets = [key(8), key(40), key(4096)];
    let patterns = patterns(&secrets.each_ref().map(|secret| secret.as_bytes()));
    for secret in &secrets {
        assert_eq!(cut(&patterns, secret.as_bytes(), &[]).0, MARKER);
    }
}

#[test]
fn short_values_are_weak() {
    let patterns = patterns(&[b"abc", b"tiger7", b"", b"long-enough"]);
    let weak = [(0, Weakness::Ignored), (1, Weakness::RawOnly), (2, Weakness::Ignored)];
    assert_eq!(patterns.weak(), weak);
    assert_eq!(clean(&patterns, "abc tiger7 tige%727 7regit"), "abc [kv:redacted] [kv:redacted] 7regit");
}

#[test]
fn without_secrets_everything_passes() {
    let patterns = Arc::new(Patterns::none());
    assert!(patterns.is_empty() && !patterns.find_any(b"anything"));
    assert_eq!(clean(&patterns, "any %41 \\u0041"), "any %41 \\u0041");
}

#[test]
fn short_texts_are_borrowed_unless_hit() {
    let patterns = patterns(&[b"secret-value-1234"]);
    assert!(matches!(mask(&patterns, "no such thing as a secret-value-123"), Cow::Borrowed(_)));
    assert!(matches!(mask(&patterns, ""), Cow::Borrowed("")));
    assert_eq!(mask(&patterns, "it is secret%2Dvalue%2D1234"), "it is [kv:redacted]");
    let (masked, hits) = mask_bytes(&patterns, b"\xff secret-value-1234 \xfe");
    assert_eq!((&*masked, hits.total), (&b"\xff [kv:redacted] \xfe"[..], 1));
}

#[test]
fn secrets_alike_in_all_but_the_end_are_told_apart() {
    let secrets: Vec<String> = (0..200)
        .map(|i| format!("github_pat_11AAAAAAA0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{i:03}"))
        .collect();
    let patterns = patterns(&secrets.iter().map(|secret| secret.as_bytes()).collect::<Vec<_>>());
    for (i, secret) in secrets.iter().enumerate() {
        let (out, hits) = cut(&patterns, format!("[{secret}]").as_bytes(), &[40]);
        assert_eq!(out, b"[[kv:redacted]]");
        assert_eq!(hits.by_secret.into_iter().collect::<Vec<_>>(), [(i, 1)]);
    }
}

#[test]
fn views_open_and_close_in_the_middle_of_a_stream() {
    let secret = "open-and/close:the+view";
    let patterns = patterns(&[secret.as_bytes()]);
    let encoded = "b3Blbi1hbmQvY2xvc2U6dGhlK3ZpZXc";
    let bits = [
        secret.to_string(),
        secret.replace('/', "\\/"),
        secret.replace('/', "%252F"),
        format!("{}\r\n  {}", &encoded[..9], &encoded[9..]),
        format!("{}\\n{}", &encoded[..20], &encoded[20..]),
        secret.replace('-', "=2D").replace(':', ":=\r\n"),
    ];
    let text: String =
        (0..40).map(|i| format!("{} plain words, then \\t {} ", bits[i * 7 % 6], "&".repeat(i % 3))).collect();
    let (whole, hits) = cut(&patterns, text.as_bytes(), &[]);
    assert_eq!(hits.total, 40);
    for at in 0..text.len() {
        assert_eq!(cut(&patterns, text.as_bytes(), &[at]), (whole.clone(), hits.clone()));
    }
    for step in 1..40 {
        let cuts: Vec<usize> = (0..text.len()).step_by(step).collect();
        assert_eq!(cut(&patterns, text.as_bytes(), &cuts), (whole.clone(), hits.clone()));
    }
}
