//! One stream, cleaned as it passes.
//!
//! Begin with [`Stream::push`]: feed the views, search each, then let out what can no longer become part of a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::patterns::Patterns;
use crate::search::{Found, Search};
use crate::view::{Kind, VIEWS, View};

/// What stands in place of a secret; the same for all, so that it tells nothing about length or name.
pub const MARKER: &[u8] = b"[kv:redacted]";

/// Large pushes are worked through in pieces that stay in the cache together with their views.
const PIECE: usize = 32 << 10;

/// The most that [`Stream::release`] lets go. Shorter than any value of which all forms are looked for.
const MAX_RELEASE: u64 = 7;

/// What was masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many markers stand in the output.
    pub total: u64,
    /// For each secret, by its index, in how many of these places it took part.
    pub by_secret: BTreeMap<usize, u64>,
}

impl Hits {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn merge(&mut self, other: Hits) {
        self.total += other.total;
        for (secret, count) in other.by_secret {
            *self.by_secret.entry(secret).or_default() += count;
        }
    }
}

/// The state between two chunks of a stream.
pub struct Stream {
    patterns: Arc<Patterns>,
    views: Vec<(View, Search)>,
    masks: Vec<Mask>,
    /// Raw offset up to which output has been written.
    written: u64,
    /// Up to here nothing can be the beginning of a secret any more.
    settled: u64,
    /// Raw offset up to which the last marker reaches.
    masked_to: u64,
    /// Whose secrets the last marker stands for.
    owners: BTreeSet<u32>,
}

/// A raw range to be masked.
struct Mask {
    start: u64,
    end: u64,
    owner: u32,
}

impl Stream {
    pub fn new(patterns: Arc<Patterns>) -> Stream {
        let views = VIEWS.iter().map(|(kind, _)| (View::new(*kind), Search::default())).collect();
        Stream { patterns, views, masks: Vec::new(), written: 0, settled: 0, masked_to: 0, owners: BTreeSet::new() }
    }

    /// Takes a chunk and appends to `out` all that is settled: everything before the first byte which, in some view, may
    /// be the beginning of a secret or of an escape. The output does not depend on how the stream is cut into chunks.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        if self.patterns.is_empty() {
            out.extend_from_slice(chunk);
            return hits;
        }
        for piece in chunk.chunks(PIECE) {
            self.advance(piece, false, out, &mut hits);
        }
        hits
    }

    /// The stream has ended: what was held back is no secret, or it would have been masked.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        self.advance(&[], true, out, &mut hits);
        hits
    }

    /// How many bytes are held back at the moment.
    pub fn held(&self) -> usize {
        self.views.first().map_or(0, |(raw, _)| raw.text.end().saturating_sub(self.written) as usize)
    }

    /// For output that a person is waiting for: lets go of up to 7 held bytes, a prompt's last letter that happens to
    /// be a secret's first. Call it when the source has been quiet for a moment. If the secret does come, the rest of it
    /// is masked, and what was let go is less than services themselves show of a key.
    pub fn release(&mut self, out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        let end = self.views.first().map_or(0, |(raw, _)| raw.text.end());
        // Counted from what is settled, not from what has been written: else a secret that comes in small pieces would
        // be let go piece by piece.
        if end.saturating_sub(self.settled) <= MAX_RELEASE {
            self.write(end, out, &mut hits);
        }
        hits
    }

    fn advance(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>, hits: &mut Hits) {
        self.feed(piece, last);
        let settled = self.search(last);
        self.settled = settled;
        self.write(settled, out, hits);
        if let Some((raw, _)) = self.views.first_mut() {
            raw.text.trim(settled);
        }
    }

    fn feed(&mut self, piece: &[u8], last: bool) {
        for (number, (kind, parent)) in VIEWS.iter().enumerate() {
            let parent = self.standing_for(*parent);
            let (before, from) = self.views.split_at_mut(number);
            let Some((view, search)) = from.first_mut() else { return };
            match before.get(parent) {
                Some((parent, parent_search)) if *kind != Kind::Raw => {
                    if let Some(edit) = view.feed(parent, self.patterns.quotes, last) {
                        *search = parent_search.fork(edit, self.patterns.longest());
                    }
                }
                _ => view.push(piece),
            }
        }
    }

    /// The nearest view upwards that has a text of its own.
    fn standing_for(&self, mut number: usize) -> usize {
        while let (Some((view, _)), Some((_, parent))) = (self.views.get(number), VIEWS.get(number)) {
            if view.is_active() {
                break;
            }
            number = *parent;
        }
        number
    }

    /// Searches every view and answers the raw offset before which nothing can change any more.
    fn search(&mut self, last: bool) -> u64 {
        let mut settled = self.views.first().map_or(0, |(raw, _)| raw.text.end());
        let mut found: Vec<Found> = Vec::new();
        for (view, search) in self.views.iter_mut().filter(|(view, _)| view.is_active()) {
            let live = search.advance(&view.text, &self.patterns, &mut found);
            for hit in found.drain(..) {
                let mask = Mask {
                    start: view.text.raw_of(hit.start).0,
                    end: view.text.raw_of(hit.end.saturating_sub(1)).1,
                    owner: hit.owner,
                };
                match self.masks.last_mut() {
                    Some(before) if before.owner == mask.owner && before.touches(&mask) => {
                        before.end = before.end.max(mask.end)
                    }
                    _ => self.masks.push(mask),
                }
            }
            if let (Some(held), false) = (view.settle(live, settled), last) {
                settled = settled.min(held);
            }
        }
        self.masks.sort_unstable_by_key(|mask| (mask.start, mask.owner));
        settled
    }

    /// Writes what lies before `to`, with markers in place of masks. Masks that overlap share one marker; what a later
    /// one adds to a marker that has been written is left out.
    fn write(&mut self, to: u64, out: &mut Vec<u8>, hits: &mut Hits) {
        let ready = self.masks.partition_point(|mask| mask.start < to);
        for mask in self.masks.drain(..ready).collect::<Vec<_>>() {
            if mask.start >= self.masked_to {
                self.copy(mask.start, out);
                out.extend_from_slice(MARKER);
                hits.total += 1;
                self.owners.clear();
            }
            self.masked_to = self.masked_to.max(mask.end);
            if self.owners.insert(mask.owner) {
                *hits.by_secret.entry(mask.owner as usize).or_default() += 1;
            }
        }
        self.copy(to, out);
    }

    /// Copies the raw bytes up to `to` that have neither been written nor masked.
    fn copy(&mut self, to: u64, out: &mut Vec<u8>) {
        let from = self.written.max(self.masked_to);
        if let Some((raw, _)) = self.views.first()
            && from < to
        {
            out.extend_from_slice(raw.text.at(from).get(..(to - from) as usize).unwrap_or_default());
        }
        self.written = self.written.max(to);
    }
}

impl Mask {
    /// Whether `later`, found after this one, overlaps it from within or behind.
    fn touches(&self, later: &Mask) -> bool {
        later.start >= self.start && later.start < self.end
    }
}
