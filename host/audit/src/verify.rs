//! Is the chain whole? Streams over all segments in bounded memory and names the first entry that is wrong.
//!
//! What this proves: from the first entry to the last, nothing was changed, removed, added or moved by anyone who did
//! not write the whole rest of the chain anew. What only an anchor (a [`Head`] kept elsewhere) proves: that the rest was
//! not written anew, and that nothing was cut off the end up to the anchor.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;

use crate::directory::Directory;
use crate::disk::Segments;
use crate::error::ReadError;
use crate::event::Event;
use crate::format::{Entry, FORMAT, Head, LineError};
use crate::lines::{Line, Lines, first_entry};
use crate::record::{Record, SegmentReason, SegmentStart};

/// As many notes as a report holds; the rest is counted.
const MAX_NOTES: usize = 100;
/// As many intents without an outcome as are kept in mind. More are in flight only in a log that somebody made up.
const MAX_OPEN: usize = 100_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The first thing that is wrong. Nothing after it was looked at.
    pub bad: Option<Bad>,
    /// Entries that the log itself says may have been lost by a failing disk, and that are not there.
    pub losses: Vec<Loss>,
    /// Not wrong, but good to know.
    pub notes: Vec<Note>,
    /// More notes than are held.
    pub notes_left_out: u64,
    /// Good entries.
    pub entries: u64,
    pub segments: u32,
    /// The last good entry.
    pub head: Option<Head>,
    pub first_ms: Option<u64>,
    pub last_ms: Option<u64>,
    /// Intents without an outcome: in flight, or the daemon died.
    pub unfinished: u64,
    /// The anchor that the chain was found to hold.
    pub anchor: Option<Head>,
}

impl Report {
    /// Nothing is wrong and nothing was lost.
    pub fn is_intact(&self) -> bool {
        self.bad.is_none() && self.losses.is_empty()
    }
}

/// The first bad entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    pub segment: u32,
    /// From 1; 0 if the segment as a whole is meant.
    pub line: u64,
    /// The entry that should be there.
    pub seq: u64,
    pub problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("it is not the entry that the anchor names")]
    AnchorDiffers,
    #[error("the log has another format, {found}")]
    Format { found: u32 },
    #[error("{0}")]
    Line(LineError),
    #[error("it does not follow on the entry before: their hashes differ")]
    Link,
    #[error("entry {found} stands in its place: entries are missing or out of order")]
    Missing { found: u64 },
    #[error("entry {found} stands there again or out of order")]
    Repeated { found: u64 },
    #[error("it does not begin with the first entry of this segment")]
    SegmentStart,
    #[error("the segment is missing")]
    SegmentMissing,
    #[error("a segment begins in the middle of another")]
    StraySegmentStart,
    #[error("the line is torn, {bytes} bytes without an end")]
    Torn { bytes: u64 },
    #[error("the log ends before it, and the anchor names entry {anchor}")]
    Truncated { anchor: u64 },
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} (segment {}, line {}): {}", self.seq, self.segment, self.line, self.problem)
    }
}

/// Entries from `from` to `to` are gone, as the segment that comes next said they might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Which says so.
    pub segment: u32,
    pub from: u64,
    /// `from - 1` if only bytes of a torn line are there.
    pub to: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The clock went back by so much before this entry.
    ClockBack { seq: u64, by_ms: u64 },
    /// This outcome belongs to no open intent.
    StrayOutcome { seq: u64, intent: u64 },
    /// The time of this entry is before that of the entry before; our writer does not do that.
    TimeDecreases { seq: u64 },
    /// The log ends in a torn line: it is being written just now, or the daemon died and has not started since.
    TornEnd { segment: u32, bytes: u64 },
    /// The daemon removed the torn end of a line.
    Repaired { seq: u64, bytes: u64 },
}

/// Verifies the log in `dir`, a running daemon's too. `anchor` is a head that was kept elsewhere.
pub fn verify(dir: &Path, anchor: Option<Head>) -> Result<Report, ReadError> {
    Ok(verify_on(&Directory::open_to_read(dir)?, anchor)?)
}

