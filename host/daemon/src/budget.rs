//! How much of what others send is in memory at a time: requests' bodies, and answers that a provider reads whole.
//!
//! One request is bounded, and so is the number of connections; their product is not what a machine has. So bytes are
//! taken from a common store as they come, and whoever finds it empty for some seconds is turned away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kv_api::Code;
use kv_egress::{Body, BodyError, CommandAnswer, CommandChunk};
use kv_model::CommandOutput;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::fault::Fault;
use crate::worker::Door;

/// Requests of all agents: three of the largest, or thousands of usual ones. A buffer that grows may take twice that for a
/// moment.
const AGENTS_BYTES: usize = 256 << 20;
/// The person's requests are apart, so that agents cannot keep the person from locking the vault.
const HUMANS_BYTES: usize = 64 << 20;
/// Answers that providers read: sixteen of the largest. What is forwarded streams, and counts nowhere.
const ANSWERS_BYTES: usize = 128 << 20;
/// What one piece of a command's output is counted as at least: bytes that come one by one cost more than bytes.
const LEAST_PIECE: usize = 64;
/// As long as somebody waits for bytes of others to be freed. A body is sent on within a moment once it is whole.
const WAIT: Duration = Duration::from_secs(5);

/// The stores of one daemon.
pub(crate) struct Budgets {
    agents: Arc<Semaphore>,
    humans: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

/// What one request, or one answer, has taken. Dropped, it is free again.
#[derive(Clone)]
pub(crate) struct Account(Arc<Inner>);

struct Inner {
    store: Arc<Semaphore>,
    taken: Mutex<Option<OwnedSemaphorePermit>>,
    wait: Duration,
}

/// The store was empty for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Why an answer was not read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    Body(BodyError),
    Full,
}

impl Default for Budgets {
    fn default() -> Self {
        let store = |bytes| Arc::new(Semaphore::new(bytes));
        Budgets { agents: store(AGENTS_BYTES), humans: store(HUMANS_BYTES), answers: store(ANSWERS_BYTES) }
    }
}

impl Budgets {
    pub(crate) fn of_request(&self, door: Door) -> Account {
        Account::new(match door {
            Door::Agent => &self.agents,
            Door::Human => &self.humans,
        })
    }

    pub(crate) fn of_answer(&self) -> Account {
        Account::new(&self.answers)
    }
}

impl Account {
    fn new(store: &Arc<Semaphore>) -> Self {
        Account(Arc::new(Inner { store: Arc::clone(store), taken: Mutex::default(), wait: WAIT }))
    }

    /// Takes so many bytes more, when they are there.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), Full> {
        let Inner { store, taken, wait } = &*self.0;
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        let more = match Arc::clone(store).try_acquire_many_owned(bytes) {
            Ok(more) => more,
            Err(_) => match timeout(*wait, Arc::clone(store).acquire_many_owned(bytes)).await {
                Ok(Ok(more)) => more,
                // Nobody closes the store.
                Ok(Err(_)) | Err(_) => return Err(Full),
            },
        };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// The whole body of an answer, if it has at most `cap` bytes.
    pub(crate) async fn collect(&self, body: &mut Body, cap: usize) -> Result<Bytes, Unread> {
        let mut all = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(Unread::Body)?;
            if all.len() + piece.len() > cap {
                return Err(Unread::Body(BodyError::TooLarge { limit: cap as u64 }));
            }
            self.grow(piece.len()).await.map_err(|Full| Unread::Full)?;
            // The usual answer is one piece: it is handed on and not copied.
            if all.is_empty() && body.is_ended() {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl Account {
    /// All that a command writes. Its own limit bounds it.
    pub(crate) async fn collect_command(&self, answer: &mut CommandAnswer) -> Result<CommandOutput, Unread> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = answer.next().await {
            let (into, bytes) = match chunk.map_err(Unread::Body)? {
                CommandChunk::Stdout(bytes) => (&mut stdout, bytes),
                CommandChunk::Stderr(bytes) => (&mut stderr, bytes),
                CommandChunk::End { exit, truncated } => {
                    return Ok(CommandOutput { exit, stdout, stderr, truncated });
                }
            };
            self.grow(bytes.len().max(LEAST_PIECE)).await.map_err(|Full| Unread::Full)?;
            into.extend_from_slice(&bytes);
        }
        // Only who read on after the end comes here.
        Err(Unread::Body(BodyError::Cut))
    }
}

impl Full {
    pub(crate) fn fault(self) -> Fault {
        Fault::new(Code::Failed, "too much is being sent to kv at the moment: its memory for requests is full")
            .reason(REASON)
            .map(|error| error.retry_after(u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX)))
            .next("repeat the call when others have ended")
    }
}

impl Unread {
    /// For the trail.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Unread::Body(error) => error.code(),
            Unread::Full => REASON,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        match self {
            Unread::Body(error) => Fault::body(error),
            Unread::Full => Full.fault().recorded().map(|error| error.sent(kv_api::Sent::Yes)),
        }
    }
}

const REASON: &str = "memory_full";

/// What a JSON text weighs once it is parsed, beyond its own bytes: a number of one digit becomes a value of some dozens.
pub(crate) fn weight(json: &[u8]) -> usize {
    let values = json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    values * size_of::<Value>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(store: &Arc<Semaphore>) -> Account {
        let inner = Inner { store: Arc::clone(store), taken: Mutex::default(), wait: Duration::from_millis(20) };
        Account(Arc::new(inner))
    }

    #[tokio::test]
    async fn bytes_are_shared_and_come_back() {
        let store = Arc::new(Semaphore::new(100));
        let (first, second) = (account(&store), account(&store));
        first.grow(60).await.unwrap();
        second.grow(40).await.unwrap();
        assert_eq!(first.grow(1).await, Err(Full));
        // A clone is the same account: it is free when the last is dropped.
        let clone = second.clone();
        drop(second);
        assert_eq!(first.grow(1).await, Err(Full));
        drop(clone);
        first.grow(40).await.unwrap();
        assert_eq!(store.available_permits(), 0);
        drop(first);
        assert_eq!(store.available_permits(), 100);
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_another_gives_back() {
        let store = Arc::new(Semaphore::new(100));
        let (first, second) = (account(&store), account(&store));
        first.grow(100).await.unwrap();
        let (got, ()) = tokio::join!(second.grow(50), async { drop(first) });
        assert_eq!(got, Ok(()));
        // More than there ever is.
        assert_eq!(second.grow(1000).await, Err(Full));
        assert_eq!(second.grow(usize::MAX).await, Err(Full));
    }

    #[test]
    fn a_short_text_may_weigh_much() {
        assert_eq!(weight(br#""a long text without structure""#), 0);
        let zeros = format!("[{}0]", "0,".repeat(1000));
        assert!(weight(zeros.as_bytes()) > 10 * zeros.len());
    }
}
