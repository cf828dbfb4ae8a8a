//! The order of entries: what the log's mutex protects.
//!
//! One place gives out numbers, times and hashes and writes the line, all under one short lock, so that the order in the
//! file is the order of the chain. Nothing here syncs: that is the syncer's, outside the lock.
//!
//! After a failed write or sync nothing more is appended to that segment. A failed write may have left half a line; after
//! a failed sync the kernel may have dropped what it could not write and call the next sync a success. So the segment is
//! given up, and [`Chain::restart`] begins another one whose first entry says why.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kv_model::Digest;

use crate::disk::{Disk, SegmentFile, append_all};
use crate::error::{Action, AuditError, Trouble};
use crate::format::{FORMAT, Head, MAX_LINE_BYTES, write_line};
use crate::record::{OutcomeOf, Record, SegmentReason, SegmentStart};

pub(crate) struct Chain {
    /// The entry written last.
    pub(crate) head: Head,
    /// The entry up to which everything is on the disk.
    pub(crate) durable: Head,
    pub(crate) time_ms: u64,
    segment: u32,
    file: Arc<dyn SegmentFile>,
    /// Of the segment, so far.
    bytes: u64,
    segment_bytes: u64,
    line: Vec<u8>,
    pub(crate) state: State,
    /// Counts failures: who waits for durability learns from it that a failure came first.
    pub(crate) epoch: u64,
    pub(crate) dirty: Dirty,
    pub(crate) syncing_since: Option<Instant>,
    pub(crate) closing: bool,
    pub(crate) syncer: Option<JoinHandle<()>>,
    /// Outcomes that could not be written, for the segment that takes entries again.
    owed: Vec<OutcomeOf>,
}

/// As many outcomes as are kept while nothing can be written: after a failure no further call is sent, so they are those
/// of calls under way then.
const MAX_OWED: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Failed {
        trouble: Trouble,
        reason: SegmentReason,
    },
    Healthy,
    /// A new segment has begun with this entry and is not durable yet.
    Recovering {
        seq: u64,
    },
}

/// What the next sync has to do, and when.
#[derive(Default)]
pub(crate) struct Dirty {
    /// In the order of writing.
    pub(crate) files: Vec<Arc<dyn SegmentFile>>,
    pub(crate) directory: bool,
    /// The segment being written is in `files`.
    current: bool,
    /// By when, if nobody is waiting.
    pub(crate) due: Option<Instant>,
    /// Somebody is waiting.
    pub(crate) now: bool,
}

/// Where a chain begins or goes on.
pub(crate) struct Resume {
    pub(crate) head: Head,
    pub(crate) time_ms: u64,
    pub(crate) segment: u32,
    pub(crate) file: Arc<dyn SegmentFile>,
    pub(crate) bytes: u64,
}

/// An entry that has been written, and in which epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
}

/// How soon an entry has to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// With the next group.
    Soon,
}

/// How long an entry that nobody waits for may stay unsynced. The promise is 20 ms, and the sync itself takes some.
const GROUP_DELAY: Duration = Duration::from_millis(15);