pub(crate) fn verify_on(source: &dyn Segments, anchor: Option<Head>) -> io::Result<Report> {
    let segments = source.list()?;
    let mut run = Run::new(source, &segments, anchor);
    let (mut index, mut expected) = (0, 1);
    while let Some(segment) = segments.get(index).copied() {
        let checked = if segment == expected {
            run.segment(segment, index + 1 == segments.len())?
        } else {
            Err(run.bad(expected, 0, Problem::SegmentMissing))
        };
        match checked {
            Ok(()) => (index, expected) = (index + 1, segment + 1),
            Err(bad) => match run.announced(index, &bad)? {
                Some((next, number)) => (index, expected) = (next, number),
                None => return Ok(run.report(Some(bad))),
            },
        }
    }
    let bad = run.missing_anchor(expected.saturating_sub(1).max(1));
    Ok(run.report(bad))
}

/// How the chain stands to an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchored {
    /// It has another entry of that number, or a damaged one, or none.
    Differs,
    Holds,
    /// It ends before, at this entry.
    Truncated {
        last: u64,
    },
}

/// Does the log hold the anchor? Reads one segment at most: for each start and unlock, where [`verify`] would take long.
pub fn anchored(dir: &Path, anchor: Head) -> Result<Anchored, ReadError> {
    Ok(anchored_on(&Directory::open_to_read(dir)?, anchor)?)
}

pub(crate) fn anchored_on(source: &dyn Segments, anchor: Head) -> io::Result<Anchored> {
    if anchor.seq == 0 {
        return Ok(if anchor == Head::START { Anchored::Holds } else { Anchored::Differs });
    }
    let mut last = 0;
    for segment in source.list()?.into_iter().rev() {
        if first_entry(source, segment)?.is_none_or(|first| first.seq > anchor.seq) {
            continue;
        }
        let mut lines = Lines::open(source, segment)?;
        loop {
            match lines.next()? {
                Line::Entry(Ok(entry)) if entry.seq == anchor.seq => {
                    return Ok(if entry.hash == anchor.hash { Anchored::Holds } else { Anchored::Differs });
                }
                Line::Entry(Ok(entry)) => last = entry.seq,
                Line::Entry(Err(_)) => return Ok(Anchored::Differs),
                Line::End | Line::Torn { .. } => break,
            }
        }
        break;
    }
    Ok(if last < anchor.seq { Anchored::Truncated { last } } else { Anchored::Differs })
}

