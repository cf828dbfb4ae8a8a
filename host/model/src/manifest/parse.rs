//! From the document to a [`Manifest`]: every check there is, all problems at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{
    BodyEncoding, Endpoint, HeaderSource, Manifest, Operation, Protocol, RequestHeader, Setting, Slot, Suggestion,
};
use crate::http::is_settable_header;
use crate::{
    Effect, InputSchema, OperationName, Origin, ProviderName, Scheme, SchemeName, SettingName, SlotName, json,
};

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestProblem {
    /// Where: `operations[3].effect`.
    pub place: String,
    pub what: String,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.place, self.what) }
    }
}

const SCHEMA: &str = "kv.manifest/1";
/// Bounds of the lists. The largest public APIs have some 600 endpoints; ten times that is a mistake or an attack.
const MAX_ENDPOINTS: usize = 6_000;
const MAX_OPERATIONS: usize = 6_000;
const MAX_LIST: usize = 64;
/// Texts are shown to people and put into agents' tool lists; longer ones are not read, or are meant to be not read.
const MAX_TEXT: usize = 2_000;

/// Settings of a machine that say whose key is believed and who carries the connection. A default would pin a key that no
/// person has seen.
const PERSONS_ALONE: [&str; 2] = ["host-keys", "jump"];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    schema: String,
    name: ProviderName,
    version: semver::Version,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    requires: Vec<String>,
    protocol: Protocol,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    slots: Vec<Slot>,
    #[serde(default)]
    settings: Vec<Setting>,
    #[serde(default)]
    auth: BTreeMap<String, Value>,
    #[serde(default)]
    default_auth: Vec<SchemeName>,
    #[serde(default)]
    body: BodyEncoding,
    #[serde(default)]
    headers: Vec<RequestHeader>,
    #[serde(default)]
    allowed_headers: Vec<String>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    operations: Vec<OperationDocument>,
    #[serde(default)]
    test: Option<OperationName>,
}

#[derive(Deserialize)]
struct OperationDocument {
    name: OperationName,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    effect: Effect,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    facts: BTreeMap<String, String>,
    #[serde(default)]
    repeatable: bool,
    suggest: Suggestion,
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<ManifestProblem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(ManifestProblem { place: place.into(), what: what.into() });
    }

    fn bound(&mut self, place: &str, count: usize, most: usize) {
        if count > most {
            self.add(place, format!("{count} entries, over the limit of {most}"));
        }
    }

    fn text(&mut self, place: impl Into<String>, text: &str) {
        if text.len() > MAX_TEXT {
            self.add(place, format!("a text of {} bytes, over the limit of {MAX_TEXT}", text.len()));
        } else if text.chars().any(is_unshowable) {
            self.add(place, "a text with control, bidirectional or invisible characters");
        }
    }
}

