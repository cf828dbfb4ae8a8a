//! Parameters as name and value: how the service reads queries and multipart forms.
//!
//! A list is `name[]` once for each entry, an object `name[key]`, and null is left out. The official SDKs write the same.

use kv_sdk::{Io, Map, Value};

/// The caller's input as pairs, but for the members that go elsewhere: into the path, or as a file.
pub(crate) fn of_input(io: &Io, elsewhere: &[&str]) -> Vec<(String, String)> {
    pairs(&io.input_without(elsewhere))
}

/// The pairs of an object, in its order.
fn pairs(object: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::with_capacity(object.len());
    for (name, value) in object {
        push(name.clone(), value, &mut pairs);
    }
    pairs
}

/// As deep as the host reads JSON, so this recursion has an end.
fn push(name: String, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Bool(value) => pairs.push((name, value.to_string())),
        Value::Number(value) => pairs.push((name, value.to_string())),
        Value::String(value) => pairs.push((name, value.clone())),
        Value::Array(entries) => {
            for entry in entries {
                push(format!("{name}[]"), entry, pairs);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                push(format!("{name}[{key}]"), member, pairs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kv_sdk::json;

    use super::*;

    #[test]
    fn lists_and_objects_have_brackets() {
        let Value::Object(object) = json!({
            "a": "x y", "b": [1, 2.5, true], "none": null, "c": {"d": "e", "f": {"g": [null, "h"]}}, "empty": []
        }) else {
            unreachable!()
        };
        let wanted = [("a", "x y"), ("b[]", "1"), ("b[]", "2.5"), ("b[]", "true"), ("c[d]", "e"), ("c[f][g][]", "h")];
        assert_eq!(pairs(&object), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
