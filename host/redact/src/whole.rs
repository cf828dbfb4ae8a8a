//! Short whole texts: a header, an error, a request body.

use std::borrow::Cow;
use std::sync::Arc;

use crate::patterns::Patterns;
use crate::stream::{Hits, Stream};

impl Patterns {
    /// Whether a text contains a secret in any form: what must not be sent at all.
    pub fn find_any(self: &Arc<Self>, text: &[u8]) -> bool {
        !mask_bytes(self, text).1.is_empty()
    }
}

impl Patterns {
    /// Whether a glance is enough: nothing to undo in any view, and no gram of any form where one would have to be. True
    /// of most headers, which are many and short.
    fn is_clear(&self, text: &[u8]) -> bool {
        text.len() < self.shortest()
            || memchr::memchr3(b'\\', b'%', b'&', text).is_none()
                && memchr::memchr3(b'=', b'\r', b'\n', text).is_none()
                && !(self.quotes && memchr::memchr2(b'\'', b'"', text).is_some())
                && !self.indexes().iter().any(|index| index.may_occur(text))
    }
}

/// Masks a text; it is borrowed if nothing was found. A value is never part of a character, but a form may be, so what
/// the output could not hold as UTF-8 is replaced.
pub fn mask<'a>(patterns: &Arc<Patterns>, text: &'a str) -> Cow<'a, str> {
    match mask_bytes(patterns, text.as_bytes()).0 {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
    }
}

/// Masks bytes and says what was masked; they are borrowed if nothing was found.
pub fn mask_bytes<'a>(patterns: &Arc<Patterns>, text: &'a [u8]) -> (Cow<'a, [u8]>, Hits) {
    if patterns.is_clear(text) {
        return (Cow::Borrowed(text), Hits::default());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut stream = Stream::new(Arc::clone(patterns));
    let mut hits = stream.push(text, &mut out);
    hits.merge(stream.finish(&mut out));
    if hits.is_empty() { (Cow::Borrowed(text), hits) } else { (Cow::Owned(out), hits) }
}
