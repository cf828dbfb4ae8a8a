//! Messages as lines: bounded on the way in, whole on the way out.
//!
//! What a line may be is decided in [`message`](super::message); here it is read, refused or handed on. A line that is
//! refused is answered and the session goes on. Nothing else is ever written to the output.

use std::io;

use rmcp::RoleServer;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::message::{Admitted, MAX_LINE, Session};

/// Lines that wait for a slow reader. Whoever has one more waits too.
const WAITING: usize = 64;

/// A session's two streams.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// The rest of a line that was too long is being skipped.
    skipping: bool,
    session: Session,
    /// An answer of ours that has not been taken by the writer yet.
    owed: Option<Vec<u8>>,
    writer: Option<mpsc::Sender<Outgoing>>,
    task: Option<JoinHandle<()>>,
}

struct Outgoing {
    line: Vec<u8>,
    written: Option<oneshot::Sender<io::Result<()>>>,
}

enum Read {
    End,
    Line,
    TooLong,
}

impl<R: AsyncRead + Send + Unpin> Lines<R> {
    pub(super) fn new(input: R, output: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        let (writer, lines) = mpsc::channel(WAITING);
        let task = tokio::spawn(write(lines, output));
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            line: Vec::new(),
            skipping: false,
            session: Session::default(),
            owed: None,
            writer: Some(writer),
            task: Some(task),
        }
    }

    /// Reads on until a line is whole. May be dropped at its await: what was read stays in `line`.
    async fn read(&mut self) -> Read {
        loop {
            let Ok(available) = self.input.fill_buf().await else { return Read::End };
            if available.is_empty() {
                return Read::End;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let take = end.unwrap_or(available.len());
            let fits = self.line.len() + take <= MAX_LINE;
            if !self.skipping && fits {
                self.line.extend_from_slice(&available[..take]);
            }
            self.input.consume(take + usize::from(end.is_some()));
            let was_skipping = self.skipping;
            self.skipping = end.is_none() && (was_skipping || !fits);
            if !was_skipping && !fits {
                self.line = Vec::new();
                return Read::TooLong;
            }
            if !was_skipping && end.is_some() {
                return Read::Line;
            }
        }
    }

    /// The next message, or what is to be answered in its place.
    fn admit(&mut self) -> Admitted {
        let admitted = match self.line.trim_ascii() {
            [] => Admitted::Nothing,
            line => self.session.admit(line),
        };
        // A long line's memory goes back; an ordinary one's is used again.
        if self.line.capacity() > 1 << 20 {
            self.line = Vec::new();
        }
        self.line.clear();
        admitted
    }
}

impl<R: AsyncRead + Send + Unpin + 'static> Transport<RoleServer> for Lines<R> {
    type Error = io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.session.answered(&item);
        let line = serde_json::to_vec(&item).map_err(io::Error::other);
        let writer = self.writer.clone();
        async move {
            let (written, done) = oneshot::channel();
            let writer = writer.ok_or_else(gone)?;
            writer.send(Outgoing { line: line?, written: Some(written) }).await.map_err(|_| gone())?;
            done.await.map_err(|_| gone())?
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if self.owed.is_some() {
                // Dropped while it waits for room, it still owes the answer; with room it cannot be dropped between.
                let room = self.writer.as_ref()?.reserve().await.ok()?;
                let line = self.owed.take()?;
                room.send(Outgoing { line, written: None });
            }
            let admitted = match self.read().await {
                Read::End => return None,
                Read::Line => self.admit(),
                Read::TooLong => self.session.too_long(),
            };
            match admitted {
                Admitted::Message(message) => return Some(*message),
                Admitted::Nothing => {}
                Admitted::Refused(answer) => self.owed = Some(answer),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer = None;
        match self.task.take() {
            Some(task) => task.await.map_err(io::Error::other),
            None => Ok(()),
        }
    }
}

async fn write(mut lines: mpsc::Receiver<Outgoing>, mut output: impl AsyncWrite + Unpin) {
    while let Some(Outgoing { mut line, written }) = lines.recv().await {
        line.push(b'\n');
        let result = async {
            output.write_all(&line).await?;
            output.flush().await
        }
        .await;
        let failed = result.is_err();
        if let Some(written) = written {
            // Whoever asked may have been cancelled meanwhile.
            let _ = written.send(result);
        }
        if failed {
            return;
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone")
}