impl Chain {
    pub(crate) fn resume(at: Resume, segment_bytes: u64) -> Self {
        Self {
            head: at.head,
            durable: at.head,
            time_ms: at.time_ms,
            segment: at.segment,
            file: at.file,
            bytes: at.bytes,
            segment_bytes,
            line: Vec::with_capacity(1024),
            state: State::Healthy,
            epoch: 0,
            dirty: Dirty::default(),
            syncing_since: None,
            closing: false,
            syncer: None,
            owed: Vec::new(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), AuditError> {
        match &self.state {
            State::Healthy => Ok(()),
            State::Failed { trouble, .. } => Err(AuditError::Unavailable(trouble.clone())),
            State::Recovering { .. } => Err(AuditError::Unavailable(Trouble::Recovering)),
        }
    }

    /// Writes one entry.
    pub(crate) fn append(
        &mut self,
        disk: &dyn Disk,
        record: &Record,
        now_ms: u64,
        urgency: Urgency,
    ) -> Result<Place, AuditError> {
        // The new segment takes what has already happened before it is durable: otherwise the outcomes of calls in flight
        // would be lost for as long as a slow disk takes.
        if !matches!(self.state, State::Recovering { .. }) || matches!(record, Record::Intent(_)) {
            self.check()?;
        }
        if self.bytes >= self.segment_bytes {
            self.begin_segment(disk, SegmentReason::Rotated, now_ms).map_err(|trouble| self.write_failed(trouble))?;
        }
        let (head, time_ms) = self.format(record, now_ms);
        if self.line.len() > MAX_LINE_BYTES {
            return Err(AuditError::TooLong { bytes: self.line.len() });
        }
        append_all(&*self.file, &self.line).map_err(|error| self.write_failed(Trouble::io(Action::Append, &error)))?;
        self.written(head, time_ms, urgency);
        Ok(Place { seq: head.seq, epoch: self.epoch })
    }

    /// Begins a new segment after a failure.
    pub(crate) fn restart(&mut self, disk: &dyn Disk, now_ms: u64) -> Result<Place, AuditError> {
        let reason = match self.state {
            State::Failed { reason, .. } => reason,
            State::Healthy => return Ok(Place { seq: self.durable.seq, epoch: self.epoch }),
            State::Recovering { seq } => return Ok(Place { seq, epoch: self.epoch }),
        };
        if let Err(trouble) = self.begin_segment(disk, reason, now_ms) {
            self.state = State::Failed { trouble: trouble.clone(), reason };
            return Err(AuditError::Unavailable(trouble));
        }
        self.dirty.now = true;
        let seq = self.head.seq;
        self.state = State::Recovering { seq };
        while let Some(outcome) = self.owed.pop() {
            let record = Record::Outcome(outcome);
            // An error here has failed the segment anew, and what is owed stays owed.
            if let Err(error) = self.append(disk, &record, now_ms, Urgency::Soon) {
                if let Record::Outcome(outcome) = record {
                    self.owed.push(outcome);
                }
                return Err(error);
            }
        }
        Ok(Place { seq, epoch: self.epoch })
    }

    /// Remembers an outcome that could not be written.
    pub(crate) fn owe(&mut self, outcome: OutcomeOf) {
        if self.owed.len() < MAX_OWED {
            self.owed.push(outcome);
        }
    }

    pub(crate) fn begin_segment(&mut self, disk: &dyn Disk, reason: SegmentReason, now_ms: u64) -> Result<(), Trouble> {
        let segment = self.segment + 1;
        let record = Record::Segment(SegmentStart { format: FORMAT, segment, reason, durable: self.durable.seq });
        let (head, time_ms) = self.format(&record, now_ms);
        let file = begin_file(disk, segment, &self.line).map_err(|error| Trouble::io(Action::Begin, &error))?;
        (self.segment, self.file, self.bytes) = (segment, file, 0);
        self.dirty.current = false;
        self.dirty.directory = true;
        self.written(head, time_ms, Urgency::Soon);
        Ok(())
    }

    /// Puts the next line into `self.line`. It is the next one only once it is written.
    fn format(&mut self, record: &Record, now_ms: u64) -> (Head, u64) {
        let (seq, time_ms) = (self.head.seq + 1, now_ms.max(self.time_ms));
        self.line.clear();
        let hash = write_line(&mut self.line, seq, time_ms, time_ms - now_ms, self.head.hash, record);
        (Head { seq, hash }, time_ms)
    }

    fn written(&mut self, head: Head, time_ms: u64, urgency: Urgency) {
        self.head = head;
        self.time_ms = time_ms;
        self.bytes += self.line.len() as u64;
        if !self.dirty.current {
            self.dirty.files.push(Arc::clone(&self.file));
            self.dirty.current = true;
        }
        self.dirty.now |= urgency == Urgency::Now;
        if self.dirty.due.is_none() {
            self.dirty.due = Some(Instant::now() + GROUP_DELAY);
        }
    }

    /// A write failed: whoever waits is refused, and so is everything to come.
    pub(crate) fn write_failed(&mut self, trouble: Trouble) -> AuditError {
        self.state = State::Failed { trouble: trouble.clone(), reason: SegmentReason::WriteFailed };
        self.epoch += 1;
        AuditError::Unavailable(trouble)
    }

    /// What is to be synced now; what is written from here on is for the next sync.
    pub(crate) fn take_dirty(&mut self) -> (Dirty, Head) {
        self.syncing_since = Some(Instant::now());
        (std::mem::take(&mut self.dirty), self.head)
    }

    pub(crate) fn synced(&mut self, head: Head) {
        self.syncing_since = None;
        self.durable = head;
        if let State::Recovering { seq } = self.state
            && seq <= head.seq
        {
            self.state = State::Healthy;
        }
    }

    /// A sync failed. None of these files is ever synced again: its next sync might succeed and mean nothing.
    pub(crate) fn sync_failed(&mut self, trouble: Trouble) {
        self.syncing_since = None;
        self.state = State::Failed { trouble, reason: SegmentReason::SyncFailed };
        self.epoch += 1;
        // Not `current: false`: the segment is given up, and the next one resets it.
        self.dirty = Dirty { current: true, ..Dirty::default() };
    }
}

/// A new segment with its first line, or no new segment.
pub(crate) fn begin_file(disk: &dyn Disk, segment: u32, line: &[u8]) -> std::io::Result<Arc<dyn SegmentFile>> {
    let file = match disk.create(segment) {
        // From an earlier attempt that could not even be cleaned up. Without one whole line it is nothing.
        Err(error)
            if error.kind() == std::io::ErrorKind::AlreadyExists
                && !disk.tail(segment, u64::MAX)?.1.contains(&b'\n') =>
        {
            disk.remove(segment)?;
            disk.create(segment)?
        }
        created => created?,
    };
    if let Err(error) = append_all(&*file, line) {
        // If this fails as well, the next attempt and the next start remove it.
        let _ = disk.remove(segment);
        return Err(error);
    }
    Ok(file)
}

/// The first line of a log.
pub(crate) fn first_line(now_ms: u64) -> (Vec<u8>, Head) {
    let mut line = Vec::new();
    let record =
        Record::Segment(SegmentStart { format: FORMAT, segment: 1, reason: SegmentReason::Created, durable: 0 });
    let hash = write_line(&mut line, 1, now_ms, 0, Digest::ZERO, &record);
    (line, Head { seq: 1, hash })
}
