//! What came back. Every secret is gone from it before it comes here.

use serde::de::DeserializeOwned;

use crate::text::{MAX_DEPTH, compact, is_too_deep};
use crate::{Failure, FailureKind};

/// An answer, whole and decompressed.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case; a name may occur more than once.
    pub headers: Vec<(String, String)>,
    pub body: Payload,
    /// The provider's mapper.
    failure: fn(&Response) -> Failure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Bytes(Vec<u8>),
    Text(String),
}

impl Response {
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Payload) -> Self {
        Self {
            status,
            headers,
            body,
            failure: |response| Failure::of_status(response, "the service refused the request"),
        }
    }

    pub(crate) fn mapped_by(mut self, failure: fn(&Response) -> Failure) -> Self {
        self.failure = failure;
        self
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The response itself if it is a success, and otherwise what the provider's mapper makes of it.
    pub fn error_for_status(self) -> Result<Self, Failure> {
        if self.is_success() { Ok(self) } else { Err(self.to_failure()) }
    }

    /// What the provider's mapper makes of it.
    pub fn to_failure(&self) -> Failure {
        (self.failure)(self)
    }

    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            Payload::Text(text) => Some(text),
            Payload::Bytes(_) => None,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Payload::Text(text) => text.as_bytes(),
            Payload::Bytes(bytes) => bytes,
        }
    }

    /// The body as JSON. A body that is none, or another one, is not what the service promised: an `Upstream` failure.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let unexpected = |what: &str| {
            let message = format!("the service answered {} with something unexpected: {what}", self.status);
            Failure::new(FailureKind::Upstream, message)
        };
        if is_too_deep(self.bytes()) {
            return Err(unexpected(&format!("JSON deeper than {MAX_DEPTH} levels")));
        }
        serde_json::from_slice(self.bytes()).map_err(|error| unexpected(&error.to_string()))
    }

    /// The same response without white space in its JSON: for what is kept as [`RawValue`](crate::RawValue), and so as
    /// the service wrote it.
    #[must_use]
    pub fn compact(mut self) -> Self {
        if let Payload::Text(text) = &mut self.body {
            *text = compact(text);
        }
        self
    }

    /// `retry-after` in seconds. As a date it would need a clock, which a provider has not.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        self.header("retry-after")?.trim().parse::<u64>().ok()?.checked_mul(1000)
    }
}
