use serde::Serialize;
use serde_json::Value;

use crate::Failure;

/// How an operation ends well: with a result, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        serde_json::to_string(value).map(Self).map_err(|error| Failure::internal(format!("no JSON result: {error}")))
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}
