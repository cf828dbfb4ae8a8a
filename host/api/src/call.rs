//! Calls: a typed operation, or a raw request that will be found to be one.

use kv_model::{ConnectionName, Effect, OperationName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::HiddenBytes;

/// `POST /v1/call`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    pub connection: ConnectionName,
    pub operation: OperationName,
    /// A JSON object; checked against the operation's schema.
    #[serde(default = "empty_object")]
    pub input: Value,
    /// The gravest effect that the caller wants to have.
    #[serde(default = "anything")]
    pub most: Effect,
    /// How long to wait for a person, if one has to be asked; two minutes at most.
    #[serde(default)]
    pub hold_ms: u64,
    /// What follows the JSON in the body, in order.
    #[serde(default)]
    pub attachments: Vec<AttachmentHead>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentHead {
    /// How the input names it.
    pub name: String,
    pub media_type: String,
    pub size: u64,
}

/// `POST /v1/api`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCallRequest {
    pub connection: ConnectionName,
    pub method: String,
    /// Encoded, beginning with `/`; it may carry a query.
    pub path: String,
    #[serde(default)]
    pub query: Vec<(String, String)>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub body: ApiBody,
    #[serde(default = "anything")]
    pub most: Effect,
    /// How long to wait for a person, if one has to be asked; two minutes at most.
    #[serde(default)]
    pub hold_ms: u64,
}

/// The body of a raw call.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ApiBody {
    #[default]
    None,
    /// Goes out as the provider's manifest says: as JSON, or as a form.
    Json(Value),
    /// Goes out as it is.
    Bytes { media_type: String, data: HiddenBytes },
}

/// One line of what a command writes, in an answer whose outcome is `command`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum CommandLine {
    /// The last line.
    End {
        exit: CommandExit,
        truncated: bool,
    },
    Stderr {
        data: HiddenBytes,
    },
    Stdout {
        data: HiddenBytes,
    },
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandExit {
    Code(u32),
    /// The signal's name without `SIG`.
    Signal(String),
    TimedOut,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

fn anything() -> Effect {
    Effect::Grant
}
