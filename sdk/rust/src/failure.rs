//! Why a call failed, in the caller's terms.

use serde::{Deserialize, Serialize};

use crate::Response;

/// Whose fault it is, and so what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The service's state does not allow it: exists already, changed meanwhile.
    Conflict,
    /// The service took the credential, and it does not reach so far.
    Forbidden,
    /// This provider's own fault.
    Internal,
    /// The caller can mend it; [`Failure::field`] says where.
    InvalidInput,
    NotFound,
    RateLimited,
    /// The service did not take the credential.
    Unauthorized,
    /// The service is down or overloaded.
    Unavailable,
    /// The service said no for a reason that no other kind names.
    Upstream,
}

/// The end of a call that gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// What is wrong, and what would be right.
    pub message: String,
    /// A JSON pointer into the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The service's own name for it: `card_declined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, code: None, retry_after_ms: None }
    }

    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidInput, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Internal, message)
    }

    /// The failure that an answer's status stands for, with its `retry-after`. A provider's mapper begins with it and
    /// adds what the body says.
    pub fn of_status(response: &Response, message: impl Into<String>) -> Self {
        let mut failure = Self::new(FailureKind::of_status(response.status), message);
        failure.retry_after_ms = response.retry_after_ms();
        failure
    }

    /// Where in the input, as a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.field = Some(pointer.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl FailureKind {
    /// What an HTTP status usually means. A 2xx or 3xx has no failure of its own and reads as `Upstream`.
    pub fn of_status(status: u16) -> Self {
        match status {
            400 | 405 | 406 | 413 | 414 | 415 | 422 => FailureKind::InvalidInput,
            401 => FailureKind::Unauthorized,
            403 => FailureKind::Forbidden,
            404 | 410 => FailureKind::NotFound,
            409 | 412 => FailureKind::Conflict,
            429 => FailureKind::RateLimited,
            408 | 500..=599 => FailureKind::Unavailable,
            _ => FailureKind::Upstream,
        }
    }
}
