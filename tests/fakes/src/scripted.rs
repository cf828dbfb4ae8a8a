//! A service that does what its script says, byte for byte, and writes down what it reads.
//!
//! There is no HTTP library below it: what a script sends is what goes out, however wrong. It is bounded by its
//! connections: every step ends when the client goes, reads give up after a time, and what is read has a cap.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::ca::TestCa;
use crate::h2;
use crate::http_server::ServeOptions;
use crate::listener::{Protocols, accept};
use crate::record::{Log, Recorded};
use crate::reply::{Content, End, Reply};
use crate::script::{Script, Step};
use crate::service::{Host, Service};
use crate::wire::Wire;

/// Starts services that play [`Script`]s.
pub struct Scripted;

impl Scripted {
    /// One script for every connection, over TLS and HTTP/1.1.
    pub fn start(ca: &TestCa, script: impl Into<Script>) -> io::Result<Service> {
        let script = script.into();
        Scripted::start_with(ca, Scripted::options(), move |_| script.clone())
    }

    /// [`start`](Scripted::start) in a thread of its own.
    pub fn start_blocking(ca: &TestCa, script: impl Into<Script>) -> io::Result<Service> {
        let script = script.into();
        Scripted::start_with(ca, ServeOptions { host: Host::Thread, ..Scripted::options() }, move |_| script.clone())
    }

    /// A script for each connection by its number, from 1.
    pub fn start_with(
        ca: &TestCa,
        options: ServeOptions,
        choose: impl Fn(usize) -> Script + Send + Sync + 'static,
    ) -> io::Result<Service> {
        let tls = options.tls.then(|| ca.server_config(&options.leaf, options.protocols));
        let scheme = if options.tls { "https" } else { "http" };
        let choose = Arc::new(choose);
        Service::launch(scheme, options.host, move |listener, log, stop| {
            let log_of_players = Arc::clone(&log);
            accept(listener, tls, log, stop, move |wire, number| {
                let (script, log) = (choose(number), Arc::clone(&log_of_players));
                async move { Player::new(wire, number, log, options.record).play(script).await }
            })
        })
    }

    /// TLS with a good certificate, HTTP/1.1 in the handshake.
    pub fn options() -> ServeOptions {
        ServeOptions { protocols: Protocols::Http1, ..ServeOptions::default() }
    }
}

/// One connection under way.
struct Player {
    wire: Wire,
    number: usize,
    log: Arc<Log>,
    record: bool,
    /// Read but not yet part of a request.
    unread: BytesMut,
    last: Option<Arc<Recorded>>,
    http2_begun: bool,
}

/// Why a script stopped early.
enum Stopped {
    /// The client closed, broke the rules of its own protocol, or sent more than the cap.
    ClientGone,
    Cut,
    Reset,
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Stopped {
        Stopped::ClientGone
    }
}

impl Player {
    fn new(wire: Wire, number: usize, log: Arc<Log>, record: bool) -> Player {
        Player { wire, number, log, record, unread: BytesMut::new(), last: None, http2_begun: false }
    }

    async fn play(mut self, script: Script) {
        match self.steps(&script).await {
            Ok(()) | Err(Stopped::ClientGone) => self.wire.close().await,
            Err(Stopped::Cut) => self.wire.cut(),
            Err(Stopped::Reset) => self.wire.reset(),
        }
    }

