//! An answer as a value: status, headers, and a body that is whole or comes in paced pieces.
//!
//! A [`Fake`](crate::Fake) returns one of these and touches no socket; sending it is the server's business.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::Value;
use tokio::time::Sleep;

/// What a fake answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// The text after the status, HTTP/1.1 alone; `None` is the usual one.
    pub reason: Option<Bytes>,
    pub headers: HeaderMap,
    pub content: Content,
    /// How long to think before the first byte.
    pub after: Duration,
}

#[derive(Clone, Debug)]
pub enum Content {
    Whole(Bytes),
    Pieces(Pieces),
}

/// A body in pieces: each goes out as a chunk (or DATA frame) of its own.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    pub pieces: Vec<Bytes>,
    /// Rest between two pieces; the first one leaves at once.
    pub every: Duration,
    pub trailers: Option<HeaderMap>,
    pub end: End,
}

/// How a body in pieces ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Proper,
    /// The connection (HTTP/2: the stream) breaks off after the last piece.
    Cut,
}

impl Reply {
    pub fn new(status: u16, content: Content) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            reason: None,
            headers: HeaderMap::new(),
            content,
            after: Duration::ZERO,
        }
    }

    /// A JSON body, compact.
    pub fn json(status: u16, value: &Value) -> Reply {
        Reply::bytes(status, "application/json", Bytes::from(value.to_string()))
    }

    /// A JSON body with the indentation that some services use.
    pub fn json_pretty(status: u16, value: &Value) -> Reply {
        Reply::bytes(status, "application/json", Bytes::from(format!("{value:#}\n")))
    }

    pub fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
        Reply::new(status, Content::Whole(body.into())).with(CONTENT_TYPE.as_str(), content_type)
    }

    /// Server-sent events, each given as its full text with the blank line at its end.
    pub fn events(pieces: Vec<Bytes>, every: Duration) -> Reply {
        let content = Content::Pieces(Pieces { pieces, every, ..Pieces::default() });
        Reply::new(200, content).with(CONTENT_TYPE.as_str(), "text/event-stream; charset=utf-8")
    }

    /// Sets a header, in place of any of that name. A name or value that HTTP does not allow is left out: replies carry
    /// text from requests, and a strange request must not take the service down.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_ref())) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds a header beside any of that name.
    #[must_use]
    pub fn and(mut self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_ref())) {
            self.headers.append(name, value);
        }
        self
    }

    /// The whole body, pieces joined.
    pub fn body(&self) -> Bytes {
        match &self.content {
            Content::Whole(bytes) => bytes.clone(),
            Content::Pieces(pieces) => pieces.pieces.concat().into(),
        }
    }

    pub(crate) fn into_response(self) -> http::Response<Paced> {
        let reason = self.reason.and_then(|reason| hyper::ext::ReasonPhrase::try_from(reason).ok());
        let mut response = http::Response::new(Paced::new(self.content));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// `data: ...` with the blank line that ends an event.
pub fn sse_data(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// `event: ...` and `data: ...` with the blank line.
pub fn sse_event(event: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {event}\ndata: {data}\n\n"))
}

/// A [`Content`] on its way out.
pub(crate) struct Paced {
    left: VecDeque<Bytes>,
    every: Duration,
    rest: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
    end: End,
    whole: bool,
    ended: bool,
}

/// The reason a body broke off, as hyper wants one.
#[derive(Debug)]
pub(crate) struct CutShort;

impl Paced {
    fn new(content: Content) -> Paced {
        let whole = matches!(content, Content::Whole(_));
        let pieces = match content {
            Content::Whole(bytes) if bytes.is_empty() => Pieces::default(),
            Content::Whole(bytes) => Pieces { pieces: vec![bytes], ..Pieces::default() },
            Content::Pieces(pieces) => pieces,
        };
        let Pieces { pieces, every, trailers, end } = pieces;
        Paced { left: pieces.into(), every, rest: None, trailers, end, whole, ended: false }
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(rest) = self.rest.as_mut() {
            if rest.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.rest = None;
        }
        if let Some(piece) = self.left.pop_front() {
            if !self.every.is_zero() && (!self.left.is_empty() || self.end == End::Cut) {
                self.rest = Some(Box::pin(tokio::time::sleep(self.every)));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.end == End::Cut && !self.ended {
            self.ended = true;
            return Poll::Ready(Some(Err(CutShort)));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.trailers.is_none() && (self.end == End::Proper || self.ended)
    }

    fn size_hint(&self) -> SizeHint {
        if self.whole {
            SizeHint::with_exact(self.left.iter().map(|piece| piece.len() as u64).sum())
        } else {
            SizeHint::new()
        }
    }
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fake service broke off on purpose")
    }
}

impl std::error::Error for CutShort {}
