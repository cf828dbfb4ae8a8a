//! What a command writes as it comes, cleaned, and how it ended.
//!
//! It never shows a byte that may be the beginning of a secret until what follows has come, never turns output that
//! broke off into a short one, and says how a command ended only if the server did or kv itself ended it. Dropping it ends
//! the command.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kv_model::{CommandOutput, Connection, Exit, SecretId};
use tokio::time::{Instant, Sleep, sleep_until};

use super::inbox::{News, Stream};
use super::running::Running;
use crate::error::BodyError;
use crate::patterns::Snapshot;

/// A command's output. Read it with [`next`](CommandAnswer::next) until its end.
pub struct CommandAnswer {
    running: Option<Running>,
    out: Cleaned,
    err: Cleaned,
    ends: Ends,
    snapshot: Arc<Snapshot>,
    ready: VecDeque<CommandChunk>,
    jumps: Vec<Arc<Connection>>,
    hits: BTreeMap<SecretId, u64>,
    received: u64,
    beyond: u64,
    is_truncated: bool,
}

/// A piece of a command's output, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandChunk {
    Stderr(Bytes),
    Stdout(Bytes),
    /// The last one.
    End {
        exit: Exit,
        /// There was more than the limit; the command was ended then.
        truncated: bool,
    },
}

/// One stream on its way through the search.
struct Cleaned {
    cleaner: Option<kv_redact::Stream>,
    /// Runs while something is held back.
    quiet: Option<Pin<Box<Sleep>>>,
}

/// What ends an answer from our side, beside the command's own clock.
pub(super) struct Ends {
    pub(super) locked: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    /// Runs once the command has exited, or was told to.
    after: Option<Pin<Box<Sleep>>>,
    /// What `after` is set anew for: output that still comes.
    after_latest: Instant,
    pub(super) line: Duration,
}

impl Ends {
    pub(super) fn new(locked: Pin<Box<dyn Future<Output = ()> + Send + Sync>>, line: Duration) -> Self {
        Ends { locked, after: None, after_latest: Instant::now(), line }
    }

    /// Gives what was written before the end the time to arrive, and no more than that: something in the background may
    /// hold the streams open for ever.
    fn last_words(&mut self) {
        let now = Instant::now();
        match &mut self.after {
            Some(after) => after.as_mut().reset((now + LAST_WORDS).min(self.after_latest)),
            None => {
                self.after_latest = now + LAST_WORDS_ALL;
                self.after = Some(Box::pin(sleep_until(now + LAST_WORDS)));
            }
        }
    }
}

impl Cleaned {
    fn new(snapshot: &Snapshot) -> Self {
        Cleaned { cleaner: Some(kv_redact::Stream::new(Arc::clone(&snapshot.patterns))), quiet: None }
    }
}

impl CommandAnswer {
    pub(super) fn new(running: Running, snapshot: Arc<Snapshot>, ends: Ends, jumps: Vec<Arc<Connection>>) -> Self {
        CommandAnswer {
            running: Some(running),
            out: Cleaned::new(&snapshot),
            err: Cleaned::new(&snapshot),
            ends,
            snapshot,
            ready: VecDeque::new(),
            jumps,
            hits: BTreeMap::new(),
            received: 0,
            beyond: 0,
            is_truncated: false,
        }
    }

