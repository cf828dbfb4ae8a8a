//! What a provider of a database asks for, and what it is answered.
//!
//! A statement is text and parameters, apart until the database puts them together. Text that was pasted together from
//! an input is another statement for each input, and the caller's to write; names that cannot be parameters go through
//! [`identifier`].

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::delivery::{Delivery, delivered};
use crate::text::{MAX_DEPTH, is_too_deep};
use crate::{Effect, Failure, FailureKind, Reply};

/// As many rows as a statement returns that does not say how many.
const DEFAULT_MAX_ROWS: u32 = 1_000;
/// As many characters of the statement's line as are shown around a mistake.
const EXCERPT_CHARS: usize = 120;

/// One statement and its delivery.
///
/// A statement that reads is repeatable. What else is not said is taken from the operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statement {
    pub(crate) text: String,
    pub(crate) params: Vec<String>,
    pub(crate) max_rows: u32,
    pub(crate) delivery: Delivery,
}

delivered!(Statement);

impl Statement {
    fn new(text: String, effect: Effect) -> Self {
        let delivery = Delivery { effect: Some(effect), ..Delivery::default() };
        Self { text, params: Vec::new(), max_rows: DEFAULT_MAX_ROWS, delivery }
    }

    /// A statement that only reads. In an operation whose effect is `Read` the host runs it in a read-only transaction.
    pub fn read(text: impl Into<String>) -> Self {
        Self::new(text.into(), Effect::Read)
    }

    /// A statement that may change something.
    pub fn write(text: impl Into<String>) -> Self {
        Self::new(text.into(), Effect::Write)
    }

    /// The next parameter: `$1`, then `$2`, and so on.
    #[must_use]
    pub fn param(mut self, value: impl Into<Value>) -> Self {
        self.params.push(value.into().to_string());
        self
    }

    /// The next parameters as the caller wrote them, so that no number is rounded on the way.
    #[must_use]
    pub fn params<'a>(mut self, values: impl IntoIterator<Item = &'a Box<RawValue>>) -> Self {
        self.params.extend(values.into_iter().map(|value| value.get().to_owned()));
        self
    }

    /// How many rows to return; the answer says whether there were more. The host has a limit of 10,000.
    #[must_use]
    pub fn max_rows(mut self, rows: u32) -> Self {
        self.max_rows = rows;
        self
    }

    /// It is rolled back if it changes more rows than this. The host has its own number where none is said.
    #[must_use]
    pub fn max_changes(self, rows: u64) -> Self {
        self.option("max-changes", rows.to_string())
    }

    /// It is carried out under a time limit and rolled back, to see what it would touch.
    #[must_use]
    pub fn preview(self) -> Self {
        self.option("preview", "true")
    }
}

/// A name as SQL writes it whatever is in it: in double quotes, with those inside doubled. PostgreSQL and the standard
/// agree on it. A NUL, which no name has, is refused.
pub fn identifier(name: &str) -> Result<String, Failure> {
    if name.is_empty() {
        return Err(Failure::invalid_input("a name is empty"));
    }
    if name.contains('\0') {
        return Err(Failure::invalid_input("a name has a NUL, which none can"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// What a statement returned.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Rows {
    pub columns: Vec<Column>,
    /// Each a JSON array in the order of the columns.
    pub rows: Vec<Box<RawValue>>,
    /// Rows that the statement changed.
    pub affected: u64,
    /// There was more than the row or byte limit.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
}

impl Rows {
    /// Each row as a value: a tuple, or a struct whose members are in the order of the columns.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        self.rows.iter().map(|row| read_row(row)).collect()
    }

    /// The first row, where there is one.
    pub fn first<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.rows.first().map(|row| read_row(row)).transpose()
    }
}

fn read_row<T: DeserializeOwned>(row: &RawValue) -> Result<T, Failure> {
    let unexpected = |what: &str| {
        Failure::new(FailureKind::Upstream, format!("the database answered with an unexpected row: {what}"))
    };
    if is_too_deep(row.get().as_bytes()) {
        return Err(unexpected(&format!("JSON deeper than {MAX_DEPTH} levels")));
    }
    serde_json::from_str(row.get()).map_err(|error| unexpected(&error.to_string()))
}

/// As a caller gets it: `{"columns":[{"name":..,"type":..}],"rows":[[..]],"row_count":..,"affected":..,"truncated":..}`.
impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Rows", 5)?;
        out.serialize_field("columns", &self.columns)?;
        out.serialize_field("rows", &self.rows)?;
        out.serialize_field("row_count", &self.rows.len())?;
        out.serialize_field("affected", &self.affected)?;
        out.serialize_field("truncated", &self.truncated)?;
        out.end()
    }
}

impl TryFrom<Rows> for Reply {
    type Error = Failure;

    fn try_from(rows: Rows) -> Result<Self, Failure> {
        Reply::json(&rows)
    }
}

/// Why the database did not do it, and the statement that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// SQLSTATE: five characters, of which the first two are the class.
    pub code: String,
    pub message: String,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<u32>,
    /// The statement's text.
    pub statement: String,
}

/// A place in a statement: its line, and a caret under the character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// From 1.
    pub line: usize,
    /// In characters of the line, from 1.
    pub column: usize,
    /// The line, or as much of it as fits around the place.
    pub text: String,
    /// Characters of `text` before the place.
    pub indent: usize,
}

impl SqlError {
    pub fn new(code: impl Into<String>, message: impl Into<String>, position: Option<u32>) -> Self {
        Self { code: code.into(), message: message.into(), position, statement: String::new() }
    }

    pub(crate) fn about(mut self, statement: String) -> Self {
        self.statement = statement;
        self
    }

    /// The place that the database complains of, if it named one.
    pub fn excerpt(&self) -> Option<Excerpt> {
        let place = usize::try_from(self.position?).ok()?.checked_sub(1)?;
        let (mut before, mut number) = (0, 1);
        for line in self.statement.split('\n') {
            let length = line.chars().count();
            if place <= before + length {
                return Some(Excerpt::of(line, number, place - before));
            }
            before += length + 1;
            number += 1;
        }
        None
    }
}

impl Excerpt {
    fn of(line: &str, number: usize, place: usize) -> Self {
        let start = place.saturating_sub(EXCERPT_CHARS / 2);
        let shown: String = line.chars().skip(start).take(EXCERPT_CHARS).collect();
        // A tab would put the caret elsewhere than the character.
        let text = shown.replace(['\t', '\r'], " ").trim_end().to_owned();
        Self { line: number, column: place + 1, text, indent: place - start }
    }
}

impl fmt::Display for Excerpt {
    /// The line, and the caret below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:indent$}^", self.text, "", indent = self.indent)
    }
}

#[cfg(test)]
mod tests;
