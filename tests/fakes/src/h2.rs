//! HTTP/2 frames by hand, for servers that break the rules which a library keeps.
//!
//! Header blocks are written as literals without indexing and without Huffman coding: every decoder takes those, and any
//! nonsense can be put into them.

use bytes::Bytes;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PUSH_PROMISE: u8 = 0x5;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;
pub const ALTSVC: u8 = 0xa;
pub const ORIGIN: u8 = 0xc;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// The settings by number.
pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// The first nine bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes: [u8; 9] = bytes.try_into().ok()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Header { length, kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff })
    }
}

/// Any frame at all.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(9 + payload.len());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.push(flags);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out.into()
}

pub fn settings(settings: &[(u16, u32)]) -> Bytes {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub fn settings_ack() -> Bytes {
    frame(SETTINGS, ACK, 0, &[])
}

/// A block of header fields.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        // Literal, not indexed, with a new name.
        out.push(0x00);
        length(&mut out, name.len());
        out.extend_from_slice(name.as_bytes());
        length(&mut out, value.len());
        out.extend_from_slice(value);
    }
    out
}

/// HPACK's integer with a prefix of seven bits, the Huffman bit off.
fn length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    out.push(rest as u8);
}

pub fn headers(stream: u32, fields: &[(&str, &[u8])], end_stream: bool) -> Bytes {
    let flags = END_HEADERS | if end_stream { END_STREAM } else { 0 };
    frame(HEADERS, flags, stream, &block(fields))
}

pub fn data(stream: u32, bytes: &[u8], end_stream: bool) -> Bytes {
    frame(DATA, if end_stream { END_STREAM } else { 0 }, stream, bytes)
}

pub fn rst_stream(stream: u32, code: u32) -> Bytes {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn goaway(last_stream: u32, code: u32) -> Bytes {
    frame(GOAWAY, 0, 0, &[last_stream.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn ping() -> Bytes {
    frame(PING, 0, 0, &[0; 8])
}

pub fn window_update(stream: u32, by: u32) -> Bytes {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// Promises `promised`, as an answer to `stream`.
pub fn push_promise(stream: u32, promised: u32, fields: &[(&str, &[u8])]) -> Bytes {
    frame(PUSH_PROMISE, END_HEADERS, stream, &[&promised.to_be_bytes()[..], &block(fields)].concat())
}

/// Claims that an origin is served here too.
pub fn origin(origin: &str) -> Bytes {
    let length = (origin.len() as u16).to_be_bytes();
    frame(ORIGIN, 0, 0, &[&length[..], origin.as_bytes()].concat())
}

/// Claims that an origin is better served elsewhere.
pub fn altsvc(origin: &str, value: &str) -> Bytes {
    let length = (origin.len() as u16).to_be_bytes();
    frame(ALTSVC, 0, 0, &[&length[..], origin.as_bytes(), value.as_bytes()].concat())
}
