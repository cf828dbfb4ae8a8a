//! How fast a caller has to be, on one connection: a head that has begun must come to its end, an answer must be taken.
//! Between two requests it may rest for as long as it likes; an idle connection costs some KiB.
//!
//! It looks at no byte that goes through. hyper's own timer for heads is not used: it also runs while a connection waits
//! for its next request, and agents keep theirs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long is waited for a caller. [`Patience::default`] is what the daemon has; tests have less.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From a head's first byte to its end: a caller on the same machine writes it at once.
    pub(crate) head: Duration,
    /// For a reader to take one byte more. A tool that prints to a terminal somebody has paused reads on within a minute
    /// or not at all, and meanwhile a connection to the service is held for it.
    pub(crate) write: Duration,
    /// How often a caller that has closed its half, and is owed an answer, is looked at for whether it has gone. Nothing
    /// tells that by itself; such callers are rare.
    pub(crate) look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { head: Duration::from_secs(10), write: Duration::from_secs(60), look: Duration::from_secs(1) }
    }
}

/// Where a connection is. Shared by its two ends: the bytes below HTTP, and the requests above it.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU8);

/// No byte of the next request has come. What a caller sends ahead of its answer is in hyper's buffer, at most
/// `MAX_HEAD_BYTES` of it, and counts as idle until the next byte.
const IDLE: u8 = 0;
const HEAD: u8 = 1;
/// The head is there; the body may still be coming.
const BODY: u8 = 2;
/// The request is there as a whole.
const ANSWER: u8 = 3;
/// The reader has taken nothing for too long.
const STALLED: u8 = 4;

impl Pace {
    /// A head has been read.
    pub(crate) fn begun(&self, has_body: bool) {
        self.0.store(if has_body { BODY } else { ANSWER }, Ordering::Relaxed);
    }

    /// The body has been read too: from here on, a caller that closes its half has said all that it had to say.
    pub(crate) fn whole(&self) {
        let _ = self.0.compare_exchange(BODY, ANSWER, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The answer is over.
    pub(crate) fn rest(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.is(STALLED)
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A socket whose other end may close its half and still be there.
pub(crate) trait Peer: AsyncRead + AsyncWrite + Unpin {
    /// Nobody will read what is written any more.
    fn has_gone(&self) -> bool;
}

impl Peer for UnixStream {
    fn has_gone(&self) -> bool {
        // Sending nothing is refused once the other end has been closed, and does nothing otherwise. The runtime's own
        // notes may be a turn behind.
        #[cfg(target_vendor = "apple")]
        let flags = rustix::net::SendFlags::empty();
        #[cfg(not(target_vendor = "apple"))]
        let flags = rustix::net::SendFlags::NOSIGNAL;
        matches!(rustix::net::send(self, &[], flags), Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET))
    }
}

/// A connection that ends when its caller is too slow.
pub(crate) struct Paced<S> {
    io: S,
    pace: Arc<Pace>,
    patience: Patience,
    head_since: Instant,
    /// When the end came within a request.
    ended: Option<Instant>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S: Peer> Paced<S> {
    pub(crate) fn new(io: S, pace: Arc<Pace>, patience: Patience) -> Self {
        Paced { io, pace, patience, head_since: Instant::now(), ended: None, reading: None, writing: None }
    }

    fn wait(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let wait = self.reading.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(wait.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(())
    }

    /// What is read has come to its end: whether hyper is to know.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The request's last bytes and the end may have come together: hyper reads on before who answers had a turn. If they
        // find the request whole, the end is no news; if they do not, it was cut short.
        if self.pace.is(HEAD) || self.pace.is(BODY) {
            let since = match self.ended {
                Some(since) => since,
                None => {
                    // What was armed for the head is no longer what is waited for.
                    self.reading = None;
                    *self.ended.insert(Instant::now())
                }
            };
            ready!(self.wait(since + self.patience.look, cx));
        }
        if self.pace.is(ANSWER) { self.poll_gone(cx) } else { Poll::Ready(()) }
    }

    /// A caller that has closed its half still gets its answer. hyper takes the end of what is read for the end of the
    /// caller, so it is kept from it until the caller has gone or the answer is over.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.io.has_gone() {
            ready!(self.wait(Instant::now() + self.patience.look, cx));
        }
        Poll::Ready(())
    }

    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let until = Instant::now() + self.patience.write;
        let wait = self.writing.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(wait.as_mut().poll(cx));
        self.pace.0.store(STALLED, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: Peer> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before => {
                ready!(this.poll_end(cx));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                if this.pace.is(IDLE) {
                    this.pace.0.store(HEAD, Ordering::Relaxed);
                    this.head_since = Instant::now();
                    this.reading = None;
                }
                Poll::Ready(Ok(()))
            }
            // Armed here and not with the first byte: nearly every head comes in one piece.
            Poll::Pending if this.pace.is(HEAD) => {
                let until = this.head_since + this.patience.head;
                this.wait(until, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => {
                this.reading = None;
                Poll::Pending
            }
            failed => failed,
        }
    }
}

impl<S: Peer> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, data);
        this.written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, data);
        this.written(written, cx)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;

