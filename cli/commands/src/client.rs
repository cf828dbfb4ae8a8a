//! Speaking to the daemon: HTTP/1.1 over one of its two sockets.
//!
//! Before a byte is sent the client makes sure that the socket is this user's: its directory, and the process at the
//! other end. A variable that points kv elsewhere then leads to a refusal, not to somebody else's daemon.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kv_api::home::Home;
use kv_api::wire::{self, ErrorBody};
use kv_api::{API_VERSION, ApiError, Code, Hidden};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::problem::Problem;

/// Which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Agent,
    Human,
}

/// A body of a request.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// A request to the daemon.
#[derive(Debug)]
pub struct Request {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    pub agent: Option<String>,
    pub(crate) body: Body,
    /// The length of the JSON at the body's beginning, where attachments follow it.
    pub head_length: Option<usize>,
    /// A code of the person's, with what the daemon does not do without.
    pub(crate) code: Option<Hidden>,
}

/// An answer that is no error.
#[derive(Debug)]
pub struct Answer {
    pub outcome: Outcome,
    /// The call's id, where there was a call.
    pub call: Option<String>,
    pub body: Incoming,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A command's output, a line of JSON each: see [`kv_api::CommandLine`].
    Command,
    /// The service's own status and headers.
    Forwarded {
        status: u16,
        headers: Vec<(String, String)>,
    },
    Result,
}

/// A connection to the daemon.
pub struct Client {
    sender: SendRequest<Body>,
}

/// As large as a whole JSON answer of the daemon's may be.
const MAX_ANSWER: usize = 64 << 20;

impl Request {
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), agent: None, body: empty(), head_length: None, code: None }
    }

    pub fn delete(target: impl Into<String>) -> Self {
        Self { method: "DELETE", ..Self::get(target) }
    }

    pub fn post(target: impl Into<String>, body: &impl Serialize) -> Result<Self, Problem> {
        let json = serde_json::to_vec(body).map_err(|error| Problem::failed(error.to_string()))?;
        Ok(Self { method: "POST", body: full(json.into()), ..Self::get(target) })
    }

    #[must_use]
    pub fn agent(mut self, name: &str) -> Self {
        self.agent = Some(name.to_owned());
        self
    }
}

pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

