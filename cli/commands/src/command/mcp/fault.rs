//! Errors in an agent's terms: a tool's result that says what failed, whether anything was sent, and what to ask of whom.
//!
//! A protocol error is for a message that is none. Everything that an agent can act on is a result with `isError`.

use kv_api::{ApiError, Code, Sent};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

use crate::output::inert;
use crate::problem::Problem;

pub(super) fn result(problem: Problem) -> CallToolResult {
    let error = problem.into_error();
    let mut next: Vec<String> = error.next.iter().map(|next| for_agent(next)).collect();
    if let Some(wait) = wait_for(&error) {
        next.insert(1.min(next.len()), wait);
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text(&error, &next))]);
    result.structured_content = Some(structured(&error, &next));
    result
}

/// The tool that waits for the person's answer, where one is waited for.
fn wait_for(error: &ApiError) -> Option<String> {
    let id = error.details.as_ref().filter(|_| error.code == Code::ApprovalPending)?["approval"].as_str()?;
    Some(format!("kv_wait with id `{id}` waits for the answer"))
}

/// What a problem says, as one object.
pub(super) fn structured(error: &ApiError, next: &[String]) -> Value {
    let mut object = Map::new();
    object.insert("code".to_owned(), error.code.as_str().into());
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    put("reason", error.reason.as_deref().map(Value::from));
    put("message", Some(inert(&error.message).into()));
    put("sent", Some(sent(error.sent).into()));
    put("next", (!next.is_empty()).then(|| next.into()));
    put("details", error.details.clone());
    put("retry_after_ms", error.retry_after_ms.map(Value::from));
    put("call", error.call.as_ref().map(|call| call.to_string().into()));
    Value::Object(object)
}

pub(super) fn sent(sent: Sent) -> &'static str {
    match sent {
        Sent::No => "no",
        Sent::Unknown => "unknown",
        Sent::Yes => "yes",
    }
}

/// What a problem says, as lines for a model. What was sent stands in the first: a message may go on with a piece of the
/// caller's statement and a mark under it.
pub(super) fn text(error: &ApiError, next: &[String]) -> String {
    let sent = match error.sent {
        Sent::No if error.message.contains("nothing was sent") => "",
        Sent::No => "; nothing was sent",
        Sent::Unknown => "; it is unknown whether the service acted on it",
        Sent::Yes => "; the request had been sent",
    };
    let message = inert(&error.message);
    let (first, rest) = message.split_at(message.find('\n').unwrap_or(message.len()));
    let mut text = format!("error: {first}{sent}{rest}");
    let violations = error.details.as_ref().and_then(|details| details["violations"].as_array());
    for violation in violations.into_iter().flatten().skip(1) {
        let (pointer, message) = (violation["pointer"].as_str(), violation["message"].as_str());
        text.push_str(&inert(&format!("\n  {}: {}", pointer.unwrap_or_default(), message.unwrap_or_default())));
    }
    for next in next {
        text.push_str(&format!("\nnext: {}", inert(next)));
    }
    text
}

/// A next step of the command line's in the words of somebody who has tools instead. What only a person can do is for the
/// agent to ask.
pub(super) fn for_agent(next: &str) -> String {
    let listed = next.strip_prefix("listed is: ").unwrap_or(next);
    if next.starts_with("a statement that writes: ") {
        return "a statement that writes goes through kv_sql_exec".to_owned();
    }
    if let Some(operation) = listed.strip_prefix("kv operation show ") {
        return format!("there is the operation {operation}: kv_search shows its input");
    }
    if let Some(request) = listed.strip_prefix("kv api ") {
        return match request.split_once(' ') {
            Some((connection, request)) => format!("kv_api with provider `{connection}` takes {request}"),
            None => format!("use kv_api: {request}"),
        };
    }
    if listed.starts_with("kv ") { format!("ask the person to run: {listed}") } else { listed.to_owned() }
}
