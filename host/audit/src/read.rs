//! Reading entries, filtered, oldest first, in memory that does not grow with the log. Reads what the files say; whether
//! they can be believed, [`crate::verify()`] tells.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use kv_model::{ConnectionName, OperationName, PrincipalName};

use crate::directory::Directory;
use crate::disk::Segments;
use crate::error::ReadError;
use crate::event::Event;
use crate::format::Entry;
use crate::lines::{Line, Lines, first_entry};
use crate::record::Record;

/// As many calls as are kept in mind so that their outcomes pass with them.
const MAX_OPEN: usize = 100_000;
/// Longer than any call lasts: further back than this no intent is looked for whose outcome is among the newest entries.
const MAX_CALL_MS: u64 = 3_600_000;

/// Which entries. Everything that is set has to fit.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From this entry on: to follow, the one after the last one seen.
    pub from_seq: u64,
    /// Up to this entry.
    pub to_seq: Option<u64>,
    pub since_ms: Option<u64>,
    pub until_ms: Option<u64>,
    pub agent: Option<PrincipalName>,
    pub connection: Option<ConnectionName>,
    pub operation: Option<OperationName>,
    pub ending: Option<Ending>,
}

/// Calls whose intents passed a filter and whose outcomes are still to come. An outcome names neither agent nor
/// connection, so whoever reads on later takes this along.
#[derive(Debug, Clone, Default)]
pub struct Open(HashSet<u64>);

/// How a call ended. Selects the entries that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// An error, or a status of 400 and above.
    Failed,
    /// Nothing was sent, by policy or before.
    Refused,
    Succeeded,
}

/// Reads the log in `dir`, a running daemon's too. A line that is no entry is an error in its place, and the next one
/// follows; a torn end is the end.
pub fn read(dir: &Path, filter: Filter) -> Result<Entries, ReadError> {
    entries_of(Box::new(Directory::open_to_read(dir)?), filter)
}

/// The same, after an earlier reading that ended with `open`.
pub fn read_on(dir: &Path, filter: Filter, open: Open) -> Result<Entries, ReadError> {
    Ok(read(dir, filter)?.after(open))
}

/// What fits up to now: all of it, or the newest `last`. Everything is looked at once before the first entry comes back,
/// so that a line that is no entry is told at once and not in the middle; for the newest ones that is the end of the log
/// only, segment by segment from the last.
pub fn read_whole(dir: &Path, filter: Filter, last: Option<u64>) -> Result<Entries, ReadError> {
    whole_of(Box::new(Directory::open_to_read(dir)?), filter, last)
}

pub(crate) fn whole_of(source: Box<dyn Segments>, filter: Filter, last: Option<u64>) -> Result<Entries, ReadError> {
    let mut entries = entries_of(source, filter)?;
    if let Some(last) = last {
        entries.keep_end(last)?;
    }
    let (fitting, newest) = entries.tally(entries.segments.clone())?;
    entries.filter.to_seq = Some(newest);
    entries.skip = last.map_or(0, |last| fitting.saturating_sub(last));
    Ok(entries)
}

pub(crate) fn entries_of(source: Box<dyn Segments>, filter: Filter) -> Result<Entries, ReadError> {
    let mut segments = source.list()?;
    segments.reverse();
    // Segments that end before the filter begins need not be read: their successors' first entries tell.
    let mut wanted = Vec::new();
    for segment in segments {
        wanted.push(segment);
        let first = first_entry(&*source, segment)?;
        let early =
            |first: &Entry| first.seq <= filter.from_seq || filter.since_ms.is_some_and(|since| first.time_ms < since);
        if first.as_ref().is_some_and(early) {
            break;
        }
    }
    let seen = filter.from_seq.saturating_sub(1);
    Ok(Entries { source: source.into(), filter, segments: wanted, lines: None, open: Open::default(), skip: 0, seen })
}