    async fn steps(&mut self, script: &Script) -> Result<(), Stopped> {
        let pauses = script.steps.iter().any(Step::depends_on_client);
        let mut left: VecDeque<Step> = script.steps.iter().cloned().collect();
        while let Some(step) = left.pop_front() {
            match step {
                Step::Again if pauses => left = script.steps.iter().cloned().collect(),
                Step::Again | Step::Close => return Ok(()),
                Step::Answer(fake) => {
                    let Some(request) = &self.last else { continue };
                    let reply = fake.reply(request);
                    self.answer(reply).await?;
                }
                Step::Cut => return Err(Stopped::Cut),
                Step::Decide(choose) => {
                    let Some(request) = &self.last else { continue };
                    for step in choose(request).into_iter().rev() {
                        left.push_front(step);
                    }
                }
                Step::Echo(echo) => {
                    let Some(request) = &self.last else { continue };
                    let pieces = echo.http1(request);
                    self.pieces(&pieces, Duration::ZERO).await?;
                }
                Step::Hang => self.rest(Duration::MAX).await?,
                Step::ReadHead => self.read_http1(false).await?,
                Step::ReadHttp2 => self.read_http2().await?,
                Step::ReadRequest => self.read_http1(true).await?,
                Step::Repeat { bytes, times, every } => self.repeat(&bytes, times, every).await?,
                Step::Reset => return Err(Stopped::Reset),
                Step::Rest(time) => self.rest(time).await?,
                Step::Send(bytes) => self.send(&bytes).await?,
                Step::SendPieces { pieces, every } => self.pieces(&pieces, every).await?,
                Step::SendSlowly { bytes, every } => {
                    for byte in bytes.chunks(1) {
                        self.send(byte).await?;
                        self.rest(every).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.wire.write_all(bytes).await?;
        Ok(self.wire.flush().await?)
    }

    async fn pieces(&mut self, pieces: &[Bytes], every: Duration) -> Result<(), Stopped> {
        for piece in pieces {
            self.send(piece).await?;
            self.rest(every).await?;
        }
        Ok(())
    }

    async fn repeat(&mut self, bytes: &[u8], times: u64, every: Duration) -> Result<(), Stopped> {
        let mut done = 0;
        while done < times {
            self.send(bytes).await?;
            self.rest(every).await?;
            done = if times == u64::MAX { 0 } else { done + 1 };
        }
        Ok(())
    }

    /// Waits, and notices when the client goes meanwhile.
    async fn rest(&mut self, time: Duration) -> Result<(), Stopped> {
        if time.is_zero() {
            return Ok(());
        }
        // `Duration::MAX` is past the end of the clock; a week is longer than any run.
        let rest = tokio::time::sleep(time.min(WEEK));
        tokio::pin!(rest);
        loop {
            tokio::select! {
                () = &mut rest => return Ok(()),
                read = self.wire.read_buf(&mut self.unread) => match read? {
                    0 => return Err(Stopped::ClientGone),
                    _ if self.unread.len() > READ_CAP => return Err(Stopped::ClientGone),
                    _ => {}
                },
            }
        }
    }

    async fn more(&mut self) -> Result<(), Stopped> {
        if self.unread.len() > READ_CAP {
            return Err(Stopped::ClientGone);
        }
        let read = tokio::time::timeout(READ_WITHIN, self.wire.read_buf(&mut self.unread)).await;
        match read.map_err(|_| Stopped::ClientGone)?? {
            0 => Err(Stopped::ClientGone),
            _ => Ok(()),
        }
    }

    async fn read_http1(&mut self, with_body: bool) -> Result<(), Stopped> {
        let end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = self.unread.split_to(end).freeze();
        let mut request = parse_head(&head, self.number).ok_or(Stopped::ClientGone)?;
        let mut raw = BytesMut::from(&head[..]);
        let ended = if with_body { self.read_body(&mut request, &mut raw).await } else { Ok(()) };
        request.complete = with_body && ended.is_ok();
        request.raw = raw.freeze();
        let request = Arc::new(request);
        self.log.request(Arc::clone(&request), self.record);
        self.last = Some(request);
        ended
    }

    async fn read_body(&mut self, request: &mut Recorded, raw: &mut BytesMut) -> Result<(), Stopped> {
        let chunked = request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            return self.read_chunks(request, raw).await;
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let read = self.take(length, raw).await;
        request.body = raw.clone().freeze().slice(raw.len() - read.as_ref().map_or(0, Bytes::len)..);
        read.map(|_| ())
    }

    async fn read_chunks(&mut self, request: &mut Recorded, raw: &mut BytesMut) -> Result<(), Stopped> {
        let mut body = BytesMut::new();
        loop {
            let line = self.take_line(raw).await?;
            let size = std::str::from_utf8(&line).ok().and_then(|line| line.split([';', '\r']).next());
            let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()).ok_or(Stopped::ClientGone)?;
            if size == 0 {
                // Trailers, then an empty line.
                while self.take_line(raw).await?.len() > 2 {}
                request.body = body.freeze();
                return Ok(());
            }
            let data = self.take(size, raw).await?;
            body.extend_from_slice(&data);
            self.take(2, raw).await?;
        }
    }

    async fn take(&mut self, length: usize, raw: &mut BytesMut) -> Result<Bytes, Stopped> {
        if length > READ_CAP {
            return Err(Stopped::ClientGone);
        }
        while self.unread.len() < length {
            self.more().await?;
        }
        let taken = self.unread.split_to(length).freeze();
        raw.extend_from_slice(&taken);
        if raw.len() > READ_CAP { Err(Stopped::ClientGone) } else { Ok(taken) }
    }

    async fn take_line(&mut self, raw: &mut BytesMut) -> Result<Bytes, Stopped> {
        loop {
            match self.unread.windows(2).position(|window| window == b"\r\n") {
                Some(at) => return self.take(at + 2, raw).await,
                None => self.more().await?,
            }
        }
    }

    async fn read_http2(&mut self) -> Result<(), Stopped> {
        if !self.http2_begun {
            self.http2_begun = true;
            let preface = self.take(h2::PREFACE.len(), &mut BytesMut::new()).await?;
            if preface != h2::PREFACE {
                return Err(Stopped::ClientGone);
            }
            self.send(&h2::settings(&[])).await?;
        }
        let mut raw = BytesMut::new();
        let mut body = BytesMut::new();
        loop {
            let head = self.take(9, &mut raw).await?;
            let frame = h2::Header::parse(&head).ok_or(Stopped::ClientGone)?;
            let payload = self.take(frame.length, &mut raw).await?;
            match frame.kind {
                h2::SETTINGS if frame.flags & h2::ACK == 0 => self.send(&h2::settings_ack()).await?,
                h2::DATA => {
                    body.extend_from_slice(&payload);
                    if !payload.is_empty() {
                        self.send(&h2::window_update(0, payload.len() as u32)).await?;
                        self.send(&h2::window_update(frame.stream, payload.len() as u32)).await?;
                    }
                }
                _ => {}
            }
            if matches!(frame.kind, h2::HEADERS | h2::DATA) && frame.flags & h2::END_STREAM != 0 {
                let request = Recorded {
                    connection: self.number,
                    version: http::Version::HTTP_2,
                    method: String::new(),
                    target: String::new(),
                    headers: Vec::new(),
                    body: body.freeze(),
                    complete: true,
                    raw: raw.freeze(),
                };
                let request = Arc::new(request);
                self.log.request(Arc::clone(&request), self.record);
                self.last = Some(request);
                return Ok(());
            }
        }
    }

    /// A fake's reply as HTTP/1.1.
    async fn answer(&mut self, reply: Reply) -> Result<(), Stopped> {
        self.rest(reply.after).await?;
        let reason = match &reply.reason {
            Some(reason) => String::from_utf8_lossy(reason).into_owned(),
            None => reply.status.canonical_reason().unwrap_or("Unknown").to_owned(),
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", reply.status.as_u16()).into_bytes();
        for (name, value) in &reply.headers {
            head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        match reply.content {
            Content::Whole(body) => {
                head.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
                self.send(&head).await?;
                self.send(&body).await
            }
            Content::Pieces(pieces) => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                self.send(&head).await?;
                for piece in pieces.pieces.iter().filter(|piece| !piece.is_empty()) {
                    self.send(&crate::echo::chunk(piece)).await?;
                    self.rest(pieces.every).await?;
                }
                if pieces.end == End::Cut {
                    return Err(Stopped::Cut);
                }
                let mut end = b"0\r\n".to_vec();
                for (name, value) in pieces.trailers.iter().flatten() {
                    end.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
                }
                end.extend_from_slice(b"\r\n");
                self.send(&end).await
            }
        }
    }
}

impl Step {
    /// Such steps keep a script that goes round from spinning.
    fn depends_on_client(&self) -> bool {
        match self {
            Step::Hang | Step::ReadHead | Step::ReadHttp2 | Step::ReadRequest | Step::Rest(_) => true,
            Step::Send(bytes) => !bytes.is_empty(),
            Step::Repeat { every, .. } | Step::SendPieces { every, .. } | Step::SendSlowly { every, .. } => {
                !every.is_zero()
            }
            _ => false,
        }
    }
}

fn parse_head(head: &[u8], connection: usize) -> Option<Recorded> {
    let mut lines = head
        .strip_suffix(b"\r\n\r\n")?
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8_lossy(lines.next()?).into_owned();
    let mut words = first.splitn(3, ' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let version = if words.next()? == "HTTP/1.0" { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    let headers = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((String::from_utf8_lossy(name).into_owned(), Bytes::copy_from_slice(value[1..].trim_ascii())))
        })
        .collect();
    let (body, raw) = (Bytes::new(), Bytes::new());
    Some(Recorded { connection, version, method, target, headers, body, complete: false, raw })
}

/// A request of a test is smaller; a client that sends without end is let go.
const READ_CAP: usize = 256 << 20;
const READ_WITHIN: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
