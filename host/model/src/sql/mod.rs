//! The one SQL statement: checked, read and classified once. What is decided about is what is sent.
//!
//! What a statement does is the host's own reading of its text ([`Reading`]), by a real parser and against an
//! allowlist, never the provider's word. Reading is a filter before the database's own: a statement that reads also runs
//! in a read-only transaction that is always rolled back, with a role that should not be able to write.

mod definition;
mod dsn;
mod functions;
mod lex;
mod parse;
mod reading;
#[cfg(test)]
mod server;
mod verb;
mod walk;

use std::sync::Arc;

use serde_json::Value;

pub use self::dsn::{Dsn, DsnError, Tls};
pub use self::reading::{Reading, StatementKind, Unreadable};
use crate::{Digest, Effect, Manifest, OperationName, Scheme, SchemeName, Sha256, json};

/// The longest statement: those that programs write stay under 100 KiB, and a longer one is data in the wrong place.
pub const MAX_STATEMENT_BYTES: usize = 256 << 10;
/// As many parameters as a statement may have; the protocol's own bound is 65,535, and a person is to read them.
pub const MAX_PARAMS: usize = 1_000;
/// As many bytes as all parameters may have together, as JSON.
pub const MAX_PARAM_BYTES: usize = 4 << 20;
/// As many rows as one answer may have.
pub const MAX_ROWS: u32 = 10_000;
/// As many rows as a statement may change, where nobody said how many.
pub const DEFAULT_MAX_CHANGES: u64 = 1_000;

/// A statement as a provider makes it: nothing of it has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementParts {
    pub text: String,
    /// For `$1`, `$2`, ..., each a JSON text.
    pub params: Vec<String>,
    pub max_rows: u32,
    /// For a statement that writes: more rows than this, and it is rolled back.
    pub max_changes: Option<u64>,
    /// It is carried out and rolled back, to see what it would touch.
    pub preview: bool,
}

/// How a statement is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In a transaction that writes, under a time limit, and is rolled back: what it would touch.
    Preview,
    /// In a read-only transaction that is rolled back.
    Read,
    /// In a transaction that is committed if it changed at most so many rows. `None`: its rows cannot be counted, and
    /// nobody set a limit that would have to hold.
    Write { max_changes: Option<u64> },
}

/// Why a statement is not one that can go out. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("the provider asked for {0} rows; at most {MAX_ROWS} can be had")]
    MaxRows(u32),
    #[error("parameter ${index} is not JSON")]
    Param { index: usize },
    #[error("the parameters are {count}, over the limit of {MAX_PARAMS}")]
    ParamCount { count: usize },
    #[error("the parameters have {bytes} bytes, over the limit of {MAX_PARAM_BYTES}")]
    ParamSize { bytes: usize },
    #[error("the statement has {bytes} bytes, over the limit of {MAX_STATEMENT_BYTES}")]
    TooLong { bytes: usize },
    #[error(
        "no limit of changed rows can hold for this statement, since the server counts none for {kind}; leave `max_changes` out if it is meant"
    )]
    Uncounted { kind: &'static str },
    #[error("the statement is refused: {0}")]
    Unreadable(#[from] Unreadable),
}

impl StatementError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            StatementError::MaxRows(_) => "statement.max_rows",
            StatementError::Param { .. } | StatementError::ParamCount { .. } | StatementError::ParamSize { .. } => {
                "statement.params"
            }
            StatementError::TooLong { .. } => "statement.too_long",
            StatementError::Uncounted { .. } => "statement.uncounted",
            StatementError::Unreadable(_) => "statement.refused",
        }
    }
}

/// A statement that can go out: one, read and bounded.
#[derive(Debug, Clone)]
pub struct Statement {
    text: String,
    params: Vec<Value>,
    max_rows: u32,
    mode: Mode,
    /// Boxed: a request is moved from hand to hand, and other kinds of it are small.
    reading: Box<Reading>,
    auth: Vec<(SchemeName, Arc<Scheme>)>,
    operation: OperationName,
    effect: Effect,
    endpoint: String,
}

