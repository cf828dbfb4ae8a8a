//! The trail: read, followed, verified.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{StreamExt, stream};
use kv_api::{AuditQuery, Code, VerifyReport};
use kv_audit::{Filter, Head, Loss, Note, Report};
use kv_model::{ConnectionName, NameError, OperationName, PrincipalName};
use kv_vault::DocumentKind;
use serde_json::Value;

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
    let head = *newest.borrow();
    let (mut lines, seen) = entries(shared, filter.clone()).await?;
    let seen = seen.max(head);
    if let Some(last) = query.last {
        lines.drain(..lines.len().saturating_sub(last));
    }
    let past = stream::iter(lines);
    if !query.follow {
        return Ok(answer::lines(past));
    }
    let state = (Arc::clone(shared), filter, newest, seen);
    let coming = unfold(state, |(shared, mut filter, mut newest, seen)| async move {
        newest.changed().await.ok()?;
        filter.from_seq = seen.saturating_add(1);
        // A log that cannot be read ends the stream; the next question says why.
        let head = *newest.borrow_and_update();
        let (lines, last) = entries(&shared, filter.clone()).await.ok()?;
        let seen = last.max(head);
        Some((stream::iter(lines), (shared, filter, newest, seen)))
    });
    Ok(answer::lines(past.chain(coming.flatten())))
}

/// The entries that fit, as lines, and the number of the last one. Read on a thread that may wait for the disk.
async fn entries(shared: &Shared, filter: Filter) -> Result<(Vec<Bytes>, u64), Fault> {
    let directory = shared.home.audit();
    blocking(move || {
        let mut seen = filter.from_seq.saturating_sub(1);
        let mut lines = Vec::new();
        for entry in kv_audit::read(&directory, filter).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            seen = seen.max(entry.seq);
            let mut line = entry.line();
            line.push('\n');
            lines.push(Bytes::from(line));
        }
        Ok((lines, seen))
    })
    .await
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
