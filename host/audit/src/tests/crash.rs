//! V09, V10: a crash between any two operations on the disk, in the middle of any write, with and without the writes
//! that were not synced.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Op;
use super::*;
use crate::format::Head;
use crate::verify::{Problem, anchored_on};
use crate::{Anchored, Record};

/// Everything that this log does: syncs, groups, segments.
fn trace() -> Vec<Op> {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, small_segments());
    for turn in 0..6 {
        call(&log, Effect::Read, T0 + turn);
        call(&log, Effect::Write, T0 + turn);
        block_on(log.flush()).unwrap();
        disk.acknowledge(log.head());
        log.record_event(event(1), T0 + turn).unwrap();
    }
    drop(log);
    disk.trace()
}

/// A disk as it is while a trace is played.
#[derive(Default, Clone)]
struct Replay {
    files: BTreeMap<u32, Vec<u8>>,
    synced: BTreeMap<u32, usize>,
    named: BTreeSet<u32>,
    acknowledged: Option<Head>,
}

impl Replay {
    fn play(&mut self, op: &Op) {
        match op {
            Op::Acknowledged(head) => self.acknowledged = Some(*head),
            Op::Append(number, bytes) => self.files.get_mut(number).unwrap().extend(bytes),
            Op::Create(number) => drop(self.files.insert(*number, Vec::new())),
            Op::Remove(number) => drop(self.files.remove(number)),
            Op::Sync(number) => drop(self.synced.insert(*number, self.files[number].len())),
            Op::SyncDirectory => self.named = self.files.keys().copied().collect(),
            Op::Truncate(number, length) => self.files.get_mut(number).unwrap().truncate(*length as usize),
        }
    }

    /// Power fails: of what was not synced, `kept` of `of` parts are there.
    fn power_fails(&self, kept: usize, of: usize) -> BTreeMap<u32, Vec<u8>> {
        let named = |number: &u32| kept > 0 || self.named.contains(number);
        let files = self.files.iter().filter(|(number, _)| named(number));
        files
            .map(|(number, bytes)| {
                let synced = self.synced.get(number).copied().unwrap_or(0);
                (*number, bytes[..synced + (bytes.len() - synced) * kept / of].to_vec())
            })
            .collect()
    }
}

/// Starts the daemon again on what is left, and uses it.
fn recover(files: BTreeMap<u32, Vec<u8>>, acknowledged: Option<Head>) {
    let disk = MemoryDisk::with(files);
    let log = open_with(&disk, small_segments());
    call(&log, Effect::Write, T0 + 100);
    block_on(log.flush()).unwrap();
    let head = log.head();
    drop(log);
    for anchor in acknowledged.into_iter().chain([head]) {
        let report = verify_on(&disk, Some(anchor)).unwrap();
        assert!(report.is_intact() && report.anchor == Some(anchor), "{report:?}\n{}", disk.text());
        assert_eq!(anchored_on(&disk, anchor).unwrap(), Anchored::Holds);
    }
    // And once more: a repaired log needs no repair.
    let (_, opened) = AuditLog::open_on(Box::new(disk.clone()), small_segments(), T0).unwrap();
    assert_eq!((opened.head, opened.repaired_bytes, opened.damaged), (head, 0, false));
}

#[test]
fn killed_between_any_two_operations_and_within_any_write() {
    let mut replay = Replay::default();
    for op in trace() {
        recover(replay.files.clone(), replay.acknowledged);
        if let Op::Append(number, bytes) = &op {
            for cut in [1, bytes.len() / 2, bytes.len() - 1] {
                let mut torn = replay.clone();
                torn.play(&Op::Append(*number, bytes[..cut].to_vec()));
                recover(torn.files, torn.acknowledged);
            }
        }
        replay.play(&op);
    }
    recover(replay.files, replay.acknowledged);
}

#[test]
fn power_fails_at_any_moment() {
    let mut replay = Replay::default();
    for op in trace() {
        replay.play(&op);
        for kept in 0..=4 {
            // A segment's end may be lost while the next one's beginning is not; then the log must say so, and must
            // not accuse anything that was acknowledged.
            let disk = MemoryDisk::with(replay.power_fails(kept, 4));
            let log = open_with(&disk, small_segments());
            call(&log, Effect::Write, T0 + 100);
            drop(log);
            let report = verify_on(&disk, replay.acknowledged).unwrap();
            let durable = replay.acknowledged.map_or(0, |head| head.seq);
            match report.bad {
                None => assert_eq!(report.anchor, replay.acknowledged),
                Some(bad) => assert!(bad.seq > durable, "{report:?}"),
            }
        }
    }
}

#[test]
fn a_hole_at_the_end_is_removed_and_counted() {
    for hole in [1, 4096, 300_000] {
        let (disk, head) = written(3);
        let mut files = disk.files();
        let last = *files.keys().last().unwrap();
        files.get_mut(&last).unwrap().extend(vec![0; hole]);
        let disk = MemoryDisk::with(files);
        let (log, opened) = AuditLog::open_on(Box::new(disk.clone()), small_segments(), T0).unwrap();
        assert_eq!((opened.repaired_bytes, opened.damaged, opened.head.seq), (hole as u64, false, head.seq + 1));
        drop(log);
        intact(&disk);
        assert!(disk.text().contains(&format!("\"kind\":\"repair\",\"segment\":{last},\"bytes\":{hole}")));
    }
}

/// A repair must not destroy evidence: a whole line that is no entry stays, and the log goes on behind it.
#[test]
fn a_damaged_last_line_is_kept_and_named() {
    let (disk, head) = written(3);
    let mut files = disk.files();
    let last = files.values_mut().last().unwrap();
    let end = last.len() - 100;
    last[end] ^= 1;
    let evidence = last.clone();
    let disk = MemoryDisk::with(files);
    let (log, opened) = AuditLog::open_on(Box::new(disk.clone()), small_segments(), T0).unwrap();
    assert!(opened.damaged);
    call(&log, Effect::Write, T0);
    drop(log);
    assert!(disk.files().values().any(|file| *file == evidence));
    let bad = verify_on(&disk, None).unwrap().bad.unwrap();
    assert_eq!((bad.seq, bad.problem), (head.seq, Problem::Line(crate::LineError::Hash)));
    let kinds: Vec<_> = crate::read::entries_of(Box::new(disk), crate::Filter::default())
        .unwrap()
        .filter_map(Result::ok)
        .filter(
            |entry| matches!(&entry.record, Record::Segment(start) if start.reason == crate::SegmentReason::Damaged),
        )
        .collect();
    assert_eq!(kinds.len(), 1);
}

#[test]
fn a_log_without_one_entry_is_not_opened() {
    let disk = MemoryDisk::with(BTreeMap::from([(1, b"hello\n".to_vec())]));
    assert!(matches!(AuditLog::open_on(Box::new(disk), small_segments(), T0), Err(crate::OpenError::NoEntry)));
}
