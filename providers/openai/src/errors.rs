//! What the service's refusals mean to the caller.
//!
//! Begin with [`explain`]. Two things never happen here. A refusal of the key is never retold in the service's words: it
//! repeats the beginning and the end of the key, and the host removes whole keys only. And nothing that is no error
//! document of the service, such as a gateway's HTML page, is passed on.

use kv_sdk::{Failure, FailureKind, Response, Value, serde_json};

#[kv_sdk::data]
#[derive(Default)]
struct Document {
    #[serde(default)]
    error: Refusal,
}

/// The service's error document. Every member may be missing or null.
#[kv_sdk::data]
#[derive(Default)]
struct Refusal {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    param: Option<String>,
    /// Some gateways before the service send a number.
    #[serde(default)]
    code: Option<Value>,
}

/// As much of the service's message as is passed on. Its longest known ones quote a schema violation, in some 400.
const MAX_MESSAGE: usize = 500;
/// As long as a code or a parameter's name is taken for one.
const MAX_NAME: usize = 200;
/// As long as a wait is believed. The longest that the service asks for is a day, for limits that count by the day.
const MAX_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// The failure behind an answer that is no success.
pub fn explain(response: &Response) -> Failure {
    let refusal = refusal(response);
    let code = refusal.code();
    let request = request_id(response);
    let said = |what: &str| match refusal.said() {
        Some(said) => format!("{what}: {said}{request}"),
        None => format!("{what} (status {}){request}", response.status),
    };
    let (kind, message, field) = match response.status {
        _ if is_out_of_funds(&code) => (FailureKind::Upstream, format!("{OUT_OF_FUNDS}{request}"), None),
        401 => (FailureKind::Unauthorized, format!("{}{request}", unauthorized(&code)), None),
        403 => (FailureKind::Forbidden, said("the key does not reach so far"), model(&code)),
        404 => (FailureKind::NotFound, said("not found"), model(&code)),
        // The method and the path are ours, not the caller's.
        405 => (FailureKind::Internal, said("the service does not take this method here"), None),
        409 => (FailureKind::Conflict, said("the state of the object does not allow it"), refusal.pointer()),
        413 => (FailureKind::InvalidInput, said("the request is too large for the service"), None),
        400 | 422 => (FailureKind::InvalidInput, said("the service did not take the input"), refusal.pointer()),
        429 => (FailureKind::RateLimited, said("too many calls for now"), None),
        408 | 500..=599 => (FailureKind::Unavailable, said("the service cannot answer now"), None),
        _ => (FailureKind::Upstream, said("the service refused"), None),
    };
    let waits = matches!(kind, FailureKind::RateLimited | FailureKind::Unavailable);
    Failure { kind, message, field, code, retry_after_ms: if waits { retry_after_ms(response) } else { None } }
}

/// The service sends this with the status of a rate limit, but waiting does not help.
const OUT_OF_FUNDS: &str =
    "the account has no quota left; waiting does not help: its owner has to add credit or raise the limit";

fn is_out_of_funds(code: &Option<String>) -> bool {
    matches!(
        code.as_deref(),
        Some("insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "insufficient_funds")
    )
}

/// Ours, by code: see the top of this file.
fn unauthorized(code: &Option<String>) -> &'static str {
    match code.as_deref() {
        Some("invalid_api_key") => "the service does not know the key: it is wrong, or was deleted",
        Some("invalid_organization" | "mismatched_organization") => {
            "the service does not know the connection's organization, or the key is not one of its keys"
        }
        Some("invalid_project" | "mismatched_project") => {
            "the service does not know the connection's project, or the key is not one of its keys"
        }
        Some("account_deactivated" | "deactivated_workspace") => "the account behind the key was closed",
        Some("ip_not_authorized") => "the account does not take calls from this address",
        _ => "the service did not take the key",
    }
}

/// Where the model is, if that is what there is none of. Everywhere in this API it is the input's `model`.
fn model(code: &Option<String>) -> Option<String> {
    (code.as_deref() == Some("model_not_found")).then(|| "/model".to_owned())
}

/// For operations on one object: a "not found" that says no more is about the id that the path had.
///
/// The service's own word for the place, `id`, is none of the input's.
pub fn about(pointer: &'static str) -> impl FnOnce(Failure) -> Failure {
    move |failure| {
        if failure.kind == FailureKind::NotFound && failure.field.is_none() { failure.at(pointer) } else { failure }
    }
}

impl Refusal {
    /// The more exact of the service's two names for what went wrong.
    fn code(&self) -> Option<String> {
        let code = match &self.code {
            Some(Value::String(code)) => Some(code.as_str()),
            _ => None,
        };
        code.into_iter().chain(self.kind.as_deref()).find(|name| is_name(name)).map(str::to_owned)
    }

    /// The parameter as a JSON pointer into the input: `messages[0].content` becomes `/messages/0/content`.
    fn pointer(&self) -> Option<String> {
        let param =
            self.param.as_deref().filter(|param| param.len() <= MAX_NAME && !param.contains(char::is_control))?;
        let param = param.strip_prefix('$').unwrap_or(param);
        let steps = param.split(['.', '[', ']']).map(|step| step.trim_matches(['\'', '"']));
        let pointer = steps.filter(|step| !step.is_empty()).fold(String::new(), |mut pointer, step| {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
            pointer
        });
        (!pointer.is_empty()).then_some(pointer)
    }

    /// The service's words, cut, on one line, and without anything that looks like a part of a key.
    fn said(&self) -> Option<String> {
        let message = self.message.as_deref()?;
        let words: Vec<&str> =
            message.split_whitespace().map(|word| if is_like_a_key(word) { "[key]" } else { word }).collect();
        let mut said: String = words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
        said.truncate(said.trim_end_matches('.').len());
        (!said.is_empty()).then_some(said)
    }
}

/// Every key of the service begins so, and the masked form of one still does.
fn is_like_a_key(word: &str) -> bool {
    word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).starts_with("sk-")
        || word.contains("***")
        || word.contains("=sk-")
        || word.contains(":sk-")
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !name.starts_with("sk-")
}

fn refusal(response: &Response) -> Refusal {
    let document = response.text().and_then(|text| serde_json::from_str::<Document>(text).ok());
    document.unwrap_or_default().error
}

/// What the service's support asks for.
fn request_id(response: &Response) -> String {
    match response.header("x-request-id").filter(|id| is_name(id)) {
        Some(id) => format!(" (request {id})"),
        None => String::new(),
    }
}

/// How long the service wants to be left alone: its own header in milliseconds, the usual one in seconds, or the latest
/// moment at which one of its limits starts anew.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let number = |name: &str, unit: f64| {
        let value: f64 = response.header(name)?.trim().parse().ok()?;
        // Negative and endless waits are no waits; the cast saturates.
        (value.is_finite() && value >= 0.0).then(|| (value * unit).ceil() as u64)
    };
    let resets = || {
        let names = ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"];
        names.into_iter().filter_map(|name| span_ms(response.header(name)?)).max()
    };
    let wait = number("retry-after-ms", 1.0).or_else(|| number("retry-after", 1000.0)).or_else(resets)?;
    Some(wait.min(MAX_WAIT_MS))
}

/// A span as the service writes it: `120ms`, `1s`, `6m0s`, `1h2m3.5s`.
fn span_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit_ms;
        rest = after;
    }
    Some(total.ceil() as u64)
}

#[cfg(test)]
mod tests;
