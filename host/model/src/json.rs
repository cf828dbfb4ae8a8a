//! JSON from outside, read within bounds: depth, size, no key twice in an object, nothing after the value.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// As deep as objects and arrays may nest. Service APIs stay under 20; a stack frame an element costs about 500 bytes.
pub const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the JSON is {bytes} bytes, over the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// Syntax, depth, a key twice, or something after the value. The text holds positions and rules, nothing of the
    /// input but a repeated key.
    #[error("it is not valid JSON: {0}")]
    Invalid(String),
}

/// Parses one JSON value of at most `limit` bytes.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Value, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge { bytes: bytes.len(), limit });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Bounded { depth: MAX_DEPTH }.deserialize(&mut reader).map_err(|error| JsonError::Invalid(error.to_string()))?;
    reader.end().map_err(|error| JsonError::Invalid(error.to_string()))?;
    Ok(value)
}

/// Builds a [`Value`] and counts the depth on the way down.
struct Bounded {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Bounded {
    fn deeper<E: serde::de::Error>(&self) -> Result<Bounded, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Bounded { depth }),
            None => Err(E::custom(format_args!("deeper than {MAX_DEPTH} levels"))),
        }
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.deeper()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper()?)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_json() {
        let text = br#"{"a":[1,-2,3.5,"x",null,true],"b":{"c":18446744073709551615}}"#;
        assert_eq!(parse(text, 1000).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn refuses() {
        let deep = "[".repeat(100_000);
        for (text, part) in [
            ("", "EOF"),
            ("{\"a\":1,\"a\":2}", "twice"),
            ("1 2", "trailing"),
            ("NaN", "expected"),
            ("1e999", "out of range"),
            ("\"\\ud800\"", "hex escape"),
            ("\u{feff}1", "expected"),
            (deep.as_str(), "deeper"),
        ] {
            let error = parse(text.as_bytes(), 1 << 20).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(parse(b"[1,2]", 4), Err(JsonError::TooLarge { bytes: 5, limit: 4 }));
    }
}
