//! What can go wrong, by who asked.

use std::fmt;
use std::io;

use crate::directory::DirectoryError;
use crate::field::words;
use crate::format::{LineError, MAX_LINE_BYTES};

/// Why something could not be recorded. What was to be recorded must not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// It is never cut to fit: what cannot be recorded whole is not done.
    #[error("the audit entry would be {bytes} bytes, over the limit of {MAX_LINE_BYTES}")]
    TooLong { bytes: usize },
    #[error("the audit log is unavailable: {0}")]
    Unavailable(Trouble),
}

impl AuditError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            AuditError::TooLong { .. } => "audit.too_long",
            AuditError::Unavailable(_) => "audit.unavailable",
        }
    }
}

/// Why the log takes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{action} failed: {}", Shown(*.kind, *.errno))]
    Io { action: Action, kind: io::ErrorKind, errno: Option<i32> },
    #[error("an earlier failure is being recovered from")]
    Recovering,
    #[error("the disk has not answered a sync for {waited_ms} ms")]
    Stalled { waited_ms: u64 },
}

words! {
    /// Which operation on the files failed.
    Action {
        Append = "append",
        Begin = "beginning a segment",
        StartSyncer = "starting the sync thread",
        Sync = "sync",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Trouble {
    pub(crate) fn io(action: Action, error: &io::Error) -> Self {
        Trouble::Io { action, kind: error.kind(), errno: error.raw_os_error() }
    }
}

/// The system's words for an error, which cannot be cloned itself.
struct Shown(io::ErrorKind, Option<i32>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(errno) => write!(f, "{}", io::Error::from_raw_os_error(errno)),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Why the log could not be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the audit folder is refused")]
    Directory(#[from] DirectoryError),
    #[error("no segment of the audit log holds a single entry that is whole")]
    NoEntry,
    #[error("{doing} the audit log failed")]
    Io { doing: &'static str, source: io::Error },
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the audit folder is refused")]
    Directory(#[from] DirectoryError),
    #[error("reading the audit log failed")]
    Io(#[from] io::Error),
    #[error("line {line} of segment {segment} is no entry")]
    Line { segment: u32, line: u64, source: LineError },
}
