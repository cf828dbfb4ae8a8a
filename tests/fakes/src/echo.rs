//! Sending back what was received, in any place of an answer, in any encoding, cut at any offset.
//!
//! The text is put in as it is: escaping for JSON or HTML is one of the encodings that a test chooses, not something that
//! happens here. In the head of an answer, line ends become spaces, since they would end the head.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use crate::http_server::Fake;
use crate::record::Recorded;
use crate::reply::{Content, Pieces, Reply};

/// One way of sending a request's bytes back.
#[derive(Clone)]
pub struct Echo {
    pub what: What,
    pub encode: Encode,
    pub place: Place,
    pub split: Split,
    pub status: u16,
}

/// Which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Request line, headers and body.
    All,
    Body,
    /// These, whatever came.
    Fixed(Bytes),
    /// The value of the first header of this name.
    Header(String),
    Target,
}

/// How they are encoded before they are put in.
#[derive(Clone)]
pub struct Encode(Arc<Transform>);

type Transform = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

impl Encode {
    pub fn plain() -> Encode {
        Encode::with(<[u8]>::to_vec)
    }

    pub fn with(encode: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Encode {
        Encode(Arc::new(encode))
    }
}

/// Where they are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// As they are, with this content type.
    Body(&'static str),
    BodyCsv,
    BodyHtml,
    BodyJsonKey,
    BodyJsonString,
    BodyXml,
    /// HTTP/1.1 and a raw service alone: after the size of a chunk.
    ChunkExtension,
    Header(&'static str),
    HeaderName,
    Location,
    /// HTTP/1.1 alone.
    Reason,
    SetCookie,
    SseComment,
    SseData,
    SseEvent,
    SseId,
    Trailer(&'static str),
}

impl Place {
    /// Every place, with a usual name where one is wanted.
    pub const ALL: [Place; 17] = [
        Place::Body("text/plain"),
        Place::BodyCsv,
        Place::BodyHtml,
        Place::BodyJsonKey,
        Place::BodyJsonString,
        Place::BodyXml,
        Place::ChunkExtension,
        Place::Header("x-echo"),
        Place::HeaderName,
        Place::Location,
        Place::Reason,
        Place::SetCookie,
        Place::SseComment,
        Place::SseData,
        Place::SseEvent,
        Place::SseId,
        Place::Trailer("x-echo"),
    ];

    /// Content type, and what stands before and after the bytes in the body; `None` for places outside the body.
    fn around(&self) -> Option<(&'static str, &'static str, &'static str)> {
        Some(match self {
            Place::Body(content_type) => (content_type, "", ""),
            Place::BodyCsv => ("text/csv", "name,value\r\nit,", "\r\n"),
            Place::BodyHtml => ("text/html", "<!doctype html><p>", "</p>\n"),
            Place::BodyJsonKey => ("application/json", "{\"", "\":true}"),
            Place::BodyJsonString => ("application/json", "{\"it\":\"", "\"}"),
            Place::BodyXml => ("application/xml", "<?xml version=\"1.0\"?><it>", "</it>"),
            Place::SseComment => ("text/event-stream", ": ", "\ndata: x\n\n"),
            Place::SseData => ("text/event-stream", "data: ", "\n\n"),
            Place::SseEvent => ("text/event-stream", "event: ", "\ndata: x\n\n"),
            Place::SseId => ("text/event-stream", "id: ", "\ndata: x\n\n"),
            _ => return None,
        })
    }
}

/// Where the answer is cut into pieces that are sent apart: chunks, DATA frames, TLS records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Whole,
    /// In two, so many bytes into the echoed bytes.
    At(usize),
    /// Into pieces of this size.
    Every(usize),
}

impl Split {
    /// Cuts `bytes`, in which the echoed part begins at `from`.
    fn cut(self, bytes: &Bytes, from: usize) -> Vec<Bytes> {
        match self {
            Split::Whole => vec![bytes.clone()],
            Split::At(offset) => {
                let at = (from + offset).min(bytes.len());
                [bytes.slice(..at), bytes.slice(at..)].into_iter().filter(|piece| !piece.is_empty()).collect()
            }
            Split::Every(size) => {
                let size = size.max(1);
                (0..bytes.len()).step_by(size).map(|at| bytes.slice(at..(at + size).min(bytes.len()))).collect()
            }
        }
    }
}

impl Echo {
    /// Everything that came, as a plain text body.
    pub fn all() -> Echo {
        let place = Place::Body("text/plain");
        Echo { what: What::All, encode: Encode::plain(), place, split: Split::Whole, status: 200 }
    }

    /// The encoded bytes to put in.
    pub fn value(&self, request: &Recorded) -> Bytes {
        let plain = match &self.what {
            What::All => request.to_bytes(),
            What::Body => request.body.clone(),
            What::Fixed(bytes) => bytes.clone(),
            What::Header(name) => request.headers_named(name).next().cloned().unwrap_or_default(),
            What::Target => Bytes::copy_from_slice(request.target.as_bytes()),
        };
        (self.encode.0)(&plain).into()
    }

    /// The whole answer as HTTP/1.1 text, in the pieces that are to be sent apart.
    pub fn http1(&self, request: &Recorded) -> Vec<Bytes> {
        let value = self.value(request);
        match &self.place {
            Place::Trailer(name) => self.with_trailer(name, &value),
            Place::ChunkExtension => self.with_chunk_extension(&value),
            place => match place.around() {
                Some((content_type, before, after)) => self.with_body(content_type, before, &value, after),
                None => self.in_head(&value),
            },
        }
    }

    fn in_head(&self, value: &[u8]) -> Vec<Bytes> {
        let value = one_line(value);
        let status = self.status;
        let (before, after) = match &self.place {
            Place::Header(name) => (format!("HTTP/1.1 {status} Echo\r\n{name}: "), "\r\n"),
            Place::HeaderName => (format!("HTTP/1.1 {status} Echo\r\n"), ": x\r\n"),
            Place::Location => (format!("HTTP/1.1 {status} Echo\r\nLocation: https://elsewhere.invalid/?it="), "\r\n"),
            Place::SetCookie => (format!("HTTP/1.1 {status} Echo\r\nSet-Cookie: it="), "; Path=/\r\n"),
            _ => (format!("HTTP/1.1 {status} "), "\r\n"),
        };
        let from = before.len();
        let end = "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
        let whole = [before.as_bytes(), &value, after.as_bytes(), end.as_bytes()].concat();
        self.split.cut(&whole.into(), from)
    }

    fn with_body(&self, content_type: &str, before: &str, value: &[u8], after: &str) -> Vec<Bytes> {
        let body = Bytes::from([before.as_bytes(), value, after.as_bytes()].concat());
        let start = format!("HTTP/1.1 {} Echo\r\nContent-Type: {content_type}\r\n", self.status);
        if self.split == Split::Whole {
            let head = format!("{start}Content-Length: {}\r\n\r\n", body.len());
            return vec![head.into(), body];
        }
        let mut pieces = vec![Bytes::from(format!("{start}Transfer-Encoding: chunked\r\n\r\n"))];
        pieces.extend(self.split.cut(&body, before.len()).iter().map(chunk));
        pieces.push(Bytes::from_static(b"0\r\n\r\n"));
        pieces
    }

    fn with_trailer(&self, name: &str, value: &[u8]) -> Vec<Bytes> {
        let head = format!(
            "HTTP/1.1 {} Echo\r\nContent-Type: text/plain\r\nTrailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n",
            self.status
        );
        let before = format!("0\r\n{name}: ");
        let end = Bytes::from([before.as_bytes(), &one_line(value), b"\r\n\r\n"].concat());
        std::iter::once(Bytes::from(head)).chain(self.split.cut(&end, before.len())).collect()
    }

    fn with_chunk_extension(&self, value: &[u8]) -> Vec<Bytes> {
        let head =
            format!("HTTP/1.1 {} Echo\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n", self.status);
        let body = [b"3;it=", &one_line(value)[..], b"\r\nok\n\r\n0\r\n\r\n"].concat();
        std::iter::once(Bytes::from(head)).chain(self.split.cut(&body.into(), 5)).collect()
    }
}

/// Over hyper, so that HTTP/2 echoes too. Places that HTTP/2 does not have are left out there.
impl Fake for Echo {
    fn reply(&self, request: &Recorded) -> Reply {
        let value = self.value(request);
        let line = one_line(&value);
        let plain = || Reply::bytes(self.status, "text/plain", "ok\n");
        match &self.place {
            Place::ChunkExtension => plain(),
            Place::Header(name) => plain().with(name, line),
            Place::HeaderName => plain().with(&String::from_utf8_lossy(&line), "x"),
            Place::Location => plain().with("location", [b"https://elsewhere.invalid/?it=", &line[..]].concat()),
            Place::Reason => Reply { reason: Some(line.into()), ..plain() },
            Place::SetCookie => plain().with("set-cookie", [b"it=", &line[..], b"; Path=/"].concat()),
            Place::Trailer(name) => {
                let mut trailers = http::HeaderMap::new();
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_bytes(&line)) {
                    trailers.insert(name, value);
                }
                let pieces = vec![Bytes::from_static(b"ok\n")];
                let pieces = Pieces { pieces, trailers: Some(trailers), ..Pieces::default() };
                Reply::new(self.status, Content::Pieces(pieces))
                    .with("content-type", "text/plain")
                    .with("trailer", name)
            }
            place => {
                let (content_type, before, after) = place.around().unwrap_or(("text/plain", "", ""));
                let body = Bytes::from([before.as_bytes(), &value, after.as_bytes()].concat());
                if self.split == Split::Whole {
                    return Reply::bytes(self.status, content_type, body);
                }
                let pieces = self.split.cut(&body, before.len());
                let pieces = Pieces { pieces, every: BETWEEN, ..Pieces::default() };
                Reply::new(self.status, Content::Pieces(pieces)).with("content-type", content_type)
            }
        }
    }
}

/// One chunk with its size.
pub(crate) fn chunk(bytes: &Bytes) -> Bytes {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat().into()
}

fn one_line(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { *byte }).collect()
}

/// Enough for hyper to send a piece before it sees the next one.
const BETWEEN: Duration = Duration::from_micros(200);
