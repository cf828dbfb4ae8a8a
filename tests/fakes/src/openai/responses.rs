//! The responses API, whole and streamed, with the answers kept for later.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::OpenAiOptions;
use super::chat::cut;
use super::error::Error;
use super::models::{self, Trouble};
use super::state::{State, json_body, ok};
use super::text::{Said, insisted_function, last_of_user, pieces, tokens};
use crate::record::Recorded;
use crate::reply::{Reply, sse_event};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create(request: &Recorded, state: &mut State, options: &OpenAiOptions) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let name = body.get("model").and_then(Value::as_str).ok_or_else(Error::no_model)?;
    let asked = match body.get("input") {
        None | Some(Value::Null) => return Err(Error::missing("input")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => last_of_user(items),
        Some(other) => return Err(Error::wrong_type("input", "one of an array of objects or a string", other)),
    };
    let model = models::find(name)?;
    let previous = body.get("previous_response_id").and_then(Value::as_str);
    if let Some(previous) = previous.filter(|id| state.responses.find(id).is_none()) {
        let message = format!("Previous response with id '{previous}' not found.");
        return Err(Error::invalid("previous_response_id", message));
    }
    let most = body.get("max_output_tokens").and_then(Value::as_u64);
    let said = Said::to(&asked, most, options);
    let item = match insisted_function(&body) {
        Some(function) => json!({
            "id": state.ids.hex("fc_", 48), "type": "function_call", "status": "completed", "arguments": "{}",
            "call_id": state.ids.letters("call_", 24), "name": function,
        }),
        None => message(state, &model, &said),
    };
    let response = response(&body, state, &model.full, &asked, &said, item);
    if body.get("store") != Some(&Value::Bool(false)) {
        state.asked.add(json!({"id": id_of(&response), "text": asked}));
        state.responses.add(response.clone());
    }
    if body.get("stream") != Some(&Value::Bool(true)) {
        return Ok(ok(&response));
    }
    let events = events(&response);
    Ok(match model.trouble {
        Some(Trouble::StreamCut) => cut(events, options),
        Some(Trouble::StreamError) => broken(events, options),
        _ => Reply::events(events, options.chunk_every),
    })
}

pub(super) fn retrieve(id: &str, state: &State) -> Result<Reply, Error> {
    state.responses.find(id).map(ok).ok_or_else(|| not_found(id))
}

pub(super) fn delete(id: &str, state: &mut State) -> Result<Reply, Error> {
    state.responses.remove(id).ok_or_else(|| not_found(id))?;
    state.asked.remove(id);
    Ok(ok(&json!({"id": id, "object": "response", "deleted": true})))
}

/// Answers are complete when they are made, so there is never one to cancel.
pub(super) fn cancel(id: &str, state: &State) -> Result<Reply, Error> {
    state.responses.find(id).ok_or_else(|| not_found(id))?;
    Err(Error::wrong_state("Cannot cancel a synchronous response."))
}

pub(super) fn input_items(id: &str, state: &State) -> Result<Reply, Error> {
    let response = state.responses.find(id).ok_or_else(|| not_found(id))?;
    let text = state.asked.find(id).map_or(Value::Null, |asked| asked["text"].clone());
    let item = json!({
        "id": format!("msg_{}", id_of(response).trim_start_matches("resp_")), "type": "message", "status": "completed",
        "role": "user", "content": [{"type": "input_text", "text": text}],
    });
    let first = id_of(&item).to_owned();
    Ok(ok(&json!({"object": "list", "data": [item], "first_id": first, "last_id": first, "has_more": false})))
}

fn not_found(id: &str) -> Error {
    Error::no_object("Response", id)
}

fn message(state: &mut State, model: &models::Model, said: &Said) -> Value {
    let content = match model.trouble {
        Some(Trouble::Refusal) => json!({"type": "refusal", "refusal": "I'm sorry, I can't assist with that request."}),
        _ => json!({"type": "output_text", "annotations": [], "logprobs": [], "text": said.text}),
    };
    let status = if said.cut_short { "incomplete" } else { "completed" };
    json!({"id": state.ids.hex("msg_", 48), "type": "message", "status": status, "content": [content], "role": "assistant"})
}

