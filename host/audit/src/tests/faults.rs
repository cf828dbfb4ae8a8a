//! V09, A06: every call to the file system that the log makes is killed, failed and cut short in turn. What was acknowledged
//! is there afterwards, a sync that failed acknowledges nothing, and the log goes on.

#[path = "../../../../tests/faults/mod.rs"]
mod storage;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kv_model::Digest;
use storage::{Fault, Injector, Traced, begin, say, walk};

use super::*;
use crate::{Head, verify};

const WHERE: &str = "KV_AUDIT_FAULTS_DIR";
const WHAT: &str = "KV_AUDIT_FAULTS_WORK";
/// A log is begun; a torn one is mended; entries are appended; segments change.
const WORKS: [&str; 4] = ["begin", "mend", "append", "segments"];

/// So many events are recorded, each of them durably.
fn events(work: &str) -> u32 {
    if work == "segments" { 10 } else { 3 }
}

/// Does nothing in a run of the tests. The test below starts it as a process of its own, and traces it.
#[test]
fn the_process_whose_disk_fails() {
    let Some(root) = std::env::var_os(WHERE).map(PathBuf::from) else { return };
    let work = std::env::var(WHAT).unwrap();
    if matches!(work.as_str(), "begin" | "mend") {
        begin(&root);
    }
    let log = match AuditLog::open(&root.join("audit"), small_segments(), T0 + 10) {
        Ok((log, _)) => log,
        Err(error) => return say(&format!("not opened: {error}")),
    };
    if matches!(work.as_str(), "append" | "segments") {
        begin(&root);
    }
    for version in 1..=events(&work) {
        match block_on(log.record_event_durably(event(version), T0 + 10)) {
            Ok(_) => say(&format!("held {} {}", log.head().seq, log.head().hash)),
            Err(error) => {
                say(&format!("refused: {error}"));
                let retried = block_on(log.retry(T0 + 10));
                say(&retried.map_or_else(|error| format!("still refused: {error}"), |()| "retried".to_owned()));
            }
        }
    }
    drop(log);
    say("over");
}

/// A log of three events, closed.
fn template() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let (log, _) = AuditLog::open(&root.path().join("audit"), small_segments(), T0).unwrap();
    for version in 1..=3 {
        log.record_event(event(version), T0).unwrap();
    }
    root
}

/// A folder as it is before the work. Copied, not opened: a process that is started meanwhile would hold its lock a moment longer.
fn prepared(work: &str, template: &Path) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("audit");
    if work != "begin" {
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = dir.join("000001.ndjson");
        std::fs::copy(template.join("audit/000001.ndjson"), &file).unwrap();
        if work == "mend" {
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            std::io::Write::write_all(&mut file, b"{\"seq\":5,\"time").unwrap();
        }
    }
    root
}

fn traced(injector: &Injector, root: &Path, work: &str, at: Option<(Fault, usize)>) -> Traced {
    let test = "tests::faults::the_process_whose_disk_fails";
    injector.run(test, root, at, &[(WHERE, root.to_str().unwrap()), (WHAT, work)])
}

#[test]
fn every_call_of_every_append_fails_once() {
    let Some(injector) = Injector::build() else { return };
    let template = template();
    let works = WORKS.map(|work| {
        let root = prepared(work, template.path());
        let run = traced(&injector, root.path(), work, None);
        assert_eq!(held(&run).len(), events(work) as usize, "{work}: {run:?}");
        if work == "segments" {
            assert!(root.path().join("audit/000003.ndjson").exists(), "the segment did not change");
        }
        (work, run.calls)
    });
    walk(&works, |work, fault, call| {
        let root = prepared(work, template.path());
        let run = traced(&injector, root.path(), work, Some((fault, call)));
        check(work, fault, root.path(), &run)
            .map_err(|why| format!("{why}: {:?}, {:?}\n{}", run.hit, run.said, run.stderr))
    });
}

/// The heads that were acknowledged.
fn held(run: &Traced) -> Vec<Head> {
    let heads = run.said.iter().filter_map(|line| line.strip_prefix("held "));
    heads
        .map(|head| {
            let (seq, hash) = head.split_once(' ').unwrap();
            Head { seq: seq.parse().unwrap(), hash: Digest::parse(hash).unwrap() }
        })
        .collect()
}

fn check(work: &str, fault: Fault, root: &Path, run: &Traced) -> Result<(), String> {
    let held = held(run);
    let opened = !run.says("not opened");
    if fault != Fault::Kill && opened && !run.says("over") {
        return Err("it ended early".to_owned());
    }
    if run.failed_a_sync_of(fault).is_some() && held.len() == events(work) as usize {
        return Err("a sync failed, and everything was acknowledged".to_owned());
    }
    // A fault that comes once is got over: what is refused is one entry, or the opening.
    if matches!(fault, Fault::Once(_) | Fault::Short) && opened && held.len() + 1 < events(work) as usize {
        return Err("one fault refused more than one entry".to_owned());
    }
    let (log, opened) = AuditLog::open(&root.join("audit"), small_segments(), T0 + 100).map_err(|e| e.to_string())?;
    if opened.damaged {
        return Err("a line is whole and no entry".to_owned());
    }
    block_on(log.record_event_durably(event(99), T0 + 100)).map_err(|error| error.to_string())?;
    let head = log.head();
    drop(log);
    for anchor in held.last().into_iter().chain([&head]) {
        let report = verify(&root.join("audit"), Some(*anchor)).map_err(|error| error.to_string())?;
        let lost = report.losses.iter().any(|loss| loss.from <= loss.to);
        if report.bad.is_some() || report.anchor != Some(*anchor) || lost {
            return Err(format!("{report:?}"));
        }
    }
    Ok(())
}
