//! What a provider says of itself: `kv.manifest/1`. Reading it runs none of the provider's code.
//!
//! A manifest is a claim. What the host holds against it: the gravest effect counts ([`Manifest::effect_of`]), a request
//! that no endpoint lists does not go out, and a secret goes to the connection's origin only.

mod parse;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Effect, InputSchema, Method, OperationName, Origin, PathTemplate, ProviderName, Scheme, SchemeName, Segments,
    SettingName, SlotName,
};

pub use parse::ManifestProblem;

/// A manifest that has been checked whole.
#[derive(Debug)]
pub struct Manifest {
    pub name: ProviderName,
    pub version: semver::Version,
    pub title: String,
    pub description: String,
    pub protocol: Protocol,
    pub origins: Vec<Origin>,
    pub slots: Vec<Slot>,
    pub settings: Vec<Setting>,
    pub auth: BTreeMap<SchemeName, Arc<Scheme>>,
    /// The schemes of a raw call, in order.
    pub default_auth: Vec<SchemeName>,
    /// How a raw call's JSON body goes out, unless the endpoint says otherwise.
    pub body: BodyEncoding,
    /// Headers that the host adds to every request that has none of the name.
    pub headers: Vec<RequestHeader>,
    /// Headers that caller and provider may set, in lower case, beyond those that the host lets through anyway.
    pub allowed_headers: Vec<String>,
    pub endpoints: Vec<Endpoint>,
    pub operations: BTreeMap<OperationName, Operation>,
    /// A typed read that takes an empty input: what `kv connection test` calls.
    pub test: Option<OperationName>,
    by_shape: HashMap<(Method, usize), Vec<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Http,
    Sql,
    Ssh,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Sql => "sql",
            Protocol::Ssh => "ssh",
        }
    }
}

/// A place for a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slot {
    pub name: SlotName,
    pub kind: SlotKind,
    #[serde(default = "yes")]
    pub required: bool,
    /// What people call such a secret: `OPENAI_API_KEY`. `kv set` recognises it by these.
    #[serde(default)]
    pub usual_names: Vec<String>,
    /// What a real one begins with: `sk-`. Shown as a hint when a value looks otherwise, never enforced.
    #[serde(default)]
    pub prefixes: Vec<SlotPrefix>,
    #[serde(default)]
    pub description: String,
}

/// A beginning of real keys, and what a key that begins so is: `sk_test_` is a "test key".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPrefix {
    pub prefix: String,
    pub label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    Password,
    PrivateKey,
    Token,
    Url,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub name: SettingName,
    #[serde(default)]
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub description: String,
}

/// How a raw call's JSON body goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyEncoding {
    /// `application/x-www-form-urlencoded` with nested keys: `items[0][price]=..`.
    Form,
    #[default]
    Json,
}

/// A header that the host adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    /// Lower case.
    pub name: String,
    #[serde(flatten)]
    pub value: HeaderSource,
    /// Empty: with every method.
    #[serde(default)]
    pub methods: Vec<Method>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum HeaderSource {
    /// The call's id: an idempotency key.
    CallId,
    Fixed {
        value: String,
    },
    /// A setting; where it is empty the header is left out.
    Setting {
        setting: SettingName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    pub method: Method,
    pub path: PathTemplate,
    pub operation: OperationName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RequestHeader>,
    /// How a raw call's JSON body goes out here, where that is not as [`Manifest::body`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyEncoding>,
}

#[derive(Debug)]
pub struct Operation {
    pub name: OperationName,
    pub title: String,
    pub description: String,
    pub effect: Effect,
    /// `None`: it is reached as a raw call only.
    pub input: Option<InputSchema>,
    /// Facts for policy: JSON pointers into the input.
    pub facts: BTreeMap<String, String>,
    pub repeatable: bool,
    pub suggest: Suggestion,
}

/// What a provider suggests for an operation; the person sees it and accepts it, or not, when connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suggestion {
    Allow,
    Ask,
    Deny,
}

/// The endpoint that a request is.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    pub endpoint: &'a Endpoint,
    pub operation: &'a Operation,
    /// The graver of the operation's claim and the method's least.
    pub effect: Effect,
}

impl Manifest {
    /// Reads and checks a manifest of at most [`Manifest::MAX_BYTES`]; says everything that is wrong with it at once.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<ManifestProblem>> {
        parse::parse(bytes)
    }

    /// The largest public API described so far takes under 400 KiB.
    pub const MAX_BYTES: usize = 4 << 20;

    /// The endpoint that a request is, the one with the most fixed segments when several fit.
    pub fn endpoint(&self, method: Method, path: &Segments) -> Option<Matched<'_>> {
        let candidates = self.by_shape.get(&(method, path.as_slice().len()))?;
        let endpoint = candidates
            .iter()
            .filter_map(|index| self.endpoints.get(*index))
            .filter_map(|endpoint| endpoint.path.fit(path).map(|fixed| (fixed, endpoint)))
            .max_by_key(|(fixed, _)| *fixed)
            .map(|(_, endpoint)| endpoint)?;
        let operation = self.operations.get(&endpoint.operation)?;
        Some(Matched { endpoint, operation, effect: operation.effect.graver(method.least_effect()) })
    }

    /// The listed endpoints that look most like one that is not, nearest first.
    pub fn nearest(&self, method: Method, path: &str, most: usize) -> Vec<&Endpoint> {
        let mut near: Vec<_> = self
            .endpoints
            .iter()
            .map(|endpoint| {
                let likeness = strsim::normalized_damerau_levenshtein(&endpoint.path.to_string(), path);
                let other_method = if endpoint.method == method { 0.0 } else { 0.1 };
                (endpoint, likeness - other_method)
            })
            .collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        near.into_iter().take(most).map(|(endpoint, _)| endpoint).collect()
    }

    /// The operations whose names look most like one that there is not, nearest first.
    pub fn nearest_operations(&self, name: &str, most: usize) -> Vec<&OperationName> {
        let mut near: Vec<_> =
            self.operations.keys().map(|known| (known, strsim::jaro_winkler(known.as_str(), name))).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        near.into_iter().take(most).map(|(known, _)| known).collect()
    }

    /// The slot that a secret of this name usually fills.
    pub fn slot_for(&self, secret: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.usual_names.iter().any(|usual| usual == secret))
    }

    /// The settings of a connection, defaults filled in.
    pub fn settings_with(&self, given: &BTreeMap<SettingName, String>) -> Vec<(SettingName, String)> {
        self.settings
            .iter()
            .filter_map(|setting| {
                let value = given.get(&setting.name).cloned().or_else(|| setting.default.clone())?;
                Some((setting.name.clone(), value))
            })
            .collect()
    }

    /// The schemes of a request that names none itself, in order.
    pub fn default_schemes(&self) -> Vec<(SchemeName, Arc<Scheme>)> {
        let named = |name| self.auth.get_key_value(name).map(|(name, scheme)| (name.clone(), Arc::clone(scheme)));
        self.default_auth.iter().filter_map(named).collect()
    }

    /// How grave an operation is: its own claim, and the least of every endpoint that belongs to it.
    pub fn effect_of(&self, operation: &Operation) -> Effect {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.operation == operation.name)
            .fold(operation.effect, |effect, endpoint| effect.graver(endpoint.method.least_effect()))
    }
}

impl Suggestion {
    pub fn as_str(self) -> &'static str {
        match self {
            Suggestion::Allow => "allow",
            Suggestion::Ask => "ask",
            Suggestion::Deny => "deny",
        }
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn yes() -> bool {
    true
}
