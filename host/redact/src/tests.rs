//! Every L1 form in every place, cut everywhere; random streams against a slow oracle; work counted.

mod forms;
mod oracle;
mod random;
mod streams;
mod work;

use std::sync::Arc;

use crate::{Patterns, PatternsBuilder};

fn patterns(secrets: &[&[u8]]) -> Arc<Patterns> {
    let mut builder = PatternsBuilder::new();
    for secret in secrets {
        builder.add(secret);
    }
    Arc::new(builder.build())
}

/// A made-up key of a length: letters, digits and a few marks, the same each time.
fn key(len: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/+";
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ len as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        alphabet[(state >> 33) as usize % alphabet.len()] as char
    };
    "sk-".chars().chain(std::iter::repeat_with(&mut next)).take(len).collect()
}
