use kv_sdk::{Payload, json};

use super::*;

fn answer(status: u16, headers: &[(&str, &str)], body: Value) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Response::new(status, headers, Payload::Text(body.to_string()))
}

fn error(status: u16, message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Failure {
    explain(&answer(status, &[], json!({"error": {"message": message, "type": kind, "param": param, "code": code}})))
}

#[test]
fn a_kind_for_each_status() {
    use FailureKind::*;
    for (status, kind) in [
        (302, Upstream),
        (400, InvalidInput),
        (401, Unauthorized),
        (402, Upstream),
        (403, Forbidden),
        (404, NotFound),
        (405, Internal),
        (408, Unavailable),
        (409, Conflict),
        (413, InvalidInput),
        (418, Upstream),
        (422, InvalidInput),
        (429, RateLimited),
        (500, Unavailable),
        (503, Unavailable),
        (529, Unavailable),
    ] {
        let failure = error(status, "Why it is so.", "invalid_request_error", None, None);
        assert_eq!(failure.kind, kind, "{status}");
        assert_eq!(failure.code.as_deref(), Some("invalid_request_error"), "{status}");
        assert!(!failure.message.ends_with('.'), "{}", failure.message);
        assert_eq!(failure.message.contains("Why it is so"), status != 401, "{}", failure.message);
    }
}

/// What the service says of a wrong key shows its ends; the host, which removes whole keys, does not see that.
#[test]
fn a_refused_key_is_never_shown() {
    let masked = "sk-proj-********************************4kQz";
    let failure = error(
        401,
        &format!("Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com."),
        "invalid_request_error",
        None,
        Some("invalid_api_key"),
    );
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert_eq!(failure.message, "the service does not know the key: it is wrong, or was deleted");
    for status in [400, 403, 404, 409, 429, 500] {
        for shown in [masked, "sk-ab", "(sk-ab)", "'sk-ab'", "key=sk-ab", "key:sk-ab", "abc***xyz"] {
            let failure = error(status, &format!("No {shown} here"), "x", None, None);
            assert!(failure.message.contains("No [key] here"), "{}", failure.message);
        }
    }
    let failure = error(400, "no", "sk-proj-x", Some("model"), Some("sk-proj-x"));
    assert_eq!(failure.code, None);
}

#[test]
fn other_refusals_of_the_credential_have_their_own_words() {
    for (code, word) in [
        ("invalid_organization", "organization"),
        ("mismatched_project", "project"),
        ("account_deactivated", "closed"),
        ("ip_not_authorized", "address"),
        ("something_new", "did not take the key"),
    ] {
        let failure = error(401, "x", "invalid_request_error", None, Some(code));
        assert!(failure.message.contains(word), "{}", failure.message);
        assert_eq!(failure.code.as_deref(), Some(code));
    }
}

#[test]
fn a_parameter_becomes_a_pointer() {
    for (param, pointer) in [
        ("model", Some("/model")),
        ("messages[0].content", Some("/messages/0/content")),
        ("messages.[0].content", Some("/messages/0/content")),
        ("messages[2].content[1].image_url", Some("/messages/2/content/1/image_url")),
        ("tools[0]['a/b~c']", Some("/tools/0/a~1b~0c")),
        ("$.input", Some("/input")),
        ("", None),
        ("[].", None),
        ("a\nb", None),
    ] {
        let failure = error(400, "x", "invalid_request_error", Some(param), Some("invalid_type"));
        assert_eq!(failure.field.as_deref(), pointer, "{param}");
        assert_eq!(failure.code.as_deref(), Some("invalid_type"));
    }
    assert_eq!(error(400, "x", "y", Some(&"a".repeat(300)), None).field, None);
    // It says nothing about where, when it is not about the input.
    assert_eq!(error(404, "x", "invalid_request_error", Some("id"), None).field, None);
}

#[test]
fn an_unknown_model_is_a_field_of_the_input() {
    let message = "The model `gpt-9` does not exist or you do not have access to it.";
    for status in [403, 404] {
        let failure = error(status, message, "invalid_request_error", None, Some("model_not_found"));
        assert_eq!(failure.field.as_deref(), Some("/model"));
        assert!(failure.message.contains("gpt-9"));
    }
    let unknown = error(404, "No such File object: f", "invalid_request_error", Some("id"), None);
    assert_eq!(about("/file_id")(unknown).field.as_deref(), Some("/file_id"));
    let refused = error(403, "no", "invalid_request_error", None, None);
    assert_eq!(about("/file_id")(refused).field, None);
}

#[test]
fn an_empty_account_is_no_rate_limit() {
    let body = json!({"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota",
        "param": null, "code": "insufficient_quota"}});
    let failure = explain(&answer(429, &[("retry-after", "5")], body));
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Upstream, None));
    assert_eq!(failure.code.as_deref(), Some("insufficient_quota"));
    assert!(failure.message.contains("waiting does not help"));
    let failure = error(400, "Billing hard limit has been reached", "x", None, Some("billing_hard_limit_reached"));
    assert_eq!(failure.kind, FailureKind::Upstream);
}

