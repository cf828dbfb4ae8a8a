use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Effect;

/// The HTTP methods that a call may use. CONNECT, TRACE and anything unheard of are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
}

impl Method {
    /// Exactly as on the wire: upper case, nothing around it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "DELETE" => Method::Delete,
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }

    /// The least that a request with this method does, whatever its provider says: a DELETE is never a read.
    pub fn least_effect(self) -> Effect {
        match self {
            Method::Delete => Effect::Destroy,
            // A POST may well be a search, so what a manifest says of it stands.
            Method::Get | Method::Head | Method::Options | Method::Post => Effect::Read,
            Method::Patch | Method::Put => Effect::Write,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
