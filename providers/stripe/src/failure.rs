//! What Stripe's errors mean to a caller.

use kv_sdk::{Failure, FailureKind, Response};

/// The body of an error. Every member may be missing: proxies answer in Stripe's place at times.
#[kv_sdk::data]
#[derive(Default)]
struct Body {
    #[serde(default)]
    error: Error,
}

#[kv_sdk::data]
#[derive(Default)]
struct Error {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    charge: Option<String>,
    #[serde(default)]
    payment_intent: Option<Object>,
    #[serde(default)]
    setup_intent: Option<Object>,
}

#[kv_sdk::data]
struct Object {
    #[serde(default)]
    id: Option<String>,
}

pub(crate) fn failure(response: &Response) -> Failure {
    let Body { error } = response.json().unwrap_or_default();
    let mut failure = Failure::of_status(response, message(response.status, &error));
    failure.kind = kind(response.status, &error);
    failure.field = error.param.as_deref().map(pointer);
    failure.code = error.code.or(error.kind);
    failure
}

fn kind(status: u16, error: &Error) -> FailureKind {
    let code = error.code.as_deref().unwrap_or_default();
    match error.kind.as_deref() {
        _ if status == 401 => FailureKind::Unauthorized,
        Some("card_error") => FailureKind::Upstream,
        Some("idempotency_error") => FailureKind::Conflict,
        Some("invalid_request_error") if status == 400 && is_about_state(code) => FailureKind::Conflict,
        _ => FailureKind::of_status(status),
    }
}

/// Codes of requests that would have been fine in another state of what they are about.
fn is_about_state(code: &str) -> bool {
    code.ends_with("_unexpected_state")
        || code.contains("_already_")
        || matches!(
            code,
            "charge_disputed"
                | "charge_expired_for_capture"
                | "charge_not_refundable"
                | "invoice_no_customer_line_items"
                | "invoice_not_editable"
                | "payment_intent_action_required"
                | "payouts_not_allowed"
                | "refund_disputed_payment"
        )
}

fn message(status: u16, error: &Error) -> String {
    if status == 401 {
        // Stripe's own text quotes the key's beginning and end.
        return "stripe did not accept the key".to_owned();
    }
    let mut message = match &error.message {
        Some(text) => without_keys(text),
        None => format!("stripe answered {status} and did not say why"),
    };
    let ids = [
        ("decline code", error.decline_code.as_deref()),
        ("payment intent", error.payment_intent.as_ref().and_then(|object| object.id.as_deref())),
        ("setup intent", error.setup_intent.as_ref().and_then(|object| object.id.as_deref())),
        ("charge", error.charge.as_deref()),
    ];
    // What went wrong may have left something behind, and the caller needs its id to go on.
    let known: Vec<_> = ids.iter().filter_map(|(what, id)| id.map(|id| format!("{what} {id}"))).collect();
    if !known.is_empty() {
        message.push_str(&format!(" ({})", known.join(", ")));
    }
    message
}

/// The text without the shortened keys that Stripe puts into some messages: a part of a value is a part too many.
fn without_keys(text: &str) -> String {
    let is_key = |word: &str| {
        ["sk_", "rk_"]
            .iter()
            .any(|kind| word.contains(&format!("{kind}test_")) || word.contains(&format!("{kind}live_")))
    };
    text.split(' ').map(|word| if is_key(word) { "(the key)" } else { word }).collect::<Vec<_>>().join(" ")
}

/// `items[0][price]` is `/items/0/price`.
fn pointer(param: &str) -> String {
    param
        .split('[')
        .map(|piece| format!("/{}", piece.trim_end_matches(']').replace('~', "~0").replace('/', "~1")))
        .collect()
}

#[cfg(test)]
mod tests;
