//! What reached a service: connections and requests, in order, with ways to wait for them.
//!
//! A record holds what came over the wire, credentials included: it is for looking at in a test, and never leaves the
//! process by itself.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

/// One request as it came over the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which connection of the service it came on, counted from 1.
    pub connection: usize,
    pub version: http::Version,
    pub method: String,
    /// The request target byte for byte: path and query, or whatever else stood there.
    pub target: String,
    /// In order. Names are lower-case from [`serve`](crate::serve)d fakes and as sent from a
    /// [`Scripted`](crate::Scripted) one.
    pub headers: Vec<(String, Bytes)>,
    /// Decoded from its framing (chunks), not from its content encoding.
    pub body: Bytes,
    /// False when the client went away, or passed the cap, before the end of the body.
    pub complete: bool,
    /// All the bytes of the request, where the service saw them itself: from a [`Scripted`](crate::Scripted) one.
    pub raw: Bytes,
}

impl Recorded {
    /// The target up to the first `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The target after the first `?`, still encoded.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every header of this name, in any case of letters.
    pub fn headers_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Bytes> {
        self.headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON, if it is that.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The token of `Authorization: Bearer <token>`.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Request line, headers and body as text on the wire would have them; the true bytes where they are known.
    pub fn to_bytes(&self) -> Bytes {
        if !self.raw.is_empty() {
            return self.raw.clone();
        }
        let mut out = format!("{} {} {:?}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        Bytes::from(out)
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of headers only: this ends up in the output of failing tests, which are kept in logs.
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "#{} {} {} {names:?} + {} bytes", self.connection, self.method, self.target, self.body.len())
    }
}

/// Fewer requests than hoped for came within the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    pub wanted: usize,
    pub seen: usize,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waited for {} requests, saw {}", self.wanted, self.seen)
    }
}

impl std::error::Error for TimedOut {}

/// The shared notebook of one service.
#[derive(Default)]
pub(crate) struct Log {
    accepted: AtomicUsize,
    open: AtomicUsize,
    seen: Mutex<Seen>,
    came: Condvar,
    notify: Notify,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Arc<Recorded>>,
    /// Counts also those that were not kept.
    count: usize,
    bytes: usize,
}

impl Log {
    /// Notes a TCP connection and returns its number, from 1.
    pub(crate) fn connection(&self) -> usize {
        self.accepted.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Counts a connection as open until the returned value is dropped.
    pub(crate) fn opened(self: &Arc<Log>) -> Open {
        self.open.fetch_add(1, Ordering::SeqCst);
        Open(Arc::clone(self))
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn request(&self, recorded: Arc<Recorded>, keep: bool) {
        let mut seen = self.lock();
        seen.count += 1;
        let size = recorded.body.len() + recorded.raw.len();
        if keep && seen.requests.len() < KEPT_REQUESTS && seen.bytes + size <= KEPT_BYTES {
            seen.bytes += size;
            seen.requests.push(recorded);
        }
        drop(seen);
        self.came.notify_all();
        self.notify.notify_waiters();
    }

    pub(crate) fn requests(&self) -> Vec<Arc<Recorded>> {
        self.lock().requests.clone()
    }

    pub(crate) fn request_count(&self) -> usize {
        self.lock().count
    }

    pub(crate) fn forget(&self) {
        *self.lock() = Seen::default();
    }

    pub(crate) async fn wait_for(&self, wanted: usize, within: Duration) -> Result<Vec<Arc<Recorded>>, TimedOut> {
        let enough = async {
            loop {
                // Registered before looking: a request that comes in between must not be missed.
                let came = self.notify.notified();
                if self.request_count() >= wanted {
                    return;
                }
                came.await;
            }
        };
        let in_time = tokio::time::timeout(within, enough).await.is_ok();
        self.outcome(wanted, in_time)
    }

    pub(crate) fn wait_for_blocking(&self, wanted: usize, within: Duration) -> Result<Vec<Arc<Recorded>>, TimedOut> {
        let end = Instant::now() + within;
        let mut seen = self.lock();
        while seen.count < wanted {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            seen = self.came.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(seen);
        self.outcome(wanted, true)
    }

    fn outcome(&self, wanted: usize, in_time: bool) -> Result<Vec<Arc<Recorded>>, TimedOut> {
        let seen = self.lock();
        if in_time && seen.count >= wanted {
            return Ok(seen.requests.clone());
        }
        Err(TimedOut { wanted, seen: seen.count })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
pub(crate) struct Open(Arc<Log>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A test that makes more requests than this wants the count, not the requests.
const KEPT_REQUESTS: usize = 100_000;
/// The notebook must not become what runs a test machine out of memory.
const KEPT_BYTES: usize = 256 << 20;
