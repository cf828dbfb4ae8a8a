//! From an input's text to its type, with a pointer to what does not fit.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::text::{MAX_DEPTH, is_too_deep};

/// The input of an operation that takes none.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// Reads an operation's input. The host has checked it against the schema; what the type refuses beyond that (a number
/// out of its range, a text that is none of an enum's) is the caller's to mend too.
#[doc(hidden)]
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    if is_too_deep(text.as_bytes()) {
        return Err(Failure::invalid_input(format!("it nests deeper than {MAX_DEPTH} levels")).at(""));
    }
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // Positions are of no use to a caller who wrote no text; the pointer says it.
        let message = message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(&message);
        Failure::invalid_input(message).at(pointer_at(text, offset(text, error.line(), error.column())))
    })
}

/// Bytes before a position as serde_json counts it: lines from 1, columns in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    start + column
}

/// A container that is open at a place of a JSON text.
enum Open {
    Array(usize),
    /// The name of the member that is being read.
    Object(String),
}

/// The JSON pointer to the value that a parser was at, having read so many bytes. The text is JSON.
fn pointer_at(text: &str, offset: usize) -> String {
    let read = text.get(..offset.min(text.len())).unwrap_or(text);
    let mut open: Vec<Open> = Vec::new();
    let mut in_name = false;
    let mut chars = read.char_indices();
    while let Some((start, c)) = chars.next() {
        match c {
            '{' => {
                open.push(Open::Object(String::new()));
                in_name = true;
            }
            '[' => open.push(Open::Array(0)),
            '}' | ']' => {
                open.pop();
                in_name = false;
            }
            ':' => in_name = false,
            ',' => match open.last_mut() {
                Some(Open::Array(index)) => *index += 1,
                Some(Open::Object(_)) => in_name = true,
                None => {}
            },
            '"' => {
                let end = string_end(&mut chars).unwrap_or(read.len());
                if in_name && let Some(Open::Object(name)) = open.last_mut() {
                    *name = read.get(start..end).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    let mut pointer = String::new();
    for place in &open {
        pointer.push('/');
        match place {
            Open::Array(index) => pointer.push_str(&index.to_string()),
            Open::Object(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
        }
    }
    pointer
}

/// Reads on to behind a string's closing quote.
fn string_end(chars: &mut std::str::CharIndices<'_>) -> Option<usize> {
    loop {
        match chars.next()? {
            (_, '\\') => {
                chars.next();
            }
            (at, '"') => return Some(at + 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it can be read is of interest")]
    struct Order {
        amount: u8,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it can be read is of interest")]
    struct Item {
        price: String,
        #[serde(rename = "a/b", default)]
        odd: Option<bool>,
    }

    #[test]
    fn a_failure_points_at_its_place() {
        for (text, pointer) in [
            (r#"{"amount":300}"#, "/amount"),
            (r#"{"amount":"1","items":[]}"#, "/amount"),
            ("{\n  \"amount\": 1,\n  \"items\": [{\"price\": \"é\\\"{,\"}, {\"price\": 1}]\n}", "/items/1/price"),
            (r#"{"amount":1,"items":[{"price":"p","a/b":"x"}]}"#, "/items/0/a~1b"),
            (r#"{"amount":1,"items":[{"price":"p"},{}]}"#, "/items/1"),
            (r#"{"amount":1,"other":2}"#, "/other"),
            (r#"{"items":[]}"#, ""),
        ] {
            let failure = parse::<Order>(text).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(pointer), "{text}: {}", failure.message);
            assert!(!failure.message.contains(" line "), "{}", failure.message);
        }
    }

    #[test]
    fn what_nests_too_deep_is_the_callers_to_mend() {
        let text = format!("{{\"amount\":1,\"x\":{}{}}}", "[".repeat(40), "]".repeat(40));
        let failure = parse::<serde_json::Value>(&text).unwrap_err();
        assert_eq!(failure.message, "it nests deeper than 32 levels");
    }
}
