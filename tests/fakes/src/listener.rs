//! Accepting connections: TCP, then TLS if wanted, then over to whoever speaks the protocol.
//!
//! A client that fails its handshake, or never begins one, costs a task with a deadline and nothing else.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::record::Log;
use crate::service::Stop;
use crate::wire::Wire;

/// Which HTTP versions a service offers in its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    #[default]
    Both,
    Http1,
    Http2,
    /// No ALPN at all.
    Unsaid,
}

impl Protocols {
    pub(crate) fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Protocols::Both => &[b"h2", b"http/1.1"],
            Protocols::Http1 => &[b"http/1.1"],
            Protocols::Http2 => &[b"h2"],
            Protocols::Unsaid => &[],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// Accepts until the service ends, each connection in a task of its own.
pub(crate) async fn accept<F, Fut>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    log: Arc<Log>,
    stop: Stop,
    talk: F,
) where
    F: Fn(Wire, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let acceptor = tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(OPEN_CONNECTIONS));
    loop {
        // Waiting for room leaves newcomers in the kernel's queue, as a busy server does.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((tcp, _)) = listener.accept().await else {
            // Out of file descriptors, or the client is gone again: let others run, then go on.
            tokio::task::yield_now().await;
            continue;
        };
        let number = log.connection();
        let (open, talk, acceptor) = (log.opened(), talk.clone(), acceptor.clone());
        stop.spawn(async move {
            let _kept_while_talking = (place, open);
            if let Some(wire) = handshake(tcp, acceptor).await {
                talk(wire, number).await;
            }
        });
    }
}

async fn handshake(tcp: TcpStream, acceptor: Option<TlsAcceptor>) -> Option<Wire> {
    // Without it small pieces of a paced answer wait for an acknowledgement.
    tcp.set_nodelay(true).ok()?;
    let Some(acceptor) = acceptor else { return Some(Wire::Plain(tcp)) };
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await.ok()?.ok()?;
    Some(Wire::Tls(Box::new(stream)))
}

/// More than any test holds open against one service, less than a process may have files.
const OPEN_CONNECTIONS: usize = 4096;
const HANDSHAKE: Duration = Duration::from_secs(10);
