//! Name and value pairs, for forms and queries. Nothing is encoded here: the host does that.

use serde_json::Value;

/// The pairs of a form body or a query, in order; a name may occur more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn new() -> Self {
        Self::default()
    }

    /// A JSON object with nested names: `{"items": [{"price": "p"}]}` becomes `items[0][price]` = `p`.
    ///
    /// A null becomes the empty text, which to services that take such forms means "unset", and so does an empty array.
    /// An empty object leaves no pair. Anything but an object gives an empty form.
    pub fn from_json(value: &Value) -> Self {
        let mut form = Self::new();
        if let Value::Object(object) = value {
            for (name, value) in object {
                form.flatten(name.clone(), value);
            }
        }
        form
    }

    /// Adds a pair.
    #[must_use]
    pub fn pair(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn flatten(&mut self, name: String, value: &Value) {
        match value {
            Value::Null => self.0.push((name, String::new())),
            Value::Bool(value) => self.0.push((name, value.to_string())),
            Value::Number(value) => self.0.push((name, value.to_string())),
            Value::String(value) => self.0.push((name, value.clone())),
            Value::Array(values) if values.is_empty() => self.0.push((name, String::new())),
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.flatten(format!("{name}[{index}]"), value);
                }
            }
            Value::Object(object) => {
                for (inner, value) in object {
                    self.flatten(format!("{name}[{inner}]"), value);
                }
            }
        }
    }
}

impl IntoIterator for Form {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nests() {
        let form = Form::from_json(&json!({
            "items": [{ "price": "p_1", "quantity": 2 }, { "price": "p_2" }],
            "metadata": { "k": null }, "flag": true, "none": [], "nothing": {}, "rate": 0.5,
        }));
        let pairs: Vec<_> = form.pairs().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            pairs,
            [
                "items[0][price]=p_1",
                "items[0][quantity]=2",
                "items[1][price]=p_2",
                "metadata[k]=",
                "flag=true",
                "none=",
                "rate=0.5"
            ]
        );
        assert!(Form::from_json(&json!([1])).is_empty());
    }
}
