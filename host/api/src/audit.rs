//! The trail, asked about.

use serde::{Deserialize, Serialize};

/// `GET /v1/audit`: as NDJSON, one entry a line, oldest first. All given filters must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Only entries after this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The newest so many that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
    /// Stay, and send what comes.
    #[serde(default)]
    pub follow: bool,
}

/// `POST /v1/audit/verify`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub entries: u64,
    pub segments: u64,
    /// The last entry's number and hash.
    pub head_seq: u64,
    pub head_hash: String,
    /// The head that the vault holds, and which the chain was found to contain. `None`: the vault is locked, and a cut
    /// tail would not be noticed.
    pub anchored_seq: Option<u64>,
    pub notes: Vec<String>,
}
