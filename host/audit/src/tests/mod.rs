//! The log as its users see it, on a disk that can fail, tear, hang and forget.

mod calls;
mod crash;
mod disk;
mod failures;
mod faults;
mod folder;
mod form;
mod reading;
mod tampering;
mod writing;

use std::sync::Arc;

use kv_model::{Effect, SecretName};

use self::calls::permit;
use self::disk::MemoryDisk;
use crate::event::Event;
use crate::log::{AuditLog, Options};
use crate::record::{Outcome, Sent};
use crate::verify::{Report, verify_on};

/// A time to begin at.
const T0: u64 = 1_700_000_000_000;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn open(disk: &MemoryDisk) -> AuditLog {
    open_with(disk, Options::default())
}

fn open_with(disk: &MemoryDisk, options: Options) -> AuditLog {
    AuditLog::open_on(Box::new(disk.clone()), options, T0).unwrap().0
}

fn small_segments() -> Options {
    Options { segment_bytes: 1500, ..Options::default() }
}

fn event(version: u32) -> Event {
    Event::SecretSet { secret: SecretName::parse("OPENAI_API_KEY").unwrap(), version, uid: 1000 }
}

fn outcome() -> Outcome {
    Outcome {
        sent: Sent::Yes,
        status: Some(200),
        bytes_in: 10,
        bytes_out: 20,
        duration_us: 30,
        redactions: 0,
        error_code: None,
    }
}

/// One call from intent to outcome.
fn call(log: &AuditLog, effect: Effect, now_ms: u64) -> u64 {
    let (recorded, pending) = block_on(log.record_intent(permit(effect, "one line"), now_ms)).unwrap();
    log.record_outcome(pending, outcome(), now_ms + 1).unwrap();
    recorded.seq()
}

#[track_caller]
fn intact(disk: &MemoryDisk) -> Report {
    let report = verify_on(disk, None).unwrap();
    assert!(report.is_intact(), "{report:?}");
    report
}

/// A log of `events` events in small segments, closed.
fn written(events: u32) -> (MemoryDisk, crate::Head) {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, small_segments());
    for version in 1..=events {
        log.record_event(event(version), T0 + u64::from(version)).unwrap();
    }
    block_on(log.flush()).unwrap();
    let head = log.head();
    drop(log);
    (disk, head)
}

#[test]
fn a_log_can_be_shared() {
    fn shareable<T: Send + Sync + 'static>(_: &T) {}
    fn sendable<T: Send>(_: &T) {}
    let log = Arc::new(open(&MemoryDisk::default()));
    shareable(&log);
    sendable(&log.record_intent(permit(Effect::Write, ""), T0));
}
