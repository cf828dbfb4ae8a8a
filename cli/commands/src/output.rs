//! What commands print: text for people, JSON for programs, nothing that steers a terminal.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::arguments::{Color, Global};
use crate::problem::Problem;

/// How this command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) color: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        Self { json: global.json, quiet: global.quiet, color }
    }

    /// The result: JSON as it is, or the text made of it.
    pub(crate) fn show<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Problem> {
        if self.json {
            let json = serde_json::to_string(value).map_err(|error| Problem::failed(error.to_string()))?;
            print_json(&json)
        } else {
            print(text(value).trim_end_matches('\n'))
        }
    }

    /// A line beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            // When standard error has gone there is nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

/// What a question is about. It is said whatever else is quiet: a question about something invisible is none.
pub(crate) fn tell(text: &str) {
    // When standard error has gone, the question is not seen either, and the answer is no.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line on standard output. A pipe that was closed ends the command quietly, as it does others.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    write_out(stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()))
}

/// The same for JSON. A program gets it as it is; on a terminal, what would steer it is escaped, which changes no value.
pub(crate) fn print_json(json: &str) -> Result<(), Problem> {
    if std::io::stdout().is_terminal() { print(&escaped(json)) } else { print(json) }
}

pub(crate) fn write_out(result: std::io::Result<()>) -> Result<(), Problem> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Problem::failed(format!("standard output: {error}"))),
    }
}

/// Text from outside, with nothing in it that steers a terminal or reorders what is read.
pub(crate) fn inert(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON in which nothing steers. Characters outside of ASCII, and controls, stand in its strings alone, where each may be
/// written as an escape.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) { escape(c, &mut out) } else { out.push(c) }
    }
    out
}

/// As JSON writes it, in ASCII.
pub(crate) fn escape(c: char, out: &mut String) {
    c.encode_utf16(&mut [0; 2]).iter().for_each(|half| out.push_str(&format!("\\u{half:04x}")));
}

/// Whether a terminal would do something else with this character than show it, or a reader sees nothing of it. A line
/// break and a tab are shown, and so is what chooses an emoji's form.
pub(crate) fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Soft hyphen, fillers that look like blanks, marks of direction, separators, tags and further selectors.
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{3164}'
        | '\u{ffa0}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

/// Columns, as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    columns(head.iter().map(|name| name.to_uppercase()), rows, &[])
}

/// The same under a head that is somebody else's; columns of these numbers end at the same place instead of beginning
/// there.
pub(crate) fn columns(head: impl IntoIterator<Item = String>, rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = comfy_table::Table::new();
    let head: Vec<_> = head.into_iter().map(|name| inert(&name)).collect();
    table.load_style(comfy_table::presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| inert(cell)));
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_values_and_steers_nothing() {
        let value = serde_json::json!({
            "a": "x\u{202e}y\u{9b}31m\u{7f}\u{200b}\u{61c}\u{ad}\u{2028}\u{e0041}\u{1b}]0;t\u{7}",
            "b": "\u{e4}\u{6f22}\u{1f600}\t\n",
        });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = escaped(&json);
            assert!(!shown.chars().any(steers), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
            assert!(shown.contains("\\udb40\\udc41") && shown.contains('\u{1f600}'), "{shown}");
        }
        assert_eq!(inert("a\u{61c}b\u{e0041}\u{85}"), "a\u{fffd}b\u{fffd}\u{fffd}");
    }
}