    /// The next piece; the last is [`CommandChunk::End`], and after it or an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<CommandChunk, BodyError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All of it. The command's own limit bounds it.
    pub async fn collect(&mut self) -> Result<CommandOutput, BodyError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = self.next().await {
            match chunk? {
                CommandChunk::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                CommandChunk::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                CommandChunk::End { exit, truncated } => return Ok(CommandOutput { exit, stdout, stderr, truncated }),
            }
        }
        // Only who read on after the end comes here.
        Err(BodyError::Cut)
    }

    /// The connections that it came through: the jump hosts, the last one first, without the target.
    pub fn jumps(&self) -> &[Arc<Connection>] {
        &self.jumps
    }

    /// Which secrets had to be masked so far, and how often.
    pub fn hits(&self) -> &BTreeMap<SecretId, u64> {
        &self.hits
    }

    /// Bytes given to the caller so far, both streams together.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that came beyond the limit and were left out.
    pub fn beyond(&self) -> u64 {
        self.running.as_ref().map_or(self.beyond, Running::beyond)
    }

    pub fn is_ended(&self) -> bool {
        self.running.is_none() && self.ready.is_empty()
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<CommandChunk, BodyError>>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                if let CommandChunk::Stdout(bytes) | CommandChunk::Stderr(bytes) = &chunk {
                    self.received += bytes.len() as u64;
                }
                return Poll::Ready(Some(Ok(chunk)));
            }
            let Some(running) = &self.running else { return Poll::Ready(None) };
            if self.ends.locked.as_mut().poll(cx).is_ready() {
                return self.fail(BodyError::Locked);
            }
            match running.inbox.poll_news(self.is_truncated, cx) {
                Poll::Ready(News::Piece(stream, piece)) => self.take(stream, &piece),
                Poll::Ready(News::TooMuch) => {
                    self.is_truncated = true;
                    self.ends.last_words();
                }
                Poll::Ready(News::Closed(Some(exit))) => self.end(exit),
                // It was told to end, and did without a word.
                Poll::Ready(News::Closed(None)) if self.is_truncated => self.end(Exit::Signal(OURS.to_owned())),
                Poll::Ready(News::Closed(None)) => return self.fail(BodyError::ExitMissing),
                Poll::Ready(News::Broken) => return self.fail(BodyError::Cut),
                Poll::Ready(News::Full) => return self.fail(BodyError::MemoryFull),
                // After all that came in time: the command's limit bounds it.
                Poll::Ready(News::TimedOut) => self.end(Exit::TimedOut),
                Poll::Pending => {
                    if self.wait(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Nothing has come: what is to be done when nothing comes.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for (stream, cleaned) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            let Some(quiet) = &mut cleaned.quiet else { continue };
            if quiet.as_mut().poll(cx).is_pending() {
                continue;
            }
            cleaned.quiet = None;
            let mut bytes = Vec::new();
            if let Some(cleaner) = &mut cleaned.cleaner {
                self.snapshot.count(cleaner.release(&mut bytes), &mut self.hits);
            }
            if !bytes.is_empty() {
                self.ready.push_back(chunk(stream, bytes));
                return Poll::Ready(());
            }
        }
        let exit = self.running.as_ref().and_then(|running| running.inbox.exit_so_far());
        if exit.is_some() && self.ends.after.is_none() {
            self.ends.last_words();
        }
        let Some(after) = &mut self.ends.after else { return Poll::Pending };
        if after.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.end(exit.unwrap_or_else(|| Exit::Signal(OURS.to_owned())));
        Poll::Ready(())
    }

    fn take(&mut self, stream: Stream, piece: &[u8]) {
        let cleaned = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        let Some(cleaner) = &mut cleaned.cleaner else { return };
        let mut bytes = Vec::with_capacity(piece.len());
        self.snapshot.count(cleaner.push(piece, &mut bytes), &mut self.hits);
        cleaned.quiet = (cleaner.held() > 0).then(|| Box::pin(sleep_until(Instant::now() + self.ends.line)));
        if !bytes.is_empty() {
            self.ready.push_back(chunk(stream, bytes));
        }
        if self.ends.after.is_some() {
            self.ends.last_words();
        }
    }

    /// The end as it is told to the caller; the command's own, if it goes on, is brought about in the background.
    fn end(&mut self, exit: Exit) {
        if let Some(running) = self.running.take() {
            self.beyond = running.beyond();
        }
        for (stream, cleaned) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            let mut bytes = Vec::new();
            if let Some(cleaner) = cleaned.cleaner.take() {
                self.snapshot.count(cleaner.finish(&mut bytes), &mut self.hits);
            }
            if !bytes.is_empty() {
                self.ready.push_back(chunk(stream, bytes));
            }
        }
        self.ready.push_back(CommandChunk::End { exit, truncated: self.is_truncated });
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<CommandChunk, BodyError>>> {
        if let Some(running) = self.running.take() {
            self.beyond = running.beyond();
        }
        (self.out.cleaner, self.err.cleaner) = (None, None);
        Poll::Ready(Some(Err(error)))
    }
}

fn chunk(stream: Stream, bytes: Vec<u8>) -> CommandChunk {
    match stream {
        Stream::Out => CommandChunk::Stdout(bytes.into()),
        Stream::Err => CommandChunk::Stderr(bytes.into()),
    }
}

/// What a command that wrote too much is ended with.
const OURS: &str = "TERM";
/// Between a command's exit and the end of its output. On one machine it is microseconds.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The same when output goes on and on.
const LAST_WORDS_ALL: Duration = Duration::from_secs(5);
