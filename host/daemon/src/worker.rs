//! A worker: one thread, one event loop, its own connections to services. A connection stays where it was accepted.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kv_egress::Egress;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

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
    agents: Cell<usize>,
    humans: Cell<usize>,
}

/// As many agent connections as one worker keeps; idle ones cost some KiB each.
const MAX_AGENT_CONNECTIONS: usize = 8_192;
/// The person's connections are counted apart, so that agents cannot shut the person out.
const MAX_HUMAN_CONNECTIONS: usize = 256;
/// As long as a request's head may take to arrive, and as long as a connection may wait for its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// As large as a request's head may be: 100 headers of the API's own are far below it.
const MAX_HEAD_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 64;
/// After a failed accept (no file descriptor left, say) the listener rests so long instead of spinning.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Serves both sockets until the daemon stops.
pub(crate) fn work(
    shared: Arc<Shared>,
    egress: Egress,
    agent: std::os::unix::net::UnixListener,
    human: std::os::unix::net::UnixListener,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build()?;
    let worker = Rc::new(Worker { shared, egress, agents: Cell::new(0), humans: Cell::new(0) });
    LocalSet::new().block_on(&runtime, async move {
        let (agent, human) = (UnixListener::from_std(agent)?, UnixListener::from_std(human)?);
        let mut stop = worker.shared.stop.subscribe();
        tokio::select! {
            () = accept(&worker, &agent, Door::Agent) => {}
            () = accept(&worker, &human, Door::Human) => {}
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

/// Takes a connection from the same user, within the bounds; others are closed without a word.
fn admit(worker: &Rc<Worker>, stream: UnixStream, door: Door) {
    let own = rustix::process::getuid().as_raw();
    let peer = match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => peer.uid(),
        _ => return,
    };
    let (count, most) = match door {
        Door::Agent => (&worker.agents, MAX_AGENT_CONNECTIONS),
        Door::Human => (&worker.humans, MAX_HUMAN_CONNECTIONS),
    };
    if count.get() >= most {
        return;
    }
    count.set(count.get() + 1);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let service = service_fn(|request| {
            let worker = Rc::clone(&worker);
            async move { Ok::<_, std::convert::Infallible>(handle(worker, door, peer, request).await) }
        });
        // An error here is a client that broke off or spoke no HTTP; there is nobody to tell.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        let count = match door {
            Door::Agent => &worker.agents,
            Door::Human => &worker.humans,
        };
        count.set(count.get() - 1);
    });
}
