//! A06, A07, V10: the disk says no, says nothing, or lies.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::{EIO, Faults};
use super::*;
use crate::verify::Loss;
use crate::{Action, AuditError, Health, Trouble};

fn action(error: &AuditError) -> Option<Action> {
    match error {
        AuditError::Unavailable(Trouble::Io { action, .. }) => Some(*action),
        _ => None,
    }
}

fn intent(log: &AuditLog, effect: Effect) -> Result<u64, AuditError> {
    block_on(log.record_intent(permit(effect, ""), T0)).map(|(recorded, _)| recorded.seq())
}

#[test]
fn a_full_disk_refuses_until_it_is_retried() {
    for left in [0, 1, 100, 10_000] {
        let disk = MemoryDisk::default();
        let log = open(&disk);
        disk.faults(Faults { append_fails_after: Some(left), create_fails: true, ..Faults::default() });
        let error = (0..100).find_map(|_| intent(&log, Effect::Read).err()).unwrap();
        assert_eq!((action(&error), error.code()), (Some(Action::Append), "audit.unavailable"));
        assert!(error.to_string().contains("No space left"), "{error}");
        // It stays refused, whatever the disk can do by now, and so does the retry while the disk is full.
        assert_eq!(intent(&log, Effect::Write), Err(error.clone()));
        assert!(log.record_event(event(1), T0).is_err());
        assert_eq!(action(&block_on(log.retry(T0)).unwrap_err()), Some(Action::Begin));
        disk.faults(Faults::default());
        assert!(intent(&log, Effect::Read).is_err());
        block_on(log.retry(T0)).unwrap();
        assert_eq!(log.health(), Health::Healthy);
        call(&log, Effect::Write, T0);
        let head = log.head();
        drop(log);
        let report = verify_on(&disk, Some(head)).unwrap();
        assert_eq!((report.bad, report.anchor), (None, Some(head)), "{report:?}");
        let lost: u64 = report.losses.iter().map(|loss| loss.to + 1 - loss.from).sum();
        assert_eq!(lost, 0, "a torn line is no entry");
    }
}

#[test]
fn short_writes_are_carried_on() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    disk.faults(Faults { short_appends: Some(7), ..Faults::default() });
    call(&log, Effect::Write, T0);
    assert_eq!(intact(&disk).entries, 3);
}

#[test]
fn a_new_segment_that_cannot_begin_is_begun_again() {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, Options { segment_bytes: 1, ..Options::default() });
    // The file is made, its first line torn, and even the cleaning up fails.
    disk.faults(Faults { append_fails_after: Some(10), remove_fails: true, ..Faults::default() });
    assert_eq!(action(&log.record_event(event(1), T0).unwrap_err()), Some(Action::Begin));
    assert_eq!(disk.files()[&2].len(), 10);
    disk.faults(Faults::default());
    block_on(log.retry(T0)).unwrap();
    log.record_event(event(1), T0).unwrap();
    drop(log);
    assert_eq!(intact(&disk).segments, 3);
}

#[test]
fn a_failed_sync_refuses_and_is_never_taken_for_a_success_later() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let durable = log.head();
    disk.faults(Faults { sync_fails: true, ..Faults::default() });
    let error = intent(&log, Effect::Write).unwrap_err();
    assert_eq!(
        error,
        AuditError::Unavailable(Trouble::Io {
            action: Action::Sync,
            kind: std::io::Error::from_raw_os_error(EIO).kind(),
            errno: Some(EIO)
        })
    );
    disk.faults(Faults::default());
    assert_eq!((intent(&log, Effect::Read), log.head()), (Err(error), durable));
    block_on(log.retry(T0)).unwrap();
    // The new segment, and the outcome of the intent that was refused.
    assert_eq!(log.head().seq, 4);
    assert!(disk.text().contains("\"reason\":\"sync_failed\",\"durable\":1"));
    assert!(disk.text().contains("\"sent\":\"no\""));
    call(&log, Effect::Write, T0);
    let head = log.head();
    drop(log);
    assert_eq!(intact(&disk).unfinished, 0);
    // The given-up segment has not been synced again.
    let syncs: Vec<_> = disk.trace().into_iter().filter(|op| matches!(op, super::disk::Op::Sync(1))).collect();
    assert_eq!(syncs.len(), 1);

    // The disk loses what it could not sync: that is no surprise, and it is said. What was durable must be there.
    let mut files = disk.files();
    let first = files.get_mut(&1).unwrap();
    let second_line = first.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    first.truncate(second_line);
    let report = verify_on(&MemoryDisk::with(files.clone()), Some(head)).unwrap();
    assert_eq!((report.bad, report.losses), (None, vec![Loss { segment: 2, from: 2, to: 2 }]));
    files.insert(1, Vec::new());
    assert_eq!(verify_on(&MemoryDisk::with(files), None).unwrap().bad.map(|bad| bad.seq), Some(1));
}

