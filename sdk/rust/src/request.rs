//! What a provider asks for: a request without origin and credential, and how it is to be carried out.

use serde::Serialize;

use crate::delivery::{Delivery, delivered};
use crate::{Failure, Form, Multipart};

/// A request and its delivery. Everything is as plain text; the host encodes it.
///
/// What is not said is taken from the operation: a GET or HEAD is a repeatable read, anything else has the operation's
/// effect and is repeatable if the operation is; the summary is the operation's title; the schemes are the provider's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) auth: Option<Vec<String>>,
    pub(crate) delivery: Delivery,
}

delivered!(Request);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Body {
    /// The name of one of the call's attachments.
    Attachment(String),
    Bytes {
        media_type: String,
        data: Vec<u8>,
    },
    #[default]
    Empty,
    Form(Form),
    /// JSON text.
    Json(String),
    Multipart(Multipart),
}

impl Request {
    /// A request with any method, written in upper case. Each piece of the path is one segment, whatever is in it:
    /// `["v1", "charges", &id]`. An empty last one ends the path in a slash.
    pub fn new<S: Into<String>>(method: &str, path: impl IntoIterator<Item = S>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            auth: None,
            delivery: Delivery::default(),
        }
    }

    pub fn get<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new("GET", path)
    }

    pub fn post<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new("POST", path)
    }

    pub fn put<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new("PUT", path)
    }

    pub fn patch<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new("PATCH", path)
    }

    pub fn delete<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new("DELETE", path)
    }

    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// A query parameter, where there is a value.
    #[must_use]
    pub fn query_some(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Query parameters from pairs: a [`Form`], for nested ones.
    #[must_use]
    pub fn queries(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.query.extend(pairs);
        self
    }

    /// A header beyond `content-type`, which goes with the body. The manifest has to allow it.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A JSON body. Values that JSON has no form for (a map whose keys are no text) are the provider's fault and end
    /// the call.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::internal(format!("no JSON body: {error}")))?;
        Ok(self.json_text(text))
    }

    /// A JSON body that is text already, as [`Io::input_text`](crate::Io::input_text) is.
    #[must_use]
    pub fn json_text(self, text: impl Into<String>) -> Self {
        self.body(Body::Json(text.into()))
    }

    /// A body as HTML forms have it.
    #[must_use]
    pub fn form(self, form: Form) -> Self {
        self.body(Body::Form(form))
    }

    #[must_use]
    pub fn multipart(self, multipart: Multipart) -> Self {
        self.body(Body::Multipart(multipart))
    }

    /// The call's attachment of this name is the body.
    #[must_use]
    pub fn attachment(self, name: impl Into<String>) -> Self {
        self.body(Body::Attachment(name.into()))
    }

    #[must_use]
    pub fn bytes(self, media_type: impl Into<String>, data: Vec<u8>) -> Self {
        self.body(Body::Bytes { media_type: media_type.into(), data })
    }

    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The scheme of the manifest to authenticate with, instead of the provider's own. Several calls add up, and the
    /// host applies them in this order.
    #[must_use]
    pub fn auth(mut self, scheme: impl Into<String>) -> Self {
        self.auth.get_or_insert_default().push(scheme.into());
        self
    }

    /// No credential at all.
    #[must_use]
    pub fn no_auth(mut self) -> Self {
        self.auth = Some(Vec::new());
        self
    }

    pub(crate) fn is_fetch(&self) -> bool {
        self.method == "GET" || self.method == "HEAD"
    }
}
