use std::fmt;

use serde::{Deserialize, Serialize};

/// What a call does to the world, in order of gravity.
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

impl Effect {
    pub const ALL: [Effect; 4] = [Effect::Read, Effect::Write, Effect::Destroy, Effect::Grant];

    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Write => "write",
            Effect::Destroy => "destroy",
            Effect::Grant => "grant",
        }
    }

    /// The graver of two claims about the same request.
    #[must_use]
    pub fn graver(self, other: Effect) -> Effect {
        self.max(other)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
