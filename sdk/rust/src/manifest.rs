//! From `provider.toml` and the operations' functions to the manifest, `kv.manifest/1`.
//!
//! This runs natively, when a component is built and in tests. It says what an author can have got wrong between the two
//! halves; whether the whole is a good manifest is for the host to say.
//!
//! What `provider.toml` holds, in one file or several that are read as one:
//!
//! ```toml
//! name = "shop"
//! title = "Shop"
//! description = "What people read before they connect."
//! origins = ["https://api.shop.example"]
//! test = "orders.list"                     # a typed read that takes an empty input: `kv connection test` calls it
//! body = "form"                            # how a raw call's JSON body goes out; "json" when it is not said
//! allowed-headers = ["shop-beta"]          # that callers may set, beyond the ones that anybody may
//! headers = [                              # that the host adds where the request has none of the name
//!     { name = "shop-version", from = "setting", setting = "version" },
//!     { name = "idempotency-key", from = "call-id", methods = ["POST"] },
//! ]
//!
//! [[slots]]
//! name = "key"
//! kind = "token"
//! usual-names = ["SHOP_API_KEY"]
//! prefixes = [{ prefix = "sk_test_", label = "test key" }]
//!
//! [[settings]]
//! name = "version"
//! default = "2026-10-28"
//!
//! [auth.bearer]
//! type = "header"
//! name = "authorization"
//! value = "Bearer {key}"
//!
//! # What is reached as a raw call only. Operations with a function are not listed here.
//! [operations]
//! "orders.list" = { endpoint = "GET /v1/orders", title = "List orders", effect = "read", suggest = "allow" }
//! "orders.close" = { endpoint = ["POST /v1/orders/{order}/close", "DELETE /v1/orders/{order}"], effect = "destroy", suggest = "ask" }
//! ```
//!
//! An operation may also have a `description`, `repeatable`, `facts` (pointers into the raw body), and for its endpoints
//! `headers` and a `body` of their own. Name and version of the schema, the protocol, the provider's version and the
//! default schemes come from the code.
//!
//! Databases and machines have neither endpoints nor raw calls: each of their operations has a function. Their `origins`
//! are `postgres://HOST` and `ssh://HOST`, or none, and then the person names one; their scheme is of the type `login`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Operation, Protocol, Provider, Suggestion};

/// Everything that keeps `provider.toml` and the functions from being one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

/// The parts of `provider.toml` that go into the manifest as they are.
const PLAIN_PARTS: [&str; 11] =
    ["name", "title", "description", "requires", "origins", "slots", "settings", "auth", "body", "headers", "test"];

/// An operation without a function.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawOperation {
    endpoint: OneOrMany,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    effect: String,
    suggest: String,
    #[serde(default)]
    repeatable: bool,
    /// Into the JSON body of a raw call.
    #[serde(default)]
    facts: Map<String, Value>,
    #[serde(default)]
    headers: Vec<Value>,
    /// How its raw calls' JSON bodies go out, where that is not as everywhere else.
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

/// The manifest's JSON text.
pub fn build(provider: &Provider) -> Result<String, Problems> {
    let is_http = matches!(provider.protocol, Protocol::Http { .. });
    let mut builder = Builder { is_http, ..Builder::default() };
    for text in provider.manifest {
        builder.read(text);
    }
    for operation in provider.operations {
        builder.add_typed(operation);
    }
    builder.finish(provider)
}

#[derive(Default)]
struct Builder {
    is_http: bool,
    parts: Map<String, Value>,
    operations: BTreeMap<String, Value>,
    endpoints: Vec<Value>,
    problems: Vec<String>,
}

impl Builder {
    fn read(&mut self, text: &str) {
        let document: Map<String, Value> = match toml::from_str(text) {
            Ok(document) => document,
            Err(error) => return self.problems.push(error.to_string()),
        };
        for (name, value) in document {
            match (name.as_str(), value) {
                ("operations", Value::Object(operations)) => {
                    operations.into_iter().for_each(|(name, value)| self.add_raw(&name, value));
                }
                ("allowed-headers", value) => self.merge(name, value),
                (plain, value) if PLAIN_PARTS.contains(&plain) => self.merge(name, value),
                _ => self.problems.push(format!("`{name}` is no part of provider.toml")),
            }
        }
    }