struct Run<'a> {
    source: &'a dyn Segments,
    segments: &'a [u32],
    anchor: Option<Head>,
    last: Head,
    /// Intents that wait for an outcome.
    open: HashSet<u64>,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(source: &'a dyn Segments, segments: &'a [u32], anchor: Option<Head>) -> Self {
        // The state before the first entry is an anchor that every log holds.
        let anchor = anchor.filter(|anchor| *anchor != Head::START);
        Self { source, segments, anchor, last: Head::START, open: HashSet::new(), report: Report::default() }
    }

    fn segment(&mut self, number: u32, is_last: bool) -> io::Result<Result<(), Bad>> {
        let mut lines = Lines::open(self.source, number)?;
        let checked = loop {
            let problem = match lines.next()? {
                Line::End if lines.number > 0 => break Ok(()),
                Line::End | Line::Torn { .. } if is_last && lines.number == 0 => {
                    self.note(Note::TornEnd { segment: number, bytes: 0 });
                    break Ok(());
                }
                Line::End => Problem::SegmentStart,
                Line::Entry(Err(error)) => Problem::Line(error),
                Line::Entry(Ok(entry)) => match self.entry(number, lines.number == 1, &entry) {
                    Ok(()) => continue,
                    Err(problem) => problem,
                },
                Line::Torn { bytes } if is_last => {
                    self.note(Note::TornEnd { segment: number, bytes });
                    break Ok(());
                }
                Line::Torn { bytes } => Problem::Torn { bytes },
            };
            break Err(self.bad(number, lines.number, problem));
        };
        self.report.segments += u32::from(checked.is_ok());
        Ok(checked)
    }

    fn entry(&mut self, segment: u32, is_first: bool, entry: &Entry) -> Result<(), Problem> {
        let expected = self.last.seq + 1;
        if entry.seq != expected {
            let found = entry.seq;
            return Err(if found > expected { Problem::Missing { found } } else { Problem::Repeated { found } });
        }
        if entry.prev != self.last.hash {
            return Err(Problem::Link);
        }
        self.segment_start(segment, is_first, &entry.record)?;
        if self.anchor.is_some_and(|anchor| anchor.seq == entry.seq && anchor.hash != entry.hash) {
            return Err(Problem::AnchorDiffers);
        }
        if self.anchor == Some(entry.head()) {
            self.report.anchor = self.anchor;
        }
        self.note_entry(entry);
        self.last = entry.head();
        self.report.entries += 1;
        self.report.head = Some(self.last);
        self.report.first_ms.get_or_insert(entry.time_ms);
        self.report.last_ms = Some(entry.time_ms);
        Ok(())
    }

    fn segment_start(&self, number: u32, is_first: bool, record: &Record) -> Result<(), Problem> {
        match record {
            Record::Segment(start) if is_first => {
                if start.format != FORMAT {
                    return Err(Problem::Format { found: start.format });
                }
                let fits = start.segment == number && (start.reason == SegmentReason::Created) == (number == 1);
                if fits { Ok(()) } else { Err(Problem::SegmentStart) }
            }
            Record::Segment(_) => Err(Problem::StraySegmentStart),
            _ if is_first => Err(Problem::SegmentStart),
            _ => Ok(()),
        }
    }

    fn note_entry(&mut self, entry: &Entry) {
        if entry.clock_back_ms > 0 {
            self.note(Note::ClockBack { seq: entry.seq, by_ms: entry.clock_back_ms });
        }
        if self.report.last_ms.is_some_and(|last| entry.time_ms < last) {
            self.note(Note::TimeDecreases { seq: entry.seq });
        }
        match &entry.record {
            Record::Event(Event::DaemonStarted { .. }) => {
                // What the daemon before did not finish, nobody will.
                self.report.unfinished += self.open.len() as u64;
                self.open.clear();
            }
            Record::Intent(_) if self.open.len() < MAX_OPEN => {
                self.open.insert(entry.seq);
            }
            Record::Outcome(outcome) if !self.open.remove(&outcome.intent) && self.open.len() < MAX_OPEN => {
                self.note(Note::StrayOutcome { seq: entry.seq, intent: outcome.intent });
            }
            Record::Repair(repair) => self.note(Note::Repaired { seq: entry.seq, bytes: repair.bytes }),
            Record::Denied(_) | Record::Event(_) | Record::Intent(_) | Record::Outcome(_) | Record::Segment(_) => {}
        }
    }

    fn note(&mut self, note: Note) {
        if self.report.notes.len() < MAX_NOTES {
            self.report.notes.push(note);
        } else {
            self.report.notes_left_out += 1;
        }
    }

    /// What is wrong stands where the entry after the last good one should.
    fn bad(&self, segment: u32, line: u64, problem: Problem) -> Bad {
        Bad { segment, line, seq: self.last.seq + 1, problem }
    }

    /// Did a segment from `index` on announce that this entry may be lost? Then the chain goes on there, and what the
    /// announcement says is as trustworthy as the chain from there to the anchor. Only entries that were not durable
    /// when the disk failed can be excused so.
    fn announced(&mut self, index: usize, bad: &Bad) -> io::Result<Option<(usize, u32)>> {
        for (index, number) in self.segments.iter().copied().enumerate().skip(index) {
            let Some(entry) = first_entry(self.source, number)? else { continue };
            let Record::Segment(SegmentStart { segment, reason, durable, .. }) = entry.record else { continue };
            let given_up = matches!(reason, SegmentReason::SyncFailed | SegmentReason::WriteFailed);
            if segment == number && given_up && durable < bad.seq && entry.seq >= bad.seq {
                self.last = Head { seq: entry.seq - 1, hash: entry.prev };
                self.report.losses.push(Loss { segment, from: bad.seq, to: entry.seq - 1 });
                return Ok(Some((index, number)));
            }
        }
        Ok(None)
    }

    fn missing_anchor(&self, segment: u32) -> Option<Bad> {
        let anchor = self.anchor.filter(|anchor| self.report.anchor != Some(*anchor))?;
        if anchor.seq > self.last.seq {
            return Some(self.bad(segment, 0, Problem::Truncated { anchor: anchor.seq }));
        }
        // It fell into a loss, yet it was durable: the announcement is not to be believed.
        Some(Bad { segment, line: 0, seq: anchor.seq, problem: Problem::AnchorDiffers })
    }

    fn report(mut self, bad: Option<Bad>) -> Report {
        self.report.unfinished += self.open.len() as u64;
        self.report.bad = bad;
        self.report
    }
}
