//! Batches: each look at one moves it a step on, and its lines are really answered.

use serde_json::{Value, json};

use super::OpenAiOptions;
use super::error::Error;
use super::files;
use super::routes::route;
use super::state::{State, json_body, ok, required};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::unix_now;

pub(super) fn create(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let (input, endpoint) = (required(&body, "input_file_id")?, required(&body, "endpoint")?);
    let window = required(&body, "completion_window")?;
    if window != "24h" {
        return Err(Error::invalid("completion_window", format!("Invalid value: '{window}'. Value must be '24h'.")));
    }
    if !ENDPOINTS.contains(&endpoint) {
        return Err(Error::invalid(
            "endpoint",
            format!("Invalid value: '{endpoint}'. Supported values are: {ENDPOINTS:?}"),
        ));
    }
    let file = state.files.find(input).ok_or_else(|| files::not_found(input))?;
    if file["purpose"] != "batch" {
        return Err(Error::invalid("input_file_id", "Invalid 'input_file_id': the file's purpose must be 'batch'."));
    }
    let now = unix_now();
    let batch = json!({
        "id": state.ids.hex("batch_", 32), "object": "batch", "endpoint": endpoint, "model": null, "errors": null,
        "input_file_id": input, "completion_window": window, "status": "validating", "output_file_id": null,
        "error_file_id": null, "created_at": now, "in_progress_at": null, "expires_at": now + 86_400,
        "finalizing_at": null, "completed_at": null, "failed_at": null, "expired_at": null, "cancelling_at": null,
        "cancelled_at": null, "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": body.get("metadata").cloned().unwrap_or(Value::Null),
    });
    state.batches.add(batch.clone());
    Ok(ok(&batch))
}

pub(super) fn retrieve(id: &str, state: &mut State, options: &OpenAiOptions) -> Result<Reply, Error> {
    let mut batch = state.batches.find(id).cloned().ok_or_else(|| not_found(id))?;
    let now = json!(unix_now());
    match batch["status"].as_str() {
        Some("validating") => {
            batch["status"] = json!("in_progress");
            batch["in_progress_at"] = now;
        }
        Some("in_progress") => {
            run(&mut batch, state, options)?;
            batch["status"] = json!("completed");
            batch["finalizing_at"] = now.clone();
            batch["completed_at"] = now;
        }
        Some("cancelling") => {
            batch["status"] = json!("cancelled");
            batch["cancelled_at"] = now;
        }
        _ => {}
    }
    if let Some(kept) = state.batches.find_mut(id) {
        kept.clone_from(&batch);
    }
    Ok(ok(&batch))
}

pub(super) fn cancel(id: &str, state: &mut State) -> Result<Reply, Error> {
    let batch = state.batches.find_mut(id).ok_or_else(|| not_found(id))?;
    match batch["status"].as_str() {
        Some("validating" | "in_progress") => {
            batch["status"] = json!("cancelling");
            batch["cancelling_at"] = json!(unix_now());
            Ok(ok(batch))
        }
        status => {
            let message = format!("Cannot cancel a batch with status '{}'.", status.unwrap_or(""));
            Err(Error::wrong_state(message))
        }
    }
}

fn run(batch: &mut Value, state: &mut State, options: &OpenAiOptions) -> Result<(), Error> {
    let input = batch["input_file_id"].as_str().unwrap_or("").to_owned();
    let endpoint = batch["endpoint"].as_str().unwrap_or("").to_owned();
    let lines = state.contents.get(&input).cloned().unwrap_or_default();
    let (mut output, mut completed, mut failed) = (String::new(), 0, 0);
    for line in String::from_utf8_lossy(&lines).lines().filter(|line| !line.trim().is_empty()).take(LINES) {
        let asked: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        let reply = answer(&asked, &endpoint, state, options);
        if reply.status.is_success() {
            completed += 1
        } else {
            failed += 1
        }
        let body: Value = serde_json::from_slice(&reply.body()).unwrap_or(Value::Null);
        let result = json!({
            "id": state.ids.hex("batch_req_", 32), "custom_id": asked["custom_id"],
            "response": {"status_code": reply.status.as_u16(), "request_id": state.ids.hex("", 32), "body": body},
            "error": null,
        });
        output.push_str(&result.to_string());
        output.push('\n');
    }
    let id = batch["id"].as_str().unwrap_or("");
    let file = state.add_file(&format!("{id}_output.jsonl"), "batch_output", output.into())?;
    batch["output_file_id"] = file["id"].clone();
    batch["request_counts"] = json!({"total": completed + failed, "completed": completed, "failed": failed});
    Ok(())
}

fn answer(asked: &Value, endpoint: &str, state: &mut State, options: &OpenAiOptions) -> Reply {
    if asked["url"] != endpoint {
        return Error::invalid("url", "The URL of the line is not the endpoint of the batch.").into_reply();
    }
    let request = Recorded {
        connection: 0,
        version: http::Version::HTTP_11,
        method: asked["method"].as_str().unwrap_or("").to_owned(),
        target: endpoint.to_owned(),
        headers: Vec::new(),
        body: asked["body"].to_string().into(),
        complete: true,
        raw: bytes::Bytes::new(),
    };
    route(&request, state, options).unwrap_or_else(Error::into_reply)
}

fn not_found(id: &str) -> Error {
    Error::no_object("Batch", id)
}

/// None of these is itself a batch: a line cannot start another round.
const ENDPOINTS: [&str; 4] = ["/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses"];
/// As the real service allows.
const LINES: usize = 50_000;
