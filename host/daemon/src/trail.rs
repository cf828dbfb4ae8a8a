//! The trail: read, followed, verified.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt, stream};
use kv_api::home::Home;
use kv_api::{AuditQuery, Code, VerifyReport};
use kv_audit::{Entries, Filter, Head, Loss, Note, Open, Report};
use kv_model::{ConnectionName, NameError, OperationName, PrincipalName};
use kv_vault::DocumentKind;
use serde_json::Value;
use tokio::sync::watch;

use crate::answer::{self, Answered};
use crate::connections::blocking;
use crate::fault::Fault;
use crate::gate::Session;
use crate::route::parameters;
use crate::shared::Shared;

/// Entries as NDJSON, oldest first.
pub(crate) async fn read(shared: &Arc<Shared>, query: Option<&str>) -> Result<Answered, Fault> {
    let query = parse(query)?;
    let filter = Filter {
        from_seq: query.after.map_or(0, |after| after.saturating_add(1)),
        since_ms: query.since_ms,
        agent: name(query.agent, PrincipalName::parse)?,
        connection: name(query.connection, ConnectionName::parse)?,
        operation: name(query.operation, OperationName::parse)?,
        ..Filter::default()
    };
    let mut newest = shared.audit.subscribe();
    newest.mark_unchanged();
    let last = query.last.map(|last| u64::try_from(last).unwrap_or(u64::MAX));
    let past = Reading::begin(&shared.home, filter.clone(), Start::Whole { last }).await?;
    if !query.follow {
        return Ok(answer::lines(batches(past).flat_map(stream::iter)));
    }
    let following = Following { home: shared.home.clone(), filter, newest, reading: past };
    Ok(answer::lines(unfold(following, Following::next).flat_map(stream::iter)))
}

/// As many entries as are in memory at once for one reader.
const BATCH: usize = 256;

/// Entries on their way to a reader. Read a batch at a time, on threads that may wait for the disk, and held by none of
/// them while the reader rests.
struct Reading(Entries);

enum Start {
    /// From what is there: all of it, or the newest.
    Whole { last: Option<u64> },
    /// After an earlier reading.
    After(Open),
}

impl Reading {
    async fn begin(home: &Home, filter: Filter, start: Start) -> Result<Self, Fault> {
        let directory = home.audit();
        let begin = move || match start {
            Start::Whole { last } => kv_audit::read_whole(&directory, filter, last),
            Start::After(open) => kv_audit::read_on(&directory, filter, open),
        };
        blocking(move || begin().map(Self).map_err(unreadable)).await
    }

    /// The next lines, none at the end.
    async fn batch(mut self) -> Result<(Vec<Bytes>, Self), Fault> {
        blocking(move || {
            let mut lines = Vec::new();
            for entry in self.0.by_ref().take(BATCH) {
                let mut line = entry.map_err(unreadable)?.line();
                line.push('\n');
                lines.push(Bytes::from(line));
            }
            Ok((lines, self))
        })
        .await
    }
}

/// A log that cannot be read any more ends the stream; the next question says why.
fn batches(reading: Reading) -> impl Stream<Item = Vec<Bytes>> {
    unfold(reading, |reading| async {
        let (lines, reading) = reading.batch().await.ok()?;
        (!lines.is_empty()).then_some((lines, reading))
    })
}

/// What is there, and then what comes.
struct Following {
    home: Home,
    filter: Filter,
    newest: watch::Receiver<u64>,
    reading: Reading,
}

impl Following {
    async fn next(mut self) -> Option<(Vec<Bytes>, Self)> {
        loop {
            let (lines, reading) = self.reading.batch().await.ok()?;
            if !lines.is_empty() {
                return Some((lines, Self { reading, ..self }));
            }
            let (seen, open) = reading.0.into_rest();
            self.newest.changed().await.ok()?;
            self.filter.from_seq = seen.saturating_add(1);
            self.reading = Reading::begin(&self.home, self.filter.clone(), Start::After(open)).await.ok()?;
        }
    }
}

