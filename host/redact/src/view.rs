//! Views: the stream with escapes undone, twice undone, with line breaks left out, and as quoted-printable.
//!
//! ```text
//! raw -> Once -> Twice -> Folded
//!                      -> QuotedPrintable
//! ```
//!
//! A view costs nothing until there is something to undo: until then it is its parent, and when the last thing undone
//! has been dealt with it is so again. Quoted-printable stands apart because its `=XX` would eat the first two characters
//! of a value in `?key=ABcd...`. Views never search and never decide what leaves.

use zeroize::Zeroizing;

use crate::escape::{self, Step, Triggers};
use crate::text::{Reader, Text};

/// How many blanks and breaks in a row the folded view leaves out. Wrapped base64 has a break and an indent; the bound is
/// what keeps a million blank lines after a live prefix from being held back.
pub(crate) const MAX_FOLD: usize = 64;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Escapes,
    Folded,
    QuotedPrintable,
    Raw,
}

/// How many layers of escapes are undone one after the other.
pub(crate) const LAYERS: u32 = 2;

/// The views, parents first, with the index of the parent.
pub(crate) const VIEWS: [(Kind, usize); 5] =
    [(Kind::Raw, 0), (Kind::Escapes, 0), (Kind::Escapes, 1), (Kind::Folded, 2), (Kind::QuotedPrintable, 2)];

pub(crate) struct View {
    kind: Kind,
    pub(crate) text: Text,
    /// Index in `text` of the first byte that came with this feed.
    fresh: usize,
    active: bool,
    /// An escape of the parent's that is not finished.
    carry: Text,
    /// Blanks left out since the last break, when the text ends in them.
    run: usize,
    /// Raw offset after the last thing undone.
    edited_to: u64,
    opened_at: Option<u64>,
}

impl View {
    pub(crate) fn new(kind: Kind) -> View {
        View {
            kind,
            text: Text::default(),
            fresh: 0,
            active: kind == Kind::Raw,
            carry: Text::default(),
            run: 0,
            edited_to: 0,
            opened_at: None,
        }
    }

