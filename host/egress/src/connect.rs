//! One new connection: vetted addresses, TCP, TLS, HTTP. The caller sets the deadline.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use kv_model::Origin;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::error::{SendError, TlsProblem};
use crate::limits::Limits;
use crate::meter::{Call, Meter, Metered};
use crate::tls;

/// The side of a connection that requests go into.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The tasks that move a connection's bytes. Dropping it ends them, and with them the socket.
pub(crate) struct Driver {
    tasks: Tasks,
    /// Of HTTP/2: what comes while no call is under way.
    meter: Arc<Meter>,
    /// Its place among all connections.
    _place: OwnedSemaphorePermit,
}

#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

pub(crate) struct Opened {
    pub(crate) sender: Sender,
    pub(crate) driver: Driver,
}

/// `tls` is there exactly if the origin is `https`.
pub(crate) async fn open(
    origin: &Origin,
    addresses: &[IpAddr],
    tls: Option<Arc<ClientConfig>>,
    deadline: Instant,
    limits: &Limits,
    place: OwnedSemaphorePermit,
) -> Result<Opened, SendError> {
    let tcp = connect_any(addresses, origin.port(), deadline).await?;
    // Requests are written whole; waiting to fill a packet would only add 40 ms.
    tcp.set_nodelay(true).map_err(|_| SendError::Connect)?;
    let Some(config) = tls else { return http1(tcp, limits, place).await };
    let name = ServerName::try_from(origin.host()).map_err(|_| SendError::Tls(TlsProblem::WrongName))?;
    let stream =
        TlsConnector::from(config).connect(name, tcp).await.map_err(|error| SendError::Tls(tls::problem(&error)))?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, limits, place).await
    } else {
        http1(stream, limits, place).await
    }
}

/// Tries the addresses in the resolver's order, each with its share of the time that is left.
pub(crate) async fn connect_any(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, SendError> {
    for (index, ip) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        if let Ok(Ok(tcp)) = timeout_at(Instant::now() + share, TcpStream::connect(SocketAddr::new(*ip, port))).await {
            return Ok(tcp);
        }
    }
    Err(SendError::Connect)
}

async fn http1<T>(io: T, limits: &Limits, place: OwnedSemaphorePermit) -> Result<Opened, SendError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .max_buf_size(READ_BUFFER.max(limits.head_bytes))
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| SendError::Connect)?;
    let tasks = Tasks::default();
    tasks.spawn(async {
        // How a connection ended is told to the request that was on it.
        let _ = connection.await;
    });
    Ok(Opened { sender: Sender::Http1(sender), driver: Driver { tasks, meter: Arc::default(), _place: place } })
}

async fn http2<T>(io: T, limits: &Limits, place: OwnedSemaphorePermit) -> Result<Opened, SendError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (tasks, meter) = (Tasks::default(), Arc::<Meter>::default());
    let io = Metered::new(io, Arc::clone(&meter), limits.unasked);
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| SendError::Connect)?;
    tasks.spawn(async {
        let _ = connection.await;
    });
    Ok(Opened { sender: Sender::Http2(sender), driver: Driver { tasks, meter, _place: place } })
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// HTTP/2 has a task for the connection and one for each request body. All must end with the driver, so they are kept.
impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(async {
            task.await;
        });
    }
}

impl Driver {
    /// Counts a call while what it gives is kept.
    pub(crate) fn call(&self) -> Call {
        Call::on(&self.meter)
    }

    pub(crate) fn end(&self) {
        self.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Large bodies are read in pieces of up to this: 16 TLS records.
const READ_BUFFER: usize = 256 << 10;
/// What a service may send ahead of a slow caller, for one answer and for all on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;
/// Streams that a service may make us reset before the connection is given up.
const LOCAL_RESETS: usize = 64;
/// A peer that is gone is noticed within a minute while an answer is outstanding.
const PING_EVERY: Duration = Duration::from_secs(40);
const PONG_WITHIN: Duration = Duration::from_secs(20);