/// Characters that change how the text around them is shown.
fn is_unshowable(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, Vec<ManifestProblem>> {
    let one = |what: String| vec![ManifestProblem { place: String::new(), what }];
    let value = json::parse(bytes, Manifest::MAX_BYTES).map_err(|error| one(error.to_string()))?;
    let document: Document = serde_json::from_value(value).map_err(|error| one(error.to_string()))?;
    let mut problems = Problems::default();
    let manifest = document.check(&mut problems);
    if problems.0.is_empty() { Ok(manifest) } else { Err(problems.0) }
}

impl Document {
    fn check(self, problems: &mut Problems) -> Manifest {
        if self.schema != SCHEMA {
            problems.add("schema", format!("`{SCHEMA}` is the one that this kv reads"));
        }
        if let Some(needs) = self.requires.first() {
            problems.add("requires", format!("needs a newer kv: this one does not know `{}`", needs.escape_debug()));
        }
        self.check_protocol(problems);
        problems.text("title", &self.title);
        problems.text("description", &self.description);
        problems.bound("origins", self.origins.len(), MAX_LIST);
        problems.bound("slots", self.slots.len(), MAX_LIST);
        problems.bound("settings", self.settings.len(), MAX_LIST);
        problems.bound("auth", self.auth.len(), MAX_LIST);
        problems.bound("endpoints", self.endpoints.len(), MAX_ENDPOINTS);
        problems.bound("operations", self.operations.len(), MAX_OPERATIONS);

        let origins = origins(&self.origins, problems);
        check_slots(&self.slots, problems);
        let slots: BTreeSet<_> = self.slots.iter().map(|slot| slot.name.clone()).collect();
        let settings: BTreeSet<_> = self.settings.iter().map(|setting| setting.name.clone()).collect();
        for (index, setting) in self.settings.iter().enumerate() {
            problems.text(format!("settings[{index}].description"), &setting.description);
            let is_persons = self.protocol == Protocol::Ssh && PERSONS_ALONE.contains(&setting.name.as_str());
            if is_persons && setting.default.is_some() {
                problems.add(format!("settings[{index}].default"), "whom to trust and go through is a person's to say");
            }
        }
        if settings.len() != self.settings.len() {
            problems.add("settings", "two have the same name");
        }
        let auth = schemes(&self.auth, &slots, &settings, self.protocol, problems);
        for name in &self.default_auth {
            if !auth.contains_key(name) {
                problems.add("default-auth", format!("no scheme is named `{name}`"));
            }
        }
        let owned: BTreeSet<String> = auth.values().filter_map(|scheme| scheme.header()).collect();
        check_headers("headers", &self.headers, &settings, &owned, problems);
        for (index, name) in self.allowed_headers.iter().enumerate() {
            if !is_settable_header(name) || owned.contains(name) {
                problems.add(format!("allowed-headers[{index}]"), "no provider or caller may set this header");
            }
        }
        let operations = operations(self.operations, problems);
        if let Some(test) = &self.test {
            match operations.get(test) {
                Some(operation) if operation.effect == Effect::Read && operation.input.is_some() => {}
                _ => problems.add("test", format!("`{test}` is no typed operation that reads")),
            }
        }
        let by_shape = shapes(&self.endpoints, &operations, &settings, &owned, problems);
        Manifest {
            name: self.name,
            version: self.version,
            title: self.title,
            description: self.description,
            protocol: self.protocol,
            origins,
            slots: self.slots,
            settings: self.settings,
            auth,
            default_auth: self.default_auth,
            body: self.body,
            headers: self.headers,
            allowed_headers: self.allowed_headers,
            endpoints: self.endpoints,
            operations,
            test: self.test,
            by_shape,
        }
    }
}

impl Document {
    /// Endpoints are HTTP's, logins are of the others, and every origin is of the protocol.
    fn check_protocol(&self, problems: &mut Problems) {
        if self.protocol != Protocol::Http && !(self.endpoints.is_empty() && self.headers.is_empty()) {
            problems.add("protocol", "endpoints and headers belong to `http`");
        }
        for (index, text) in self.origins.iter().enumerate() {
            if Origin::parse(text).is_ok_and(|origin| origin.protocol() != self.protocol) {
                problems.add(format!("origins[{index}]"), "the origin is of another protocol");
            }
        }
    }
}

fn origins(texts: &[String], problems: &mut Problems) -> Vec<Origin> {
    let mut origins = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Origin::parse(text) {
            // A manifest's origins are shown to people: what they see must be what is stored.
            Ok(origin) if origin.to_string() == *text => origins.push(origin),
            Ok(origin) => problems.add(format!("origins[{index}]"), format!("write it `{origin}`")),
            Err(error) => problems.add(format!("origins[{index}]"), error.to_string()),
        }
    }
    origins
}

fn check_slots(slots: &[Slot], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, slot) in slots.iter().enumerate() {
        if !seen.insert(&slot.name) {
            problems.add(format!("slots[{index}].name"), "another slot has this name");
        }
        problems.text(format!("slots[{index}].description"), &slot.description);
        problems.bound(&format!("slots[{index}].usual-names"), slot.usual_names.len(), MAX_LIST);
        problems.bound(&format!("slots[{index}].prefixes"), slot.prefixes.len(), MAX_LIST);
        for name in &slot.usual_names {
            if crate::SecretName::parse(name).is_err() {
                problems.add(format!("slots[{index}].usual-names"), "one is no secret name");
            }
        }
    }
}

