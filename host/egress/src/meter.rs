//! What comes on an HTTP/2 connection while nobody has asked for anything.
//!
//! Such a connection outlives its calls, so a service that goes on sending to a caller who has left, or sends pings
//! without end, would keep a worker reading for as long as the connection is kept. HTTP/1.1 needs no such thing: there a
//! connection goes with its caller.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
pub(crate) struct Meter {
    calls: AtomicUsize,
    /// Bytes since the last call ended.
    unasked: AtomicU64,
}

/// A call under way.
pub(crate) struct Call(Arc<Meter>);

impl Call {
    pub(crate) fn on(meter: &Arc<Meter>) -> Self {
        meter.calls.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(meter))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.unasked.store(0, Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that breaks when too much has come unasked.
pub(crate) struct Metered<T> {
    io: T,
    meter: Arc<Meter>,
    most: u64,
}

impl<T> Metered<T> {
    pub(crate) fn new(io: T, meter: Arc<Meter>, most: u64) -> Self {
        Metered { io, meter, most }
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        if self.meter.calls.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let before = self.meter.unasked.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 > self.most { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        Poll::Ready(self.count(buf.filled().len() - before))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
