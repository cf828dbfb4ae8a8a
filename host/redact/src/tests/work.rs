//! Work is linear in the text, whatever the text: counted in steps, so that a busy machine changes nothing.

use super::{key, patterns};
use crate::search::work;
use crate::{Patterns, Stream};
use std::sync::Arc;

/// Steps for each byte of a text that is `unit` many times over.
fn steps(patterns: &Arc<Patterns>, unit: &[u8], times: usize, chunk: usize) -> f64 {
    let text = unit.repeat(times);
    work::take();
    let (mut stream, mut out) = (Stream::new(Arc::clone(patterns)), Vec::new());
    for chunk in text.chunks(chunk) {
        stream.push(chunk, &mut out);
        out.clear();
    }
    stream.finish(&mut out);
    work::take() as f64 / text.len() as f64
}

fn assert_linear(secret: &[u8], unit: &[u8], limit: f64) {
    let patterns = patterns(&[secret]);
    for chunk in [16 << 10, 100] {
        let few = steps(&patterns, unit, 1 + 20_000 / unit.len(), chunk);
        let many = steps(&patterns, unit, 1 + 1_000_000 / unit.len(), chunk);
        assert!(many < limit && many < few * 1.2 + 0.1, "{few} then {many} steps a byte in chunks of {chunk}");
    }
}

#[test]
fn the_secret_a_million_times() {
    let patterns = patterns(&[b"k3y-of-16-bytes!"]);
    let steps = steps(&patterns, b"k3y-of-16-bytes!", 1_000_000, 16 << 10);
    assert!(steps < 8.0, "{steps}");
}

#[test]
fn almost_the_secret_over_and_over() {
    let secret = key(4096);
    let almost = format!("{}~", &secret[..4095]);
    assert_linear(secret.as_bytes(), almost.as_bytes(), 12.0);
    assert_linear(secret.as_bytes(), &secret.as_bytes()[1..], 12.0);
    assert_linear(secret.as_bytes(), &secret.as_bytes()[..64], 12.0);
}

#[test]
fn a_secret_that_resembles_itself() {
    for period in ["a", "ab", "aaaaaaaaaaaaaaaab", "0123456789"] {
        let secret = format!("{}!", period.repeat(4096 / period.len()));
        assert_linear(secret.as_bytes(), period.as_bytes(), 200.0);
        assert_linear(secret.as_bytes(), secret.as_bytes(), 200.0);
        let secret = period.repeat(4096 / period.len());
        assert_linear(secret.as_bytes(), period.as_bytes(), 200.0);
    }
}

#[test]
fn escapes_without_end() {
    let secret = key(40);
    for unit in ["\\", "%25", "&amp;", "\\\\", "\n ", "=\r\n", "''", "%", "\\u0041", "&#x41;", "\\ud83d"] {
        assert_linear(secret.as_bytes(), unit.as_bytes(), 12.0);
    }
}
