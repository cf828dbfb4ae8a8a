//! A call and what a provider makes of it, step by step: the types behind `provider.wit`, as the host sees them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CallId, Effect, OperationName, Parts, SettingName};

/// What a caller sent along, by name. The provider learns name, type and size; the host sends the bytes.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    pub data: Bytes,
}

/// One use of an operation. The input has been checked against the operation's schema.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: CallId,
    pub operation: OperationName,
    /// A JSON object, as text.
    pub input: String,
    /// The connection's settings, defaults filled in.
    pub settings: Vec<(SettingName, String)>,
    pub now_ms: u64,
    pub attachments: Vec<Attachment>,
}

/// What a provider answers to a step.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each step and taken apart at once")]
pub enum Step {
    /// The result, as JSON text.
    Done(String),
    Send {
        request: Parts,
        delivery: Delivery,
    },
}

/// How a request is to be carried out. Every word of it is the provider's claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub effect: Effect,
    pub summary: String,
    pub repeatable: bool,
    pub delay_ms: u32,
    pub next: Next,
}

/// What becomes of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Straight to the caller, as it streams.
    Forward,
    /// A 2xx is forwarded; anything else goes to `resume` with this state.
    ForwardSuccess(String),
    /// To `resume` with this state.
    Resume(String),
}

/// A whole answer, cleaned of secrets, for `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Payload,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Bytes(Vec<u8>),
    Text(String),
}

/// Why a provider could not do what was asked, in the caller's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// A JSON pointer into the input.
    pub field: Option<String>,
    /// The service's own name for it.
    pub code: Option<String>,
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    Conflict,
    Forbidden,
    Internal,
    InvalidInput,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    Upstream,
}
