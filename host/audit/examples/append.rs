//! How fast the log is: `cargo run -p kv-audit --example append [FOLDER]`. The folder should be on the disk that counts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kv_audit::{AuditLog, Options, Outcome, Sent, verify};
use kv_model::Effect;

#[path = "../src/tests/calls.rs"]
mod calls;

/// As many entries as the read measurement and the verifier get.
const ENTRIES: u64 = 1_000_000;
/// As long as the durable measurements run.
const TIME: Duration = Duration::from_secs(2);

fn main() {
    let folder = match std::env::args().nth(1) {
        Some(path) => tempfile::tempdir_in(path),
        None => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(reads(&folder.path().join("reads")));
    for callers in [1, 64] {
        let set = tokio::task::LocalSet::new();
        runtime.block_on(set.run_until(durable(&folder.path().join(format!("durable-{callers}")), callers)));
    }
}

/// Intents of reads and their outcomes, one after the other; then the chain is verified.
async fn reads(dir: &Path) {
    let (log, _) = AuditLog::open(dir, Options::default(), 1).unwrap();
    let mut intents = Duration::ZERO;
    let mut outcomes = Duration::ZERO;
    for call in 0..ENTRIES / 2 {
        let permit = calls::permit(Effect::Read, "list the things of the customer");
        let begin = Instant::now();
        let (recorded, pending) = log.record_intent(permit, call).await.unwrap();
        let middle = Instant::now();
        log.record_outcome(pending, outcome(), call).unwrap();
        outcomes += middle.elapsed();
        intents += middle - begin;
        drop(recorded);
    }
    let each = |time: Duration| time.as_nanos() as f64 / (ENTRIES / 2) as f64 / 1000.0;
    println!("read intent {:.2} us, outcome {:.2} us ({} entries)", each(intents), each(outcomes), ENTRIES);
    log.flush().await.unwrap();
    let head = log.head();
    drop(log);
    let begin = Instant::now();
    let (_log, opened) = AuditLog::open(dir, Options::default(), 1).unwrap();
    println!("open with {} entries {:.2} ms", opened.head.seq, begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let report = verify(dir, Some(head)).unwrap();
    let time = begin.elapsed().as_secs_f64();
    assert!(report.is_intact(), "{report:?}");
    println!(
        "verify {} entries in {} segments {time:.2} s: 10^7 in {:.0} s",
        report.entries,
        report.segments,
        time * 1e7 / report.entries as f64
    );
}

/// Intents of writes, from so many callers at once.
async fn durable(dir: &Path, callers: u64) {
    let (log, _) = AuditLog::open(dir, Options::default(), 1).unwrap();
    let (log, done) = (Arc::new(log), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (log, done) = (Arc::clone(&log), Arc::clone(&done));
            tokio::task::spawn_local(async move {
                while begin.elapsed() < TIME {
                    let permit = calls::permit(Effect::Write, "change a thing");
                    let (_recorded, pending) = log.record_intent(permit, 1).await.unwrap();
                    drop(pending);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (done, time) = (done.load(Ordering::Relaxed) as f64, begin.elapsed().as_secs_f64());
    println!("durable intents, {callers} callers: {:.0}/s, {:.1} us each", done / time, time * 1e6 / done);
}

fn outcome() -> Outcome {
    Outcome {
        sent: Sent::Yes,
        status: Some(200),
        bytes_in: 1024,
        bytes_out: 512,
        duration_us: 90_000,
        redactions: 0,
        error_code: None,
    }
}
