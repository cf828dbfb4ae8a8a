use kv_sdk::{Payload, Value, json};

use super::*;

fn of(status: u16, error: Value) -> Failure {
    failure(&Response::new(status, Vec::new(), Payload::Text(json!({ "error": error }).to_string())))
}

#[test]
fn a_declined_card_says_why_and_what_is_left() {
    let told = of(
        402,
        json!({
            "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "param": "payment_method",
            "message": "Your card has insufficient funds.", "charge": "ch_1", "payment_intent": { "id": "pi_1", "amount": 1 },
        }),
    );
    assert_eq!(told.kind, FailureKind::Upstream);
    assert_eq!(told.code.as_deref(), Some("card_declined"));
    assert_eq!(told.field.as_deref(), Some("/payment_method"));
    assert_eq!(
        told.message,
        "Your card has insufficient funds. (decline code insufficient_funds, payment intent pi_1, charge ch_1)"
    );
}

#[test]
fn kinds() {
    let invalid = |code: &str| json!({ "type": "invalid_request_error", "code": code, "message": "m" });
    for (status, error, kind) in [
        (400, invalid("parameter_unknown"), FailureKind::InvalidInput),
        (400, invalid("payment_intent_unexpected_state"), FailureKind::Conflict),
        (400, invalid("charge_already_refunded"), FailureKind::Conflict),
        (400, json!({ "type": "idempotency_error", "message": "m" }), FailureKind::Conflict),
        (400, json!({ "type": "api_error" }), FailureKind::InvalidInput),
        (401, json!({ "type": "invalid_request_error" }), FailureKind::Unauthorized),
        (402, json!({ "type": "invalid_request_error" }), FailureKind::Upstream),
        (403, json!({ "type": "invalid_request_error" }), FailureKind::Forbidden),
        (404, invalid("resource_missing"), FailureKind::NotFound),
        (409, json!({ "type": "api_error", "code": "lock_timeout" }), FailureKind::Conflict),
        (424, json!({ "type": "api_error" }), FailureKind::Upstream),
        (429, invalid("rate_limit"), FailureKind::RateLimited),
        (500, json!({ "type": "api_error" }), FailureKind::Unavailable),
    ] {
        assert_eq!(of(status, error.clone()).kind, kind, "{status} {error}");
    }
}

#[test]
fn a_parameter_becomes_a_pointer() {
    assert_eq!(pointer("amount"), "/amount");
    assert_eq!(pointer("items[0][price]"), "/items/0/price");
    assert_eq!(pointer("metadata[a/b]"), "/metadata/a~1b");
}

#[test]
fn no_part_of_a_key_is_told() {
    let told =
        of(401, json!({ "type": "invalid_request_error", "message": "Invalid API Key provided: sk_test_****abcd" }));
    assert!(!told.message.contains("abcd"), "{}", told.message);
    let message = "The provided key 'rk_live_********wxyz' does not have the permission 'rak_charge_read'.";
    let told = of(403, json!({ "type": "invalid_request_error", "message": message }));
    assert_eq!(told.message, "The provided key (the key) does not have the permission 'rak_charge_read'.");
}

#[test]
fn an_answer_that_is_not_stripes_is_told_by_its_status() {
    let response =
        Response::new(502, vec![("retry-after".into(), "3".into())], Payload::Text("<html>Bad gateway".into()));
    let told = failure(&response);
    assert_eq!((told.kind, told.retry_after_ms), (FailureKind::Unavailable, Some(3000)));
    assert_eq!(told.message, "stripe answered 502 and did not say why");
}