fn parse(query: Option<&str>) -> Result<AuditQuery, Fault> {
    let mut map = parameters(query)?;
    for (name, value) in &mut map {
        let Value::String(text) = value else { continue };
        let number = matches!(name.as_str(), "since_ms" | "after" | "last");
        if let (true, Ok(parsed)) = (number, text.parse::<u64>()) {
            *value = parsed.into();
        } else if name == "follow" {
            *value = Value::Bool(text == "true");
        }
    }
    serde_json::from_value(Value::Object(map))
        .map_err(|error| Fault::usage(format!("the filter is not understood: {error}")))
}

/// Checks the whole chain, and that it holds the head that the vault knows.
pub(crate) async fn verify(shared: &Arc<Shared>) -> Result<Answered, Fault> {
    let anchor = match shared.gate.session() {
        Ok(session) => anchor(&session)?,
        Err(_) => None,
    };
    let directory = shared.home.audit();
    shared.audit.flush().await.map_err(Fault::audit)?;
    let report = blocking(move || kv_audit::verify(&directory, anchor).map_err(unreadable)).await?;
    if !is_intact(&report) {
        return Err(Fault::new(Code::Integrity, format!("the trail is not intact: {}", what_is_wrong(&report)))
            .reason("audit.broken"));
    }
    answer::json(&VerifyReport {
        entries: report.entries,
        segments: report.segments.into(),
        head_seq: report.head.map_or(0, |head| head.seq),
        head_hash: report.head.map_or_else(String::new, |head| head.hash.to_string()),
        anchored_seq: report.anchor.map(|head| head.seq),
        notes: report.notes.iter().map(noted).chain(report.losses.iter().map(given_up)).collect(),
    })
}

/// Nothing is wrong and no entry is missing. Where a full disk tore a line, its entry was never acknowledged: it is named
/// as a loss of none.
pub(crate) fn is_intact(report: &Report) -> bool {
    report.bad.is_none() && report.losses.iter().all(|loss| loss.from > loss.to)
}

fn given_up(loss: &Loss) -> String {
    format!(
        "a write failed before segment {}; the torn line behind entry {} was given up, and none is missing",
        loss.segment, loss.to
    )
}

/// The first thing that is wrong, in words.
pub(crate) fn what_is_wrong(report: &Report) -> String {
    match (&report.bad, report.losses.iter().find(|loss| loss.from <= loss.to)) {
        (Some(bad), _) => bad.to_string(),
        (None, Some(loss)) => {
            format!("entries {} to {} were lost when segment {} was given up", loss.from, loss.to, loss.segment)
        }
        (None, None) => "nothing".to_owned(),
    }
}

fn noted(note: &Note) -> String {
    match note {
        Note::ClockBack { seq, by_ms } => format!("before entry {seq} the clock went back by {by_ms} ms"),
        Note::StrayOutcome { seq, intent } => format!("the outcome {seq} belongs to no open intent ({intent})"),
        Note::TimeDecreases { seq } => format!("the time of entry {seq} is before that of the entry before"),
        Note::TornEnd { segment, bytes } => format!("segment {segment} ends in a torn line of {bytes} bytes"),
        Note::Repaired { seq, bytes } => format!("entry {seq}: the daemon removed a torn end of {bytes} bytes"),
    }
}

/// At unlock: the trail must still hold the entry that the vault saw last.
pub(crate) fn check_anchor(shared: &Shared, session: &Session) -> Result<(), Fault> {
    let Some(anchor) = anchor(session)? else { return Ok(()) };
    let head = shared.audit.head();
    if head.seq < anchor.seq {
        // No reason to keep the person from their vault. `kv audit verify` and `kv doctor` tell the rest.
        tracing::warn!(anchor = anchor.seq, head = head.seq, "the trail is shorter than the vault remembers");
    }
    Ok(())
}

fn anchor(session: &Session) -> Result<Option<Head>, Fault> {
    let bytes = session.vault.document(DocumentKind::AuditHead, "head").map_err(Fault::damaged)?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(Fault::broken)).transpose()
}

fn name<T>(text: Option<String>, parse: fn(&str) -> Result<T, NameError>) -> Result<Option<T>, Fault> {
    text.map(|text| parse(&text).map_err(|error| Fault::usage(error.to_string()))).transpose()
}

fn unreadable(error: kv_audit::ReadError) -> Fault {
    Fault::new(Code::Integrity, format!("the trail cannot be read: {error}")).next("kv audit verify")
}
