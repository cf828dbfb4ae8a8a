//! How long and how much: one bound for everything that a service could draw out or blow up.

use std::time::Duration;

/// The bounds of every call. [`Limits::default`] is what the daemon uses; tests make them small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Name, TCP, TLS and the wait for a place together. A service that takes longer is down for practical purposes.
    pub connect: Duration,
    /// From the request to the head of the answer. Models that reason think for minutes before they say anything.
    pub first_byte: Duration,
    /// Between two pieces of a body. Services that stream send a comment every 15 to 60 s to keep proxies content.
    pub idle: Duration,
    /// How long a line's end may be held back because the letter before it could begin a secret. An event of a stream is
    /// only complete with its empty line, and nobody sees 10 ms.
    pub line: Duration,
    /// The whole call. Whoever needs longer polls.
    pub total: Duration,
    /// Status line and headers, and trailers again. Real answers stay under 16 KiB.
    pub head_bytes: usize,
    /// Lines of headers.
    pub headers: usize,
    /// Interim answers (1xx) before the real one: a service sends one or two, a hostile one sends them for ever.
    pub interim: usize,
    /// A body, before and after decoding. It streams, so this bounds time and disk rather than memory.
    pub body_bytes: u64,
    /// How many times as large as on the wire a body may be once decoded. JSON reaches 20, a bomb 1,000 and more.
    pub decode_ratio: u64,
    /// Decoded bytes that are free of the ratio: a short answer of blanks is no bomb.
    pub decode_free: u64,
    /// How long a connection waits for its next use. Load balancers close theirs after 60 s, and a request that meets a
    /// closing connection is lost, since nothing is repeated.
    pub keep: Duration,
    /// Idle HTTP/1.1 connections kept for one credential by one worker.
    pub idle_connections: usize,
    /// Calls at a time with one credential by one worker; HTTP/1.1 needs a socket for each. More wait, as long as
    /// `connect` lets them.
    pub calls: usize,
    /// One SQL statement. The database is told the same, and given half a second more to say so itself.
    pub statement: Duration,
    /// One statement that is carried out to see what it would touch: a person waits, and it holds locks meanwhile.
    pub preview: Duration,
    /// Database sessions with one credential by one worker. A server has 100 for all who use it.
    pub sessions: usize,
    /// How long a login to another machine is kept after its last command. Making one takes 35 ms, a command over it 3.
    pub keep_link: Duration,
    /// Connections at a time, of all workers and to all services. More wait, as long as `connect` lets them.
    pub sockets: usize,
    /// What a service may send on an HTTP/2 connection while nobody waits for an answer on it. What it had sent before it
    /// heard that a caller left is bounded by the connection's window, and more than that is a flood.
    pub unasked: u64,
    /// Addresses of one name that are tried. Services publish up to 8.
    pub addresses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(120),
            line: Duration::from_millis(10),
            total: Duration::from_secs(3600),
            head_bytes: 64 << 10,
            headers: 200,
            interim: 16,
            body_bytes: 1 << 30,
            decode_ratio: 100,
            decode_free: 256 << 10,
            keep: Duration::from_secs(50),
            idle_connections: 64,
            calls: 256,
            statement: Duration::from_secs(30),
            preview: Duration::from_secs(2),
            sessions: 8,
            keep_link: Duration::from_secs(300),
            sockets: 4096,
            unasked: u64::from(crate::connect::CONNECTION_WINDOW) + (256 << 10),
            addresses: 16,
        }
    }
}
