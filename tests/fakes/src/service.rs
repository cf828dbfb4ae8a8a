//! A running service: where it listens, what it saw, and its end.
//!
//! Dropping a [`Service`] ends its tasks and nobody else's. It never outlives the value by more than one turn of its
//! runtime, and it never listens on an address other than 127.0.0.1.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::record::{Log, Recorded, TimedOut};

/// Where a service's tasks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// On the tokio runtime of the caller; starting one outside a runtime is an error.
    #[default]
    Here,
    /// On a small runtime in a thread of its own, for callers that are not async or block their runtime.
    Thread,
}

/// A service that listens until this is dropped.
pub struct Service {
    address: SocketAddr,
    scheme: &'static str,
    log: Arc<Log>,
    /// Dropping it is the signal to end.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// `https://127.0.0.1:PORT` (`http` for a service without TLS).
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// `https://localhost:PORT`: the same service under its other name.
    pub fn localhost_origin(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Arc<Recorded>> {
        self.log.requests()
    }

    /// How many requests came, those that were not kept included.
    pub fn request_count(&self) -> usize {
        self.log.request_count()
    }

    /// How many TCP connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.log.connections()
    }

    /// How many of them are open now.
    pub fn open_connections(&self) -> usize {
        self.log.open_connections()
    }

    /// Forgets the requests so far; connections go on being counted.
    pub fn forget(&self) {
        self.log.forget();
    }

    /// Waits until `wanted` requests have come, for [`PATIENCE`] at most.
    pub async fn wait_for(&self, wanted: usize) -> Result<Vec<Arc<Recorded>>, TimedOut> {
        self.log.wait_for(wanted, PATIENCE).await
    }

    /// [`wait_for`](Service::wait_for) for callers that are not async.
    pub fn wait_for_blocking(&self, wanted: usize) -> Result<Vec<Arc<Recorded>>, TimedOut> {
        self.log.wait_for_blocking(wanted, PATIENCE)
    }

    /// Ends the service. The port is closed when this returns, if the service has a thread of its own.
    pub fn stop(self) {
        drop(self);
    }

    /// Binds a port and runs `tasks` on it.
    pub(crate) fn launch<F, Fut>(scheme: &'static str, host: Host, tasks: F) -> io::Result<Service>
    where
        F: FnOnce(TcpListener, Arc<Log>, Stop) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        let (sender, receiver) = watch::channel(());
        let (stop, log_of_tasks) = (Stop(receiver), Arc::clone(&log));
        let thread = match host {
            Host::Here => {
                let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
                let _guard = runtime.enter();
                let listener = TcpListener::from_std(listener)?;
                runtime.spawn(stop.clone().until(tasks(listener, log_of_tasks, stop)));
                None
            }
            Host::Thread => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let run = move || {
                    runtime.block_on(async move {
                        if let Ok(listener) = TcpListener::from_std(listener) {
                            stop.clone().until(tasks(listener, log_of_tasks, stop)).await;
                        }
                    });
                    runtime.shutdown_background();
                };
                Some(std::thread::Builder::new().name("fake-service".to_owned()).spawn(run)?)
            }
        };
        Ok(Service { address, scheme, log, stop: Some(sender), thread })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by then; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

/// Tells a service's tasks when to end.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<()>);

impl Stop {
    /// Runs `work` until it is done or the service is dropped.
    pub(crate) async fn until(mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            // The sender never sends: this returns when it is gone.
            _ = self.0.changed() => {}
        }
    }

    /// Spawns `work` on the current runtime; it ends with the service.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.clone().until(work));
    }
}

/// Lets hyper's HTTP/2 spawn its tasks such that they end with the service.
impl<F> hyper::rt::Executor<F> for Stop
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(async move {
            future.await;
        });
    }
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Loopback answers in microseconds; this leaves room for a machine that is busy compiling.
pub const PATIENCE: Duration = Duration::from_secs(30);
