//! The trail: how fast it takes entries, beside a plain file that is appended to and synced in the same run.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use kv_audit::{AuditLog, Options, Outcome, Sent, verify};
use kv_model::{
    CallId, Connection, Digest, Effect, HttpRequest, Manifest, OperationName, Origin, Principal, RawRequest, Request,
    Suggestion,
};
use kv_policy::{Decision, Permit, Question, decide};

use crate::Result;

/// As many calls as the unsynced measurement and the verifier get: twice as many entries.
const CALLS: u32 = 200_000;
/// As long as each durable measurement runs.
const TIME: Duration = Duration::from_secs(2);
/// About what an intent takes.
const LINE: [u8; 800] = [b'x'; 800];

const MANIFEST: &str = r#"{
    "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http", "origins": ["https://api.acme.dev"],
    "endpoints": [{"method": "POST", "path": "/v1/things/{id}", "operation": "things.change"}],
    "operations": [{"name": "things.change", "effect": "read", "suggest": "allow"}]
}"#;

pub(crate) async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    println!("\naudit: appends, with their ratio to a plain file that is written and synced in the same run");
    appends(&folder.path().join("reads")).await?;
    let plain = synced(&folder.path().join("plain"))?;
    println!("  {:<34} {plain:>9.0}/s", "plain file, write and fdatasync");
    for callers in [1, 16, 64] {
        let (rate, mut times) = durable(&folder.path().join(format!("durable-{callers}")), callers).await?;
        times.sort();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e6;
        println!(
            "  {:<34} {rate:>9.0}/s   {:.2}x   p50 {:.0} us, p99 {:.0} us",
            format!("durable intents, {callers} caller(s)"),
            rate / plain,
            at(50),
            at(99)
        );
    }
    Ok(())
}

/// Intents of reads with their outcomes, one after the other; then the chain is opened and verified.
async fn appends(dir: &Path) -> Result<()> {
    let (log, _) = AuditLog::open(dir, Options::default(), 1)?;
    let (mut intents, mut outcomes) = (Duration::ZERO, Duration::ZERO);
    for call in 0..CALLS {
        let permit = permit(Effect::Read)?;
        let begun = Instant::now();
        let (recorded, pending) = log.record_intent(permit, call.into()).await?;
        let middle = Instant::now();
        log.record_outcome(pending, outcome(), call.into())?;
        outcomes += middle.elapsed();
        intents += middle - begun;
        drop(recorded);
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(CALLS);
    let rate = f64::from(CALLS) * 2.0 / (intents + outcomes).as_secs_f64();
    println!(
        "  {:<34} {rate:>9.0}/s   intent {:.2} us, outcome {:.2} us",
        "reads, synced in groups",
        each(intents),
        each(outcomes)
    );
    log.flush().await?;
    let head = log.head();
    drop(log);
    let begun = Instant::now();
    let (log, opened) = AuditLog::open(dir, Options::default(), 1)?;
    let open = begun.elapsed();
    drop(log);
    let begun = Instant::now();
    let report = verify(dir, Some(head))?;
    if !report.is_intact() {
        return Err(format!("the trail does not verify: {report:?}").into());
    }
    println!(
        "  {} entries: opened in {:.1} ms, verified in {:.2} s",
        opened.head.seq,
        open.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What the disk itself gives: lines of an intent's length, each synced.
fn synced(path: &Path) -> Result<f64> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let (begun, mut lines) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME {
        file.write_all(&LINE)?;
        file.sync_data()?;
        lines += 1;
    }
    Ok(f64::from(lines) / begun.elapsed().as_secs_f64())
}

/// Intents of writes, from so many callers at once.
async fn durable(dir: &Path, callers: usize) -> Result<(f64, Vec<Duration>)> {
    let (log, _) = AuditLog::open(dir, Options::default(), 1)?;
    let log = Rc::new(log);
    let begun = Instant::now();
    let callers = (0..callers).map(|_| {
        let log = Rc::clone(&log);
        async move {
            let mut times = Vec::new();
            while begun.elapsed() < TIME {
                let permit = permit(Effect::Write)?;
                let asked = Instant::now();
                let (recorded, pending) = log.record_intent(permit, 1).await?;
                times.push(asked.elapsed());
                drop(recorded);
                log.record_outcome(pending, outcome(), 1)?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        }
    });
    let times: Vec<_> = futures_util::future::try_join_all(callers).await?.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs_f64();
    Ok((f64::from(u32::try_from(times.len())?) / seconds, times))
}

/// Made the only way there is: by asking.
fn permit(effect: Effect) -> Result<Permit> {
    static PARSED: LazyLock<Option<(Manifest, Arc<Connection>)>> = LazyLock::new(|| {
        let manifest = Manifest::parse(MANIFEST.as_bytes()).ok()?;
        let accepted = manifest.operations.keys().map(|name| (name.clone(), Suggestion::Allow)).collect();
        let connection = Connection {
            name: "acme".parse().ok()?,
            provider: "acme".parse().ok()?,
            provider_digest: Digest::ZERO,
            origin: Origin::parse("https://api.acme.dev").ok()?,
            allow_private: false,
            ca: None,
            settings: Default::default(),
            bindings: Default::default(),
            accepted,
            effects: Default::default(),
            created_ms: 0,
        };
        Some((manifest, Arc::new(connection)))
    });
    let (manifest, connection) = PARSED.as_ref().ok_or("the bench's own manifest does not parse")?;
    let call = CallId::from_bytes([7; 16]);
    let raw = RawRequest { method: "POST".to_owned(), path: "/v1/things/thing_1".to_owned(), ..Default::default() };
    let question = Question {
        principal: Principal::Agent { name: "bench".parse()?, uid: 1000 },
        call,
        step: 0,
        connection: Arc::clone(connection),
        asked: OperationName::parse("things.change")?,
        declared: Effect::Grant,
        effect,
        most: Effect::Grant,
        summary: "change a thing of the customer".to_owned(),
        request: Request::Http(HttpRequest::from_caller(raw, manifest, call, &[])?),
    };
    match decide(question) {
        Decision::Allow(permit) => Ok(permit),
        other => Err(format!("{other:?}").into()),
    }
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
