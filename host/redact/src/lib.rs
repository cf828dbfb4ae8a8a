//! Finds known secret values in streams of bytes and puts a marker in their place.
//!
//! Pure: bytes in, bytes out. No I/O, no clock, no task, no log; it knows nothing of services, and no other crate of
//! ours. Begin with [`Stream`] for what passes through, [`mask`] for short texts, [`Patterns::find_any`] for asking.
//!
//! # How
//!
//! Each value has about forty *literal forms* (`forms`): as it is, in lower and upper case, reversed, base64 and base32 at
//! every alignment, hex with the usual separators, UTF-16 and UTF-32, each line of a multi-line key and each string of a
//! JSON document. Forms written with *escapes* cannot be listed, since every character may or may not be escaped in
//! several notations. They are undone instead: the same forms are searched in several *views* of the stream (`view`):
//! as it is, with escapes undone once and twice, with line breaks left out, and as quoted-printable. A view remembers where
//! its bytes come from, so what is found in any of them is masked where it stands. Mixtures need no extra care: wrapped
//! base64 whose breaks are `\r\n` escapes in a JSON string is found in the folded view of the unescaped one.
//!
//! The search (`index`, `search`) looks at a fixed sample of positions, which makes its cost independent of the text and
//! nearly so of the number of secrets. Block-shift searches were the alternative; their loads wait for each other, and
//! an automaton over 40,000 forms does not fit a cache.
//!
//! # What is promised
//!
//! A value of at least 8 bytes that stands in the stream *whole*, in one of those forms, in at most two layers of escapes
//! (percent; backslash notations of JSON, JavaScript, C, Python, Rust, Go and shells; character references; doubled
//! quotes), or in one form under line wrapping or quoted-printable, is masked at whatever place the stream is cut.
//!
//! # What is not
//!
//! - A part of a value is never masked. Services show `sk-...last4` on purpose, and masking guesses that are right so far
//!   would let anyone find a value character by character.
//! - Compressed or encrypted content, base64 within base64, three and more layers of escapes, ciphers however simple,
//!   characters with something between them, values spread over several fields. Whoever wants such content must decode
//!   it first, or refuse it.
//! - An escape that begins before the value and eats into it: after a bare `%`, a value that begins with two hex digits
//!   is found as it is but not if other characters of it are escaped.
//! - Line wrapping with something other than blanks before each line: base64 over several `data:` lines of one event, or
//!   quoted with `> ` in a mail.
//! - A literal form inside a layer that only another literal form undoes: percent escapes in UTF-16, base64 of JSON.
//! - Base64 characters that hold bits of both the value and its neighbour stay: at most six bits at either end.
//! - Values under 8 bytes are found raw only, and under 4 not at all ([`Patterns::weak`] says which).
//! - Time: a hit costs more than a miss.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

pub mod check;
mod encode;
mod escape;
mod forms;
mod index;
mod patterns;
mod search;
mod stream;
mod text;
mod view;
mod whole;

pub use patterns::{Patterns, PatternsBuilder, Weakness};
pub use stream::{Hits, MARKER, Stream};
pub use whole::{mask, mask_bytes};

#[cfg(test)]
mod tests;
