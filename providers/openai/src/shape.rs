//! Shapes of inputs: what a schema says of a member, as a type.
//!
//! Most of it stands inside of [`Checked`]: the host holds the input to the schema before the component runs, so the
//! component has no reader for it, and the body goes out as the caller wrote it. Read is what a path, a summary or a
//! choice needs.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use kv_sdk::serde::de::{Deserialize, Deserializer, IgnoredAny};
use kv_sdk::serde::ser::{Error as _, Serialize, Serializer};

/// Shaped like a `T`, and skipped. Messages may hold megabytes of pictures; nothing here needs to look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked<T>(PhantomData<T>);

impl<'de, T> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(PhantomData))
    }
}

/// To write an input is to lose what was skipped, so it is refused: a body is made from the input's text.
impl<T> Serialize for Checked<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("what was only checked cannot be written"))
    }
}

/// A text of 1 to `MAX` characters.
#[kv_sdk::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(pub String);

/// The name of something of the service's. An empty one in a path would make it the path of another endpoint; the
/// longest known ones, of fine-tuned models, have some 100 characters.
pub type Id = Text<256>;

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// For summaries: one line, and short enough to be read.
impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As many characters as a summary quotes.
        const MOST: usize = 60;
        let line = |c: char| if c.is_control() { ' ' } else { c };
        match self.0.char_indices().nth(MOST) {
            None => self.0.chars().map(line).try_for_each(|c| f.write_char(c)),
            Some((end, _)) => {
                self.0[..end].trim_end().chars().map(line).try_for_each(|c| f.write_char(c))?;
                f.write_char('…')
            }
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[kv_sdk::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MIN: i64, const MAX: i64>(pub i64);

/// A number from `MIN` to `MAX` hundredths.
#[derive(Debug)]
pub enum Hundredths<const MIN: i64, const MAX: i64> {}

/// A list of `MIN` to `MAX` entries.
#[derive(Debug)]
pub struct List<T, const MIN: usize, const MAX: usize>(PhantomData<T>);

/// A text, or a list of `MIN` to `MAX` entries. Said with one list of types, since a violation inside of an `anyOf` would
/// name neither its place nor its reason.
#[derive(Debug)]
pub struct TextOrList<T, const MIN: usize, const MAX: usize>(PhantomData<T>);

/// A text, a token, or a list of tokens.
#[derive(Debug)]
pub enum TextOrTokens {}

/// A text, or an object that the service knows.
#[derive(Debug)]
pub enum TextOrObject {}

/// Any object.
#[derive(Debug)]
pub enum Object {}

/// A member that the service itself sends as null, in messages that callers send back to it.
#[derive(Debug)]
pub struct Nullable<T>(PhantomData<T>);

/// Up to 16 names, each with a text. The service has bounds for their lengths too, and says which one was passed.
#[derive(Debug)]
pub enum Metadata {}

/// No bound, of a number and of a length.
pub const ANY: i64 = i64::MAX;
pub const MANY: usize = usize::MAX;

/// 0 gives the likeliest words, 2 the wildest.
pub type Temperature = Hundredths<0, 200>;
pub type Probability = Hundredths<0, 100>;
pub type Penalty = Hundredths<-200, 200>;

/// Natively: where the manifest is made.
#[cfg(not(target_family = "wasm"))]
mod schemas {
    use std::borrow::Cow;

    use kv_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use kv_sdk::{Value, json};

    use super::*;

    impl<T: JsonSchema> JsonSchema for Checked<T> {
        fn inline_schema() -> bool {
            T::inline_schema()
        }

        fn schema_name() -> Cow<'static, str> {
            T::schema_name()
        }

        fn schema_id() -> Cow<'static, str> {
            T::schema_id()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            T::json_schema(generator)
        }
    }

    /// The parts of the implementation that say nothing: these types have no names in a schema.
    macro_rules! inline {
        ($name:literal) => {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
        };
    }

    impl<const MAX: usize> JsonSchema for Text<MAX> {
        inline!("Text");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let mut schema = json_schema!({ "type": "string", "minLength": 1 });
            if MAX != MANY {
                schema.insert("maxLength".to_owned(), MAX.into());
            }
            schema
        }
    }

    impl<const MIN: i64, const MAX: i64> JsonSchema for Whole<MIN, MAX> {
        inline!("Whole");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let mut schema = json_schema!({ "type": "integer", "minimum": MIN });
            if MAX != ANY {
                schema.insert("maximum".to_owned(), MAX.into());
            }
            schema
        }
    }

    impl<const MIN: i64, const MAX: i64> JsonSchema for Hundredths<MIN, MAX> {
        inline!("Hundredths");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "number", "minimum": hundredths(MIN), "maximum": hundredths(MAX) })
        }
    }

    /// Whole numbers without a fraction, as people write them.
    fn hundredths(number: i64) -> Value {
        if number % 100 == 0 { json!(number / 100) } else { json!(number as f64 / 100.0) }
    }

    impl<T: JsonSchema, const MIN: usize, const MAX: usize> JsonSchema for List<T, MIN, MAX> {
        inline!("List");

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let items = generator.subschema_for::<T>();
            let mut schema = json_schema!({ "type": "array", "items": items, "minItems": MIN });
            if MAX != MANY {
                schema.insert("maxItems".to_owned(), MAX.into());
            }
            schema
        }
    }

    impl<T: JsonSchema, const MIN: usize, const MAX: usize> JsonSchema for TextOrList<T, MIN, MAX> {
        inline!("TextOrList");

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let mut schema = List::<T, MIN, MAX>::json_schema(generator);
            schema.insert("type".to_owned(), json!(["string", "array"]));
            schema
        }
    }

    impl JsonSchema for TextOrTokens {
        inline!("TextOrTokens");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": ["string", "integer", "array"], "minLength": 1, "items": { "type": "integer" } })
        }
    }

    impl JsonSchema for TextOrObject {
        inline!("TextOrObject");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": ["string", "object"] })
        }
    }

    impl JsonSchema for Object {
        inline!("Object");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "object" })
        }
    }

    impl<T: JsonSchema> JsonSchema for Nullable<T> {
        inline!("Nullable");

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let mut schema = T::json_schema(generator);
            // An empty text says as little as null does.
            schema.remove("minLength");
            let mut types = match schema.remove("type") {
                Some(Value::Array(types)) => types,
                Some(one) => vec![one],
                None => panic!("only a shape with a type can be null besides"),
            };
            types.push("null".into());
            schema.insert("type".to_owned(), types.into());
            // One level down: beside the property's name it would read as a member that may be left out, and go.
            json_schema!({ "allOf": [schema] })
        }
    }

    impl JsonSchema for Metadata {
        inline!("Metadata");

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "object", "maxProperties": 16, "additionalProperties": { "type": "string" } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_short_line() {
        let shown = |text: &str| Id::to_string(&Text(text.to_owned()));
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(shown(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn what_was_skipped_cannot_be_written() {
        let checked: Checked<bool> = kv_sdk::serde_json::from_str(r#"[1, {"a": null}]"#).unwrap();
        assert!(kv_sdk::serde_json::to_string(&checked).is_err());
    }
}