/// Entries, oldest first.
pub struct Entries {
    source: Arc<dyn Segments>,
    filter: Filter,
    /// Still to be read; the next one is last.
    segments: Vec<u32>,
    lines: Option<(u32, Lines)>,
    open: Open,
    /// As many of those that fit are left out.
    skip: u64,
    /// The newest entry read, whether it fits or not.
    seen: u64,
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line() {
                Ok(None) => return None,
                Ok(Some(entry)) if !self.passes(&entry) => {}
                Ok(Some(_)) if self.skip > 0 => self.skip -= 1,
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Entries {
    /// For reading on: the newest entry that was read, and the calls that are still open.
    pub fn into_rest(self) -> (u64, Open) {
        (self.seen, self.open)
    }

    pub(crate) fn after(self, open: Open) -> Self {
        Self { open, ..self }
    }

    /// Leaves out the segments that are not needed for the newest `last` entries that fit.
    fn keep_end(&mut self, last: u64) -> Result<(), ReadError> {
        let mut fitting = 0;
        let mut needed = 0;
        // When the oldest segment that is needed begins.
        let mut begins = None;
        for segment in &self.segments {
            // An outcome whose intent is in a segment before is not counted here: too much is kept then, never too little.
            let is_enough = fitting >= last;
            let first = first_entry(&*self.source, *segment)?.map(|first| first.time_ms);
            if is_enough && !self.filter.names_a_subject() {
                break;
            }
            needed += 1;
            if !is_enough {
                fitting += self.tally(vec![*segment])?.0;
                begins = first;
            } else if let (Some(first), Some(begins)) = (first, begins)
                && first.saturating_add(MAX_CALL_MS) < begins
            {
                break;
            }
        }
        self.segments.truncate(needed);
        Ok(())
    }

    /// How much of these segments fits, and the newest entry in them.
    fn tally(&self, segments: Vec<u32>) -> Result<(u64, u64), ReadError> {
        let mut reading = Entries {
            source: Arc::clone(&self.source),
            filter: self.filter.clone(),
            segments,
            lines: None,
            open: self.open.clone(),
            skip: 0,
            seen: self.seen,
        };
        let mut fitting = 0;
        for entry in reading.by_ref() {
            entry?;
            fitting += 1;
        }
        Ok((fitting, reading.seen))
    }

    fn line(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            let Some((segment, lines)) = &mut self.lines else {
                let Some(segment) = self.segments.pop() else { return Ok(None) };
                self.lines = Some((segment, Lines::open(&*self.source, segment)?));
                continue;
            };
            let segment = *segment;
            match lines.next() {
                Ok(Line::Entry(Ok(entry))) => {
                    if self.filter.to_seq.is_some_and(|to| entry.seq > to) {
                        (self.segments, self.lines) = (Vec::new(), None);
                        return Ok(None);
                    }
                    self.seen = self.seen.max(entry.seq);
                    return Ok(Some(entry));
                }
                Ok(Line::Entry(Err(source))) => return Err(ReadError::Line { segment, line: lines.number, source }),
                Ok(Line::End | Line::Torn { .. }) => self.lines = None,
                Err(error) => {
                    // A file that cannot be read now will not be read by asking once more.
                    self.lines = None;
                    return Err(error.into());
                }
            }
        }
    }

    fn passes(&mut self, entry: &Entry) -> bool {
        let filter = &self.filter;
        let in_time = filter.since_ms.is_none_or(|since| entry.time_ms >= since)
            && filter.until_ms.is_none_or(|until| entry.time_ms <= until);
        if entry.seq < filter.from_seq || !in_time {
            return false;
        }
        let subject = match &entry.record {
            Record::Outcome(outcome) => self.open.0.remove(&outcome.intent) || !filter.names_a_subject(),
            record => filter.fits(record),
        };
        if subject
            && filter.names_a_subject()
            && matches!(entry.record, Record::Intent(_))
            && self.open.0.len() < MAX_OPEN
        {
            self.open.0.insert(entry.seq);
        }
        subject && filter.ending.is_none_or(|wanted| ending(&entry.record) == Some(wanted))
    }
}

impl Filter {
    fn names_a_subject(&self) -> bool {
        self.agent.is_some() || self.connection.is_some() || self.operation.is_some()
    }

    fn fits(&self, record: &Record) -> bool {
        let (agent, connection, operation) = subject(record);
        let fit = |wanted: Option<&str>, found: &[&str]| wanted.is_none_or(|wanted| found.contains(&wanted));
        fit(self.agent.as_ref().map(PrincipalName::as_str), agent.as_slice())
            && fit(self.connection.as_ref().map(ConnectionName::as_str), connection.as_slice())
            && fit(self.operation.as_ref().map(OperationName::as_str), &operation)
    }
}

/// Agent, connection and operations of an entry, as far as it has them.
fn subject(record: &Record) -> (Option<&str>, Option<&str>, Vec<&str>) {
    match record {
        Record::Denied(denied) => {
            (Some(denied.principal.name()), Some(denied.connection.as_str()), vec![denied.operation.as_str()])
        }
        Record::Event(Event::Refused { principal, connection, operation, .. }) => (
            Some(principal.name()),
            connection.as_ref().map(|name| name.as_str()),
            operation.iter().map(|name| name.as_str()).collect(),
        ),
        Record::Event(Event::Refusal { principal, .. }) => (Some(principal.name()), None, Vec::new()),
        Record::Event(
            Event::ConnectionEdited { connection, .. }
            | Event::ConnectionMade { connection, .. }
            | Event::ConnectionRemoved { connection, .. }
            | Event::RoleExamined { connection, .. },
        ) => (None, Some(connection.as_str()), Vec::new()),
        Record::Intent(intent) => (
            Some(intent.principal.name()),
            Some(intent.connection.as_str()),
            vec![intent.operation.as_str(), intent.sends.as_str()],
        ),
        Record::Event(_) | Record::Outcome(_) | Record::Repair(_) | Record::Segment(_) => (None, None, Vec::new()),
    }
}

fn ending(record: &Record) -> Option<Ending> {
    match record {
        Record::Denied(_) | Record::Event(Event::Refusal { .. } | Event::Refused { .. }) => Some(Ending::Refused),
        Record::Outcome(outcome) if outcome.error.is_some() || outcome.status.is_none_or(|status| status >= 400) => {
            Some(Ending::Failed)
        }
        Record::Outcome(_) => Some(Ending::Succeeded),
        Record::Event(_) | Record::Intent(_) | Record::Repair(_) | Record::Segment(_) => None,
    }
}
