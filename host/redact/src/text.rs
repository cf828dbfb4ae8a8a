//! Bytes that know where in the raw stream each of them came from.
//!
//! A view of the stream (escapes undone, line breaks dropped) is searched like the stream itself; a hit in it has to be
//! masked in the raw bytes. Positions count from the beginning of the stream and never restart, so that cutting off
//! what has been dealt with changes nothing else. It never decides what to undo and never searches.

use zeroize::Zeroizing;

/// `out` bytes from position `at` stand for the `raw_len` raw bytes from `raw`. Between edits the two run in step.
#[derive(Clone, Copy)]
struct Edit {
    at: u64,
    raw: u64,
    raw_len: u32,
    out: u32,
}

impl Edit {
    fn end(&self) -> u64 {
        self.at + u64::from(self.out)
    }
}

/// Reads a text from front to back; it remembers its place among the edits, which may be thousands.
///
/// For texts without edits that put nothing in place of something: those are at the ends of the chain of views, where
/// nobody reads on.
pub(crate) struct Reader<'a> {
    text: &'a Text,
    edit: usize,
}

impl Reader<'_> {
    /// The first edit that does not end before a position.
    #[inline]
    fn seek(&mut self, at: u64) -> usize {
        while self.text.edits.get(self.edit).is_some_and(|edit| edit.end() <= at) {
            self.edit += 1;
        }
        self.edit
    }

    #[inline]
    fn raw_of(&mut self, index: usize) -> (u64, u64) {
        let at = self.text.base + index as u64;
        let edit = self.seek(at);
        let covers = self.text.edits.get(edit).is_some_and(|edit| edit.at <= at);
        self.text.raw_after(edit + usize::from(covers), at)
    }
}

/// The part of a view that is still needed. Wiped when dropped: it may hold an echoed secret.
#[derive(Clone, Default)]
pub(crate) struct Text {
    bytes: Zeroizing<Vec<u8>>,
    /// Position of the first byte.
    base: u64,
    /// Raw offset of `base`, unless an edit covers it.
    raw_base: u64,
    edits: Vec<Edit>,
}

impl Text {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub(crate) fn from(&self, index: usize) -> &[u8] {
        self.bytes.get(index..).unwrap_or_default()
    }

    /// The bytes from position `at`, which must not be before `base`.
    pub(crate) fn at(&self, at: u64) -> &[u8] {
        self.from(at.saturating_sub(self.base) as usize)
    }

    /// A reader of this text.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { text: self, edit: 0 }
    }

    /// An empty text that continues at the place of `other`'s byte `index`.
    pub(crate) fn starting_at(other: &Text, index: usize) -> Text {
        let base = other.base + index as u64;
        Text { base, raw_base: other.raw_of(base).0, ..Text::default() }
    }

    /// Appends raw bytes as they are.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends bytes `from..to` of another text together with their origin.
    #[inline]
    pub(crate) fn copy(&mut self, reader: &mut Reader<'_>, from: usize, to: usize) {
        let other = reader.text;
        let Some(bytes) = other.bytes.get(from..to) else { return };
        let (start, stop) = (other.base + from as u64, other.base + to as u64);
        let here = self.end();
        let first = reader.seek(start);
        for edit in other.edits.get(first..).unwrap_or_default().iter().take_while(|edit| edit.at < stop) {
            let at = edit.at.max(start);
            let out = edit.end().min(stop).saturating_sub(at);
            self.edits.push(Edit { at: here + (at - start), out: out as u32, ..*edit });
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends `out` in place of bytes `from..to` of another text. Answers the raw offset after them.
    #[inline]
    pub(crate) fn replace(&mut self, reader: &mut Reader<'_>, from: usize, to: usize, out: &[u8]) -> u64 {
        let raw = reader.raw_of(from).0;
        let raw_end = reader.raw_of(to.saturating_sub(1)).1;
        let at = self.end();
        self.edits.push(Edit { at, raw, raw_len: (raw_end - raw) as u32, out: out.len() as u32 });
        self.bytes.extend_from_slice(out);
        raw_end
    }

    /// The raw range that the byte at a position stands for.
    pub(crate) fn raw_of(&self, at: u64) -> (u64, u64) {
        let next = self.edits.partition_point(|edit| edit.at <= at);
        self.raw_after(next, at)
    }

    /// The same, when `next` is known to be the first edit behind `at`.
    #[inline]
    fn raw_after(&self, next: usize, at: u64) -> (u64, u64) {
        let Some(edit) = next.checked_sub(1).and_then(|last| self.edits.get(last)) else {
            let raw = self.raw_base + (at - self.base);
            return (raw, raw + 1);
        };
        let raw_end = edit.raw + u64::from(edit.raw_len);
        match (at - edit.at).checked_sub(u64::from(edit.out)) {
            None => (edit.raw, raw_end),
            Some(after) => (raw_end + after, raw_end + after + 1),
        }
    }

    /// Forgets everything before a position.
    pub(crate) fn trim(&mut self, to: u64) {
        let cut = (to.saturating_sub(self.base) as usize).min(self.bytes.len());
        if cut == 0 {
            return;
        }
        let raw_base = self.raw_of(to).0;
        let gone = self.edits.partition_point(|edit| edit.end() <= to);
        self.edits.drain(..gone);
        self.bytes.drain(..cut);
        (self.base, self.raw_base) = (to, raw_base);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.edits.clear();
    }
}
