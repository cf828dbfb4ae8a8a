//! `kv audit` and `kv audit verify`

use kv_api::{AuditQuery, VerifyReport};
use serde_json::Value;

use super::Context;
use crate::arguments::{Audit, AuditVerb};
use crate::client::Request;
use crate::output::{inert, print, print_json};
use crate::problem::Problem;
use crate::time::{now_ms, stamp};

pub(super) async fn run(context: &Context, arguments: Audit) -> Result<(), Problem> {
    let mut client = context.person().await?;
    if let Some(AuditVerb::Verify) = arguments.verb {
        let report: VerifyReport = client.ask(Request::post("/v1/audit/verify", &Value::Null)?).await?;
        return context.output.show(&report, verified);
    }
    let query = AuditQuery {
        since_ms: arguments
            .since
            .map(|since| now_ms().saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))),
        agent: arguments.agent,
        connection: arguments.connection,
        operation: arguments.operation,
        call: arguments.call,
        after: None,
        last: arguments.last,
        follow: arguments.follow,
    };
    let mut answer = client.send(Request::get(format!("/v1/audit?{}", encode(&query)?))).await?;
    let mut pending = Vec::new();
    while let Some(chunk) = answer.next().await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if context.output.json { print_json(text)? } else { print(&entry(text)?)? }
        }
    }
    Ok(())
}

fn encode(query: &AuditQuery) -> Result<String, Problem> {
    let value = serde_json::to_value(query).map_err(|error| Problem::failed(error.to_string()))?;
    let pairs = value.as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    });
    Ok(kv_model::encode_form(&pairs.collect::<Vec<_>>()))
}

/// One entry on one line.
fn entry(json: &str) -> Result<String, Problem> {
    let entry: Value =
        serde_json::from_str(json).map_err(|error| Problem::failed(format!("an entry is not understood: {error}")))?;
    let text = |name: &str| match &entry[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line =
        format!("{:>6}  {}  {:<18}", text("seq"), stamp(entry["time_ms"].as_u64().unwrap_or_default()), text("kind"));
    for (name, value) in entry.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "seq" | "time_ms" | "kind" | "hash" | "prev" | "v" | "request" | "digest")
            || value.is_null()
        {
            continue;
        }
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push_str(&format!(" {name}={shown}"));
    }
    Ok(inert(&line))
}

fn verified(report: &VerifyReport) -> String {
    let mut text = format!(
        "intact     {} entries in {} segments, up to {}\nhead       {}\n",
        report.entries, report.segments, report.head_seq, report.head_hash
    );
    match report.anchored_seq {
        Some(seq) => text.push_str(&format!("anchor     the vault knows entry {seq}, and the chain holds it\n")),
        None => text.push_str(
            "anchor     none: the vault is locked or has seen no entry, so a cut tail would not be noticed\n",
        ),
    }
    for note in &report.notes {
        text.push_str(&format!("note       {}\n", inert(note)));
    }
    text
}
