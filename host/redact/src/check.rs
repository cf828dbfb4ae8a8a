//! For fuzzers and tests: properties that hold for any secret, any text and any cut.

use std::sync::Arc;

use crate::{Hits, MARKER, Patterns, PatternsBuilder, Stream, mask_bytes};

/// Cleans `text` cut at `cuts` (in any order; those outside the text are ignored).
pub fn cut(patterns: &Arc<Patterns>, text: &[u8], cuts: &[usize]) -> (Vec<u8>, Hits) {
    let mut cuts: Vec<usize> = cuts.iter().copied().filter(|&at| at <= text.len()).chain([text.len()]).collect();
    cuts.sort_unstable();
    let (mut stream, mut out, mut hits) = (Stream::new(Arc::clone(patterns)), Vec::new(), Hits::default());
    let mut from = 0;
    for to in cuts {
        hits.merge(stream.push(text.get(from..to).unwrap_or_default(), &mut out));
        from = to;
    }
    hits.merge(stream.finish(&mut out));
    (out, hits)
}

/// Panics unless cutting makes no difference, the raw secret does not come through, and a text without hits passes as it
/// is.
pub fn check(secret: &[u8], text: &[u8], cuts: &[usize]) {
    let mut builder = PatternsBuilder::new();
    builder.add(secret);
    let patterns = Arc::new(builder.build());
    let (whole, hits) = cut(&patterns, text, &[]);
    let (pieces, piece_hits) = cut(&patterns, text, cuts);
    assert!(whole == pieces, "the output depends on the cut");
    assert!(hits == piece_hits, "the count depends on the cut");
    assert!(hits.total > 0 || whole == text, "a text without hits was changed");
    let short = mask_bytes(&patterns, text);
    assert!(*short.0 == *whole && short.1 == hits, "a text is masked otherwise than a stream");
    assert!(patterns.find_any(text) != hits.is_empty(), "finding and masking disagree");
    // A secret that the marker contains, or that runs across one, may be spelled by what is left.
    let spelled = contains(MARKER, secret) || contains(secret, b"[") || contains(secret, b"]");
    assert!(secret.len() < 8 || spelled || !contains(&whole, secret), "the secret came through");
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
