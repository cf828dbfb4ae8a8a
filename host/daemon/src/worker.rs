//! A worker: one thread, one event loop, its own connections to services. A connection stays where it was accepted.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kv_egress::Egress;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

use crate::answer::{AnswerBody, BrokenOff};
use crate::ongoing::Ongoing;
use crate::pace::{Pace, Paced, Patience};
use crate::route::handle;
use crate::shared::Shared;

/// Which socket a request came in by. The agents' has no verb that unlocks, hands out or changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Agent,
    Human,
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) egress: Egress,
    pub(crate) ongoing: Rc<Ongoing>,
}

/// As large as a request's head may be: 100 headers of the API's own are far below it.
const MAX_HEAD_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 64;
/// After a failed accept (no file descriptor left, say) the listener rests so long instead of spinning.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How often answers are looked through for one that has gone on for too long.
const RETIRE_EVERY: Duration = Duration::from_secs(60);

/// Serves both sockets until the daemon stops.
pub(crate) fn work(
    shared: Arc<Shared>,
    egress: Egress,
    agent: std::os::unix::net::UnixListener,
    human: std::os::unix::net::UnixListener,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build()?;
    let worker = Rc::new(Worker { shared, egress, ongoing: Rc::default() });
    LocalSet::new().block_on(&runtime, async move {
        let (agent, human) = (UnixListener::from_std(agent)?, UnixListener::from_std(human)?);
        let mut stop = worker.shared.stop.subscribe();
        tokio::select! {
            () = accept(&worker, &agent, Door::Agent) => {}
            () = accept(&worker, &human, Door::Human) => {}
            () = end_answers(&worker) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // Answers that are on their way get a moment to leave.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    })
}

async fn accept(worker: &Rc<Worker>, listener: &UnixListener, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(worker, stream, door),
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// Ends answers that are under way where the vault is locked, or what they came through is taken away.
async fn end_answers(worker: &Worker) {
    let (mut locks, mut changes) = (worker.shared.locks.subscribe(), worker.shared.gate.changes());
    loop {
        // Both senders live as long as the worker, so neither wait fails.
        tokio::select! {
            biased;
            _ = locks.changed() => worker.ongoing.lock(),
            _ = changes.changed() => worker.ongoing.judge(&worker.shared),
            () = tokio::time::sleep(RETIRE_EVERY) => worker.ongoing.retire(),
        }
    }
}

/// Takes a connection from the same user, within the bounds; others are closed without a word.
fn admit(worker: &Rc<Worker>, stream: UnixStream, door: Door) {
    let own = rustix::process::getuid().as_raw();
    let peer = match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => peer.uid(),
        _ => return,
    };
    let Some(place) = worker.shared.places.take(door) else { return };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let pace = Arc::new(Pace::default());
        let service = service_fn(|request| {
            let answer = answer(Rc::clone(&worker), door, peer, Arc::clone(&pace), request);
            // Boxed, since hyper keeps room for it on every connection, resting or not.
            let answer: Pin<Box<dyn Future<Output = _>>> = Box::pin(answer);
            answer
        });
        let stream = Paced::new(stream, Arc::clone(&pace), Patience::default());
        // An error here is a client that broke off or spoke no HTTP; there is nobody to tell.
        let _ = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        drop(place);
    });
}

/// One request, with what its body may take of the daemon's memory until it is answered.
async fn answer(
    worker: Rc<Worker>,
    door: Door,
    peer: u32,
    pace: Arc<Pace>,
    mut request: Request<Incoming>,
) -> Result<Response<Followed>, std::convert::Infallible> {
    pace.begun(!request.body().is_end_stream());
    let account = worker.shared.budgets.of_request(door);
    request.extensions_mut().insert(account.clone());
    request.extensions_mut().insert(Arc::clone(&pace));
    let answer = handle(worker, door, peer, request).await;
    drop(account);
    Ok(answer.map(|body| Followed { body, pace }))
}

/// An answer's body, whose end is the beginning of the caller's rest.
struct Followed {
    body: AnswerBody,
    pace: Arc<Pace>,
}

impl Body for Followed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if self.pace.is_stalled() {
            self.body.give_up();
        }
        self.pace.rest();
    }
}