#[test]
fn how_long_to_wait() {
    let wait = |status, headers: &[(&str, &str)]| {
        explain(&answer(status, headers, json!({"error": {"message": "x", "code": "rate_limit_exceeded"}})))
            .retry_after_ms
    };
    assert_eq!(wait(429, &[]), None);
    assert_eq!(wait(429, &[("retry-after", "2")]), Some(2_000));
    assert_eq!(wait(429, &[("retry-after", "0.5")]), Some(500));
    assert_eq!(wait(429, &[("retry-after", "2"), ("retry-after-ms", "1500")]), Some(1_500));
    assert_eq!(wait(429, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), None);
    for odd in ["-1", "nan", "inf", "x", ""] {
        assert_eq!(wait(429, &[("retry-after", odd)]), None, "{odd}");
    }
    assert_eq!(wait(429, &[("retry-after", "1e300")]), Some(MAX_WAIT_MS));
    assert_eq!(
        wait(429, &[("x-ratelimit-reset-requests", "120ms"), ("x-ratelimit-reset-tokens", "6m0s")]),
        Some(360_000)
    );
    assert_eq!(wait(503, &[("retry-after", "2")]), Some(2_000));
    // Nothing to wait for.
    assert_eq!(wait(400, &[("retry-after", "2")]), None);
}

#[test]
fn spans_as_the_service_writes_them() {
    for (text, ms) in [("1s", Some(1_000)), ("1h2m3.5s", Some(3_723_500)), ("1d", Some(86_400_000)), ("7ms", Some(7))] {
        assert_eq!(span_ms(text), ms, "{text}");
    }
    for bad in ["", "1", "s", "1x", "1.2.3s", "-1s"] {
        assert_eq!(span_ms(bad), None, "{bad}");
    }
}

/// A gateway, a proxy or a wrong origin answers with something else.
#[test]
fn what_is_no_error_of_the_service_is_not_passed_on() {
    let page = Payload::Text("<html><body>sign in with sk-proj-abc</body></html>".to_owned());
    let failure = explain(&Response::new(502, Vec::new(), page));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.message, "the service cannot answer now (status 502)");
    for body in
        [json!(null), json!([]), json!({"error": "text"}), json!({"error": null}), json!({"error": {"message": 5}})]
    {
        let failure = explain(&answer(400, &[], body));
        assert_eq!((failure.kind, failure.code), (FailureKind::InvalidInput, None));
    }
    let failure = explain(&Response::new(500, Vec::new(), Payload::Bytes(vec![0xff, 0])));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    let failure = explain(&answer(403, &[], json!({"error": {"message": "x", "code": 1020}})));
    assert_eq!(failure.code, None);
}

#[test]
fn messages_are_one_short_line_with_the_request() {
    let body = json!({"error": {"message": format!("a\n\u{7}b {}", "é".repeat(2_000)), "type": "x"}});
    let failure = explain(&answer(400, &[("x-request-id", "req_1")], body));
    assert!(failure.message.starts_with("the service did not take the input: a b é"), "{}", failure.message);
    assert!(failure.message.ends_with(" (request req_1)") && failure.message.chars().count() < 600);
    let failure = explain(&answer(400, &[("x-request-id", "a b\u{202e}")], json!({})));
    assert_eq!(failure.message, "the service did not take the input (status 400)");
}
