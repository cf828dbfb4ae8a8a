//! The body of an answer as it comes in: decoded, bounded, cleaned, and given to the caller piece by piece.
//!
//! It never shows a byte that may be the beginning of a secret until what follows has come, and never turns an answer
//! that broke off into a short one. Dropping it ends the call at the service.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::{Frame, Incoming};
use kv_model::SecretId;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer;
use crate::decode::Decoder;
use crate::error::BodyError;
use crate::limits::Limits;
use crate::patterns::Snapshot;
use crate::pool::Lease;

/// A body that streams. Read it with [`next`](Body::next) or as a [`http_body::Body`].
pub struct Body {
    flow: Option<Flow>,
    /// Clean and ready; more than one piece only when an answer ends.
    ready: VecDeque<Bytes>,
    trailers: Vec<(String, String)>,
    hits: BTreeMap<SecretId, u64>,
    received: u64,
}

/// An answer that has not ended.
struct Flow {
    incoming: Incoming,
    decoder: Decoder,
    cleaner: kv_redact::Stream,
    snapshot: Arc<Snapshot>,
    lease: Lease,
    keep_for: Option<std::time::Duration>,
    ends: Ends,
    limits: Limits,
    wire: u64,
    decoded: u64,
    /// Runs while a line's end is held back.
    line_end: Option<Pin<Box<Sleep>>>,
}

/// What ends an answer from our side.
pub(crate) struct Ends {
    pub(crate) locked: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    pub(crate) deadline: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
    last_piece: Instant,
}

/// What [`Body::new`] needs beside the body itself.
pub(crate) struct Setup {
    pub(crate) decoder: Decoder,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) lease: Lease,
    pub(crate) keep_for: Option<std::time::Duration>,
    pub(crate) ends: Ends,
    pub(crate) limits: Limits,
    pub(crate) head_hits: BTreeMap<SecretId, u64>,
}

impl Ends {
    pub(crate) fn new(
        locked: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
        deadline: Instant,
        limits: &Limits,
    ) -> Self {
        let now = Instant::now();
        Ends {
            locked,
            deadline: Box::pin(sleep_until(deadline)),
            idle: Box::pin(sleep_until(now + limits.idle)),
            last_piece: now,
        }
    }

