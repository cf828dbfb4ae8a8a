//! The one HTTP request: checked, matched to an endpoint and encoded once. What is decided about is what is sent.
//!
//! A request has no origin and no credential: the connection brings the one, egress the other. [`HttpRequest`] has
//! private fields and two makers, one for a provider's request and one for a caller's raw one; both end in the same
//! checks, and both refuse what no endpoint of the manifest lists.

mod encode;
mod headers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

pub use self::encode::{encode_form, flatten_form};
pub(crate) use self::headers::{check_header_value, is_settable_header};
use crate::{
    Attachment, BodyEncoding, CallId, Digest, Effect, Endpoint, HeaderSource, Manifest, Matched, Method, OperationName,
    PathError, Scheme, SchemeName, Segments, SettingName, Sha256,
};

/// As many bytes as a request's body may have, attachments included: one call holds it in memory once.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// As many query pairs as a request may have, and as many bytes as they may take when encoded.
pub const MAX_QUERY_PAIRS: usize = 500;
pub const MAX_QUERY_BYTES: usize = 16 << 10;
/// As many headers as caller or provider may set.
pub const MAX_HEADERS: usize = 32;

/// A request as a provider makes it: nothing of it has been checked.
#[derive(Debug, Clone, Default)]
pub struct RequestParts {
    pub method: String,
    /// Segments, not encoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub auth: Vec<String>,
}

/// A body as a provider makes it.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// The name of one of the call's attachments.
    Attachment(String),
    Bytes {
        media_type: String,
        data: Vec<u8>,
    },
    #[default]
    Empty,
    Form(Vec<(String, String)>),
    Json(String),
    Multipart(Vec<Part>),
}

#[derive(Debug, Clone)]
pub struct Part {
    pub name: String,
    pub filename: Option<String>,
    pub content: PartContent,
}

#[derive(Debug, Clone)]
pub enum PartContent {
    Attachment(String),
    Bytes { media_type: String, data: Vec<u8> },
    Text(String),
}

/// A request as a caller writes it.
#[derive(Debug, Clone, Default)]
pub struct RawRequest {
    pub method: String,
    /// Encoded, beginning with a slash; it may carry a query.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: RawBody,
}

#[derive(Debug, Clone, Default)]
pub enum RawBody {
    #[default]
    Empty,
    /// Goes out as the endpoint or else the manifest says: JSON, or a form.
    Json(Value),
    /// Goes out as it is, with this media type.
    Bytes { media_type: String, data: Bytes },
}

/// Why a request is not one that can go out. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the body names an attachment `{0}`, which the call does not have")]
    Attachment(String),
    #[error("the body is {bytes} bytes, over the limit of {MAX_BODY_BYTES}")]
    BodyTooLarge { bytes: usize },
    #[error("the header `{name}` cannot be set: {why}")]
    Header { name: String, why: &'static str },
    #[error("the body is no JSON object, and this endpoint takes forms")]
    FormBody,
    /// In a form, brackets are what nests: such a name would be a second spelling of another field.
    #[error("the name at `{pointer}` is empty or has a bracket in it; nest objects and arrays instead")]
    FormName { pointer: String },
    #[error("the provider's JSON body is not JSON")]
    JsonBody,
    #[error("`{0}` is no media type")]
    MediaType(String),
    #[error("`{0}` is no method: DELETE, GET, HEAD, OPTIONS, PATCH, POST or PUT, in upper case")]
    Method(String),
    #[error("the part of a multipart body has a name or file name with control characters or over 256 bytes")]
    Part,
    #[error("the path is refused: {0}")]
    Path(PathError),
    #[error("the query is refused: {0}")]
    Query(&'static str),
    #[error("the request names the scheme `{0}`, which the manifest does not have")]
    Scheme(String),
    /// No endpoint lists it. The nearest ones, best first.
    #[error("no endpoint lists `{method} {path}`")]
    Unlisted { method: Method, path: String, nearest: Vec<String> },
}

impl RequestError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            RequestError::Attachment(_) => "request.attachment",
            RequestError::BodyTooLarge { .. } => "request.body_too_large",
            RequestError::FormBody | RequestError::FormName { .. } | RequestError::JsonBody => "request.body",
            RequestError::Header { .. } => "request.header",
            RequestError::MediaType(_) => "request.media_type",
            RequestError::Method(_) => "request.method",
            RequestError::Part => "request.part",
            RequestError::Path(_) => "path.noncanonical",
            RequestError::Query(_) => "request.query",
            RequestError::Scheme(_) => "request.scheme",
            RequestError::Unlisted { .. } => "unlisted",
        }
    }
}

