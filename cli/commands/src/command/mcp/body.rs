//! An answer's bytes on their way in: a little of them in memory, more in a file, and whether they are text.

use std::sync::Arc;

use super::reply::MAX_TEXT;
use super::shown::Shown;
use super::store::{self, Draft, Store, Stored};
use crate::problem::Problem;

/// What came.
pub(super) enum Body {
    /// All of it, at most [`MAX_TEXT`], and text.
    Short(Vec<u8>),
    /// The beginning, and a file with all of it.
    Long { head: Vec<u8>, file: Arc<Stored> },
}

/// Which control characters text may have in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Controls {
    /// All but NUL: what a program writes for a terminal is text.
    AllButNul,
    /// Those that files of text have.
    Few,
}

/// Bytes that are still coming.
pub(super) struct Gathering<'a> {
    store: &'a Store,
    extension: &'static str,
    head: Vec<u8>,
    draft: Option<Draft>,
    text: Text,
    size: u64,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(store: &'a Store, extension: &'static str, controls: Controls) -> Self {
        let text = Text { controls, binary: false, open: Vec::new() };
        Self { store, extension, head: Vec::new(), draft: None, text, size: 0 }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it has been text so far.
    pub(super) fn is_text(&self) -> bool {
        !self.text.binary
    }

    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.size += chunk.len() as u64;
        self.text.take(chunk);
        if self.draft.is_none() && self.head.len() + chunk.len() > MAX_TEXT {
            self.draft = Some(self.written()?);
        }
        match &mut self.draft {
            Some(file) => file.write(chunk)?,
            None => self.head.extend_from_slice(chunk),
        }
        if self.draft.is_some() && self.head.len() < MAX_TEXT {
            self.head.extend_from_slice(&chunk[..chunk.len().min(MAX_TEXT - self.head.len())]);
        }
        Ok(())
    }

    /// All of it, in memory where it is text that takes at most so many bytes when it is shown.
    pub(super) fn end(mut self, from: &str, shown: Shown, most: usize) -> Result<Body, Problem> {
        let shown = if self.text.end() { shown } else { Shown::Bytes };
        let draft = match self.draft.take() {
            Some(draft) => draft,
            None if self.head.is_empty() => return Ok(Body::Short(self.head)),
            None if shown != Shown::Bytes && fits(&self.head, shown, most) => return Ok(Body::Short(self.head)),
            None => self.written()?,
        };
        Ok(Body::Long { head: self.head, file: self.store.keep(draft, from, shown)? })
    }

    /// A file with what there is so far.
    fn written(&self) -> Result<Draft, Problem> {
        let mut draft = self.store.draft(self.extension)?;
        draft.write(&self.head)?;
        Ok(draft)
    }
}

fn fits(bytes: &[u8], shown: Shown, most: usize) -> bool {
    store::beginning(bytes).is_some_and(|text| shown.fit(text, most).0.len() == bytes.len())
}

/// Whether bytes that come in pieces are text all along.
struct Text {
    controls: Controls,
    binary: bool,
    /// The beginning of a character whose rest is to come; at most three bytes.
    open: Vec<u8>,
}

impl Text {
    fn take(&mut self, chunk: &[u8]) {
        if self.binary {
            return;
        }
        let joined;
        let bytes = if self.open.is_empty() {
            chunk
        } else {
            joined = [self.open.as_slice(), chunk].concat();
            joined.as_slice()
        };
        let (text, open, broken) = match std::str::from_utf8(bytes) {
            Ok(_) => (bytes, &[][..], false),
            Err(error) => {
                let (text, open) = bytes.split_at(error.valid_up_to());
                (text, open, error.error_len().is_some())
            }
        };
        self.binary = broken || text.iter().any(|byte| self.is_strange(*byte));
        self.open = open.to_vec();
    }

    fn is_strange(&self, byte: u8) -> bool {
        match self.controls {
            Controls::AllButNul => byte == 0,
            Controls::Few => byte < 0x20 && !b"\t\n\r\x0c\x1b".contains(&byte),
        }
    }

    fn end(&self) -> bool {
        !self.binary && self.open.is_empty()
    }
}