impl Client {
    /// Connects, or says in the daemon's place why not.
    pub async fn connect(home: &Home, door: Door) -> Result<Self, Problem> {
        let path = match door {
            Door::Agent => home.agent_socket(),
            Door::Human => home.human_socket(),
        };
        check_directory(&home.runtime)?;
        let stream = UnixStream::connect(&path).await.map_err(|error| unreachable(&path, &error))?;
        let peer = stream.peer_cred().map_err(|error| unreachable(&path, &error))?;
        let own = rustix::process::getuid().as_raw();
        if peer.uid() != own {
            return Err(Problem::new(
                Code::DaemonUnreachable,
                format!("{} is served by user {}, not by you; nothing was sent", path.display(), peer.uid()),
            ));
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and waits for the answer's head.
    pub async fn send(&mut self, request: Request) -> Result<Answer, Problem> {
        let mut builder = hyper::Request::builder()
            .method(request.method)
            .uri(request.target)
            .header("host", "kv")
            .header("te", "trailers")
            .header(wire::VERSION_HEADER, API_VERSION.to_string());
        if let Some(agent) = request.agent {
            builder = builder.header(wire::AGENT_HEADER, agent);
        }
        if let Some(length) = request.head_length {
            builder = builder.header(wire::HEAD_LENGTH_HEADER, length);
        }
        if let Some(code) = request.code {
            let mut value = HeaderValue::from_str(code.reveal())
                .map_err(|_| Problem::usage("a code has digits, letters and dashes"))?;
            value.set_sensitive(true);
            builder = builder.header(wire::CODE_HEADER, value);
        }
        let request = builder.body(request.body).map_err(|error| Problem::usage(error.to_string()))?;
        self.sender.ready().await.map_err(broken)?;
        let response = self.sender.send_request(request).await.map_err(broken)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (outcome, call) = (header(wire::OUTCOME_HEADER), header(wire::CALL_HEADER));
        match outcome.as_deref() {
            Some(wire::OUTCOME_COMMAND) => Ok(Answer { outcome: Outcome::Command, call, body: response.into_body() }),
            Some(wire::OUTCOME_RESULT) => Ok(Answer { outcome: Outcome::Result, call, body: response.into_body() }),
            Some(wire::OUTCOME_FORWARDED) => {
                let status = header(wire::STATUS_HEADER).and_then(|status| status.parse().ok()).ok_or_else(odd)?;
                let headers = header(wire::HEADERS_HEADER).ok_or_else(odd)?;
                let headers = serde_json::from_str(&headers).map_err(|_| odd())?;
                Ok(Answer { outcome: Outcome::Forwarded { status, headers }, call, body: response.into_body() })
            }
            Some(wire::OUTCOME_ERROR) => {
                let bytes = whole(response.into_body()).await?;
                let body: ErrorBody = serde_json::from_slice(&bytes).map_err(|_| odd())?;
                Err(body.error.into())
            }
            _ => Err(odd()),
        }
    }

    /// Sends a request and reads the JSON that answers it.
    pub async fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T, Problem> {
        let answer = self.send(request).await?;
        let bytes = whole(answer.body).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Problem::failed(format!("the daemon's answer is not understood: {error}")))
    }
}

impl Answer {
    /// The whole of an answer that is text.
    pub(crate) async fn text(mut self) -> Result<String, Problem> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Problem::failed(format!("the answer is over {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| odd())
    }

    /// The next piece of the body. A body that broke off ends in a problem.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|_| broken_off())?;
            match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    if let Some(error) = trailers.get(wire::ERROR_TRAILER) {
                        let error: ApiError = serde_json::from_slice(error.as_bytes()).map_err(|_| broken_off())?;
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(None)
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Problem> {
    let limited = http_body_util::Limited::new(body, MAX_ANSWER);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| broken_off())
}

fn check_directory(path: &Path) -> Result<(), Problem> {
    let refuse =
        |why: &str| Err(Problem::new(Code::DaemonUnreachable, format!("{} {why}; nothing was sent", path.display())));
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_running()),
        Err(error) => refuse(&error.to_string()),
        Ok(found) if !found.is_dir() => refuse("is no directory"),
        Ok(found) if found.uid() != rustix::process::getuid().as_raw() => refuse("belongs to another user"),
        Ok(found) if found.mode() & 0o077 != 0 => refuse("can be entered by others"),
        Ok(_) => Ok(()),
    }
}

/// Nobody listens.
pub(crate) fn not_running() -> Problem {
    ApiError::new(Code::DaemonUnreachable, "kv's daemon is not running").reason("not_running").next("kv unlock").into()
}

fn unreachable(path: &Path, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => not_running(),
        _ => Problem::new(Code::DaemonUnreachable, format!("{}: {error}", path.display())),
    }
}

fn broken(error: hyper::Error) -> Problem {
    let problem = ApiError::new(Code::DaemonUnreachable, "the connection to kv's daemon broke").reason("broken");
    // These two kinds come back before a byte of the request was written; after any other, nobody knows.
    if error.is_canceled() || error.is_closed() {
        return problem.into();
    }
    problem.sent(kv_api::Sent::Unknown).next("kv audit -n 5   shows what was done").into()
}

fn broken_off() -> Problem {
    ApiError::new(Code::Upstream, "the answer broke off").reason("broken_off").sent(kv_api::Sent::Yes).into()
}

fn odd() -> Problem {
    Problem::new(Code::DaemonUnreachable, "what answers at kv's socket is not kv, or another version of it")
        .next("kv daemon restart")
}
