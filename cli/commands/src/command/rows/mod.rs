//! What a database answered, for people: a table, or CSV. Every value is shown as the answer has it; none is read as a
//! number on the way.

mod csv;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use self::csv::csv;
use crate::output::{columns, inert};
use crate::problem::Problem;

/// The widest cell of a table. What is longer is cut, and said to be.
const MAX_CELL: usize = 60;
/// Types whose values are read from the right.
const NUMBERS: [&str; 8] = ["bigint", "double precision", "integer", "money", "numeric", "oid", "real", "smallint"];

/// Rows with the columns that they are in.
#[derive(Debug, Deserialize)]
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Box<RawValue>>>,
    #[serde(default)]
    pub(super) affected: u64,
    #[serde(default)]
    pub(super) truncated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
}

/// A table, and a sentence for each column that has been cut.
pub(super) struct Table {
    pub(super) text: String,
    pub(super) cut: Vec<String>,
}

impl Rows {
    pub(super) fn read(json: &str) -> Result<Self, Problem> {
        serde_json::from_str(json).map_err(|error| Problem::failed(format!("the answer is no rows: {error}")))
    }

    pub(super) fn table(&self) -> Result<Table, Problem> {
        let mut cut = vec![0_usize; self.columns.len()];
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut cells = Vec::with_capacity(row.len());
            for (index, value) in row.iter().enumerate() {
                let (cell, is_cut) = shown(&plain(value)?);
                if is_cut && let Some(count) = cut.get_mut(index) {
                    *count += 1;
                }
                cells.push(cell);
            }
            rows.push(cells);
        }
        // `numeric(10,2)` is one, too.
        let is_number = |column: &Column| {
            let name = column.type_name.split('(').next().unwrap_or_default();
            NUMBERS.contains(&name)
        };
        let right: Vec<_> = (0..self.columns.len()).filter(|index| is_number(&self.columns[*index])).collect();
        let text = columns(self.columns.iter().map(|column| column.name.clone()), &rows, &right);
        let named = self.columns.iter().zip(cut).filter(|(_, count)| *count > 0);
        let cut = named.map(|(column, count)| {
            format!("cut: {count} long values in column `{}`; --json or --csv has all of them", inert(&column.name))
        });
        Ok(Table { text, cut: cut.collect() })
    }

    /// `(3 rows)`
    pub(super) fn count(&self) -> String {
        match self.rows.len() {
            1 => "(1 row)".to_owned(),
            count => format!("({count} rows)"),
        }
    }
}

/// A value's own text. `None`: there is no value.
fn plain(value: &RawValue) -> Result<Option<Cow<'_, str>>, Problem> {
    match value.get() {
        "null" => Ok(None),
        text if text.starts_with('"') => serde_json::from_str(text)
            .map(|text: String| Some(Cow::Owned(text)))
            .map_err(|error| Problem::failed(format!("the answer is no rows: {error}"))),
        text => Ok(Some(Cow::Borrowed(text))),
    }
}

/// A cell on one line, and whether it was cut. No value is `NULL`, so that it is no empty text; a text of that name is in
/// quotes.
fn shown(value: &Option<Cow<'_, str>>) -> (String, bool) {
    let Some(text) = value else { return ("NULL".to_owned(), false) };
    if text == "NULL" {
        return ("'NULL'".to_owned(), false);
    }
    let mut cell = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == MAX_CELL {
            cell.push('…');
            return (cell, true);
        }
        match c {
            '\n' => cell.push('↵'),
            '\t' => cell.push(' '),
            c => cell.push(c),
        }
    }
    (cell, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_not_there() {
        let long = "x".repeat(MAX_CELL + 1);
        let json = format!(
            r#"{{"columns":[{{"name":"id","type":"bigint"}},{{"name":"Name","type":"text"}}],
                "rows":[[1,null],[20,""],[300,"NULL"],["9007199254740993","a\nb\u001b[2J"],[5,"{long}"],[6,{{"b":1,"a":2}}]],
                "affected":6,"truncated":false}}"#
        );
        let rows = Rows::read(&json).unwrap();
        let table = rows.table().unwrap();
        let lines: Vec<_> = table.text.lines().map(str::trim).collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["id", "Name"]);
        assert!(lines[1].ends_with("1  NULL"), "{}", table.text);
        assert_eq!(lines[2], "20");
        assert!(lines[3].ends_with("'NULL'"));
        assert!(lines[4].ends_with("9007199254740993  a↵b�[2J"), "{}", table.text);
        assert!(lines[5].ends_with("x…"));
        assert!(lines[6].ends_with(r#"{"b":1,"a":2}"#));
        assert_eq!(table.cut.len(), 1);
        assert!(table.cut[0].contains("1 long values in column `Name`"));
        assert_eq!(rows.count(), "(6 rows)");
    }

    #[test]
    fn what_is_no_rows_is_said_to_be_none() {
        assert!(Rows::read("{}").is_err());
        assert!(Rows::read("[1]").is_err());
    }
}
