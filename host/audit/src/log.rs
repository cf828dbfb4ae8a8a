//! The log, open for writing.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kv_model::Effect;
use kv_policy::{Denial, Permit};
use tokio::sync::watch;

use crate::chain::{Chain, Place, State, Urgency};
use crate::directory::Directory;
use crate::disk::Disk;
use crate::error::{Action, AuditError, OpenError, Trouble};
use crate::event::Event;
use crate::format::Head;
use crate::open::{self, Opened};
use crate::record::{Denied, Intent, Outcome, OutcomeOf, Record, Sent};
use crate::recorded::{Pending, Recorded};
use crate::syncer;
use crate::text::Code;

#[derive(Debug, Clone)]
pub struct Options {
    /// A segment that has reached this size is followed by another. 16 MiB are some 15,000 calls, verified in a blink.
    pub segment_bytes: u64,
    /// A sync that has taken this long counts as hanging: no intent is taken until it ends. Reads are let through on
    /// the promise of a sync within 20 ms, so they must not go on for ever without one.
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, stall: Duration::from_secs(2) }
    }
}

/// How the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing is recorded, so nothing may be done, until [`AuditLog::retry`] succeeds.
    Failed(Trouble),
    Healthy,
    /// A retry is under way: intents are refused until its segment is durable, the rest is taken.
    Recovering,
    /// Intents are refused until the disk answers; the rest is taken.
    Stalled,
}

/// The one writer of a log. Closing it (dropping it) waits for a last sync.
pub struct AuditLog {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) disk: Box<dyn Disk>,
    options: Options,
    chain: Mutex<Chain>,
    /// Wakes the syncer.
    pub(crate) wake: Condvar,
    pub(crate) settled: watch::Sender<Settled>,
    newest: watch::Sender<u64>,
}

/// What those who wait for durability look at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settled {
    pub(crate) durable: u64,
    pub(crate) epoch: u64,
}

impl AuditLog {
    /// Opens the log in `dir`, or begins one. The folder is made if it is missing (its parent is not), has to be ours
    /// and closed to others, and is locked against a second writer. A torn last line is removed, which is recorded.
    pub fn open(dir: &Path, options: Options, now_ms: u64) -> Result<(Self, Opened), OpenError> {
        Self::open_on(Box::new(Directory::open_to_write(dir)?), options, now_ms)
    }

    pub(crate) fn open_on(disk: Box<dyn Disk>, options: Options, now_ms: u64) -> Result<(Self, Opened), OpenError> {
        let (chain, opened) = open::open(&*disk, options.segment_bytes, now_ms)?;
        let seq = chain.head.seq;
        let shared = Shared {
            disk,
            options,
            chain: Mutex::new(chain),
            wake: Condvar::new(),
            settled: watch::Sender::new(Settled { durable: seq, epoch: 0 }),
            newest: watch::Sender::new(seq),
        };
        Ok((Self { shared: Arc::new(shared) }, opened))
    }

    /// Records that a request is about to go out, and gives back the proof that egress wants together with the stub for
    /// the outcome. The entry of a `read` has been written when this returns and is synced with a group within 20 ms;
    /// that of anything graver, or that a person approved, is durable. Dropping the future, or a failure to make the entry durable, gives it the outcome
    /// that nothing was sent.
    pub async fn record_intent(&self, permit: Permit, now_ms: u64) -> Result<(Recorded<Permit>, Pending), AuditError> {
        let urgency = match permit.effect() {
            // A yes is used up by its entry, so that has to be durable whatever it was a yes to.
            Effect::Read if permit.approval().is_none() => Urgency::Soon,
            Effect::Read | Effect::Write | Effect::Destroy | Effect::Grant => Urgency::Now,
        };
        let place = self.append(&Record::Intent(Intent::of(&permit)), now_ms, urgency)?;
        let pending = || Pending { intent: place.seq, call: permit.call(), step: permit.step() };
        if urgency == Urgency::Now {
            let mut unsent = Unsent { log: self, pending: Some(pending()), now_ms, since: Instant::now() };
            self.durable(place).await?;
            unsent.pending = None;
        }
        let pending = pending();
        Ok((Recorded::new(place.seq, permit), pending))
    }

