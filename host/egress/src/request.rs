//! The request as it goes out. Framing is hyper's, routing headers are ours, the rest was decided about.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Full;
use kv_model::{Command, CommandLine, HttpRequest, Origin};
use kv_redact::Patterns;

use crate::connect::Sender;
use crate::error::SendError;
use crate::inject::Injected;

/// What an answer may come in. The host owns this header: what it cannot decode it cannot search.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, br");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("kv/", env!("CARGO_PKG_VERSION")));

/// Refuses a request that holds a value of the vault: it has leaked already, and a service may store what it is sent.
pub(crate) fn refuse_secrets(request: &kv_model::Request, patterns: &Arc<Patterns>) -> Result<(), SendError> {
    match request {
        kv_model::Request::Http(request) => {
            let found = patterns.find_any(head(request).as_bytes()) || patterns.find_any(&request.body().data);
            if found { Err(SendError::SecretInRequest) } else { Ok(()) }
        }
        kv_model::Request::Sql(statement) => refuse_in_statement(statement.text(), statement.params(), patterns),
        kv_model::Request::Ssh(command) => refuse_in_command(command, patterns),
    }
}

fn head(request: &HttpRequest) -> String {
    let mut head = request.target();
    for (name, value) in request.headers() {
        head.extend(["\n", name, ":", value]);
    }
    head.extend(["\n", request.body().media_type.as_deref().unwrap_or_default()]);
    head
}

/// The same for a statement and its parameters.
pub(crate) fn refuse_in_statement(
    text: &str,
    params: &[serde_json::Value],
    patterns: &Arc<Patterns>,
) -> Result<(), SendError> {
    // Strings as they are, too: JSON's escapes are one layer of the two that the search undoes.
    let found = patterns.find_any(text.as_bytes())
        || params.iter().any(|param| {
            patterns.find_any(param.to_string().as_bytes())
                || param.as_str().is_some_and(|text| patterns.find_any(text.as_bytes()))
        });
    if found { Err(SendError::SecretInRequest) } else { Ok(()) }
}

/// The same for a command and what goes into it.
pub(crate) fn refuse_in_command(command: &Command, patterns: &Arc<Patterns>) -> Result<(), SendError> {
    // Quoting may break a value up, so arguments are looked at as they were, too.
    let in_line = match command.line() {
        CommandLine::Argv(argv) => argv.iter().any(|argument| patterns.find_any(argument.as_bytes())),
        CommandLine::Shell(_) => false,
    };
    let found = in_line || patterns.find_any(command.text().as_bytes()) || patterns.find_any(command.stdin());
    if found { Err(SendError::SecretInRequest) } else { Ok(()) }
}

/// One request, for a connection of either version. It is handed over by value: what was taken cannot be sent again.
pub(crate) struct Outgoing {
    request: Request<Full<Bytes>>,
    target: PathAndQuery,
    authority: Authority,
    host: HeaderValue,
    pub(crate) is_head: bool,
}

impl Outgoing {
    pub(crate) fn new(request: &HttpRequest, origin: &Origin, injected: Injected) -> Result<Self, SendError> {
        // None of this fails for a request and an origin that were parsed; if it does all the same, nothing is sent.
        let bug = || SendError::Request;
        let authority = Authority::try_from(origin.authority()).map_err(|_| bug())?;
        let host = HeaderValue::try_from(origin.authority()).map_err(|_| bug())?;
        let method = http::Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| bug())?;
        let mut headers = HeaderMap::with_capacity(request.headers().len() + 6);
        headers.insert(HOST, host.clone());
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT_ENCODING, ENCODINGS);
        let body = request.body();
        if let Some(media_type) = &body.media_type {
            headers.insert(CONTENT_TYPE, HeaderValue::try_from(media_type.as_str()).map_err(|_| bug())?);
        }
        for (name, value) in request.headers() {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| bug())?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).map_err(|_| bug())?);
        }
        // Last, and in place of any of the same name: there is one credential on the wire, and it is ours.
        for (name, value) in injected.headers {
            headers.insert(name, value);
        }
        let mut out = Request::new(Full::new(body.data.clone()));
        *out.method_mut() = method;
        *out.headers_mut() = headers;
        Ok(Outgoing {
            is_head: out.method() == http::Method::HEAD,
            request: out,
            target: injected.target,
            authority,
            host,
        })
    }

    /// In the form that the connection's version wants.
    pub(crate) fn for_connection(&mut self, sender: &Sender) -> Request<Full<Bytes>> {
        let mut request = std::mem::take(&mut self.request);
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(self.target.clone());
        match sender {
            Sender::Http1(_) => {
                request.headers_mut().insert(HOST, self.host.clone());
            }
            Sender::Http2(_) => {
                request.headers_mut().remove(HOST);
                parts.scheme = Some(Scheme::HTTPS);
                parts.authority = Some(self.authority.clone());
            }
        }
        // Parts that are each valid make a URI; were it otherwise, an empty path would match no endpoint of a service.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request
    }

    /// hyper gave it back: not a byte of it has been written.
    pub(crate) fn returned(&mut self, request: Request<Full<Bytes>>) {
        self.request = request;
    }
}
