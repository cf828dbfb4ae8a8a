//! The JSON Schema of an operation's input, compiled when it is first used.

use std::sync::OnceLock;

use serde_json::Value;

/// A JSON Schema (2020-12). It may refer to itself only: nothing is ever fetched.
pub struct InputSchema {
    document: Value,
    compiled: OnceLock<Result<jsonschema::Validator, String>>,
}

/// A violation of a schema: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the input; empty for the whole.
    pub pointer: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the input does not fit the operation's schema")]
    Input(Vec<Violation>),
    /// The provider's fault; found when it is installed, if all schemas are compiled then.
    #[error("the operation's schema is itself invalid: {0}")]
    Schema(String),
}

/// As many violations as one answer lists; more would not be read.
const MAX_VIOLATIONS: usize = 8;
/// As long as one message gets: a violation quotes the input, which may be large.
const MAX_MESSAGE: usize = 300;

impl InputSchema {
    pub fn new(document: Value) -> Self {
        Self { document, compiled: OnceLock::new() }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Compiles it, to find a provider's mistakes at installation.
    pub fn compile(&self) -> Result<(), SchemaError> {
        self.validator().map(|_| ())
    }

    pub fn check(&self, input: &Value) -> Result<(), SchemaError> {
        let validator = self.validator()?;
        if validator.is_valid(input) {
            return Ok(());
        }
        let violations = validator
            .iter_errors(input)
            .take(MAX_VIOLATIONS)
            .map(|error| Violation { pointer: error.instance_path().to_string(), message: cut(error.to_string()) });
        Err(SchemaError::Input(violations.collect()))
    }

    fn validator(&self) -> Result<&jsonschema::Validator, SchemaError> {
        self.compiled
            .get_or_init(|| {
                jsonschema::options()
                    .with_draft(jsonschema::Draft::Draft202012)
                    .build(&self.document)
                    .map_err(|error| cut(error.to_string()))
            })
            .as_ref()
            .map_err(|error| SchemaError::Schema(error.clone()))
    }
}

fn cut(text: String) -> String {
    if text.len() <= MAX_MESSAGE {
        return text;
    }
    let mut end = MAX_MESSAGE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

impl std::fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.document.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn violations_carry_a_pointer() {
        let schema = InputSchema::new(json!({
            "type": "object", "additionalProperties": false, "required": ["amount"],
            "properties": { "amount": { "type": "integer" } }
        }));
        assert_eq!(schema.check(&json!({"amount": 1})), Ok(()));
        let Err(SchemaError::Input(violations)) = schema.check(&json!({"amount": "1"})) else { panic!() };
        assert_eq!(violations[0].pointer, "/amount");
        assert!(schema.check(&json!({"amount": 1, "x": 1})).is_err());
    }

    #[test]
    fn a_schema_fetches_nothing() {
        for target in ["https://127.0.0.1:1/x", "file:///etc/passwd"] {
            let schema = InputSchema::new(json!({ "$ref": target }));
            assert!(matches!(schema.check(&json!({})), Err(SchemaError::Schema(_))), "{target}");
        }
    }
}
