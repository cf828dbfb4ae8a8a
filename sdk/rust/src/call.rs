//! The caller's side of a call, as the host hands it over.

use serde::{Deserialize, Serialize};

/// What a request does to the world. The host goes by the gravest of three: this, the operation's in the manifest, and
/// its own reading of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Creates or changes something, or costs money.
    Write,
    /// Removes something, or cannot be undone.
    Destroy,
    /// Gives someone access, or creates a credential.
    Grant,
}

/// Something that the caller sent along, too large to copy. A body names it, and the host sends its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    pub size: u64,
}

/// A call, the same in each of its steps.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Unique to the call.
    pub id: String,
    pub operation: String,
    /// A JSON object; the host has checked it against the operation's schema.
    pub input: String,
    /// The connection's settings, defaults filled in.
    pub settings: Vec<(String, String)>,
    /// When the call came, in milliseconds since 1970.
    pub now_ms: u64,
    pub attachments: Vec<Attachment>,
    /// What later hosts may add, by name.
    pub context: Vec<(String, String)>,
}
