//! What leaves of an answer: rows as JSON and errors as text, each clean of every value of the vault.

use std::collections::BTreeMap;

use kv_model::{Column, Rows, SecretId, SqlError};
use kv_redact::MARKER;

use super::gather::Answer;
use super::types::Known;
use super::values;
use super::wire::{MAX_ROW_BYTES, Row, ServerError};
use crate::patterns::Snapshot;

/// Cleans what passes, and counts what it found.
pub(super) struct Cleaner<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) hits: BTreeMap<SecretId, u64>,
}

impl Cleaner<'_> {
    pub(super) fn rows(&mut self, answer: Answer, known: &Known) -> Rows {
        let Answer { fields, rows, affected, mut truncated } = answer;
        let columns = fields
            .iter()
            .map(|field| Column { name: self.text(&field.name), type_name: self.text(&known.name(field.type_oid)) });
        let columns = columns.collect();
        let oids: Vec<u32> = fields.iter().map(|field| field.type_oid).collect();
        // One look at everything says in nearly every case that there is nothing.
        let is_clean = !self.finds(&rows.iter().map(Row::bytes).collect::<Vec<_>>().join(&b'\n'));
        let (mut texts, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            let text = self.row(row, &oids, known, is_clean);
            // As JSON it may be longer than it was.
            bytes += text.len();
            if bytes > MAX_ROW_BYTES {
                truncated = true;
                break;
            }
            texts.push(text);
        }
        if self.finds(texts.join("\n").as_bytes()) {
            // What JSON made of several clean values; whoever reads it would find one.
            for text in &mut texts {
                if self.finds(text.as_bytes()) {
                    self.count(text.as_bytes());
                    *text = masked_row(oids.len());
                }
            }
        }
        Rows { columns, rows: texts, affected, truncated }
    }

    pub(super) fn error(&mut self, error: &ServerError) -> SqlError {
        let mut message = error.message.clone();
        for (name, part) in [("detail", &error.detail), ("hint", &error.hint)] {
            if let Some(part) = part {
                message.push_str(&format!("; {name}: {part}"));
            }
        }
        let message = inert(&self.text(&message));
        SqlError { code: error.code.clone(), message, position: error.position }
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        let (masked, found) = kv_redact::mask_bytes(&self.snapshot.patterns, text.as_bytes());
        self.snapshot.count(found, &mut self.hits);
        String::from_utf8_lossy(&masked).into_owned()
    }

    fn row(&mut self, row: &Row, oids: &[u32], known: &Known, is_clean: bool) -> String {
        let mut out = String::with_capacity(row.len() + 16);
        out.push('[');
        for (index, (field, oid)) in row.fields().zip(oids).enumerate() {
            if index > 0 {
                out.push(',');
            }
            match field {
                None => out.push_str("null"),
                Some(bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    let text = if is_clean { text } else { self.text(&text).into() };
                    values::write(&mut out, Some(&text), *oid, known);
                }
            }
        }
        out.push(']');
        out
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        self.snapshot.patterns.find_any(bytes)
    }

    fn count(&mut self, bytes: &[u8]) {
        let found = kv_redact::mask_bytes(&self.snapshot.patterns, bytes).1;
        self.snapshot.count(found, &mut self.hits);
    }
}

fn masked_row(columns: usize) -> String {
    let marker = format!("\"{}\"", String::from_utf8_lossy(MARKER));
    format!("[{}]", vec![marker; columns].join(","))
}

/// One line, without what would move a terminal's cursor or turn its text around, and not longer than anybody reads.
fn inert(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(MAX_MESSAGE).map(|c| if is_odd(c) { ' ' } else { c }).collect()
}

const MAX_MESSAGE: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_a_terminal() {
        assert_eq!(inert("a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}e"), "a [2Jb  c d e");
        assert_eq!(inert(&"ä".repeat(5_000)).chars().count(), MAX_MESSAGE);
    }
}
