//! What commands print: text for people, JSON for programs, nothing that steers a terminal.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::arguments::{Color, Global};
use crate::problem::Problem;

/// How this command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    quiet: bool,
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
            print(&json)
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

/// One line on standard output. A pipe that was closed ends the command quietly, as it does others.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    write_out(stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()))
}

pub(crate) fn write_out(result: std::io::Result<()>) -> Result<(), Problem> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Problem::failed(format!("standard output: {error}"))),
    }
}

/// Text from outside, with nothing in it that steers a terminal or reorders what is read.
pub(crate) fn inert(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Columns, as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| inert(cell)));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
