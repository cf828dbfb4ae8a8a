//! From JSON to a parameter's text, by the type that the statement gives it. What does not fit is refused with its number
//! and what would fit; nothing of it is guessed.

use serde_json::{Map, Value};

use super::types::{Known, Shape};

/// Why a parameter cannot be what the statement wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParamError {
    #[error("the statement has {wanted} parameters, and {given} came")]
    Count { wanted: usize, given: usize },
    #[error("parameter ${index} is {is}; {type_name} takes {takes}")]
    Unfit { index: usize, is: &'static str, type_name: String, takes: &'static str },
}

impl ParamError {
    /// The SQLSTATE that a server would give it.
    pub(super) fn sqlstate(&self) -> &'static str {
        match self {
            ParamError::Count { .. } => "08P01",
            ParamError::Unfit { .. } => "22023",
        }
    }
}

/// All of them, for the types that the server named.
pub(super) fn texts(values: &[Value], oids: &[u32], known: &Known) -> Result<Vec<Option<Vec<u8>>>, ParamError> {
    if values.len() != oids.len() {
        return Err(ParamError::Count { wanted: oids.len(), given: values.len() });
    }
    let one = |(index, (value, oid)): (usize, (&Value, &u32))| match text(value, *oid, known, MAX_NESTING) {
        Ok(text) => Ok(text.map(String::into_bytes)),
        Err(Unfit { is, oid, takes }) => {
            Err(ParamError::Unfit { index: index + 1, is, type_name: known.name(oid).into_owned(), takes })
        }
    };
    values.iter().zip(oids).enumerate().map(one).collect()
}

/// As many digits as every double gives back as they were written.
const EXACT_DIGITS: usize = 15;

/// How many digits of a number's text say something: from the first that is not 0 to the last, without the exponent.
fn digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len()
}

struct Unfit {
    is: &'static str,
    /// The type inside of which it was found.
    oid: u32,
    takes: &'static str,
}

