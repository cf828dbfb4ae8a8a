//! JSON Schemas (2020-12) of inputs, without what only a Rust programmer could use.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of an input type: self-contained, compact, and without nulls for members that may be left out.
#[doc(hidden)]
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    if let Value::Object(root) = &mut schema {
        // It says what the struct is for, to readers of the code; the operation has its own description.
        root.remove("description");
    }
    schema
}

fn tidy(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    object.remove("title");
    if object.get("format").and_then(Value::as_str).is_some_and(is_machine_format) {
        object.remove("format");
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    drop_optional_nulls(object);
    for (keyword, value) in object.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(schemas)) => {
                schemas.values_mut().for_each(tidy)
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => schemas.iter_mut().for_each(tidy),
            ("items" | "additionalProperties" | "propertyNames" | "not" | "contains", value) => tidy(value),
            _ => {}
        }
    }
}

/// Widths of integers and floats: JSON has numbers.
fn is_machine_format(format: &str) -> bool {
    format.starts_with("uint") || format.starts_with("int") || matches!(format, "float" | "double")
}

/// `Option` members may be left out. To allow null as well would be a second way to say the same, and to services where
/// null means "unset" a wrong one.
fn drop_optional_nulls(object: &mut Map<String, Value>) {
    let required: Vec<String> = match object.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for (name, property) in properties {
        if let Value::Object(property) = property
            && !required.contains(name)
        {
            drop_null(property);
        }
    }
}

fn drop_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        // In place, so that members keep their order; what the property says of itself wins.
        schema.remove("anyOf");
        for (keyword, value) in only {
            schema.entry(keyword).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Not for the schema.
    #[kv_sdk::input]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Order {
        /// In cents.
        amount: u64,
        title: Option<String>,
        /// What to do.
        mode: Option<Mode>,
        ship: Option<Address>,
    }

    #[kv_sdk::input]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its schema is of interest")]
    enum Mode {
        PayNow,
        Setup,
    }

    #[kv_sdk::input(open)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Address {
        city: String,
    }

    #[test]
    fn is_compact_and_strict() {
        assert_eq!(
            schema_of::<Order>(),
            json!({
                "type": "object",
                "properties": {
                    "amount": { "description": "In cents.", "type": "integer", "minimum": 0 },
                    "title": { "type": "string" },
                    "mode": { "description": "What to do.", "type": "string", "enum": ["pay_now", "setup"] },
                    "ship": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
                },
                "required": ["amount"],
                "additionalProperties": false,
            })
        );
        assert_eq!(schema_of::<crate::NoInput>(), json!({ "type": "object", "additionalProperties": false }));
    }
}
