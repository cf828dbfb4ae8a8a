//! All forms of a set of secrets, ready to be searched.
//!
//! Built once and shared. The bytes in here are secrets: they are wiped when dropped, and there is no way to print them.

use zeroize::Zeroizing;

use crate::escape;
use crate::forms::{self, Forms, MIN_FORMS};
use crate::index::{CLASSES, Class, Filter, Index, Place, hash};
use crate::view::{LAYERS, MAX_FOLD};

/// Values shorter than this are not looked for: they would mask ordinary text.
const MIN_VALUE: usize = 4;

/// Windows lie within the first bytes of a pattern, so that a pattern which has only begun is noticed by its window
/// unless it began less than this many bytes ago.
pub(crate) const HEAD: usize = 64;

/// A pattern in whose body its own window comes up more often than this is followed by an automaton; for the others
/// comparing afresh at each window is linear, with this number as the factor.
const MAX_RECURRENCE: usize = 8;

/// What is wrong with a value as far as finding it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Shorter than 4 bytes: not looked for at all.
    Ignored,
    /// Shorter than 8 bytes: found as it is and with escapes undone, but in no other form.
    RawOnly,
}

/// Collects the values of a set of secrets.
#[derive(Default)]
pub struct PatternsBuilder {
    values: Vec<Zeroizing<Vec<u8>>>,
}

impl PatternsBuilder {
    pub fn new() -> Self {
        PatternsBuilder::default()
    }

    /// Adds one value. Its index, which [`crate::Hits`] names, is the number of values added before.
    pub fn add(&mut self, value: &[u8]) -> usize {
        self.values.push(Zeroizing::new(value.to_vec()));
        self.values.len() - 1
    }

    /// Derives all forms. Takes some 100 us for each ordinary value; longer for large or binary ones.
    pub fn build(self) -> Patterns {
        let quotes = self.values.iter().any(|value| value.contains(&b'\'') || value.contains(&b'"'));
        let mut all: Vec<(Zeroizing<Vec<u8>>, u32)> = Vec::new();
        let mut weak = Vec::new();
        for (owner, value) in self.values.iter().enumerate() {
            if value.len() < MIN_VALUE {
                weak.push((owner, Weakness::Ignored));
            } else if value.len() < MIN_FORMS {
                weak.push((owner, Weakness::RawOnly));
            }
            let mut forms = Forms::new();
            for part in forms::parts(value) {
                forms::derive(&part, quotes, &mut forms);
            }
            let long_enough = |form: &Zeroizing<Vec<u8>>| form.len() >= MIN_VALUE;
            all.extend(forms.into_iter().filter(long_enough).map(|form| (form, owner as u32)));
        }
        all.sort_unstable_by(|a, b| (a.0.as_slice(), a.1).cmp(&(b.0.as_slice(), b.1)));
        all.dedup_by(|later, first| later.0 == first.0);
        Patterns::new(&all, quotes, weak)
    }
}

pub(crate) struct Pattern {
    at: u32,
    len: u32,
    pub(crate) owner: u32,
    /// Knuth, Morris and Pratt's failure function, for a pattern that resembles itself.
    pub(crate) failure: Option<Zeroizing<Vec<u32>>>,
}

/// The forms of a set of secrets; what a search needs. Sorted by bytes and without doubles.
///
/// Two secrets with a form in common are told apart by the one added first.
pub struct Patterns {
    bytes: Zeroizing<Vec<u8>>,
    patterns: Vec<Pattern>,
    heads: Filter,
    indexes: Vec<Index>,
    weak: Vec<(usize, Weakness)>,
    longest: usize,
    shortest: usize,
    pub(crate) quotes: bool,
}

impl Patterns {
    fn new(all: &[(Zeroizing<Vec<u8>>, u32)], quotes: bool, weak: Vec<(usize, Weakness)>) -> Patterns {
        let mut bytes = Zeroizing::new(Vec::with_capacity(all.iter().map(|(form, _)| form.len()).sum()));
        let mut heads = Filter::new(all.len());
        let commonness = Commonness::of(all);
        let mut grams: [Vec<(u64, Place)>; 3] = Default::default();
        let mut patterns = Vec::with_capacity(all.len());
        for (number, (form, owner)) in all.iter().enumerate() {
            if let Some(head) = head(form) {
                heads.insert(head);
            }
            let mut recurs = 0;
            if let Some((class, grams)) = Class::of(form.len()).and_then(|of| CLASSES.get(of).zip(grams.get_mut(of))) {
                let window = commonness.rarest_window(*class, form);
                // Later offsets first: places of one gram then come in the order in which their patterns would begin.
                for offset in (window..window + class.stride()).rev() {
                    let place = Place { pattern: number as u32, offset: offset as u32 };
                    grams.extend(class.gram_of(form.get(offset..).unwrap_or_default()).map(|gram| (gram, place)));
                }
                recurs = recurrence(*class, form, window);
            }
            let failure = (recurs > MAX_RECURRENCE).then(|| failure(form));
            patterns.push(Pattern { at: bytes.len() as u32, len: form.len() as u32, owner: *owner, failure });
            bytes.extend_from_slice(form);
        }
        let used = CLASSES.iter().zip(&grams).filter(|(_, grams)| !grams.is_empty());
        let indexes = used.map(|(class, grams)| Index::new(*class, grams)).collect();
        grams.iter_mut().for_each(|grams| grams.iter_mut().for_each(|gram| gram.0 = 0));
        let lengths = || all.iter().map(|(form, _)| form.len());
        let (longest, shortest) = (lengths().max().unwrap_or(0), lengths().min().unwrap_or(usize::MAX));
        Patterns { bytes, patterns, heads, indexes, weak, longest, shortest, quotes }
    }

