//! Errors: a stable code for programs, a sentence for people, whether anything was sent, and what to do next.

use std::borrow::Cow;
use std::fmt;

use kv_model::CallId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    pub code: Code,
    /// Finer than the code, stable too: `path.noncanonical`, `egress.tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    pub message: String,
    pub sent: Sent,
    /// What can be done now, one imperative sentence or command each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Violations with their JSON pointers, nearest endpoints, a service's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Whether anything reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sent {
    No,
    /// The connection broke at a point from which nobody can tell.
    Unknown,
    Yes,
}

/// What kind of error it is. Each has one exit code and one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A person was asked and said no.
    ApprovalDenied,
    /// A person was asked and has not answered yet.
    ApprovalPending,
    Conflict,
    DaemonUnreachable,
    DoctorProblems,
    Failed,
    Integrity,
    Interrupted,
    Locked,
    NeedsHuman,
    NotFound,
    PolicyDenied,
    Upstream,
    Usage,
}

impl Code {
    pub const ALL: [Code; 14] = [
        Code::ApprovalDenied,
        Code::ApprovalPending,
        Code::Conflict,
        Code::DaemonUnreachable,
        Code::DoctorProblems,
        Code::Failed,
        Code::Integrity,
        Code::Interrupted,
        Code::Locked,
        Code::NeedsHuman,
        Code::NotFound,
        Code::PolicyDenied,
        Code::Upstream,
        Code::Usage,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::ApprovalDenied => "approval_denied",
            Code::ApprovalPending => "approval_pending",
            Code::Conflict => "conflict",
            Code::DaemonUnreachable => "daemon_unreachable",
            Code::DoctorProblems => "doctor_problems",
            Code::Failed => "failed",
            Code::Integrity => "integrity",
            Code::Interrupted => "interrupted",
            Code::Locked => "locked",
            Code::NeedsHuman => "needs_human",
            Code::NotFound => "not_found",
            Code::PolicyDenied => "policy_denied",
            Code::Upstream => "upstream",
            Code::Usage => "usage",
        }
    }

    /// The exit code of the command line.
    pub fn exit(self) -> u8 {
        match self {
            Code::Failed => 1,
            Code::Usage => 2,
            Code::NotFound => 3,
            Code::Locked => 4,
            Code::PolicyDenied => 5,
            Code::ApprovalPending => 6,
            Code::ApprovalDenied => 7,
            Code::DaemonUnreachable => 8,
            Code::Upstream => 9,
            Code::NeedsHuman => 10,
            Code::Conflict => 11,
            Code::Integrity => 12,
            Code::DoctorProblems => 13,
            Code::Interrupted => 130,
        }
    }

    /// The HTTP status over the socket.
    pub fn status(self) -> u16 {
        match self {
            Code::Usage => 400,
            Code::PolicyDenied | Code::ApprovalDenied | Code::ApprovalPending | Code::NeedsHuman => 403,
            Code::NotFound => 404,
            Code::Conflict => 409,
            Code::Locked => 423,
            Code::Failed | Code::Integrity | Code::DoctorProblems => 500,
            Code::Upstream => 502,
            Code::DaemonUnreachable | Code::Interrupted => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ApiError {
    /// An error after which nothing was sent.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: None,
            message: message.into(),
            sent: Sent::No,
            next: Vec::new(),
            call: None,
            retry_after_ms: None,
            details: None,
        }
    }

    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    #[must_use]
    pub fn sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.sent {
            Sent::No => Ok(()),
            Sent::Unknown => f.write_str("; it is unknown whether the service acted on it"),
            Sent::Yes => f.write_str("; the request had been sent"),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_own_names() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
