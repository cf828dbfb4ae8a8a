use kv_model::{ConnectionName, OperationName, PrincipalName};

use super::calls::permit_for;
use super::*;
use crate::read::{entries_of, whole_of};
use crate::{Ending, Filter, ReadError, Record};

/// Two agents, one call each that ends well, one that ends badly; a refusal; an event in between.
fn filled() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, small_segments());
    let mut now = T0;
    for agent in ["claude", "codex"] {
        for status in [200, 402] {
            now += 1000;
            let (_recorded, pending) = block_on(log.record_intent(permit_for(agent, Effect::Read, ""), now)).unwrap();
            log.record_event(event(1), now).unwrap();
            log.record_outcome(pending, Outcome { status: Some(status), ..outcome() }, now).unwrap();
        }
    }
    let principal = kv_model::Principal::Agent { name: PrincipalName::parse("codex").unwrap(), uid: 0 };
    let event =
        Event::Refused { call: None, principal, connection: None, operation: None, code: "vault.locked".into() };
    log.record_event(event, now).unwrap();
    disk
}

#[track_caller]
fn check(filter: Filter, kinds: &[&str]) -> Vec<u64> {
    let entries: Vec<_> = entries_of(Box::new(filled()), filter).unwrap().map(Result::unwrap).collect();
    let found: Vec<_> = entries.iter().map(|entry| entry.record.kind()).filter(|kind| *kind != "segment").collect();
    assert_eq!(found, kinds);
    entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn by_agent_with_its_outcomes() {
    let agent = |name| Some(PrincipalName::parse(name).unwrap());
    check(Filter { agent: agent("claude"), ..Filter::default() }, &["intent", "outcome", "intent", "outcome"]);
    check(
        Filter { agent: agent("codex"), ..Filter::default() },
        &["intent", "outcome", "intent", "outcome", "refused"],
    );
    check(Filter { agent: agent("nobody"), ..Filter::default() }, &[]);
}

#[test]
fn by_connection_operation_and_ending() {
    let connection = Some(ConnectionName::parse("acme-test").unwrap());
    let operation = Some(OperationName::parse("things.change").unwrap());
    let ending = |ending| Filter { ending: Some(ending), ..Filter::default() };
    check(
        Filter { connection: connection.clone(), ending: Some(Ending::Failed), ..Filter::default() },
        &["outcome", "outcome"],
    );
    check(
        Filter { operation, connection, ending: Some(Ending::Succeeded), ..Filter::default() },
        &["outcome", "outcome"],
    );
    check(ending(Ending::Refused), &["refused"]);
    check(Filter { operation: Some(OperationName::parse("other").unwrap()), ..Filter::default() }, &[]);
}

#[test]
fn by_time_and_place() {
    let all =
        entries_of(Box::new(filled()), Filter::default()).unwrap().map(|entry| entry.unwrap().seq).collect::<Vec<_>>();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    let last = *all.last().unwrap();
    for from_seq in 0..=last + 1 {
        let seqs = entries_of(Box::new(filled()), Filter { from_seq, ..Filter::default() }).unwrap();
        assert_eq!(
            seqs.map(|entry| entry.unwrap().seq).collect::<Vec<_>>(),
            (from_seq.max(1)..=last).collect::<Vec<_>>()
        );
    }
    let three = &["intent", "secret_set", "outcome"];
    check(Filter { since_ms: Some(T0 + 1000), until_ms: Some(T0 + 1999), ..Filter::default() }, three);
    check(Filter { since_ms: Some(T0 + 3000), until_ms: Some(T0 + 3000), ..Filter::default() }, three);
    check(Filter { since_ms: Some(T0 + 9000), ..Filter::default() }, &[]);
}

#[test]
fn a_line_that_is_no_entry_is_an_error_in_its_place() {
    let mut files = filled().files();
    let first = files.get_mut(&1).unwrap();
    let second_line = first.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    first[second_line] = b'x';
    first.splice(0..0, *b"\n");
    let read: Vec<_> = entries_of(Box::new(MemoryDisk::with(files)), Filter::default()).unwrap().collect();
    assert!(matches!(read[0], Err(ReadError::Line { segment: 1, line: 1, .. })));
    assert!(matches!(&read[1], Ok(entry) if matches!(entry.record, Record::Segment(_))));
    assert!(matches!(read[2], Err(ReadError::Line { line: 3, .. })));
    assert!(read[3..].iter().all(Result::is_ok));
}

/// As many calls as fill several segments, of two agents in turn.
fn long(calls: u64) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let log = open_with(&disk, small_segments());
    for call in 0..calls {
        let agent = if call % 3 == 0 { "codex" } else { "claude" };
        let (_recorded, pending) = block_on(log.record_intent(permit_for(agent, Effect::Read, ""), T0 + call)).unwrap();
        log.record_event(event(1), T0 + call).unwrap();
        log.record_outcome(pending, outcome(), T0 + call).unwrap();
    }
    disk
}

fn seqs(entries: crate::Entries) -> Vec<u64> {
    entries.map(|entry| entry.unwrap().seq).collect()
}

#[test]
fn the_newest_that_fit_are_the_end_of_all_that_fit() {
    let disk = long(40);
    let codex = Filter { agent: Some(PrincipalName::parse("codex").unwrap()), ..Filter::default() };
    let late = Filter { since_ms: Some(T0 + 20), until_ms: Some(T0 + 30), ..Filter::default() };
    let failed = Filter { ending: Some(Ending::Failed), ..Filter::default() };
    assert!(disk.files().len() > 5);
    for filter in [Filter::default(), codex, late, failed] {
        let all = seqs(entries_of(Box::new(disk.clone()), filter.clone()).unwrap());
        assert_eq!(seqs(whole_of(Box::new(disk.clone()), filter.clone(), None).unwrap()), all);
        for last in 0..=all.len() + 1 {
            let newest = seqs(whole_of(Box::new(disk.clone()), filter.clone(), Some(last as u64)).unwrap());
            assert_eq!(newest, all[all.len().saturating_sub(last)..], "{last} of {filter:?}");
        }
    }
}

#[test]
fn the_newest_entries_cost_the_last_segments_only() {
    let mut files = long(40).files();
    let last = *files.keys().last().unwrap();
    // Whoever reads any other segment than the last two trips over these.
    for segment in 1..last - 1 {
        files.insert(segment, b"no entry\n".to_vec());
    }
    let disk = MemoryDisk::with(files);
    assert_eq!(whole_of(Box::new(disk.clone()), Filter::default(), Some(3)).unwrap().count(), 3);
    assert!(matches!(
        whole_of(Box::new(disk), Filter::default(), None),
        Err(ReadError::Line { segment: 1, line: 1, .. })
    ));
}

#[test]
fn what_is_written_meanwhile_is_for_the_next_reading() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let agent = Filter { agent: Some(PrincipalName::parse("claude").unwrap()), ..Filter::default() };
    let (_recorded, pending) = block_on(log.record_intent(permit(Effect::Read, ""), T0)).unwrap();
    let mut first = whole_of(Box::new(disk.clone()), agent.clone(), None).unwrap();
    log.record_outcome(pending, outcome(), T0).unwrap();
    assert_eq!(first.by_ref().map(|entry| entry.unwrap().seq).collect::<Vec<_>>(), [2]);
    let (seen, open) = first.into_rest();
    // The outcome names no agent: its intent does, which was read before.
    let next = Filter { from_seq: seen + 1, ..agent };
    let rest = crate::Entries::after(entries_of(Box::new(disk), next).unwrap(), open);
    assert_eq!(seqs(rest), [3]);
}
