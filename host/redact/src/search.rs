//! Finding patterns in one view, as it grows.
//!
//! Three kinds of knowledge carry over from one feed to the next: how far the samples have been looked at, which patterns
//! have begun and not ended, and the automata of patterns that resemble themselves. It finds; it masks nothing.

use crate::patterns::{HEAD, Patterns, step};
use crate::text::Text;

/// A pattern that agrees with the text from `start` to the text's end.
#[derive(Clone)]
struct Begun {
    pattern: u32,
    start: u64,
    matched: usize,
}

/// A pattern that resembles itself, followed byte by byte: up to `to`, its first `matched` bytes agree.
#[derive(Clone)]
struct Tracker {
    pattern: u32,
    to: u64,
    matched: u32,
}

/// Positions of a hit in the text of the view, and whose it is.
pub(crate) struct Found {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) owner: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Search {
    begun: Vec<Begun>,
    trackers: Vec<Tracker>,
    /// Position up to which samples have been looked at.
    scanned: u64,
    /// Position before which there is nothing to find in the next feed.
    skip_to: u64,
}

impl Search {
    /// The search of a view that has just opened at `edit`, while `self` is that of its parent before this feed. What
    /// ends before the edit is the parent's to find.
    pub(crate) fn fork(&self, edit: u64, longest: usize) -> Search {
        // `scanned` stays as it was: a view below may open at an earlier place in this same feed.
        Search { skip_to: edit.saturating_sub(longest as u64), ..self.clone() }
    }

    /// Looks at what is new in `text` and reports all that ends in it. Answers the position from which on the text may be
    /// the beginning of a pattern; its end if nothing may.
    pub(crate) fn advance(&mut self, text: &Text, patterns: &Patterns, found: &mut Vec<Found>) -> u64 {
        self.continue_begun(text, patterns, found);
        for tracker in &mut self.trackers {
            tracker.advance(text, patterns, found);
        }
        for index in patterns.indexes() {
            index.scan(text.bytes(), text.base(), self.scanned.max(self.skip_to), |at, places| {
                work::count(1 + places.len());
                for place in places {
                    let start = at.checked_sub(u64::from(place.offset)).filter(|&start| start >= text.base());
                    if let Some(start) = start {
                        inspect(
                            text,
                            patterns,
                            place.pattern,
                            start,
                            place.offset,
                            &mut self.begun,
                            &mut self.trackers,
                            found,
                        );
                    }
                }
            });
        }
        self.trackers.retain(|tracker| tracker.matched > 0);
        (self.scanned, self.skip_to) = (text.end(), 0);
        self.live(text, patterns)
    }

    fn continue_begun(&mut self, text: &Text, patterns: &Patterns, found: &mut Vec<Found>) {
        self.begun.retain_mut(|begun| {
            let Some((pattern, bytes)) = patterns.get(begun.pattern) else { return false };
            let rest = bytes.get(begun.matched..).unwrap_or_default();
            let more = text.at(begun.start + begun.matched as u64);
            let n = rest.len().min(more.len());
            work::count(1 + n);
            if rest.get(..n) != more.get(..n) {
                return false;
            }
            begun.matched += n;
            if begun.matched < bytes.len() {
                return true;
            }
            found.push(Found { start: begun.start, end: begun.start + bytes.len() as u64, owner: pattern.owner });
            false
        });
    }

    /// The earliest position at which some pattern has begun and may still come true.
    fn live(&self, text: &Text, patterns: &Patterns) -> u64 {
        let begun = self.begun.iter().map(|begun| begun.start).min().unwrap_or(u64::MAX);
        let tracked =
            self.trackers.iter().map(|tracker| tracker.to - u64::from(tracker.matched)).min().unwrap_or(u64::MAX);
        let end = text.end();
        let known = begun.min(tracked).min(end);
        // A pattern that began this recently may not have shown its window yet.
        let recent = end.saturating_sub(HEAD as u64 - 1).max(text.base());
        (recent..known).find(|&at| patterns.may_begin(text.at(at))).unwrap_or(known)
    }
}

/// Compares a pattern around a gram that agrees, outwards from it, so that a mere resemblance is soon over.
#[allow(clippy::too_many_arguments)]
fn inspect(
    text: &Text,
    patterns: &Patterns,
    number: u32,
    start: u64,
    offset: u32,
    begun: &mut Vec<Begun>,
    trackers: &mut Vec<Tracker>,
    found: &mut Vec<Found>,
) {
    let Some((pattern, bytes)) = patterns.get(number) else { return };
    if pattern.failure.is_some() {
        // Where an automaton has been it has seen all there is.
        let known = trackers.iter().position(|tracker| tracker.pattern == number).unwrap_or(trackers.len());
        if trackers.get(known).is_none_or(|tracker| tracker.to <= start) {
            let mut tracker = Tracker { pattern: number, to: start, matched: 0 };
            tracker.advance(text, patterns, found);
            match trackers.get_mut(known) {
                Some(done) => *done = tracker,
                None => trackers.push(tracker),
            }
        }
        return;
    }
    let there = text.at(start);
    let n = there.len().min(bytes.len());
    let split = offset as usize;
    let agree = |from: usize, to: usize| {
        let (pattern, text) = (bytes.get(from..to).unwrap_or_default(), there.get(from..to).unwrap_or_default());
        let same = pattern.iter().zip(text).take_while(|(a, b)| a == b).count();
        work::count(1 + same);
        same == pattern.len()
    };
    if !agree(split, n) || !agree(0, split) {
        return;
    }
    if n == bytes.len() {
        found.push(Found { start, end: start + n as u64, owner: pattern.owner });
    } else {
        begun.push(Begun { pattern: number, start, matched: n });
    }
}

impl Tracker {
    /// Follows the text to its end, or to where nothing of the pattern agrees any more.
    fn advance(&mut self, text: &Text, patterns: &Patterns, found: &mut Vec<Found>) {
        let Some((pattern, bytes)) = patterns.get(self.pattern) else { return };
        let Some(failure) = &pattern.failure else { return };
        for &byte in text.at(self.to) {
            work::count(1);
            self.matched = step(bytes, failure, self.matched, byte);
            self.to += 1;
            if self.matched == 0 {
                return;
            }
            if self.matched as usize == bytes.len() {
                found.push(Found { start: self.to - bytes.len() as u64, end: self.to, owner: pattern.owner });
                self.matched = failure.last().copied().unwrap_or(0);
            }
        }
    }
}

/// Counts steps in tests, so that they can hold the search to linear work without measuring time.
pub(crate) mod work {
    #[cfg(test)]
    thread_local!(static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

    #[inline]
    pub(crate) fn count(_steps: usize) {
        #[cfg(test)]
        STEPS.with(|steps| steps.set(steps.get() + _steps as u64));
    }

    #[cfg(test)]
    pub(crate) fn take() -> u64 {
        STEPS.with(|steps| steps.replace(0))
    }
}