fn response(body: &Map<String, Value>, state: &mut State, model: &str, asked: &str, said: &Said, item: Value) -> Value {
    let given =
        |name: &str, default: Value| body.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(default);
    let (input, output) = (tokens(asked) + 4, tokens(&said.text));
    let details = if said.cut_short { json!({"reason": "max_output_tokens"}) } else { Value::Null };
    json!({
        "id": state.ids.hex("resp_", 48),
        "object": "response",
        "created_at": unix_now(),
        "status": if said.cut_short { "incomplete" } else { "completed" },
        "background": false,
        "billing": {"payer": "developer"},
        "error": null,
        "incomplete_details": details,
        "instructions": given("instructions", Value::Null),
        "max_output_tokens": given("max_output_tokens", Value::Null),
        "max_tool_calls": null,
        "model": model,
        "output": [item],
        "parallel_tool_calls": given("parallel_tool_calls", json!(true)),
        "previous_response_id": given("previous_response_id", Value::Null),
        "prompt_cache_key": null,
        "reasoning": given("reasoning", json!({"effort": null, "summary": null})),
        "safety_identifier": null,
        "service_tier": "default",
        "store": given("store", json!(true)),
        "temperature": given("temperature", json!(1.0)),
        "text": given("text", json!({"format": {"type": "text"}, "verbosity": "medium"})),
        "tool_choice": given("tool_choice", json!("auto")),
        "tools": given("tools", json!([])),
        "top_logprobs": 0,
        "top_p": given("top_p", json!(1.0)),
        "truncation": given("truncation", json!("disabled")),
        "usage": {
            "input_tokens": input, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + output,
        },
        "user": given("user", Value::Null),
        "metadata": given("metadata", json!({})),
    })
}

/// The events of a finished response, numbered.
fn events(response: &Value) -> Vec<Bytes> {
    let mut unfinished = response.clone();
    unfinished["status"] = json!("in_progress");
    unfinished["output"] = json!([]);
    unfinished["usage"] = Value::Null;
    let mut all = vec![
        ("response.created", json!({"response": unfinished})),
        ("response.in_progress", json!({"response": unfinished})),
    ];
    let item = &response["output"][0];
    all.extend(if item["type"] == "function_call" { call_events(item) } else { message_events(item) });
    let last = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    all.push((last, json!({"response": response})));
    all.into_iter().enumerate().map(|(number, (kind, fields))| event(number, kind, fields)).collect()
}

fn event(number: usize, kind: &str, fields: Value) -> Bytes {
    let mut data = json!({"type": kind, "sequence_number": number});
    if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields) {
        data.extend(fields);
    }
    sse_event(kind, &data.to_string())
}

fn call_events(item: &Value) -> Vec<(&'static str, Value)> {
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    begun["arguments"] = json!("");
    let (id, arguments) = (&item["id"], &item["arguments"]);
    vec![
        ("response.output_item.added", json!({"output_index": 0, "item": begun})),
        ("response.function_call_arguments.delta", json!({"item_id": id, "output_index": 0, "delta": arguments})),
        (
            "response.function_call_arguments.done",
            json!({"item_id": id, "output_index": 0, "name": item["name"], "arguments": arguments}),
        ),
        ("response.output_item.done", json!({"output_index": 0, "item": item})),
    ]
}

fn message_events(item: &Value) -> Vec<(&'static str, Value)> {
    let id = &item["id"];
    let content = &item["content"][0];
    let refuses = content["type"] == "refusal";
    let field = if refuses { "refusal" } else { "text" };
    let text = content[field].as_str().unwrap_or("");
    let (delta, done) = if refuses {
        ("response.refusal.delta", "response.refusal.done")
    } else {
        ("response.output_text.delta", "response.output_text.done")
    };
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    begun["content"] = json!([]);
    let mut empty = content.clone();
    empty[field] = json!("");
    let at = |more: Value| {
        let mut fields = json!({"item_id": id, "output_index": 0, "content_index": 0});
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more);
        }
        fields
    };
    let mut all = vec![
        ("response.output_item.added", json!({"output_index": 0, "item": begun})),
        ("response.content_part.added", at(json!({"part": empty}))),
    ];
    all.extend(pieces(text).into_iter().map(|piece| (delta, at(json!({"delta": piece, "logprobs": []})))));
    all.push((done, at(json!({field: text, "logprobs": []}))));
    all.push(("response.content_part.done", at(json!({"part": content}))));
    all.push(("response.output_item.done", json!({"output_index": 0, "item": item})));
    all
}

fn broken(mut events: Vec<Bytes>, options: &OpenAiOptions) -> Reply {
    events.truncate(events.len() / 2);
    let fields = json!({"code": "server_error", "message": "The server had an error while processing your request.", "param": null});
    events.push(event(events.len(), "error", fields));
    Reply::events(events, options.chunk_every)
}
