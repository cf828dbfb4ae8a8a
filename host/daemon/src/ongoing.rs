//! Answers that are on their way to their callers, all of one worker's, so that they can be ended from here.
//!
//! hyper asks a body for more only when its socket takes more. A caller that does not read would so keep alive what an
//! answer holds: the way to the service, and the patterns that clean what comes from it, which are made of values. What an
//! answer needs is therefore kept in a slot that the worker can empty at any time; the caller finds a broken-off stream.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_egress::BodyError;
use kv_model::{Connection, Suggestion};

use crate::fault::Fault;
use crate::shared::Shared;

/// Longer than egress lets an answer take. It ends one by itself as long as the caller reads; this is for one that reads a
/// byte now and then.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(3660);

/// Why an answer is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The person removed its connection or one that carries it, or took something away from it.
    Changed,
    Locked,
    /// Its reader has taken nothing for too long.
    Stalled,
    TooOld,
}

/// What gives an answer's bytes.
pub(crate) trait Source {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>>;
    /// The last that it is asked: to write down why it ended.
    fn cut(&mut self, cut: Cut);
    /// The connection that it came through, if a service gives it.
    fn connection(&self) -> Option<&Arc<Connection>>;
    /// Those that carry it besides.
    fn jumps(&self) -> &[Arc<Connection>] {
        &[]
    }
}

/// The answers of one worker.
#[derive(Default)]
pub(crate) struct Ongoing {
    slots: RefCell<BTreeMap<u64, Rc<Slot>>>,
    begun: Cell<u64>,
}

struct Slot {
    source: RefCell<Option<Box<dyn Source>>>,
    /// Why there is no source any more, until the reader has been told.
    cut: Cell<Option<Cut>>,
    reader: RefCell<Option<Waker>>,
    since: Instant,
}

/// An answer as its reader holds it. Dropped, it takes what it needs along.
pub(crate) struct Answering {
    slot: Rc<Slot>,
    number: u64,
    ongoing: Rc<Ongoing>,
}

impl Cut {
    /// For the trail.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Cut::Changed => "connection_changed",
            Cut::Locked => BodyError::Locked.code(),
            Cut::Stalled => "reader_stalled",
            Cut::TooOld => BodyError::TimeoutTotal(MAX_AGE).code(),
        }
    }

    fn fault(self) -> Fault {
        match self {
            Cut::Changed => Fault::new(
                kv_api::Code::PolicyDenied,
                "the connection was removed, or something was taken away from it, meanwhile",
            )
            .reason(self.code())
            .map(|error| error.sent(kv_api::Sent::Yes)),
            Cut::Locked => Fault::body(&BodyError::Locked),
            Cut::Stalled => Fault::usage("the answer was not read").reason(self.code()),
            Cut::TooOld => Fault::body(&BodyError::TimeoutTotal(MAX_AGE)),
        }
    }
}

impl Ongoing {
    /// Takes an answer in. If its connection was changed a moment ago, it ends at once.
    pub(crate) fn begin(self: &Rc<Self>, source: Box<dyn Source>, shared: &Shared) -> Answering {
        let number = self.begun.replace(self.begun.get() + 1);
        let slot = Rc::new(Slot {
            source: RefCell::new(Some(source)),
            cut: Cell::new(None),
            reader: RefCell::new(None),
            since: Instant::now(),
        });
        slot.judge(shared);
        self.slots.borrow_mut().insert(number, Rc::clone(&slot));
        Answering { slot, number, ongoing: Rc::clone(self) }
    }

    /// The vault was locked.
    pub(crate) fn lock(&self) {
        self.all().iter().for_each(|slot| slot.end(Cut::Locked));
    }

    /// Connections have changed: ends the answers that came through one which no longer stands.
    pub(crate) fn judge(&self, shared: &Shared) {
        self.all().iter().for_each(|slot| slot.judge(shared));
    }

    /// Ends what has gone on for longer than [`MAX_AGE`].
    pub(crate) fn retire(&self) {
        self.all().iter().filter(|slot| slot.since.elapsed() > MAX_AGE).for_each(|slot| slot.end(Cut::TooOld));
    }

    /// A list of their own: what ends may take itself out of the map.
    fn all(&self) -> Vec<Rc<Slot>> {
        self.slots.borrow().values().cloned().collect()
    }
}

impl Slot {
    fn end(&self, cut: Cut) {
        let Some(mut source) = self.source.take() else { return };
        source.cut(cut);
        drop(source);
        self.cut.set(Some(cut));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn judge(&self, shared: &Shared) {
        let through: Vec<_> = match &*self.source.borrow() {
            Some(source) => source.connection().into_iter().chain(source.jumps()).cloned().collect(),
            None => return,
        };
        // Without a session the vault is locked, and that has a word of its own.
        let Ok(session) = shared.gate.session() else { return };
        let now = session.connections();
        let stands = |before: &Arc<Connection>| now.get(&before.name).is_some_and(|now| still_stands(before, now));
        if !through.iter().all(stands) {
            self.end(Cut::Changed);
        }
    }
}

/// Nothing has been taken away: it is the same connection, and what was allowed is. An edit that only allows more ends no
/// answer. Nor does a new value of a bound secret: what is being answered was asked with the old one, and a rotation
/// that cut everybody off would be put off.
fn still_stands(before: &Arc<Connection>, now: &Arc<Connection>) -> bool {
    if Arc::ptr_eq(before, now) {
        return true;
    }
    let is_allowed = |(name, decision): (_, &Suggestion)| {
        *decision != Suggestion::Allow || now.accepted.get(name) == Some(&Suggestion::Allow)
    };
    let allowing_alike = Connection { accepted: before.accepted.clone(), ..Connection::clone(now) };
    **before == allowing_alike && before.accepted.iter().all(is_allowed)
}

impl Answering {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if let Some(cut) = self.slot.cut.take() {
            return Poll::Ready(Some(Err(cut.fault())));
        }
        let mut source = self.slot.source.borrow_mut();
        let Some(giving) = source.as_mut() else { return Poll::Ready(None) };
        let next = giving.poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => *source = None,
            Poll::Pending => {
                let mut reader = self.slot.reader.borrow_mut();
                if !reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                    *reader = Some(cx.waker().clone());
                }
            }
        }
        next
    }

    /// Its reader is not worth waiting for.
    pub(crate) fn give_up(&self) {
        self.slot.end(Cut::Stalled);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ongoing.slots.borrow_mut().remove(&self.number);
    }
}