    /// Records a refusal, to be synced with a group. Gives back the entry's seq.
    pub fn record_denial(&self, denial: &Denial, now_ms: u64) -> Result<u64, AuditError> {
        Ok(self.append(&Record::Denied(Denied::of(denial)), now_ms, Urgency::Soon)?.seq)
    }

    /// Records what became of an intent, to be synced with a group. If this fails, the log has failed and takes no
    /// further intent; the outcome is written when the log is healthy again.
    pub fn record_outcome(&self, pending: Pending, outcome: Outcome, now_ms: u64) -> Result<u64, AuditError> {
        Ok(self.append(&outcome_of(pending, outcome), now_ms, Urgency::Soon)?.seq)
    }

    /// Records an event, to be synced with a group.
    pub fn record_event(&self, event: Event, now_ms: u64) -> Result<u64, AuditError> {
        Ok(self.append(&Record::Event(event), now_ms, Urgency::Soon)?.seq)
    }

    /// Records an event and returns when it is durable, for what must not be done unrecorded.
    pub async fn record_event_durably(&self, event: Event, now_ms: u64) -> Result<u64, AuditError> {
        let place = self.append(&Record::Event(event), now_ms, Urgency::Now)?;
        self.durable(place).await?;
        Ok(place.seq)
    }

    /// Returns when everything recorded so far is durable.
    pub async fn flush(&self) -> Result<(), AuditError> {
        let place = {
            let mut chain = self.shared.lock();
            chain.check()?;
            chain.dirty.now |= chain.durable != chain.head;
            self.shared.start_or_wake_syncer(&mut chain)?;
            Place { seq: chain.head.seq, epoch: chain.epoch }
        };
        self.durable(place).await
    }

    /// The last entry that is durable: what to keep in the vault. (An entry that is not durable yet may be lost in a
    /// crash, and the head would then accuse an honest log.)
    #[expect(clippy::misnamed_getters, reason = "the chain's own head is the newest entry; this is the one to rely on")]
    pub fn head(&self) -> Head {
        self.shared.lock().durable
    }

    pub fn health(&self) -> Health {
        let chain = self.shared.lock();
        match &chain.state {
            State::Failed { trouble, .. } => Health::Failed(trouble.clone()),
            State::Healthy if self.shared.stalled(&chain).is_some() => Health::Stalled,
            State::Healthy => Health::Healthy,
            State::Recovering { .. } => Health::Recovering,
        }
    }

    /// After a failure: begins a new segment and returns when that is durable, the log healthy again. A log that has not
    /// failed is left as it is.
    pub async fn retry(&self, now_ms: u64) -> Result<(), AuditError> {
        let place = {
            let mut chain = self.shared.lock();
            let place = chain.restart(&*self.shared.disk, now_ms).inspect_err(|_| self.shared.settle(&chain))?;
            self.shared.start_or_wake_syncer(&mut chain)?;
            place
        };
        self.durable(place).await
    }