    fn pair(patience: Patience) -> (Paced<UnixStream>, UnixStream, Arc<Pace>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pace = Arc::new(Pace::default());
        (Paced::new(ours, Arc::clone(&pace), patience), theirs, pace)
    }

    fn short() -> Patience {
        let moment = Duration::from_millis(20);
        Patience { head: moment, write: moment, look: moment }
    }

    async fn read(paced: &mut Paced<UnixStream>) -> io::Result<usize> {
        let mut bytes = [0; 16];
        let mut buf = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *paced).poll_read(cx, &mut buf)).await?;
        Ok(buf.filled().len())
    }

    /// Whether it is still waiting after several times what it would be cut at.
    async fn waits<T>(work: impl Future<Output = T>) -> bool {
        tokio::time::timeout(short().head * 10, work).await.is_err()
    }

    #[tokio::test]
    async fn only_a_head_that_has_begun_is_waited_for() {
        let (mut paced, theirs, pace) = pair(short());
        assert!(waits(read(&mut paced)).await, "an idle connection was cut");
        theirs.try_write(b"POST").unwrap();
        assert_eq!(read(&mut paced).await.unwrap(), 4);
        assert_eq!(read(&mut paced).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Bytes now and then do not lengthen it.
        let (mut paced, theirs, _) = pair(Patience { head: Duration::from_millis(100), ..short() });
        let begun = Instant::now();
        let cut = loop {
            theirs.try_write(b"x").unwrap();
            match read(&mut paced).await {
                Ok(_) if begun.elapsed() < Duration::from_secs(10) => tokio::task::yield_now().await,
                other => break other,
            }
            if begun.elapsed() >= Duration::from_millis(100) {
                break read(&mut paced).await;
            }
        };
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Once the head is there, its timer is over.
        let (mut paced, theirs, pace_of_next) = pair(short());
        theirs.try_write(b"POST").unwrap();
        read(&mut paced).await.unwrap();
        pace_of_next.begun(true);
        assert!(waits(read(&mut paced)).await, "a body was cut");
        pace_of_next.whole();
        pace_of_next.rest();
        assert!(waits(read(&mut paced)).await, "a connection was cut between two requests");
        drop(pace);
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut() {
        let (mut paced, theirs, pace) = pair(short());
        let data = [0; 64 << 10];
        let cut = loop {
            if let Err(cut) = poll_fn(|cx| Pin::new(&mut paced).poll_write(cx, &data)).await {
                break cut;
            }
        };
        assert_eq!((cut.kind(), pace.is_stalled()), (io::ErrorKind::TimedOut, true));
        drop(theirs);
    }

    /// The head, and the end right behind it: hyper meets both before the request has been given to who answers it.
    #[tokio::test]
    async fn an_end_that_comes_with_the_head_waits_for_who_answers() {
        let (mut paced, theirs, pace) = pair(short());
        theirs.try_write(b"POST").unwrap();
        assert_eq!(read(&mut paced).await.unwrap(), 4);
        let mut theirs = theirs;
        tokio::io::AsyncWriteExt::shutdown(&mut theirs).await.unwrap();
        {
            let mut reading = pin!(read(&mut paced));
            assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await, "it is told at once");
            pace.begun(true);
            pace.whole();
            assert!(waits(&mut reading).await, "the answer is owed");
        }
        drop(theirs);
        assert_eq!(read(&mut paced).await.unwrap(), 0);
        // A head that is cut short is told all the same.
        let (mut paced, theirs, _pace) = pair(short());
        theirs.try_write(b"POST").unwrap();
        assert_eq!(read(&mut paced).await.unwrap(), 4);
        drop(theirs);
        assert_eq!(read(&mut paced).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn half_an_end_is_none_while_an_answer_is_owed() {
        use tokio::io::AsyncWriteExt;
        let (mut paced, mut theirs, pace) = pair(short());
        theirs.shutdown().await.unwrap();
        pace.begun(true);
        assert_eq!(read(&mut paced).await.unwrap(), 0, "the end of a body was kept from its reader");
        pace.whole();
        assert!(waits(read(&mut paced)).await, "a caller that reads was taken for gone");
        drop(theirs);
        assert_eq!(read(&mut paced).await.unwrap(), 0);
        // The end comes with the body's last bytes, before whoever reads the body has had a turn.
        let (mut paced, mut theirs, pace) = pair(short());
        theirs.shutdown().await.unwrap();
        pace.begun(true);
        assert!(poll_fn(|cx| Poll::Ready(pin!(read(&mut paced)).poll(cx))).await.is_pending());
        pace.whole();
        assert!(waits(read(&mut paced)).await, "a caller whose body had just become whole was taken for gone");
        let (mut paced, mut theirs, pace) = pair(short());
        theirs.shutdown().await.unwrap();
        pace.begun(false);
        pace.rest();
        assert_eq!(read(&mut paced).await.unwrap(), 0, "the end of a conversation was kept from hyper");
    }
}