    /// The patterns of no secrets; everything passes.
    pub fn none() -> Patterns {
        PatternsBuilder::new().build()
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Values for which less is promised, by index.
    pub fn weak(&self) -> &[(usize, Weakness)] {
        &self.weak
    }

    /// The most bytes that a [`crate::Stream`] can hold back: the longest form, each byte of it written as an escape of
    /// an escape with as many blanks before it as the folded view leaves out. In practice what is held is the length of
    /// what has been seen of a secret.
    pub fn max_held(&self) -> usize {
        self.longest.saturating_mul(escape::LONGEST.pow(LAYERS)).saturating_mul(MAX_FOLD + 1)
    }

    /// How many forms are searched for.
    pub fn forms(&self) -> usize {
        self.patterns.len()
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Length of the shortest form: a text of fewer bytes holds none, as no escape is shorter than what it stands for.
    pub(crate) fn shortest(&self) -> usize {
        self.shortest
    }

    pub(crate) fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    pub(crate) fn get(&self, number: u32) -> Option<(&Pattern, &[u8])> {
        let pattern = self.patterns.get(number as usize)?;
        Some((pattern, self.bytes.get(pattern.at as usize..(pattern.at + pattern.len) as usize)?))
    }

    /// Whether `text` is the beginning, and not the whole, of some pattern.
    pub(crate) fn may_begin(&self, text: &[u8]) -> bool {
        if head(text).is_some_and(|head| !self.heads.may_contain(head)) {
            return false;
        }
        let bytes = |number: usize| self.get(number as u32).map_or(&[][..], |(_, bytes)| bytes);
        let (mut low, mut high) = (0, self.patterns.len());
        while low < high {
            let middle = low.midpoint(high);
            if bytes(middle) <= text { low = middle + 1 } else { high = middle }
        }
        bytes(low).starts_with(text)
    }
}

/// The first eight bytes as a number.
fn head(text: &[u8]) -> Option<u64> {
    text.first_chunk::<8>().map(|head| u64::from_le_bytes(*head))
}

/// How often a gram occurs at the head of the patterns, roughly. `sk-proj-` begins a thousand of them; a window there
/// would be found a thousand times over at each harmless mention.
struct Commonness {
    counts: Zeroizing<Vec<u16>>,
    shift: u32,
}

impl Commonness {
    fn of(all: &[(Zeroizing<Vec<u8>>, u32)]) -> Commonness {
        let size = (all.len() * 64).next_power_of_two().clamp(1 << 10, 1 << 20);
        let mut this = Commonness { counts: Zeroizing::new(vec![0; size]), shift: 64 - size.trailing_zeros() };
        for (form, _) in all {
            let Some(class) = Class::of(form.len()).and_then(|of| CLASSES.get(of)) else { continue };
            let head = form.get(..HEAD).unwrap_or(form);
            for gram in (0..head.len()).filter_map(|at| class.gram_of(head.get(at..)?)) {
                if let Some(count) = this.counts.get_mut((hash(gram) >> this.shift) as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
        this
    }

    /// Offset of the window whose most common gram is the least common; among equals the one with the most distinct
    /// bytes, as a run of blanks or zeros is likely in any text.
    fn rarest_window(&self, class: Class, form: &[u8]) -> usize {
        let count = |gram: u64| self.counts.get((hash(gram) >> self.shift) as usize).copied().unwrap_or(0);
        let last = form.len().min(HEAD) - class.window.min(form.len());
        let cost = |window: usize| {
            let grams = (window..window + class.stride()).filter_map(|at| class.gram_of(form.get(at..)?));
            let mut seen = [0u64; 4];
            for &byte in form.iter().skip(window).take(class.window) {
                if let Some(bits) = seen.get_mut(usize::from(byte >> 6)) {
                    *bits |= 1 << (byte & 63);
                }
            }
            let distinct: u32 = seen.iter().map(|bits| bits.count_ones()).sum();
            (grams.map(count).max().unwrap_or(0), class.window - distinct as usize)
        };
        (0..=last).min_by_key(|&window| cost(window)).unwrap_or(0)
    }
}

/// How often grams of the window occur in the pattern elsewhere than in their place.
fn recurrence(class: Class, form: &[u8], window: usize) -> usize {
    if form.len() <= HEAD {
        return 0;
    }
    let grams: Vec<u64> = (window..window + class.stride()).filter_map(|at| class.gram_of(form.get(at..)?)).collect();
    let occurrences = (0..form.len()).filter_map(|at| class.gram_of(form.get(at..)?));
    occurrences
        .map(|gram| grams.iter().filter(|&&other| other == gram).count())
        .sum::<usize>()
        .saturating_sub(grams.len())
}

/// `failure[i]`: the length of the longest beginning of the pattern that ends, and is not all of, its first `i + 1` bytes.
fn failure(form: &[u8]) -> Zeroizing<Vec<u32>> {
    let mut failure = Zeroizing::new(Vec::with_capacity(form.len()));
    let mut matched = 0u32;
    for (i, byte) in form.iter().enumerate() {
        if i > 0 {
            matched = step(form, &failure, matched, *byte);
        }
        failure.push(matched);
    }
    failure
}

/// The automaton's next state: how much of the pattern is matched after `byte`.
pub(crate) fn step(form: &[u8], failure: &[u32], mut matched: u32, byte: u8) -> u32 {
    while form.get(matched as usize) != Some(&byte) {
        let Some(before) = matched.checked_sub(1) else { return 0 };
        matched = failure.get(before as usize).copied().unwrap_or(0);
    }
    matched + 1
}