    /// The newest entry's seq, for those who follow: wait for a change, then [`crate::read()`] from the seq after the last
    /// one seen.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        let receiver = self.shared.newest.subscribe();
        let chain = self.shared.lock();
        self.shared.newest.send_replace(chain.head.seq);
        receiver
    }

    fn append(&self, record: &Record, now_ms: u64, urgency: Urgency) -> Result<Place, AuditError> {
        self.append_at(record, urgency, |_| now_ms)
    }

    fn append_at(
        &self,
        record: &Record,
        urgency: Urgency,
        now_ms: impl FnOnce(&Chain) -> u64,
    ) -> Result<Place, AuditError> {
        let shared = &self.shared;
        let mut chain = shared.lock();
        if matches!(record, Record::Intent(_))
            && let Some(waited) = shared.stalled(&chain)
        {
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            return Err(AuditError::Unavailable(Trouble::Stalled { waited_ms }));
        }
        let scheduled = (chain.dirty.due.is_some(), chain.dirty.now);
        let now_ms = now_ms(&chain);
        let appended = chain.append(&*shared.disk, record, now_ms, urgency);
        let place = appended.inspect_err(|_| {
            if let Record::Outcome(outcome) = record {
                chain.owe(outcome.clone());
            }
            shared.settle(&chain);
        })?;
        // The syncer is woken once for a group, not once for an entry.
        if (chain.dirty.due.is_some(), chain.dirty.now) != scheduled {
            shared.start_or_wake_syncer(&mut chain)?;
        }
        if shared.newest.receiver_count() > 0 {
            shared.newest.send_replace(place.seq);
        }
        Ok(place)
    }

    async fn durable(&self, place: Place) -> Result<(), AuditError> {
        let mut settled = self.shared.settled.subscribe();
        let outcome = settled.wait_for(|now| now.epoch != place.epoch || now.durable >= place.seq).await;
        match outcome {
            Ok(now) if now.epoch == place.epoch => Ok(()),
            // The sender lives as long as `self`. A failure that came after this entry was durable refuses it too: that
            // is the safe side, and the log is failed anyway.
            Ok(_) | Err(_) => {
                Err(self.shared.lock().check().err().unwrap_or(AuditError::Unavailable(Trouble::Recovering)))
            }
        }
    }
}

/// An intent that stands in the log and whose request has not gone out. Whoever waits for it may leave at any time, and
/// the intent has its outcome all the same.
struct Unsent<'a> {
    log: &'a AuditLog,
    pending: Option<Pending>,
    now_ms: u64,
    since: Instant,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let waited = self.since.elapsed();
        let outcome = Outcome {
            sent: Sent::No,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            duration_us: u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
            redactions: 0,
            error_code: Some("not_sent"),
        };
        let now_ms = self.now_ms.saturating_add(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        // Not before the entry before: this clock is only near the one that others read. A log that has failed owes it.
        let not_before = |chain: &Chain| now_ms.max(chain.time_ms);
        let _ = self.log.append_at(&outcome_of(pending, outcome), Urgency::Soon, not_before);
    }
}

fn outcome_of(pending: Pending, outcome: Outcome) -> Record {
    Record::Outcome(OutcomeOf {
        intent: pending.intent,
        call: pending.call,
        step: pending.step,
        sent: outcome.sent,
        status: outcome.status,
        bytes_in: outcome.bytes_in,
        bytes_out: outcome.bytes_out,
        duration_us: outcome.duration_us,
        redactions: outcome.redactions,
        error: outcome.error_code.map(Code::new),
    })
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait. Called with the lock held, so that they see changes in order.
    pub(crate) fn settle(&self, chain: &Chain) {
        self.settled.send_replace(Settled { durable: chain.durable.seq, epoch: chain.epoch });
    }

    fn stalled(&self, chain: &Chain) -> Option<Duration> {
        chain.syncing_since.map(|since| since.elapsed()).filter(|waited| *waited >= self.options.stall)
    }

    fn start_or_wake_syncer(self: &Arc<Self>, chain: &mut Chain) -> Result<(), AuditError> {
        if chain.syncer.is_some() {
            self.wake.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("audit-sync".to_owned()).spawn(move || syncer::run(&shared));
        match spawned {
            Ok(thread) => chain.syncer = Some(thread),
            Err(error) => {
                let error = chain.write_failed(Trouble::io(Action::StartSyncer, &error));
                self.settle(chain);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let syncer = {
            let mut chain = self.shared.lock();
            chain.closing = true;
            self.shared.wake.notify_one();
            chain.syncer.take()
        };
        if let Some(syncer) = syncer {
            // It ends by returning: it has nothing to panic about.
            let _ = syncer.join();
        }
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("health", &self.health()).finish_non_exhaustive()
    }
}
