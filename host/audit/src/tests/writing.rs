use std::pin::pin;
use std::task::{Context, Waker};

use kv_model::{CallId, Effect, Principal, PrincipalName, Suggestion};
use kv_policy::{Decision, decide};

use super::calls::{permit_for, question, raw};
use super::disk::Faults;
use super::*;
use crate::format::Head;
use crate::text::Claim;
use crate::verify::Note;
use crate::{AuditError, Record};

#[test]
fn an_intent_of_a_write_is_durable_when_it_returns() {
    for effect in [Effect::Write, Effect::Destroy, Effect::Grant] {
        let disk = MemoryDisk::default();
        let log = open(&disk);
        let (recorded, pending) = block_on(log.record_intent(permit(effect, "pay"), T0)).unwrap();
        assert_eq!((recorded.seq(), pending.seq(), log.head().seq), (2, 2, 2));
        assert_eq!(recorded.get().summary(), "pay");
        log.record_outcome(pending, outcome(), T0).unwrap();
        assert_eq!((intact(&disk).entries, intact(&disk).unfinished), (3, 0));
    }
}

#[test]
fn an_intent_of_a_read_is_written_when_it_returns_and_synced_without_being_asked() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let (recorded, _pending) = block_on(log.record_intent(permit(Effect::Read, "list"), T0)).unwrap();
    assert!(disk.text().contains("\"kind\":\"intent\""));
    let mut settled = log.shared.settled.subscribe();
    block_on(settled.wait_for(|settled| settled.durable >= recorded.seq())).unwrap();
    assert_eq!(log.head().seq, recorded.seq());
}

#[test]
fn many_callers_share_a_sync() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let before = disk.syncs();
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(log.record_intent(permit(Effect::Write, ""), T0))).collect();
    let mut context = Context::from_waker(Waker::noop());
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    disk.faults(Faults::default());
    for future in waiting {
        drop(block_on(future).unwrap());
    }
    assert!(disk.syncs() - before <= 3, "{} syncs", disk.syncs() - before);
    assert_eq!(intact(&disk).unfinished, 64);
}

/// A05, and the promise that the order in the file is the order of the chain.
#[test]
fn many_writers_make_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    let options = Options { segment_bytes: 100_000, ..Options::default() };
    let (log, _) = AuditLog::open(&dir, options, T0).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..64 {
            let log = &log;
            scope.spawn(move || {
                let mut last = 0;
                for turn in 0..40 {
                    let effect = if turn % 20 == 0 { Effect::Write } else { Effect::Read };
                    let seq = call(log, effect, T0 + turn);
                    assert!(seq > last);
                    last = log.record_event(event(writer), T0).unwrap();
                }
            });
        }
    });
    let head = log.head();
    drop(log);
    let report = crate::verify(&dir, Some(head)).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert!(report.segments > 10 && report.unfinished == 0);
    assert_eq!(report.entries, 64 * 40 * 3 + u64::from(report.segments));
}

#[test]
fn the_chain_goes_on_where_it_ended() {
    let (disk, head) = written(20);
    let (log, opened) = AuditLog::open_on(Box::new(disk.clone()), small_segments(), T0).unwrap();
    assert_eq!((opened.head, opened.created, opened.damaged, opened.repaired_bytes), (head, false, false, 0));
    let seq = log.record_event(event(1), T0).unwrap();
    drop(log);
    let report = intact(&disk);
    assert!(report.segments > 3);
    assert!(seq > head.seq && report.head.unwrap().seq == seq);
}

#[test]
fn time_never_goes_back() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    log.record_event(event(1), T0 - 500).unwrap();
    log.record_event(event(2), T0 + 1).unwrap();
    assert_eq!(intact(&disk).notes, [Note::ClockBack { seq: 2, by_ms: 500 }]);
    assert_eq!(intact(&disk).last_ms, Some(T0 + 1));
}

#[test]
fn what_cannot_be_recorded_whole_is_refused_and_harms_nothing() {
    let log = open(&MemoryDisk::default());
    let secrets = (0..3000).map(|i| SecretName::parse(&format!("A_LONG_ENOUGH_SECRET_NAME_{i}")).unwrap()).collect();
    let event = Event::RunStarted { run: CallId::from_bytes([1; 16]), command: Claim::cut("sh"), secrets, uid: 0 };
    assert!(matches!(log.record_event(event, T0), Err(AuditError::TooLong { .. })));
    assert_eq!(call(&log, Effect::Write, T0), 2);
}

/// A10: whatever a caller puts into a request, the log has its path, its digest and the provider's line.
#[test]
fn no_body_query_header_or_credential_is_recorded() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    call(&log, Effect::Write, T0);
    match decide(question("claude", Effect::Write, "canary-in-summary", raw(), Suggestion::Deny)) {
        Decision::Deny(denial) => log.record_denial(&denial, T0).unwrap(),
        Decision::Allow(_) | Decision::Ask(_) => panic!(),
    };
    let text = disk.text();
    assert!(!text.contains("canary") && !text.contains("expand"), "{text}");
    assert!(
        text.contains("/v1/things/thing_1")
            && text.contains("\"secrets\":[\"ACME_KEY\"]")
            && text.contains("\"reason\":\"deny\"")
    );
}

/// A08, A09.
#[test]
fn hostile_texts_stay_one_inert_line() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let texts = [
        "a\nb\r\n",
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "\u{202e}evil",
        "nul\0",
        "\u{9b}31m",
        "\u{2028}",
        "\u{e0041}",
        "\",\"hash\":\"0000\"}\n{\"seq\":1,",
        "\\\"",
        "é漢🦀",
        "\u{feff}",
    ];
    for text in texts {
        drop(block_on(log.record_intent(permit(Effect::Read, text), T0)).unwrap());
        let principal = Principal::Agent { name: PrincipalName::parse("a").unwrap(), uid: 1 };
        let name = Some(Claim::cut(text));
        let event = Event::Refused {
            call: None,
            principal,
            connection: name.clone(),
            operation: name,
            code: "vault.locked".into(),
        };
        log.record_event(event, T0).unwrap();
    }
    let text = disk.text();
    assert_eq!(text.lines().count(), texts.len() * 2 + 1);
    assert!(text.chars().all(|c| c == '\n' || !crate::text::is_active(c)));
    assert_eq!(intact(&disk).entries, texts.len() as u64 * 2 + 1);
    let summaries: Vec<_> = text
        .lines()
        .filter_map(|line| match crate::format::parse_line(line.as_bytes()).unwrap().record {
            Record::Intent(intent) => Some(intent.summary.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(summaries, texts);
}

#[test]
fn followers_learn_the_newest_entry() {
    let log = open(&MemoryDisk::default());
    log.record_event(event(1), T0).unwrap();
    let mut newest = log.subscribe();
    assert_eq!(*newest.borrow_and_update(), 2);
    log.record_event(event(2), T0).unwrap();
    assert!(newest.has_changed().unwrap());
    assert_eq!(*newest.borrow(), 3);
}

#[test]
fn the_head_to_keep_is_durable() {
    let disk = MemoryDisk::default();
    let log = open(&disk);
    let first = log.head();
    assert_ne!(first, Head::START);
    disk.faults(Faults { sync_hangs: true, ..Faults::default() });
    log.record_event(event(1), T0).unwrap();
    let mut flushing = pin!(log.flush());
    assert!(flushing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(log.head(), first);
    disk.faults(Faults::default());
    block_on(flushing).unwrap();
    assert_eq!(log.head().seq, 2);
    drop(permit_for("other", Effect::Read, ""));
}