/// A request that can go out: listed, canonical and encoded.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    method: Method,
    path: Segments,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: EncodedBody,
    auth: Vec<(SchemeName, Arc<Scheme>)>,
    operation: OperationName,
    effect: Effect,
    endpoint: String,
}

/// A body as it goes on the wire.
#[derive(Debug, Clone, Default)]
pub struct EncodedBody {
    pub media_type: Option<String>,
    pub data: Bytes,
}

/// What the makers need to know of the call.
struct Context<'a> {
    manifest: &'a Manifest,
    call: CallId,
    settings: &'a [(SettingName, String)],
}

/// A method and a path that an endpoint lists.
struct Listed<'a> {
    method: Method,
    path: Segments,
    matched: Matched<'a>,
}

impl HttpRequest {
    /// From a provider's request.
    pub fn from_provider(
        parts: RequestParts,
        manifest: &Manifest,
        call: CallId,
        settings: &[(SettingName, String)],
        attachments: &[Attachment],
    ) -> Result<Self, RequestError> {
        let context = Context { manifest, call, settings };
        let listed = context.listed(&parts.method, Segments::new(parts.path).map_err(RequestError::Path)?)?;
        let auth = parts
            .auth
            .iter()
            .map(|name| {
                let (name, scheme) = manifest
                    .auth
                    .get_key_value(name.as_str())
                    .ok_or_else(|| RequestError::Scheme(name.chars().filter(|c| !c.is_control()).take(40).collect()))?;
                Ok((name.clone(), Arc::clone(scheme)))
            })
            .collect::<Result<_, _>>()?;
        let body = encode::provider_body(parts.body, call, attachments)?;
        context.finish(listed, parts.query, parts.headers, body, auth)
    }

    /// From a caller's raw request.
    pub fn from_caller(
        raw: RawRequest,
        manifest: &Manifest,
        call: CallId,
        settings: &[(SettingName, String)],
    ) -> Result<Self, RequestError> {
        let context = Context { manifest, call, settings };
        let (path, mut query) = match raw.path.split_once('?') {
            Some((path, query)) => (path, encode::parse_query(query)?),
            None => (raw.path.as_str(), Vec::new()),
        };
        let listed = context.listed(&raw.method, Segments::parse(path).map_err(RequestError::Path)?)?;
        query.extend(raw.query);
        let auth = manifest.default_schemes();
        let body = match raw.body {
            RawBody::Empty => EncodedBody::default(),
            RawBody::Bytes { media_type, data } => {
                encode::check_media_type(&media_type)?;
                EncodedBody { media_type: Some(media_type), data }
            }
            RawBody::Json(value) => match listed.matched.endpoint.body.unwrap_or(manifest.body) {
                BodyEncoding::Json => {
                    EncodedBody { media_type: Some(encode::JSON.into()), data: value.to_string().into() }
                }
                BodyEncoding::Form => {
                    let pairs = flatten_form(&value)?;
                    EncodedBody { media_type: Some(encode::FORM.into()), data: encode_form(&pairs).into() }
                }
            },
        };
        context.finish(listed, query, raw.headers, body, auth)
    }

    pub fn method(&self) -> Method {
        self.method
    }

