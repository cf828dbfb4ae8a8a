//! From a value's text to JSON, exactly or not at all: what would lose a digit as a JSON number is a string, and what is
//! not written as its type should be is a string too. Nothing here fails.

use std::fmt::Write;

use super::types::{Known, Shape};
use super::wire::MAX_ROW_BYTES;

/// Appends one value as JSON. `None` is `NULL`.
pub(super) fn write(out: &mut String, text: Option<&str>, oid: u32, known: &Known) {
    write_nested(out, text, oid, known, MAX_NESTING);
}

fn write_nested(out: &mut String, text: Option<&str>, oid: u32, known: &Known, depth: u8) {
    let Some(text) = text else { return out.push_str("null") };
    let Some(depth) = depth.checked_sub(1) else { return string(out, text) };
    let plain = match known.shape(oid) {
        Shape::Array { element, delimiter } => return array(out, text, *element, *delimiter, known, depth),
        Shape::Composite(parts) => return composite(out, text, parts, known, depth),
        Shape::Domain(base) => return write_nested(out, Some(text), *base, known, depth),
        Shape::Timestamp => return string(out, &iso_8601(text)),
        Shape::Bool => match text {
            "t" => Some("true"),
            "f" => Some("false"),
            _ => None,
        },
        Shape::Integer(_) => text.parse::<i64>().is_ok_and(|n| n.unsigned_abs() <= MAX_EXACT).then_some(text),
        Shape::Float => is_json_number(text).then_some(text),
        Shape::Json => is_json(text).then_some(text),
        Shape::Bytes | Shape::Numeric | Shape::Text => None,
    };
    match plain {
        Some(plain) => out.push_str(plain),
        None => string(out, text),
    }
}

/// Appends a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' => {
                // Writing into a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `{1,NULL,"a b"}` and `[0:1]={...}`, whose bounds are left out.
fn array(out: &mut String, text: &str, element: u32, delimiter: char, known: &Known, depth: u8) {
    let start = out.len();
    let body = if text.starts_with('[') { text.split_once('=').map_or(text, |(_, body)| body) } else { text };
    let mut rest = body;
    if elements(out, &mut rest, element, delimiter, known, depth, MAX_DIMENSIONS).is_none() || !rest.is_empty() {
        out.truncate(start);
        string(out, text);
    }
}

fn elements(
    out: &mut String,
    rest: &mut &str,
    element: u32,
    delimiter: char,
    known: &Known,
    depth: u8,
    dimensions: u8,
) -> Option<()> {
    let dimensions = dimensions.checked_sub(1)?;
    *rest = rest.strip_prefix('{')?;
    out.push('[');
    if let Some(after) = rest.strip_prefix('}') {
        *rest = after;
        out.push(']');
        return Some(());
    }
    loop {
        has_room(out)?;
        if rest.starts_with('{') {
            elements(out, rest, element, delimiter, known, depth, dimensions)?;
        } else if let Some(after) = rest.strip_prefix('"') {
            let (text, after) = quoted(after, false)?;
            *rest = after;
            write_nested(out, Some(&text), element, known, depth);
        } else {
            let end = rest.find([delimiter, '}'])?;
            let (text, after) = rest.split_at_checked(end)?;
            *rest = after;
            let text = (!text.eq_ignore_ascii_case("null")).then_some(text);
            write_nested(out, text, element, known, depth);
        }
        if let Some(after) = rest.strip_prefix(delimiter) {
            *rest = after;
            out.push(',');
        } else {
            *rest = rest.strip_prefix('}')?;
            out.push(']');
            return Some(());
        }
    }
}

/// `(1,"a ""b""",)`: nothing between two commas is `NULL`.
fn composite(out: &mut String, text: &str, parts: &[(String, u32)], known: &Known, depth: u8) {
    let start = out.len();
    if fields(out, text, parts, known, depth).is_none() {
        out.truncate(start);
        string(out, text);
    }
}

fn fields(out: &mut String, text: &str, parts: &[(String, u32)], known: &Known, depth: u8) -> Option<()> {
    let mut rest = text.strip_prefix('(')?;
    out.push('{');
    for (index, (name, oid)) in parts.iter().enumerate() {
        has_room(out)?;
        if index > 0 {
            rest = rest.strip_prefix(',')?;
            out.push(',');
        }
        string(out, name);
        out.push(':');
        if let Some(after) = rest.strip_prefix('"') {
            let (value, after) = quoted(after, true)?;
            rest = after;
            write_nested(out, Some(&value), *oid, known, depth);
        } else {
            let (value, after) = rest.split_at_checked(rest.find([',', ')'])?)?;
            rest = after;
            write_nested(out, Some(value).filter(|value| !value.is_empty()), *oid, known, depth);
        }
    }
    out.push('}');
    (rest == ")").then_some(())
}

/// A composite repeats its fields' names in each value, so JSON can be a hundred times the text that it was made of, and
/// names and text are the server's. A row that has grown beyond what leaves at all stays the text that it is.
fn has_room(out: &str) -> Option<()> {
    (out.len() <= MAX_ROW_BYTES).then_some(())
}

/// Up to the closing quote, and what comes after it. Composites double a quote inside; both put backslashes.
fn quoted(text: &str, doubled: bool) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '"' => {
                let after = text.get(at + 1..)?;
                if doubled && after.starts_with('"') {
                    value.push('"');
                    chars.next();
                } else {
                    return Some((value, after));
                }
            }
            c => value.push(c),
        }
    }
    None
}

/// `2026-01-02 03:04:05.6+00` is `2026-01-02T03:04:05.6Z`. What is no such thing (`infinity`, years before Christ) stays.
fn iso_8601(text: &str) -> String {
    let Some((day, time)) = text.split_once(' ').filter(|(_, time)| !time.contains(' ')) else {
        return text.to_owned();
    };
    let zone = time.find(['+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at_checked(zone).unwrap_or((time, ""));
    let zone = match zone {
        "+00" => "Z".to_owned(),
        short if short.len() == 3 => format!("{short}:00"),
        other => other.to_owned(),
    };
    format!("{day}T{time}{zone}")
}

/// Whether it is one value, and nested no deeper than those who read it can bear. Its numbers stay in their own digits.
fn is_json(text: &str) -> bool {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest <= MAX_JSON_DEPTH && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn is_json_number(text: &str) -> bool {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    is_plain && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// What a double holds exactly, and most who read JSON hold numbers in doubles: 2^53 - 1.
const MAX_EXACT: u64 = (1 << 53) - 1;
/// Half of what most parsers take, this program's own among them; the row is around it.
const MAX_JSON_DEPTH: usize = 48;
/// PostgreSQL's own bound on an array's dimensions.
const MAX_DIMENSIONS: u8 = 6;
/// Composites in arrays in composites: deeper ones are their text.
const MAX_NESTING: u8 = 16;

#[cfg(test)]
mod tests;