#[test]
fn a_retry_whose_sync_fails_fails() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    disk.faults(Faults { sync_fails: true, ..Faults::default() });
    intent(&log, Effect::Grant).unwrap_err();
    for _ in 0..3 {
        assert_eq!(action(&block_on(log.retry(T0)).unwrap_err()), Some(Action::Sync));
        assert!(matches!(log.health(), Health::Failed(_)));
    }
    disk.faults(Faults::default());
    block_on(log.retry(T0)).unwrap();
    drop(log);
    assert_eq!(intact(&disk).segments, 5);
    // Segments that were never durable may vanish altogether.
    let mut files = disk.files();
    files.remove(&3);
    assert_eq!(verify_on(&MemoryDisk::with(files), None).unwrap().losses, [Loss { segment: 4, from: 5, to: 5 }]);
}

#[test]
fn a_hanging_sync_keeps_writes_waiting_and_stops_reads() {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, Options { stall: Duration::ZERO, ..Options::default() });
    let before = disk.syncs();
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = pin!(log.record_intent(permit(Effect::Write, ""), T0));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    disk.wait_for_syncs(before + 1);
    assert_eq!(log.health(), Health::Stalled);
    assert!(matches!(intent(&log, Effect::Read), Err(AuditError::Unavailable(Trouble::Stalled { .. }))));
    assert!(matches!(intent(&log, Effect::Write), Err(AuditError::Unavailable(Trouble::Stalled { .. }))));
    // What has already happened is still taken.
    log.record_event(event(1), T0).unwrap();
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    disk.faults(Faults::default());
    let Poll::Ready(Ok(_)) = Poll::Ready(block_on(waiting)) else { panic!() };
    block_on(log.flush()).unwrap();
    assert_eq!(log.health(), Health::Healthy);
}

#[test]
fn while_recovering_only_intents_are_refused() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let (_recorded, pending) = block_on(log.record_intent(permit(Effect::Write, ""), T0)).unwrap();
    disk.faults(Faults { append_fails_after: Some(0), ..Faults::default() });
    log.record_event(event(1), T0).unwrap_err();
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    let mut retrying = Box::pin(log.retry(T0));
    assert!(retrying.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(log.health(), Health::Recovering);
    assert_eq!(intent(&log, Effect::Read), Err(AuditError::Unavailable(Trouble::Recovering)));
    log.record_outcome(pending, outcome(), T0).unwrap();
    disk.faults(Faults::default());
    block_on(retrying).unwrap();
    drop(log);
    assert_eq!(intact(&disk).unfinished, 0);
}

#[test]
fn a_caller_that_gives_up_leaves_an_intent_whose_outcome_says_that_nothing_was_sent() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    {
        let mut waiting = pin!(log.record_intent(permit(Effect::Write, ""), T0));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        log.record_event(event(1), T0 + 60_000).unwrap();
    }
    disk.faults(Faults::default());
    drop(log);
    let report = intact(&disk);
    assert_eq!((report.entries, report.unfinished), (4, 0));
    // Whatever the clocks: the outcome is no entry from the past.
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert!(disk.text().contains("\"intent\":2,") && disk.text().contains("\"sent\":\"no\",\"status\":null"));
    assert!(disk.text().contains("\"error\":\"not_sent\""));
}

#[test]
fn an_outcome_that_cannot_be_written_is_written_when_the_log_is_healthy_again() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let (_recorded, pending) = block_on(log.record_intent(permit(Effect::Write, ""), T0)).unwrap();
    disk.faults(Faults { append_fails_after: Some(0), ..Faults::default() });
    log.record_outcome(pending, outcome(), T0).unwrap_err();
    block_on(log.retry(T0)).unwrap_err();
    disk.faults(Faults { sync_fails: true, ..Faults::default() });
    block_on(log.retry(T0)).unwrap_err();
    disk.faults(Faults::default());
    block_on(log.retry(T0)).unwrap();
    drop(log);
    let report = verify_on(&disk, None).unwrap();
    assert_eq!((report.bad, report.unfinished), (None, 0));
}

#[test]
fn a_write_that_fails_refuses_those_who_wait_for_a_sync() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let before = disk.syncs();
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    let mut waiting = Box::pin(log.record_intent(permit(Effect::Write, ""), T0));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    disk.wait_for_syncs(before + 1);
    disk.faults(Faults { sync_hangs: true, append_fails_after: Some(3), ..Faults::default() });
    assert!(log.record_event(event(1), T0).is_err());
    assert!(block_on(waiting).is_err());
    disk.faults(Faults::default());
    block_on(log.retry(T0)).unwrap();
    drop(log);
    let report = verify_on(&disk, None).unwrap();
    assert_eq!((report.bad, report.losses), (None, vec![Loss { segment: 2, from: 3, to: 2 }]));
}