fn text(value: &Value, oid: u32, known: &Known, depth: u8) -> Result<Option<String>, Unfit> {
    let unfit = |is, takes| Err(Unfit { is, oid, takes });
    let Some(depth) = depth.checked_sub(1) else { return unfit("nested too deep", "less") };
    let shape = known.shape(oid);
    match (shape, value) {
        (_, Value::Null) => return Ok(None),
        (Shape::Domain(base), _) => return text(value, *base, known, depth),
        (_, Value::String(text)) if text.contains('\0') => return unfit("a string with a NUL in it", "none"),
        _ => {}
    }
    let takes = takes(shape);
    let fits = match (shape, value) {
        (Shape::Array { element, delimiter }, Value::Array(values)) => {
            return array(values, *element, *delimiter, known, depth, MAX_DIMENSIONS).map(Some);
        }
        (Shape::Composite(parts), Value::Object(object)) => {
            if object.keys().any(|key| parts.iter().all(|(name, _)| name != key)) {
                return unfit("an object with a name in it that the type does not have", takes);
            }
            return composite(object, parts, known, depth).map(Some);
        }
        (Shape::Json, value) => {
            let text = value.to_string();
            // `\u0000` in JSON is text with a NUL to `jsonb`, which has none.
            return if text.contains("\\u0000") { unfit("a string with a NUL in it", "none") } else { Ok(Some(text)) };
        }
        (Shape::Bool, Value::Bool(value)) => Some(value.to_string()),
        (Shape::Integer(bytes), Value::Number(number)) => {
            number.as_i64().filter(|number| is_within(*number, *bytes)).map(|number| number.to_string())
        }
        (Shape::Integer(bytes), Value::String(text)) => {
            let is_written_so = text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<i64>().ok().filter(|number| is_written_so && is_within(*number, *bytes));
            number.map(|number| number.to_string())
        }
        (Shape::Float, Value::Number(number)) => Some(number.to_string()),
        (Shape::Numeric, Value::Number(number)) => {
            // Whoever wrote more digits than a double holds has lost them by now. Up to 15 are sure to be the ones that were
            // written; a number that shows more was rounded, or may have been.
            let text = number.to_string();
            if number.is_f64() && digits(&text) > EXACT_DIGITS {
                return unfit("a number of more digits than JSON numbers keep", "it as a string of digits");
            }
            Some(text)
        }
        (Shape::Float | Shape::Numeric, Value::String(text)) => is_number(text).then(|| text.clone()),
        (Shape::Bytes, Value::String(text)) => is_hex(text).then(|| text.clone()),
        (Shape::Text | Shape::Timestamp, Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    match fits {
        Some(text) => Ok(Some(text)),
        None => unfit(kind(value), takes),
    }
}

fn array(
    values: &[Value],
    element: u32,
    delimiter: char,
    known: &Known,
    depth: u8,
    dimensions: u8,
) -> Result<String, Unfit> {
    let too_deep = Unfit { is: "an array in more than 6 dimensions", oid: element, takes: "at most 6" };
    let dimensions = dimensions.checked_sub(1).ok_or(too_deep)?;
    let is_json = *known.shape(element) == Shape::Json;
    let mut out = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        match value {
            // An array inside an array of JSON is a value of its own; in any other it is a further dimension.
            Value::Array(inner) if !is_json => {
                out.push_str(&array(inner, element, delimiter, known, depth, dimensions)?);
            }
            value => match text(value, element, known, depth)? {
                None => out.push_str("NULL"),
                Some(text) => quote(&mut out, &text),
            },
        }
    }
    out.push('}');
    Ok(out)
}

fn composite(object: &Map<String, Value>, parts: &[(String, u32)], known: &Known, depth: u8) -> Result<String, Unfit> {
    let mut out = String::from("(");
    for (index, (name, oid)) in parts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Some(text) = text(object.get(name).unwrap_or(&Value::Null), *oid, known, depth)? {
            quote(&mut out, &text);
        }
    }
    out.push(')');
    Ok(out)
}

/// In quotes always: then nothing inside means anything.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

fn takes(shape: &Shape) -> &'static str {
    match shape {
        Shape::Array { .. } => "an array",
        Shape::Bool => "true or false",
        Shape::Bytes => "a string of `\\x` and hexadecimal digits",
        Shape::Composite(_) => "an object with its names",
        Shape::Domain(_) | Shape::Json => "JSON",
        Shape::Float => "a number, or a string with one, `NaN` or `Infinity`",
        Shape::Integer(2) => "a whole number from -32768 to 32767",
        Shape::Integer(4) => "a whole number from -2147483648 to 2147483647",
        Shape::Integer(_) => "a whole number, as a string where it is beyond 2^53",
        Shape::Numeric => "a number, as a string where it has more than 15 digits",
        Shape::Text | Shape::Timestamp => "a string",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        Value::Number(number) if number.is_f64() => "a number with a fraction or beyond 2^64",
        Value::Number(_) => "a number",
        Value::Object(_) => "an object",
        Value::String(_) => "a string",
    }
}

fn is_within(number: i64, bytes: u8) -> bool {
    match bytes {
        2 => i16::try_from(number).is_ok(),
        4 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.bytes().any(|b| b.is_ascii_digit());
    let is_plain = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    (digits && is_plain && text.len() <= MAX_NUMBER)
        || ["NaN", "Infinity"].iter().any(|special| unsigned.eq_ignore_ascii_case(special))
}

fn is_hex(text: &str) -> bool {
    text.strip_prefix("\\x")
        .is_some_and(|digits| digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `numeric` has at most 131,072 digits before the point and 16,383 behind it.
const MAX_NUMBER: usize = 150_000;
const MAX_DIMENSIONS: u8 = 6;
const MAX_NESTING: u8 = 16;

#[cfg(test)]
mod tests;
