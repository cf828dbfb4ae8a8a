//! Where a pattern might be: sampled grams.
//!
//! Each pattern is represented by one window of fixed length. Wherever the window stands in a text, it covers one
//! position that is a multiple of the stride, so looking at every stride-th position is enough: read a gram, ask a small
//! filter whether any window has it, and only then look further. The reads do not depend on each other and the cost does
//! not depend on what the text is, which neither a shift table nor an automaton can say.
//!
//! A gram is found by hash and then compared by the caller; the index itself never says that something is a secret.

use zeroize::Zeroizing;

/// A window of a class of pattern lengths.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    /// Patterns shorter than this belong to the class before.
    pub(crate) window: usize,
    pub(crate) gram: usize,
}

/// Longest first. A long gram makes false alarms rare; a short window leaves no room for one, so short values are paid
/// for in speed and only where there are any.
pub(crate) const CLASSES: [Class; 3] =
    [Class { window: 16, gram: 8 }, Class { window: 8, gram: 4 }, Class { window: 4, gram: 4 }];

impl Class {
    pub(crate) fn of(len: usize) -> Option<usize> {
        CLASSES.iter().position(|class| len >= class.window)
    }

    pub(crate) fn stride(self) -> usize {
        self.window - self.gram + 1
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.gram)
    }

    /// The gram at the beginning of `bytes`, as a number.
    pub(crate) fn gram_of(self, bytes: &[u8]) -> Option<u64> {
        if let Some(eight) = bytes.first_chunk::<8>() {
            return Some(u64::from_le_bytes(*eight) & self.mask());
        }
        let gram = bytes.get(..self.gram)?;
        Some(gram.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }
}

/// A pattern has some gram at offset `offset`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) pattern: u32,
    pub(crate) offset: u32,
}

/// The windows of one class.
pub(crate) struct Index {
    pub(crate) class: Class,
    filter: Filter,
    /// `starts[slot]..starts[slot + 1]` are the places of a slot.
    starts: Zeroizing<Vec<u32>>,
    shift: u32,
    places: Vec<Place>,
}

impl Index {
    pub(crate) fn new(class: Class, grams: &[(u64, Place)]) -> Index {
        let slots = (grams.len() * 2).next_power_of_two().max(64);
        let shift = 64 - slots.trailing_zeros();
        let slot = |gram: u64| (hash(gram) >> shift) as usize;
        let mut starts = Zeroizing::new(vec![0u32; slots + 1]);
        for (gram, _) in grams {
            if let Some(count) = starts.get_mut(slot(*gram) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in starts.iter_mut() {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut places = vec![Place::default(); grams.len()];
        let mut filter = Filter::new(grams.len());
        for (gram, place) in grams {
            filter.insert(*gram);
            let Some(at) = next.get_mut(slot(*gram)) else { continue };
            if let Some(free) = places.get_mut(*at as usize) {
                *free = *place;
            }
            *at += 1;
        }
        Index { class, filter, starts, shift, places }
    }

    /// Calls `found` for every sampled position from which a window may begin, with index and places.
    ///
    /// Sampled are the positions whose gram ends after `scanned`; `base` is the position of `text`'s first byte.
    pub(crate) fn scan(&self, text: &[u8], base: u64, scanned: u64, mut found: impl FnMut(u64, &[Place])) {
        let stride = self.class.stride();
        let from = (scanned + 1).saturating_sub(self.class.gram as u64).max(base);
        let mut at = (from.next_multiple_of(stride as u64) - base) as usize;
        while let Some(gram) = text.get(at..).and_then(|rest| self.class.gram_of(rest)) {
            if self.filter.may_contain(gram) {
                found(base + at as u64, self.places(gram));
            }
            at += stride;
        }
    }

    /// Whether some window may be in a whole text.
    pub(crate) fn may_occur(&self, text: &[u8]) -> bool {
        let mut samples = (0..text.len()).step_by(self.class.stride());
        samples.any(|at| {
            text.get(at..).and_then(|rest| self.class.gram_of(rest)).is_some_and(|gram| self.filter.may_contain(gram))
        })
    }

    fn places(&self, gram: u64) -> &[Place] {
        let slot = (hash(gram) >> self.shift) as usize;
        let (Some(&from), Some(&to)) = (self.starts.get(slot), self.starts.get(slot + 1)) else { return &[] };
        self.places.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// A Bloom filter whose bits for one gram share a word: one read answers.
pub(crate) struct Filter {
    words: Zeroizing<Vec<u64>>,
    shift: u32,
}

impl Filter {
    /// Sixteen bits for each gram: about one false alarm in a hundred, 700 KiB for 1,000 secrets.
    pub(crate) fn new(grams: usize) -> Filter {
        let words = (grams / 4).next_power_of_two().max(64);
        Filter { words: Zeroizing::new(vec![0; words]), shift: 64 - words.trailing_zeros() }
    }

    pub(crate) fn insert(&mut self, gram: u64) {
        let (word, bits) = self.place(gram);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bits;
        }
    }

    #[inline]
    pub(crate) fn may_contain(&self, gram: u64) -> bool {
        let (word, bits) = self.place(gram);
        self.words.get(word).is_some_and(|word| word & bits == bits)
    }

    #[inline]
    fn place(&self, gram: u64) -> (usize, u64) {
        let hash = hash(gram);
        let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63);
        ((hash >> self.shift) as usize, bits)
    }
}

/// Multiply and fold: both halves of the product depend on all bits of the gram.
#[inline]
pub(crate) fn hash(gram: u64) -> u64 {
    let product = u128::from(gram ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}
