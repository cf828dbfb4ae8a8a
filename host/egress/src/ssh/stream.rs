//! The bytes below SSH: a socket, or a channel of a jump host, that can be cut from outside and has an allowance.
//!
//! Whatever a server sends before the login, or while no command runs, counts against the allowance: banners, debug
//! messages, rekeying, requests to be refused. None of it has a bound of its own in the protocol.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What a stream may still bring unasked, and the cord to pull.
pub(super) struct Cord {
    allowance: AtomicU64,
    exhausted: AtomicBool,
    /// Commands that run: what they bring is bounded by their own limits.
    commands: AtomicUsize,
    cut: watch::Sender<bool>,
}

impl Cord {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Cord {
            allowance: AtomicU64::new(UNASKED),
            exhausted: AtomicBool::new(false),
            commands: AtomicUsize::new(0),
            cut: watch::Sender::new(false),
        })
    }

    /// Closes the stream.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(super) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// The server sent more than it was allowed to.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    pub(super) fn command_begins(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn command_ends(&self) {
        self.allowance.store(UNASKED, Ordering::Relaxed);
        self.commands.fetch_sub(1, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) -> bool {
        if self.commands.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let spent = self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if spent.is_err() {
            self.exhausted.store(true, Ordering::Relaxed);
        }
        spent.is_ok()
    }

    fn wait(&self) -> Waiting {
        let mut cut = self.cut.subscribe();
        Box::pin(async move {
            // An error means that nobody holds the cord any more.
            let _ = cut.wait_for(|cut| *cut).await;
        })
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A stream on a cord.
pub(super) struct Corded<S> {
    stream: S,
    cord: Arc<Cord>,
    /// One for each direction: they are polled by different tasks' wakers.
    read_cut: Waiting,
    write_cut: Waiting,
}

impl<S> Corded<S> {
    pub(super) fn new(stream: S, cord: Arc<Cord>) -> Self {
        Corded { stream, read_cut: cord.wait(), write_cut: cord.wait(), cord }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cord.is_cut() || self.read_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before) as u64;
        if read > 0 && !self.cord.spend(read) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cord.is_cut() || self.write_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A login takes 5 KiB; with certificates and the longest lists of algorithms, 40. A banner that a person is meant to
/// read fits beside them.
const UNASKED: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_comes_unasked_has_a_bound() {
        let (mut server, client) = duplex(1 << 20);
        let cord = Cord::new();
        let mut corded = Corded::new(client, Arc::clone(&cord));
        let mut buffer = vec![0; 64 << 10];
        server.write_all(&vec![7; 200 << 10]).await.unwrap();
        for _ in 0..4 {
            assert!(corded.read(&mut buffer).await.unwrap() > 0);
        }
        // A command may bring more than that, and after it the count begins anew.
        cord.command_begins();
        for _ in 0..8 {
            server.write_all(&buffer).await.unwrap();
            corded.read_exact(&mut buffer).await.unwrap();
        }
        cord.command_ends();
        assert!(!cord.is_exhausted());
        server.write_all(&vec![7; 300 << 10]).await.unwrap();
        while corded.read(&mut buffer).await.is_ok() {}
        assert!(cord.is_exhausted());
    }

    #[tokio::test]
    async fn a_cord_that_is_pulled() {
        let (mut server, client) = duplex(16);
        let cord = Cord::new();
        let mut corded = Corded::new(client, Arc::clone(&cord));
        let pull = async { cord.cut() };
        let (read, ()) = tokio::join!(corded.read_u8(), pull);
        assert!(read.is_err());
        // And again, and for writing.
        assert!(corded.read_u8().await.is_err() && corded.write_all(b"x").await.is_err());
        drop(corded);
        assert_eq!(server.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}
