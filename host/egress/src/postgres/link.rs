//! A connection in messages: what is written goes out in one piece, what comes in is cut up and bounded.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use zeroize::Zeroize;

use super::wire::{self, Broken, Message, Outgoing};

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

pub(super) struct Link {
    stream: Box<dyn Stream>,
    incoming: BytesMut,
    outgoing: Outgoing,
    /// Bytes that came in.
    received: u64,
    /// Messages that came in unasked: notices, notifications, changes of settings.
    unasked: u64,
    notices: u64,
}

impl Link {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Link {
            stream: Box::new(stream),
            incoming: BytesMut::new(),
            outgoing: Outgoing::default(),
            received: 0,
            unasked: 0,
            notices: 0,
        }
    }

    pub(super) fn out(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Writes what has been gathered, and wipes it: it may hold a password.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        let written = self.stream.write_all(&self.outgoing.0).await;
        self.outgoing.0.zeroize();
        written.map_err(|_| Broken::Lost)?;
        self.stream.flush().await.map_err(|_| Broken::Lost)
    }

    /// The next message that answers something.
    pub(super) async fn next(&mut self) -> Result<Message, Broken> {
        loop {
            if let Some(message) = wire::next(&mut self.incoming)? {
                match message {
                    Message::Notice => {
                        self.notices += 1;
                        self.count_unasked()?;
                    }
                    Message::Notification | Message::ParameterStatus => self.count_unasked()?,
                    message => return Ok(message),
                }
                continue;
            }
            match self.stream.read_buf(&mut self.incoming).await {
                Ok(0) | Err(_) => return Err(Broken::Lost),
                Ok(count) => self.received += count as u64,
            }
        }
    }

    /// Until the server reports an error, or the connection has come to its end. A server that sends rows will notice by
    /// itself that nobody takes them.
    pub(super) async fn until_error(&mut self) {
        while !matches!(self.next().await, Ok(Message::Error(_) | Message::DataRow(_)) | Err(_)) {}
    }

    /// What came since this was asked last: bytes, and notices.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        self.unasked = 0;
        (std::mem::take(&mut self.received), std::mem::take(&mut self.notices))
    }

    /// Whether the server has nothing more to say, not even goodbye.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let (stream, mut byte) = (&mut self.stream, [0; 1]);
        let now =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending()));
        self.incoming.is_empty() && now.await
    }

    /// A session that is over, as the server likes to be told. Nobody waits for it.
    pub(super) async fn close(mut self) {
        self.outgoing.0.clear();
        self.outgoing.terminate();
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }

    fn count_unasked(&mut self) -> Result<(), Broken> {
        self.unasked += 1;
        if self.unasked > MAX_UNASKED { Err(Broken::Protocol) } else { Ok(()) }
    }
}

/// A function that raises a notice for each of its rows is slow long before this; a server that never stops is not.
const MAX_UNASKED: u64 = 10_000;