    fn poll(&mut self, limits: &Limits, cx: &mut Context<'_>) -> Poll<BodyError> {
        if self.locked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(BodyError::Locked);
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(BodyError::TimeoutTotal(limits.total));
        }
        // Set anew when it fires rather than with each piece: most answers end long before.
        while self.idle.as_mut().poll(cx).is_ready() {
            let until = self.last_piece + limits.idle;
            if until <= Instant::now() {
                return Poll::Ready(BodyError::TimeoutIdle(limits.idle));
            }
            self.idle.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Body {
    pub(crate) fn new(incoming: Incoming, setup: Setup) -> Self {
        let Setup { decoder, snapshot, lease, keep_for, mut ends, limits, head_hits } = setup;
        ends.last_piece = Instant::now();
        let cleaner = kv_redact::Stream::new(Arc::clone(&snapshot.patterns));
        let mut body = Body { flow: None, ready: VecDeque::new(), trailers: Vec::new(), hits: head_hits, received: 0 };
        if incoming.is_end_stream() {
            lease.give_back(keep_for);
        } else {
            let flow = Flow {
                incoming,
                decoder,
                cleaner,
                snapshot,
                lease,
                keep_for,
                ends,
                limits,
                wire: 0,
                decoded: 0,
                line_end: None,
            };
            body.flow = Some(flow);
        }
        body
    }

    /// The next piece, or `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The whole body, if it has at most `cap` bytes.
    pub async fn collect(&mut self, cap: usize) -> Result<Bytes, BodyError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if all.len() + piece.len() > cap {
                self.flow = None;
                return Err(BodyError::TooLarge { limit: cap as u64 });
            }
            // The usual answer is one piece: it is handed on and not copied.
            if all.is_empty() && self.flow.is_none() && self.ready.is_empty() {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Cleaned like headers; empty until the end has come.
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// Which secrets had to be masked so far, head and trailers included, and how often.
    pub fn hits(&self) -> &BTreeMap<SecretId, u64> {
        &self.hits
    }

    /// Bytes given to the caller so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn is_ended(&self) -> bool {
        self.flow.is_none() && self.ready.is_empty()
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.received += piece.len() as u64;
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(flow) = &mut self.flow else { return Poll::Ready(None) };
            let Poll::Ready(frame) = flow.poll_frame(cx) else {
                let (line, found) = ready!(flow.poll_line_end(cx));
                flow.snapshot.count(found, &mut self.hits);
                self.ready.push_back(line);
                continue;
            };
            match frame {
                Ok(Some(frame)) => {
                    if let Err(error) = self.take(frame) {
                        return self.fail(error);
                    }
                }
                Ok(None) => {
                    if let Err(error) = self.end() {
                        return self.fail(error);
                    }
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Dropping the flow drops the lease, and with it the connection or the stream.
    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.flow = None;
        Poll::Ready(Some(Err(error)))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), BodyError> {
        let Some(flow) = &mut self.flow else { return Ok(()) };
        match frame.into_data() {
            Ok(data) => {
                let mut out = Vec::with_capacity(data.len());
                flow.accept(&data, &mut out, &mut self.hits)?;
                if !out.is_empty() {
                    self.ready.push_back(out.into());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    flow.check_trailers(&trailers)?;
                    self.trailers = answer::clean(&trailers, &flow.snapshot, &mut self.hits);
                }
            }
        }
        // Known to be over with its last piece: the caller need not ask once more, and the connection is free at once.
        if self.flow.as_ref().is_some_and(|flow| flow.incoming.is_end_stream()) { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), BodyError> {
        let Some(flow) = self.flow.take() else { return Ok(()) };
        let Flow { decoder, mut cleaner, snapshot, lease, keep_for, limits, decoded, .. } = flow;
        let rest = decoder.finish()?;
        if decoded + rest.len() as u64 > limits.body_bytes {
            return Err(BodyError::TooLarge { limit: limits.body_bytes });
        }
        let mut out = Vec::new();
        snapshot.count(cleaner.push(&rest, &mut out), &mut self.hits);
        snapshot.count(cleaner.finish(&mut out), &mut self.hits);
        if !out.is_empty() {
            self.ready.push_back(out.into());
        }
        lease.give_back(keep_for);
        Ok(())
    }
}

impl Flow {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        if let Poll::Ready(error) = self.ends.poll(&self.limits, cx) {
            return Poll::Ready(Err(error));
        }
        let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            None => return Poll::Ready(Ok(None)),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(Err(BodyError::Cut)),
        };
        self.ends.last_piece = Instant::now();
        Poll::Ready(Ok(Some(frame)))
    }

    fn accept(&mut self, data: &[u8], out: &mut Vec<u8>, hits: &mut BTreeMap<SecretId, u64>) -> Result<(), BodyError> {
        let limit = self.limits.body_bytes;
        self.wire += data.len() as u64;
        let decoded;
        let plain = if self.decoder.is_identity() {
            data
        } else {
            decoded = self.decoder.push(data)?;
            &decoded
        };
        self.decoded += plain.len() as u64;
        if self.wire > limit || self.decoded > limit {
            return Err(BodyError::TooLarge { limit });
        }
        self.snapshot.count(self.cleaner.push(plain, out), hits);
        let is_line_held = plain.ends_with(b"\n") && self.cleaner.held() > 0;
        self.line_end = is_line_held.then(|| Box::pin(sleep_until(Instant::now() + self.limits.line)));
        Ok(())
    }

    /// The end of a line that nothing has followed for a while. What goes out with it is a few letters at most, fewer than
    /// services show of a key themselves; should the rest of a secret follow, the rest is masked.
    fn poll_line_end(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, kv_redact::Hits)> {
        let Some(wait) = &mut self.line_end else { return Poll::Pending };
        ready!(wait.as_mut().poll(cx));
        self.line_end = None;
        let mut out = Vec::new();
        let found = self.cleaner.release(&mut out);
        if out.is_empty() { Poll::Pending } else { Poll::Ready((out.into(), found)) }
    }

    fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), BodyError> {
        let size: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if trailers.len() > self.limits.headers || size > self.limits.head_bytes {
            return Err(BodyError::TooLarge { limit: self.limits.head_bytes as u64 });
        }
        Ok(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_next(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended()
    }
}