    /// Lists and tables of several files add up; a single value is said once.
    fn merge(&mut self, name: String, value: Value) {
        match (self.parts.get_mut(&name), value) {
            (None, value) => {
                self.parts.insert(name, value);
            }
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(Value::Object(table)), Value::Object(more)) => table.extend(more),
            _ => self.problems.push(format!("`{name}` is said twice")),
        }
    }

    fn add_raw(&mut self, name: &str, value: Value) {
        let raw: RawOperation = match serde_json::from_value(value) {
            Ok(raw) => raw,
            Err(error) => return self.problems.push(format!("operations.{name}: {error}")),
        };
        let endpoints = match raw.endpoint {
            OneOrMany::One(endpoint) => vec![endpoint],
            OneOrMany::Many(endpoints) => endpoints,
        };
        let mut operation = json!({ "name": name, "title": raw.title, "effect": raw.effect, "suggest": raw.suggest });
        if !raw.description.is_empty() {
            operation["description"] = raw.description.into();
        }
        if raw.repeatable {
            operation["repeatable"] = true.into();
        }
        if !raw.facts.is_empty() {
            operation["facts"] = raw.facts.into();
        }
        self.add(name, operation, &endpoints, &raw.headers, raw.body.as_deref());
    }

    fn add_typed(&mut self, operation: &Operation) {
        let about = operation.about;
        let schema = (about.schema)();
        let mut facts = Map::new();
        for (fact, pointer) in about.facts {
            if !points_into(&schema, pointer) {
                self.problems.push(format!(
                    "operations.{}: the fact `{fact}` points at `{pointer}`, which the input has not",
                    operation.name
                ));
            }
            facts.insert((*fact).to_owned(), (*pointer).into());
        }
        let document = json!({
            "name": operation.name,
            "title": operation.title,
            "description": about.description,
            "effect": operation.effect,
            "input": schema,
            "facts": facts,
            "repeatable": operation.repeatable,
            "suggest": match about.suggest {
                Suggestion::Allow => "allow",
                Suggestion::Ask => "ask",
                Suggestion::Deny => "deny",
            },
        });
        let headers: Vec<_> = about
            .headers
            .iter()
            .map(|(name, value)| json!({ "name": name, "from": "fixed", "value": value }))
            .collect();
        self.add(operation.name, document, about.endpoints, &headers, None);
    }

    fn add<S: AsRef<str>>(
        &mut self,
        name: &str,
        operation: Value,
        endpoints: &[S],
        headers: &[Value],
        body: Option<&str>,
    ) {
        match (self.is_http, endpoints.is_empty()) {
            (true, true) => self.problems.push(format!("operations.{name}: it has no endpoint")),
            (false, false) => {
                self.problems.push(format!("operations.{name}: it has an endpoint, and only providers of `http` have"));
            }
            _ => {}
        }
        for endpoint in endpoints.iter().map(AsRef::as_ref) {
            let Some((method, path)) = endpoint.split_once(' ').filter(|(_, path)| path.starts_with('/')) else {
                self.problems.push(format!(
                    "operations.{name}: `{endpoint}` is no endpoint, which is written `GET /path/{{id}}`"
                ));
                continue;
            };
            let mut entry = json!({ "method": method, "path": path, "operation": name });
            if !headers.is_empty() {
                entry["headers"] = headers.into();
            }
            if let Some(body) = body {
                entry["body"] = body.into();
            }
            self.endpoints.push(entry);
        }
        if self.operations.insert(name.to_owned(), operation).is_some() {
            self.problems.push(format!("operations.{name}: it is listed twice"));
        }
    }

    fn finish(mut self, provider: &Provider) -> Result<String, Problems> {
        let schemes: BTreeSet<&str> = match self.parts.get("auth") {
            Some(Value::Object(schemes)) => schemes.keys().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        };
        for scheme in provider.auth.iter().filter(|scheme| !schemes.contains(**scheme)) {
            self.problems.push(format!("auth: the provider's requests name `{scheme}`, which provider.toml has not"));
        }
        if !self.parts.contains_key("name") {
            self.problems.push("`name` is missing".into());
        }
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        self.endpoints.sort_by_cached_key(|endpoint| (endpoint["path"].to_string(), endpoint["method"].to_string()));
        let mut manifest = Map::new();
        manifest.insert("schema".into(), "kv.manifest/1".into());
        manifest.insert("version".into(), provider.version.into());
        manifest.insert("protocol".into(), provider.protocol.name().into());
        manifest.insert("default-auth".into(), provider.auth.into());
        manifest.extend(self.parts);
        if self.is_http {
            manifest.insert("endpoints".into(), self.endpoints.into());
        }
        manifest.insert("operations".into(), self.operations.into_values().collect());
        Ok(Value::Object(manifest).to_string())
    }
}

/// Whether a pointer's members are properties of the schema. Below an open or untyped member anything may be.
fn points_into(schema: &Value, pointer: &str) -> bool {
    let Some(path) = pointer.strip_prefix('/') else { return false };
    let mut at = schema;
    for name in path.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")) {
        let Some(properties) = at.get("properties") else {
            return at.get("additionalProperties") != Some(&Value::Bool(false));
        };
        match properties.get(&name) {
            Some(property) => at = property,
            None => return false,
        }
    }
    true
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider.toml and the operations do not make a manifest:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests;
