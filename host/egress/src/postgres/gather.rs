//! What comes back for one group of statements: how each of them ended, the rows that are kept, and where they stop.
//!
//! Bytes have become messages by now, each within its bound; here is what many of them may come to.

use kv_model::Mode;

use super::count::Count;
use super::wire::{Broken, Field, MAX_ROW_BYTES, Row, ServerError, Status};

/// An answer as it came in.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) fields: Vec<Field>,
    pub(super) rows: Vec<Row>,
    pub(super) affected: u64,
    pub(super) truncated: bool,
}

/// Why reading stopped.
pub(super) enum Stop {
    Broken(Broken),
    Copy,
    /// More than will be kept.
    Full,
}

/// The answers up to one synchronisation.
pub(super) struct Group {
    /// What each statement that came to an end said.
    pub(super) ended: Vec<String>,
    pub(super) error: Option<ServerError>,
    pub(super) params: Option<Vec<u32>>,
    /// Of the host's own statements.
    pub(super) rows: Vec<Row>,
    pub(super) status: Status,
}

impl Default for Group {
    fn default() -> Self {
        Group { ended: Vec::new(), error: None, params: None, rows: Vec::new(), status: Status::Failed }
    }
}

impl Group {
    pub(super) fn is_one(&self, tag: &str, status: Status) -> bool {
        self.error.is_none() && self.status == status && self.ended.iter().eq([tag])
    }

    /// What the last count said. A transaction that reads has none.
    pub(super) fn count(&self, mode: Mode) -> Option<Count> {
        if mode == Mode::Read { None } else { self.rows.iter().rev().find_map(Count::read) }
    }

    /// What the statement says that it changed. `None`: it is of no kind that says so.
    pub(super) fn affected(&self) -> Option<u64> {
        let tag = self.ended.last()?;
        let (verb, count) = tag.rsplit_once(' ')?;
        matches!(verb, "DELETE" | "INSERT 0" | "MERGE" | "UPDATE").then(|| count.parse().ok())?
    }
}

/// Where the caller's rows go.
pub(super) struct Sink {
    pub(super) fields: Option<Vec<Field>>,
    pub(super) rows: Vec<Row>,
    pub(super) bytes: usize,
    pub(super) dropped: usize,
    pub(super) max_rows: usize,
    pub(super) past: Past,
    pub(super) truncated: bool,
    /// What was counted before the statement.
    pub(super) base: Option<Count>,
    /// Rows come without a description: they are the host's own question's.
    pub(super) is_unnamed: bool,
}

/// What happens to rows beyond the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// They are read and dropped: the statement must come to its end.
    Drop,
    Stop,
}

impl Sink {
    pub(super) fn new(max_rows: u32, past: Past) -> Self {
        Sink {
            fields: None,
            rows: Vec::new(),
            bytes: 0,
            dropped: 0,
            max_rows: max_rows as usize,
            past,
            truncated: false,
            base: None,
            is_unnamed: false,
        }
    }

    pub(super) fn push(&mut self, row: Row) -> Result<(), Stop> {
        // As many values as columns: whatever is read by column later is there.
        let fits = self.is_unnamed || self.fields.as_ref().is_some_and(|fields| fields.len() == row.count());
        if !fits {
            return Err(Stop::Broken(Broken::Protocol));
        }
        if !self.truncated && self.rows.len() < self.max_rows && self.bytes + row.len() <= MAX_ROW_BYTES {
            self.bytes += row.len();
            self.rows.push(row);
            return Ok(());
        }
        // The server was asked for one row too many, to know that there is one.
        let is_the_one_more = !self.truncated && self.rows.len() == self.max_rows;
        self.truncated = true;
        self.dropped += row.len();
        match self.past {
            Past::Stop if is_the_one_more => Ok(()),
            Past::Drop if self.dropped <= MAX_DROPPED => Ok(()),
            _ => Err(Stop::Full),
        }
    }

    pub(super) fn answer(self, affected: u64) -> Answer {
        Answer { fields: self.fields.unwrap_or_default(), rows: self.rows, affected, truncated: self.truncated }
    }
}

/// Rows of `returning` that are read and not kept: the count of changes bounds them, this bounds their width.
pub(super) const MAX_DROPPED: usize = 64 << 20;
