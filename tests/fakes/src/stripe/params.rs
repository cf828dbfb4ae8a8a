//! The parameters of one request: read from the query or the form, then asked for by type.

use serde_json::{Map, Value, json};

use super::error::Error;
use super::form::{self, Malformed};
use crate::record::Recorded;

pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Reads the query of GET and DELETE, the form of POST.
    pub(super) fn of(request: &Recorded) -> Result<Params, Error> {
        let text = match request.method.as_str() {
            "POST" if !request.body.is_empty() => {
                let content_type = request.header("content-type").unwrap_or("");
                if !content_type.starts_with("application/x-www-form-urlencoded") {
                    return Err(Error::not_a_form());
                }
                std::str::from_utf8(&request.body).map_err(|_| Error::not_a_form())?
            }
            _ => request.query(),
        };
        form::parse(text).map(Params).map_err(|malformed| match malformed {
            Malformed::Conflict(name) => Error::invalid(&name, format!("Invalid object: {name}")),
            Malformed::Name(name) => Error::invalid(&name, format!("Invalid parameter name: {name}")),
            Malformed::TooDeep(name) => Error::invalid(&name, format!("Parameter is nested too deeply: {name}")),
            Malformed::TooMany => Error::refused("parameter_unknown", "Too many parameters."),
        })
    }

    /// Refuses what is not in the list. `expand` is always allowed.
    pub(super) fn only(&self, allowed: &[&[&str]]) -> Result<(), Error> {
        let known = |name: &str| name == "expand" || allowed.iter().any(|some| some.contains(&name));
        match self.0.keys().find(|name| !known(name)) {
            Some(name) => Err(Error::unknown_param(name)),
            None => Ok(()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// A text; an empty one is as good as none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Error> {
        match self.0.get(name) {
            None => Err(Error::missing(name)),
            Some(Value::String(text)) if text.is_empty() => Err(Error::empty(name)),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Error::invalid(name, "Invalid string: must be a string, not a hash or an array.")),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => integer(name, value).map(Some),
        }
    }

    pub(super) fn required_integer(&self, name: &str) -> Result<i64, Error> {
        self.required(name)?;
        self.integer(name)?.ok_or_else(|| Error::missing(name))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Error::invalid(name, format!("Invalid boolean: {other}"))),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<&[Value], Error> {
        match self.0.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(Error::invalid(name, "Invalid array")),
        }
    }

    /// The text as it is, or null.
    pub(super) fn or_null(&self, name: &str) -> Value {
        self.0.get(name).filter(|value| **value != "").map_or(Value::Null, typed)
    }

    /// Metadata of a new object.
    pub(super) fn metadata(&self) -> Result<Value, Error> {
        let mut metadata = json!({});
        self.merge_metadata(&mut metadata)?;
        Ok(metadata)
    }

    /// Metadata of an object that has some: given keys replace, an empty value removes, an empty text clears all.
    pub(super) fn merge_metadata(&self, into: &mut Value) -> Result<(), Error> {
        let given = match self.0.get("metadata") {
            None => return Ok(()),
            Some(Value::Object(given)) => given,
            Some(Value::String(text)) if text.is_empty() => {
                *into = json!({});
                return Ok(());
            }
            Some(_) => return Err(Error::invalid("metadata", "Invalid hash")),
        };
        let Value::Object(into) = into else { return Ok(()) };
        for (key, value) in given {
            let param = format!("metadata[{key}]");
            match value {
                Value::String(text) if text.is_empty() => {
                    into.remove(key);
                }
                Value::String(text) if key.chars().count() > 40 || text.chars().count() > 500 => {
                    let message = "Metadata keys may have 40 characters and values 500.";
                    return Err(Error::invalid(&param, message));
                }
                Value::String(_) => {
                    into.insert(key.clone(), value.clone());
                }
                _ => return Err(Error::invalid(&param, "Invalid string: must be a string, not a hash or an array.")),
            }
        }
        if into.len() > 50 {
            return Err(Error::invalid("metadata", "Metadata may have 50 keys."));
        }
        Ok(())
    }
}

pub(super) fn integer(name: &str, value: &Value) -> Result<i64, Error> {
    let text = value.as_str().unwrap_or("a hash or an array");
    text.parse().map_err(|_| Error::not_integer(name, text))
}

/// Texts that are plainly booleans become booleans, so that an object shows what it was given as the real one does.
pub(super) fn typed(value: &Value) -> Value {
    match value {
        Value::String(text) if text == "true" => json!(true),
        Value::String(text) if text == "false" => json!(false),
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) => items.iter().map(typed).collect(),
        Value::Object(inner) => Value::Object(inner.iter().map(|(name, value)| (name.clone(), typed(value))).collect()),
        other => other.clone(),
    }
}
