//! What there is: connections, operations, providers. Names and schemas, never values.

use std::collections::BTreeMap;

use kv_model::{
    ConnectionName, Effect, OperationName, Protocol, ProviderName, SecretName, SettingName, SlotName, Suggestion,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /v1/connections`, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSummary {
    pub name: ConnectionName,
    pub provider: ProviderName,
    pub title: String,
    pub origin: String,
    /// "test key", as far as the key's beginning tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_label: Option<String>,
    pub operations: Counts,
}

/// How many operations are allowed, asked about, refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub allow: usize,
    pub ask: usize,
    pub deny: usize,
}

/// `GET /v1/connections/NAME`: for the person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionDetail {
    #[serde(flatten)]
    pub summary: ConnectionSummary,
    pub provider_version: String,
    pub provider_digest: String,
    /// Where the secret goes: "header Authorization: Bearer {key}".
    pub schemes: Vec<String>,
    /// The person said that the origin may be on this machine or in a private network.
    pub private: bool,
    pub custom_ca: bool,
    pub settings: BTreeMap<SettingName, String>,
    pub bindings: BTreeMap<SlotName, SecretName>,
    pub created_ms: u64,
    /// Operations by what was accepted for them.
    pub accepted: BTreeMap<OperationName, Suggestion>,
}

/// `GET /v1/operations`, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSummary {
    pub connection: ConnectionName,
    pub name: OperationName,
    pub title: String,
    pub effect: Effect,
    pub decision: Suggestion,
    /// It takes an input with a schema; otherwise it is reached as a raw call to one of `endpoints`.
    pub typed: bool,
    pub endpoints: Vec<String>,
}

/// `GET /v1/operations/CONNECTION/OPERATION`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationDetail {
    #[serde(flatten)]
    pub summary: OperationSummary,
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// `GET /v1/providers`, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSummary {
    pub name: ProviderName,
    pub version: String,
    pub title: String,
    pub description: String,
    pub digest: String,
    /// What its connections speak.
    pub protocol: Protocol,
    pub origins: Vec<String>,
    pub slots: Vec<SlotSummary>,
    pub settings: Vec<SettingSummary>,
    pub operations: Counts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSummary {
    pub name: SlotName,
    pub required: bool,
    pub usual_names: Vec<String>,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingSummary {
    pub name: SettingName,
    pub default: Option<String>,
    pub required: bool,
    pub description: String,
}