fn schemes(
    documents: &BTreeMap<String, Value>,
    slots: &BTreeSet<SlotName>,
    settings: &BTreeSet<SettingName>,
    protocol: Protocol,
    problems: &mut Problems,
) -> BTreeMap<SchemeName, Arc<Scheme>> {
    let mut schemes = BTreeMap::new();
    for (name, document) in documents {
        let place = format!("auth.{}", name.escape_debug());
        let name = match SchemeName::parse(name) {
            Ok(name) => name,
            Err(error) => {
                problems.add(place, error.to_string());
                continue;
            }
        };
        let scheme: Scheme = match serde_json::from_value(document.clone()) {
            Ok(scheme) => scheme,
            Err(error) => {
                problems.add(place, format!("a scheme that this kv does not know: {error}"));
                continue;
            }
        };
        for template in scheme.templates() {
            for slot in template.slots().filter(|slot| !slots.contains(*slot)) {
                problems.add(&place, format!("no slot is named `{slot}`"));
            }
            for setting in template.settings().filter(|setting| !settings.contains(*setting)) {
                problems.add(&place, format!("no setting is named `{setting}`"));
            }
        }
        if matches!(scheme, Scheme::Login { .. }) == (protocol == Protocol::Http) {
            problems.add(&place, "`login` is for `sql` and `ssh`, and the others for `http`");
        }
        if let Scheme::Header { name, .. } = &scheme
            && !is_auth_header(name)
        {
            problems.add(&place, "this header routes or frames a request; a secret cannot go there");
        }
        schemes.insert(name, Arc::new(scheme));
    }
    schemes
}

/// A scheme may own `authorization` and headers of the service's, but none that decides where a request goes.
fn is_auth_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "authorization" || is_settable_header(&name)
}

fn check_headers(
    place: &str,
    headers: &[RequestHeader],
    settings: &BTreeSet<SettingName>,
    owned: &BTreeSet<String>,
    problems: &mut Problems,
) {
    problems.bound(place, headers.len(), MAX_LIST);
    for (index, header) in headers.iter().enumerate() {
        if !is_settable_header(&header.name) || owned.contains(&header.name) {
            problems.add(format!("{place}[{index}].name"), "no provider may set this header");
        }
        match &header.value {
            HeaderSource::Setting { setting } if !settings.contains(setting) => {
                problems.add(format!("{place}[{index}].setting"), format!("no setting is named `{setting}`"));
            }
            HeaderSource::Fixed { value } if crate::http::check_header_value(value).is_err() => {
                problems.add(format!("{place}[{index}].value"), "no header can have this value");
            }
            _ => {}
        }
    }
}

fn operations(documents: Vec<OperationDocument>, problems: &mut Problems) -> BTreeMap<OperationName, Operation> {
    let mut operations = BTreeMap::new();
    for (index, document) in documents.into_iter().enumerate() {
        let place = format!("operations[{index}]");
        problems.text(format!("{place}.title"), &document.title);
        problems.text(format!("{place}.description"), &document.description);
        for (fact, pointer) in &document.facts {
            if !pointer.starts_with('/') {
                problems.add(format!("{place}.facts.{}", fact.escape_debug()), "a JSON pointer begins with `/`");
            }
        }
        let name = document.name.clone();
        let operation = Operation {
            name: document.name,
            title: document.title,
            description: document.description,
            effect: document.effect,
            input: document.input.map(InputSchema::new),
            facts: document.facts,
            repeatable: document.repeatable,
            suggest: document.suggest,
        };
        if operations.insert(name.clone(), operation).is_some() {
            problems.add(format!("{place}.name"), format!("another operation is named `{name}`"));
        }
    }
    operations
}

fn shapes(
    endpoints: &[Endpoint],
    operations: &BTreeMap<OperationName, Operation>,
    settings: &BTreeSet<SettingName>,
    owned: &BTreeSet<String>,
    problems: &mut Problems,
) -> HashMap<(crate::Method, usize), Vec<usize>> {
    let mut seen = BTreeSet::new();
    let mut by_shape: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let place = format!("endpoints[{index}]");
        if !operations.contains_key(&endpoint.operation) {
            problems.add(format!("{place}.operation"), format!("no operation is named `{}`", endpoint.operation));
        }
        // `/x/{a}` and `/x/{b}` are one endpoint: which of two operations would it be?
        let shape = endpoint
            .path
            .places()
            .fold(endpoint.path.to_string(), |text, name| text.replace(&format!("{{{name}}}"), "{}"));
        if !seen.insert((endpoint.method, shape)) {
            problems.add(&place, format!("`{endpoint}` is listed twice"));
        }
        check_headers(&format!("{place}.headers"), &endpoint.headers, settings, owned, problems);
        by_shape.entry((endpoint.method, endpoint.path.len())).or_default().push(index);
    }
    by_shape
}

#[cfg(test)]
mod tests;
