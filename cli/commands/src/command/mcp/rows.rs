//! Rows of a database as a tool's result: those that fit, under their columns; all of them as JSON, in a file where they
//! are many.
//!
//! The text is what the daemon said, cut between two rows, so no digit of a number is lost in it.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body::Body;
use super::reply::{self, Collected, MAX_TEXT, heading, link, page};
use super::servers::Done;
use super::shown::Shown;
use super::store::{Store, Stored};
use crate::problem::Problem;

/// As large as rows may be to be looked into. A database's answer ends at 8 MiB; as JSON that may be a few times as much.
const MAX_LOOKED_INTO: u64 = 32 << 20;

/// What an operation that runs a statement answers.
#[derive(Deserialize)]
struct Rows<'a> {
    columns: Vec<Value>,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
    #[serde(default)]
    affected: u64,
    #[serde(default)]
    truncated: bool,
}

pub(super) fn result(from: &str, collected: Collected, done: Done, store: &Store) -> Result<CallToolResult, Problem> {
    let (text, file) = match &collected.body {
        // A service's own answer, or something else than text: no rows.
        _ if collected.status.is_some() => return reply::result(from, collected, store),
        Body::Short(bytes) => (String::from_utf8_lossy(bytes).into_owned(), None),
        Body::Long { file, .. } if file.shown == Shown::Bytes || file.size > MAX_LOOKED_INTO => {
            return reply::result(from, collected, store);
        }
        Body::Long { file, .. } => (whole(file)?, Some(file.clone())),
    };
    let Ok(rows) = serde_json::from_str::<Rows<'_>>(&text) else { return reply::result(from, collected, store) };
    let (mut content, mut blocks, mut notes) = (Map::new(), Vec::new(), done.notes(rows.affected));
    content.insert("from".to_owned(), from.into());
    if let Some(call) = collected.call {
        content.insert("call".to_owned(), call.into());
    }
    let fitting = match &file {
        None => {
            blocks.push(ContentBlock::text(Shown::Json.text(&text)));
            rows.rows.len()
        }
        Some(file) => first(&text, &rows, file, &mut content, &mut blocks, &mut notes),
    };
    if rows.truncated && done == Done::Read {
        notes.push("The database has more rows: ask for fewer columns or narrower, or give a larger max_rows.".into());
    }
    let given: Vec<Value> = rows
        .rows
        .iter()
        .take(fitting)
        .map(|row| serde_json::from_str(row.get()))
        .collect::<Result<_, _>>()
        .map_err(odd)?;
    content.insert("columns".to_owned(), rows.columns.into());
    content.insert("rows".to_owned(), given.into());
    content.insert("row_count".to_owned(), rows.rows.len().into());
    if done != Done::Read {
        content.insert("affected".to_owned(), rows.affected.into());
    }
    content.insert("truncated".to_owned(), rows.truncated.into());
    if let Some(file) = &file {
        link(&mut content, &mut blocks, file, "application/json");
    }
    blocks.insert(0, ContentBlock::text(heading(from, "", &notes)));
    let mut result = CallToolResult::success(blocks);
    result.structured_content = Some(Value::Object(content));
    Ok(result)
}

/// Shows the rows at the beginning of a long answer; gives how many those are. The cursor is where the next begins.
fn first(
    text: &str,
    rows: &Rows<'_>,
    file: &Stored,
    content: &mut Map<String, Value>,
    blocks: &mut Vec<ContentBlock>,
    notes: &mut Vec<String>,
) -> usize {
    let (piece, _) = Shown::Json.fit(text, MAX_TEXT);
    // Each row is a part of the text, so the distance of their beginnings is its place in it.
    let end = |row: &RawValue| row.get().as_ptr() as usize - text.as_ptr() as usize + row.get().len();
    let fitting = rows.rows.iter().take_while(|row| end(row) <= piece.len()).count();
    let Some(last) = fitting.checked_sub(1).and_then(|last| rows.rows.get(last)) else {
        page(content, blocks, notes, text, file);
        return 0;
    };
    // With the comma behind it, what follows begins with a row.
    let after = end(last);
    let after = after + usize::from(text.get(after..).is_some_and(|rest| rest.starts_with(',')));
    blocks.push(ContentBlock::text(Shown::Json.text(text.get(..after).unwrap_or_default())));
    if let Some(cursor) = file.cursor(after as u64) {
        let all = rows.rows.len();
        notes.push(match fitting == all {
            true => "The file has all of it.".to_owned(),
            false => format!(
                "These are the first {fitting} of {all} rows: kv_more with cursor {cursor} goes on, and the file has all."
            ),
        });
        if fitting < all {
            content.insert("cursor".to_owned(), cursor.into());
        }
    }
    fitting
}

fn whole(file: &Stored) -> Result<String, Problem> {
    std::fs::read_to_string(&file.path).map_err(|error| Problem::failed(format!("{}: {error}", file.path.display())))
}

fn odd(error: serde_json::Error) -> Problem {
    Problem::failed(format!("the daemon's answer is not understood: {error}"))
}