    /// Whether this view differs from its parent at the moment.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Takes raw bytes; for the raw view.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.fresh = self.text.len();
        self.text.extend(bytes);
    }

    /// Takes what came fresh in the parent. Answers the position of the first thing undone if the view opened with it.
    pub(crate) fn feed(&mut self, parent: &View, quotes: bool, last: bool) -> Option<u64> {
        self.fresh = self.text.len();
        self.opened_at = None;
        if self.carry.len() == 0 {
            self.take(&parent.text, parent.fresh, quotes, last);
        } else {
            let mut joined = std::mem::take(&mut self.carry);
            joined.copy(&mut parent.text.reader(), parent.fresh, parent.text.len());
            self.take(&joined, 0, quotes, last);
        }
        self.opened_at
    }

    fn take(&mut self, input: &Text, from: usize, quotes: bool, last: bool) {
        match self.kind {
            Kind::Raw => {}
            Kind::Escapes => {
                let mut triggers = Triggers::new(input.from(from), quotes);
                let next = |at: usize| triggers.next(at - from).map(|found| found + from);
                self.undo(input, from, last, next, |bytes| escape::unescape(bytes, quotes));
            }
            Kind::QuotedPrintable => {
                let next = |at: usize| memchr::memchr(b'=', input.from(at)).map(|found| found + at);
                self.undo(input, from, last, next, escape::quoted_printable);
            }
            Kind::Folded => self.fold(input, from),
        }
    }

    fn undo(
        &mut self,
        input: &Text,
        from: usize,
        last: bool,
        mut next: impl FnMut(usize) -> Option<usize>,
        step: impl Fn(&[u8]) -> Step,
    ) {
        let mut reader = input.reader();
        let (mut at, mut copied) = (from, from);
        while let Some(trigger) = next(at) {
            match step(input.from(trigger)) {
                Step::Plain => at = trigger + 1,
                Step::Undone { take, out, n } => {
                    self.open(input, from, trigger);
                    self.text.copy(&mut reader, copied, trigger);
                    at = trigger + take;
                    copied = at;
                    self.edited_to = self.text.replace(&mut reader, trigger, at, out.get(..n).unwrap_or_default());
                }
                Step::More if last => at = trigger + 1,
                Step::More => {
                    self.open(input, from, trigger);
                    self.text.copy(&mut reader, copied, trigger);
                    self.carry = Text::starting_at(input, trigger);
                    self.carry.copy(&mut reader, trigger, input.len());
                    return;
                }
            }
        }
        if self.active {
            self.text.copy(&mut reader, copied, input.len());
        }
    }

    fn fold(&mut self, input: &Text, from: usize) {
        let mut reader = input.reader();
        let (mut at, mut copied) = (from, from);
        let mut in_blanks = self.run > 0;
        loop {
            if in_blanks {
                copied = self.drop_blanks(input, &mut reader, at);
                at = copied;
                if at >= input.len() {
                    return;
                }
                // Once the bound is reached a blank stands for itself, or the bound would only start again.
                at += usize::from(self.run == MAX_FOLD);
                self.run = 0;
            }
            let Some(found) = memchr::memchr2(b'\r', b'\n', input.from(at)) else { break };
            at += found;
            self.open(input, from, at);
            self.text.copy(&mut reader, copied, at);
            in_blanks = true;
        }
        if self.active {
            self.text.copy(&mut reader, copied, input.len());
        }
    }

    /// Leaves out blanks from `from` on, up to the bound, and answers where they end.
    fn drop_blanks(&mut self, input: &Text, reader: &mut Reader<'_>, from: usize) -> usize {
        let blanks = input.from(from).iter().take(MAX_FOLD - self.run);
        let to = from + blanks.take_while(|c| matches!(c, b'\r' | b'\n' | b' ' | b'\t')).count();
        if to > from {
            let kept: &[u8] = if self.run == 0 && self.ends_in_spaced_hex() { b" " } else { &[] };
            self.edited_to = self.text.replace(reader, from, to, kept);
        }
        self.run += to - from;
        to
    }

    /// As `od -tx1` writes bytes: there a line's end stands for the blank between two of them.
    fn ends_in_spaced_hex(&self) -> bool {
        let tail = self.text.from(self.text.len().saturating_sub(3));
        matches!(tail, [b' ', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    }

    /// Becomes a text of its own: what the parent still holds, and from here on its own bytes.
    fn open(&mut self, parent: &Text, fresh: usize, at: usize) {
        if self.active {
            return;
        }
        self.active = true;
        self.text = Text::starting_at(parent, 0);
        self.text.copy(&mut parent.reader(), 0, fresh);
        self.fresh = fresh;
        self.opened_at = Some(parent.base() + at as u64);
    }

    /// Forgets what is before `live` and answers the raw offset from which on bytes have to be held back, if any do.
    ///
    /// The view closes when it has become its parent again: nothing it undid is left in it, nor in what the views above
    /// hold back, which is `above`. Closing on the first alone would let it begin anew, when it opens again, within bytes
    /// that it had read as part of an escape.
    pub(crate) fn settle(&mut self, live: u64, above: u64) -> Option<u64> {
        let undecided = (self.carry.len() > 0).then(|| self.carry.raw_of(self.carry.base()).0);
        let held = if live < self.text.end() { Some(self.text.raw_of(live).0) } else { undecided };
        if self.kind != Kind::Raw {
            self.text.trim(live);
            let raw_live = held.unwrap_or(above).min(above);
            if self.edited_to <= raw_live && self.carry.len() == 0 && self.run == 0 {
                self.active = false;
                self.text.clear();
            }
        }
        held
    }
}

/// One layer of escapes undone in a whole text.
pub(crate) fn undo(bytes: &[u8], quotes: bool) -> Zeroizing<Vec<u8>> {
    apply(Kind::Escapes, bytes, quotes)
}

/// A whole text as each view but the raw one shows it.
pub(crate) fn all(bytes: &[u8], quotes: bool) -> [Zeroizing<Vec<u8>>; 4] {
    let once = undo(bytes, quotes);
    let twice = undo(&once, quotes);
    let folded = apply(Kind::Folded, &twice, quotes);
    let printable = apply(Kind::QuotedPrintable, &twice, quotes);
    [once, twice, folded, printable]
}

fn apply(kind: Kind, bytes: &[u8], quotes: bool) -> Zeroizing<Vec<u8>> {
    let mut raw = View::new(Kind::Raw);
    raw.push(bytes);
    let mut view = View::new(kind);
    view.feed(&raw, quotes, true);
    Zeroizing::new(if view.active { view.text.bytes().to_vec() } else { bytes.to_vec() })
}
