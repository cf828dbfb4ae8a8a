//! Reading entries, filtered, oldest first. Reads what the files say; whether they can be believed, [`crate::verify()`] tells.

use std::collections::HashSet;
use std::path::Path;

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

/// Which entries. Everything that is set has to fit.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From this entry on: to follow, the one after the last one seen.
    pub from_seq: u64,
    pub since_ms: Option<u64>,
    pub until_ms: Option<u64>,
    pub agent: Option<PrincipalName>,
    pub connection: Option<ConnectionName>,
    pub operation: Option<OperationName>,
    pub ending: Option<Ending>,
}

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
    Ok(Entries { source, filter, segments: wanted, lines: None, passed: HashSet::new() })
}

/// Entries, oldest first.
pub struct Entries {
    source: Box<dyn Segments>,
    filter: Filter,
    /// Still to be read; the next one is last.
    segments: Vec<u32>,
    lines: Option<(u32, Lines)>,
    /// Intents that passed the filter: their outcomes name neither agent nor connection.
    passed: HashSet<u64>,
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line() {
                Ok(None) => return None,
                Ok(Some(entry)) if self.passes(&entry) => return Some(Ok(entry)),
                Ok(Some(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Entries {
    fn line(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            let Some((segment, lines)) = &mut self.lines else {
                let Some(segment) = self.segments.pop() else { return Ok(None) };
                self.lines = Some((segment, Lines::open(&*self.source, segment)?));
                continue;
            };
            let segment = *segment;
            match lines.next() {
                Ok(Line::Entry(Ok(entry))) => return Ok(Some(entry)),
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
            Record::Outcome(outcome) => self.passed.remove(&outcome.intent) || !filter.names_a_subject(),
            record => filter.fits(record),
        };
        if subject
            && filter.names_a_subject()
            && matches!(entry.record, Record::Intent(_))
            && self.passed.len() < MAX_OPEN
        {
            self.passed.insert(entry.seq);
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
        Record::Event(
            Event::ConnectionEdited { connection, .. }
            | Event::ConnectionMade { connection, .. }
            | Event::ConnectionRemoved { connection, .. },
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
        Record::Denied(_) | Record::Event(Event::Refused { .. }) => Some(Ending::Refused),
        Record::Outcome(outcome) if outcome.error.is_some() || outcome.status.is_none_or(|status| status >= 400) => {
            Some(Ending::Failed)
        }
        Record::Outcome(_) => Some(Ending::Succeeded),
        Record::Event(_) | Record::Intent(_) | Record::Repair(_) | Record::Segment(_) => None,
    }
}