    /// Path and query, as on the request line, without what a scheme adds.
    pub fn target(&self) -> String {
        let mut target = self.path.encode();
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&encode::encode_query(&self.query));
        }
        target
    }

    /// The path as on the request line. It may be recorded; the query may not.
    pub fn path(&self) -> String {
        self.path.encode()
    }

    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// Names in lower case, each once; none that routes, frames or authenticates.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub fn body(&self) -> &EncodedBody {
        &self.body
    }

    /// The schemes to apply, in order.
    pub fn auth(&self) -> &[(SchemeName, Arc<Scheme>)] {
        &self.auth
    }

    /// The operation that this request is, by its endpoint, whatever the caller called it.
    pub fn operation(&self) -> &OperationName {
        &self.operation
    }

    /// The endpoint, for people: `POST /v1/charges/{id}`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The graver of the operation's effect and the method's least.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The digest of everything that goes out but the credential: what the audit log holds.
    pub fn digest(&self) -> Digest {
        self.hashed(b"kv.request/1", &Sha256::part)
    }

    /// The digest of the same without what kv derives from the call's id (idempotency keys, the boundary of parts): two
    /// calls that ask for the same have the same.
    pub fn shape(&self, call: CallId) -> Digest {
        let call = call.to_string();
        let boundary = self.body.media_type.as_deref().and_then(|media_type| media_type.split_once("; boundary="));
        let without = [call.as_str(), boundary.map_or("", |(_, boundary)| boundary)];
        self.hashed(b"kv.request.shape/1", &|hash, bytes| hash.part_without(bytes, &without))
    }

    fn hashed(&self, kind: &[u8], part: &dyn Fn(&mut Sha256, &[u8])) -> Digest {
        let mut hash = Sha256::new();
        hash.part(kind);
        hash.part(self.method.as_str().as_bytes());
        part(&mut hash, self.target().as_bytes());
        hash.part(&(self.headers.len() as u64).to_be_bytes());
        for (name, value) in &self.headers {
            hash.part(name.as_bytes());
            part(&mut hash, value.as_bytes());
        }
        part(&mut hash, self.body.media_type.as_deref().unwrap_or_default().as_bytes());
        part(&mut hash, &self.body.data);
        for (name, _) in &self.auth {
            hash.part(name.as_str().as_bytes());
        }
        hash.finish()
    }
}

impl<'a> Context<'a> {
    /// The endpoint that the request is, or a refusal that names the nearest.
    fn listed(&self, method: &str, path: Segments) -> Result<Listed<'a>, RequestError> {
        let method = parse_method(method)?;
        let Some(matched) = self.manifest.endpoint(method, &path) else {
            let path = path.encode();
            let nearest = self.manifest.nearest(method, &path, 3).into_iter().map(ToString::to_string).collect();
            return Err(RequestError::Unlisted { method, path, nearest });
        };
        Ok(Listed { method, path, matched })
    }

    /// The checks that every request goes through, whoever made it.
    fn finish(
        &self,
        listed: Listed<'_>,
        query: Vec<(String, String)>,
        headers: Vec<(String, String)>,
        body: EncodedBody,
        auth: Vec<(SchemeName, Arc<Scheme>)>,
    ) -> Result<HttpRequest, RequestError> {
        let Listed { method, path, matched } = listed;
        if body.data.len() > MAX_BODY_BYTES {
            return Err(RequestError::BodyTooLarge { bytes: body.data.len() });
        }
        if query.len() > MAX_QUERY_PAIRS || encode::encode_query(&query).len() > MAX_QUERY_BYTES {
            return Err(RequestError::Query("it is over 500 pairs or 16 KiB"));
        }
        for (_, scheme) in &auth {
            if let Scheme::Query { name, .. } = &**scheme
                && query.iter().any(|(key, _)| key == name)
            {
                return Err(RequestError::Query("it sets the parameter that carries the credential"));
            }
        }
        let mut headers = headers::check(headers, self.manifest)?;
        self.add_headers(&mut headers, method, matched.endpoint);
        Ok(HttpRequest {
            method,
            path,
            query,
            headers,
            body,
            auth,
            operation: matched.operation.name.clone(),
            effect: matched.effect,
            endpoint: matched.endpoint.to_string(),
        })
    }

    fn add_headers(&self, headers: &mut Vec<(String, String)>, method: Method, endpoint: &Endpoint) {
        for header in endpoint.headers.iter().chain(&self.manifest.headers) {
            let wanted = header.methods.is_empty() || header.methods.contains(&method);
            if !wanted || headers.iter().any(|(name, _)| *name == header.name) {
                continue;
            }
            let value = match &header.value {
                HeaderSource::CallId => self.call.to_string(),
                HeaderSource::Fixed { value } => value.clone(),
                HeaderSource::Setting { setting } => {
                    let value = self.settings.iter().find(|(name, _)| name == setting).map(|(_, value)| value.clone());
                    value.filter(|value| check_header_value(value).is_ok()).unwrap_or_default()
                }
            };
            if !value.is_empty() {
                headers.push((header.name.clone(), value));
            }
        }
    }
}

fn parse_method(text: &str) -> Result<Method, RequestError> {
    Method::parse(text).ok_or_else(|| RequestError::Method(text.chars().filter(|c| !c.is_control()).take(20).collect()))
}
