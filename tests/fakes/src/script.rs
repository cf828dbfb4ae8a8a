//! What a [`Scripted`](crate::Scripted) service does on a connection, as data.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::echo::Echo;
use crate::http_server::Fake;
use crate::record::Recorded;

/// The steps of one connection, in order. After the last one the connection is closed properly.
#[derive(Clone, Default)]
pub struct Script {
    pub steps: Vec<Step>,
}

/// Picks further steps by a request.
pub type Choose = dyn Fn(&Recorded) -> Vec<Step> + Send + Sync;

#[derive(Clone)]
pub enum Step {
    /// Goes back to the first step. A script that never reads nor waits may not use it: it ends instead.
    Again,
    /// Lets a fake answer the request that was read last, in plain HTTP/1.1.
    Answer(Arc<dyn Fake>),
    /// `close_notify` and FIN.
    Close,
    /// FIN without `close_notify`.
    Cut,
    /// Chooses further steps by the request that was read last; they come before the rest.
    Decide(Arc<Choose>),
    /// Sends the request that was read last back.
    Echo(Echo),
    /// Says nothing until the client has gone.
    Hang,
    /// Reads and records the head of an HTTP/1.1 request, and leaves its body unread.
    ReadHead,
    /// Begins HTTP/2 if need be, then reads and records one request. Its headers are recorded as raw frames: HPACK is not
    /// decoded.
    ReadHttp2,
    /// Reads and records an HTTP/1.1 request with its body.
    ReadRequest,
    /// Sends the same again and again. `u64::MAX` times is for ever: until the client goes.
    Repeat {
        bytes: Bytes,
        times: u64,
        every: Duration,
    },
    /// RST.
    Reset,
    Rest(Duration),
    /// Sends at once.
    Send(Bytes),
    /// Sends each piece by itself, in a TLS record of its own.
    SendPieces {
        pieces: Vec<Bytes>,
        every: Duration,
    },
    /// Sends byte by byte.
    SendSlowly {
        bytes: Bytes,
        every: Duration,
    },
}

impl Step {
    pub fn send(text: impl Into<Bytes>) -> Step {
        Step::Send(text.into())
    }

    pub fn decide(choose: impl Fn(&Recorded) -> Vec<Step> + Send + Sync + 'static) -> Step {
        Step::Decide(Arc::new(choose))
    }

    pub fn answer(fake: impl Fake) -> Step {
        Step::Answer(Arc::new(fake))
    }

    /// For ever.
    pub fn endless(text: impl Into<Bytes>) -> Step {
        Step::Repeat { bytes: text.into(), times: u64::MAX, every: Duration::ZERO }
    }
}

impl Script {
    pub fn new(steps: impl Into<Vec<Step>>) -> Script {
        Script { steps: steps.into() }
    }

    /// Reads a request, sends this, and so on with the next request.
    pub fn answering(response: impl Into<Bytes>) -> Script {
        Script::new([Step::ReadRequest, Step::send(response), Step::Again])
    }

    /// Reads a request, then does the rest.
    pub fn then(steps: impl IntoIterator<Item = Step>) -> Script {
        Script::new(std::iter::once(Step::ReadRequest).chain(steps).collect::<Vec<_>>())
    }

    /// Serves a fake over plain HTTP/1.1, with the raw bytes of each request in the record.
    pub fn serving(fake: impl Fake) -> Script {
        Script::new([Step::ReadRequest, Step::answer(fake), Step::Again])
    }
}

impl<T: Into<Vec<Step>>> From<T> for Script {
    fn from(steps: T) -> Script {
        Script::new(steps)
    }
}
