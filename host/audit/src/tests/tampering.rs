//! A01 to A03: what somebody can do to the files, and which entry is named.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::format::{Head, parse_line};
use crate::verify::{Bad, Problem, anchored_on};
use crate::{Anchored, LineError};

type Files = BTreeMap<u32, Vec<u8>>;

fn first_bad(files: Files, anchor: Option<Head>) -> Option<Bad> {
    verify_on(&MemoryDisk::with(files), anchor).unwrap().bad
}

fn lines(segment: &[u8]) -> Vec<Vec<u8>> {
    segment.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn seq(line: &[u8]) -> u64 {
    parse_line(line.strip_suffix(b"\n").unwrap()).unwrap().seq
}

/// Every byte, with the lowest bit changed, in turn.
#[test]
fn any_changed_byte_is_named() {
    let (disk, head) = written(12);
    let files = disk.files();
    assert!(files.len() > 2);
    for (number, segment) in &files {
        let mut at = 0;
        for line in lines(segment) {
            let seq = seq(&line);
            for byte in at..at + line.len() {
                for flip in [1, 0x20, 0xff] {
                    let mut files = files.clone();
                    files.get_mut(number).unwrap()[byte] ^= flip;
                    let bad = first_bad(files, Some(head)).unwrap();
                    assert_eq!((bad.seq, bad.segment), (seq, *number), "byte {byte} of segment {number}: {bad}");
                }
            }
            at += line.len();
        }
    }
}

/// Does something to the lines of one segment, and says which seq has to be named and why.
#[track_caller]
fn after(change: impl FnOnce(&mut Vec<Vec<u8>>) -> u64) -> Problem {
    let (disk, head) = written(12);
    let mut files = disk.files();
    let mut changed = lines(&files[&2]);
    let seq = change(&mut changed);
    files.insert(2, changed.concat());
    let bad = first_bad(files, Some(head)).unwrap();
    assert_eq!(bad.seq, seq, "{bad}");
    bad.problem
}

#[test]
fn entries_that_are_removed_moved_repeated_or_put_in_are_named() {
    assert!(matches!(after(|lines| seq(&lines.remove(0))), Problem::Missing { .. }));
    assert!(matches!(after(|lines| seq(&lines.remove(1))), Problem::Missing { .. }));
    assert!(matches!(after(|lines| seq(&lines.pop().unwrap())), Problem::Missing { .. }));
    let swapped = after(|lines| {
        lines.swap(1, 2);
        seq(&lines[2])
    });
    assert!(matches!(swapped, Problem::Missing { .. }));
    let repeated = after(|lines| {
        lines.insert(1, lines[1].clone());
        seq(&lines[1]) + 1
    });
    assert!(matches!(repeated, Problem::Repeated { .. }));
    let stray = after(|lines| {
        lines.push(b"\n".to_vec());
        seq(&lines[lines.len() - 2]) + 1
    });
    assert_eq!(stray, Problem::Line(LineError::Malformed));
}

/// An entry with a right number and a right hash, from a log that somebody else wrote.
#[test]
fn entries_of_another_log_do_not_fit() {
    let other = MemoryDisk::default();
    let log = open(&other);
    for _ in 0..40 {
        log.record_event(event(99), T0).unwrap();
    }
    drop(log);
    let others = lines(&other.files()[&1]);
    let of_other = |seq: u64| others[seq as usize - 1].clone();
    let problem = after(|lines| {
        let seq = seq(&lines[1]);
        lines[1] = of_other(seq);
        seq
    });
    assert_eq!(problem, Problem::Link);
    // Put in instead of everything to the end of the segment.
    let problem = after(|lines| {
        let from = seq(&lines[1]);
        for line in &mut lines[1..] {
            *line = of_other(seq(line));
        }
        from
    });
    assert_eq!(problem, Problem::Link);
}

#[test]
fn segments_that_are_dropped_renamed_or_reordered_are_named() {
    let (disk, head) = written(20);
    let files = disk.files();
    let count = files.len() as u32;
    let first_of = |number: u32| seq(&lines(&files[&number])[0]);
    for dropped in 1..=count {
        let mut files = files.clone();
        files.remove(&dropped);
        let bad = first_bad(files, Some(head)).unwrap();
        assert_eq!(
            (bad.seq, bad.segment.min(dropped)),
            (first_of(dropped), if dropped == count { dropped - 1 } else { dropped })
        );
    }
    for first in 1..count {
        let mut swapped = files.clone();
        swapped.insert(first, files[&(first + 1)].clone());
        swapped.insert(first + 1, files[&first].clone());
        let bad = first_bad(swapped, Some(head)).unwrap();
        assert_eq!((bad.seq, bad.segment), (first_of(first), first));
        let mut renamed = files.clone();
        let moved = renamed.remove(&first).unwrap();
        renamed.insert(count + 5, moved);
        assert_eq!(first_bad(renamed, Some(head)).unwrap().seq, first_of(first));
    }
    // A segment that begins as another one, though the chain would fit: two files made one.
    let mut joined = files.clone();
    let second = joined.remove(&2).unwrap();
    joined.get_mut(&1).unwrap().extend(second);
    let bad = first_bad(joined, Some(head)).unwrap();
    assert_eq!((bad.seq, bad.problem), (first_of(2), Problem::StraySegmentStart));
}

/// A02. Only the anchor tells.
#[test]
fn a_cut_end_is_found_by_the_anchor() {
    let (disk, head) = written(12);
    let mut files = disk.files();
    while let Some(mut last) = files.last_entry() {
        let mut kept = lines(last.get());
        let cut = seq(&kept.pop().unwrap());
        *last.get_mut() = kept.concat();
        if kept.is_empty() {
            last.remove();
        }
        assert_eq!(first_bad(files.clone(), None), None);
        let bad = first_bad(files.clone(), Some(head)).unwrap();
        assert_eq!((bad.seq, bad.problem), (cut, Problem::Truncated { anchor: head.seq }));
        let disk = MemoryDisk::with(files.clone());
        assert_eq!(anchored_on(&disk, head).unwrap(), Anchored::Truncated { last: cut - 1 });
    }
}

/// What the same user can do: write everything anew. Only the anchor tells.
#[test]
fn a_chain_that_was_written_anew_is_found_by_the_anchor() {
    let (disk, head) = written(12);
    let forged = MemoryDisk::default();
    let log = open(&forged);
    for _ in 0..20 {
        log.record_event(event(1), T0).unwrap();
    }
    drop(log);
    intact(&forged);
    let bad = first_bad(forged.files(), Some(head)).unwrap();
    assert_eq!((bad.seq, bad.problem), (head.seq, Problem::AnchorDiffers));
    assert_eq!(anchored_on(&forged, head).unwrap(), Anchored::Differs);
    assert_eq!(anchored_on(&disk, head).unwrap(), Anchored::Holds);
}

/// An announced loss excuses nothing that was durable, and nothing that the anchor names.
#[test]
fn a_loss_excuses_only_what_was_not_durable() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    call(&log, Effect::Write, T0);
    block_on(log.flush()).unwrap();
    let durable = log.head();
    disk.faults(super::disk::Faults { sync_fails: true, ..Default::default() });
    block_on(log.record_intent(permit(Effect::Write, ""), T0)).unwrap_err();
    disk.faults(super::disk::Faults::default());
    block_on(log.retry(T0)).unwrap();
    drop(log);
    let mut files = disk.files();
    let all = lines(&files[&1]);
    files.insert(1, all[..3].concat());
    let report = verify_on(&MemoryDisk::with(files.clone()), Some(durable)).unwrap();
    assert_eq!((report.bad, report.losses.len()), (None, 1));
    files.insert(1, all[..2].concat());
    assert_eq!(first_bad(files, None).unwrap().seq, durable.seq);
}

proptest! {
    /// One random byte of a larger log replaced, removed or put in.
    #[test]
    fn any_small_change_is_named(at in any::<prop::sample::Index>(), byte in any::<u8>(), what in 0..3) {
        let (disk, head) = written(30);
        let mut files = disk.files();
        let total: usize = files.values().map(Vec::len).sum();
        let mut at = at.index(total);
        let number = *files.iter().find(|(_, bytes)| if at < bytes.len() { true } else { at -= bytes.len(); false }).unwrap().0;
        let segment = files.get_mut(&number).unwrap();
        let before = segment.clone();
        match what {
            0 => segment[at] = byte,
            1 => segment.insert(at, byte),
            _ => drop(segment.remove(at)),
        }
        prop_assume!(*segment != before);
        // What is wrong stands in the line where the first difference is, or, for an inserted newline, begins there.
        let same = before.iter().zip(segment.iter()).take_while(|(before, after)| before == after).count();
        let line = before[..same.min(before.len() - 1)].iter().filter(|byte| **byte == b'\n').count();
        let bad = first_bad(files, Some(head)).unwrap();
        prop_assert_eq!(bad.segment, number);
        prop_assert_eq!(bad.seq, seq(&lines(&before)[line]), "{}", bad);
    }
}