impl Statement {
    /// From a provider's statement. `operation` is the call's, and `claimed` what the provider says that this does.
    pub fn from_provider(
        parts: StatementParts,
        claimed: Effect,
        manifest: &Manifest,
        operation: &OperationName,
    ) -> Result<Self, StatementError> {
        if parts.text.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::TooLong { bytes: parts.text.len() });
        }
        if parts.max_rows > MAX_ROWS {
            return Err(StatementError::MaxRows(parts.max_rows));
        }
        let params = params(&parts.params)?;
        let declared = manifest.operations.get(operation).map_or(Effect::Grant, |found| manifest.effect_of(found));
        let reads = declared == Effect::Read && claimed == Effect::Read && !parts.preview;
        let reading = if reads { Reading::of_read(&parts.text)? } else { Reading::of_any(&parts.text)? };
        let mode = match (reads, parts.preview) {
            (true, _) => Mode::Read,
            (false, true) => Mode::Preview,
            (false, false) => Mode::Write { max_changes: most(&reading, parts.max_changes)? },
        };
        // What is rolled back has destroyed nothing and given nobody anything.
        let does = if mode == Mode::Preview { reading.effect.min(Effect::Write) } else { reading.effect };
        Ok(Self {
            effect: declared.graver(claimed).graver(does),
            endpoint: reading.to_string(),
            text: parts.text,
            params,
            max_rows: parts.max_rows,
            mode,
            reading: Box::new(reading),
            auth: manifest.default_schemes(),
            operation: operation.clone(),
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// For `$1`, `$2`, ...
    pub fn params(&self) -> &[Value] {
        &self.params
    }

    /// Of text and parameters, in bytes as JSON.
    pub fn size(&self) -> usize {
        let params = self.params.iter().map(|param| param.to_string().len());
        self.text.len() + params.sum::<usize>()
    }

    pub fn max_rows(&self) -> u32 {
        self.max_rows
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    pub fn auth(&self) -> &[(SchemeName, Arc<Scheme>)] {
        &self.auth
    }

    pub fn operation(&self) -> &OperationName {
        &self.operation
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Kind and tables, for people.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Of everything that goes out but the credential.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.part(b"kv.statement/1");
        hash.part(self.text.as_bytes());
        hash.part(&(self.params.len() as u64).to_be_bytes());
        for param in &self.params {
            hash.part(param.to_string().as_bytes());
        }
        hash.part(&self.max_rows.to_be_bytes());
        match self.mode {
            Mode::Preview => hash.part(b"preview"),
            Mode::Read => hash.part(b"read"),
            Mode::Write { max_changes: Some(most) } => hash.part(&most.to_be_bytes()),
            Mode::Write { max_changes: None } => hash.part(b"uncounted"),
        }
        hash.finish()
    }
}

/// The limit that will be held. One that was asked for and cannot be is an error, not a limit that does nothing.
fn most(reading: &Reading, asked: Option<u64>) -> Result<Option<u64>, StatementError> {
    match (reading.uncounted(), asked) {
        (None, asked) => Ok(Some(asked.unwrap_or(DEFAULT_MAX_CHANGES))),
        (Some(_), None) => Ok(None),
        (Some(kind), Some(_)) => Err(StatementError::Uncounted { kind }),
    }
}

fn params(texts: &[String]) -> Result<Vec<Value>, StatementError> {
    if texts.len() > MAX_PARAMS {
        return Err(StatementError::ParamCount { count: texts.len() });
    }
    let bytes = texts.iter().map(String::len).sum();
    if bytes > MAX_PARAM_BYTES {
        return Err(StatementError::ParamSize { bytes });
    }
    let parse = |(index, text): (usize, &String)| {
        json::parse(text.as_bytes(), MAX_PARAM_BYTES).map_err(|_| StatementError::Param { index: index + 1 })
    };
    texts.iter().enumerate().map(parse).collect()
}

/// What the database said.
pub type SqlResponse = Result<Rows, SqlError>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<Column>,
    /// Each a JSON array in the order of the columns.
    pub rows: Vec<String>,
    pub affected: u64,
    /// There was more than the row or the byte limit.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// SQLSTATE
    pub code: String,
    pub message: String,
    /// Where in the text, in characters from 1.
    pub position: Option<u32>,
}
