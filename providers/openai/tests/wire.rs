//! What the official Python SDK put on the wire for an operation, and what this provider makes of the same input.
//!
//! The recordings are in `wire/openai.json`, without credential and user agent. Left out of the comparison are `accept`,
//! which is the host's, and a form's boundary.

use kv_provider_openai::{PROVIDER, manifest};
use kv_sdk::test::{Harness, Wire};
use kv_sdk::{Value, json, serde_json};

/// The recording's name for it, ours, the input as one would write it, and the file that goes along.
type Case = (&'static str, &'static str, Value, Option<(&'static str, &'static str, &'static str)>);

fn cases() -> Vec<Case> {
    let user = json!({"role": "user", "content": "hi é \"q\" & <b>"});
    vec![
        (
            "audio.transcriptions",
            "audio.transcriptions.create",
            json!({"model": "whisper-1", "language": "en"}),
            Some(("a.wav", "audio/wav", "RIFF0000")),
        ),
        (
            "batches.create",
            "batches.create",
            json!({"completion_window": "24h", "endpoint": "/v1/chat/completions", "input_file_id": "file_1"}),
            None,
        ),
        (
            "chat.create",
            "chat.completions.create",
            json!({"model": "gpt-4o", "messages": [user], "max_completion_tokens": 5, "temperature": 0.2}),
            None,
        ),
        (
            "embeddings.create",
            "embeddings.create",
            json!({"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "float"}),
            None,
        ),
        (
            "files.create",
            "files.create",
            json!({"purpose": "batch", "file": "a b.jsonl"}),
            Some(("a b.jsonl", "application/jsonl", "{\"x\":1}\n")),
        ),
        ("files.list", "files.list", json!({"limit": 3, "purpose": "batch"}), None),
        ("models.list", "models.list", json!({}), None),
        ("responses.create", "responses.create", json!({"model": "gpt-4o", "input": "hi"}), None),
        ("vector_stores.create", "vector_stores.create", json!({"metadata": {"a": "b"}, "name": "v"}), None),
    ]
}

fn recordings() -> Value {
    serde_json::from_str(include_str!("wire/openai.json")).unwrap()
}

/// One recorded request of an operation; each of these operations makes one.
fn recorded<'a>(recordings: &'a Value, name: &str) -> &'a Value {
    let requests = recordings["operations"][name].as_array().unwrap_or_else(|| panic!("no recording of {name}"));
    assert_eq!(requests.len(), 1, "{name}");
    &requests[0]
}

/// The body's bytes were recorded as one character each.
fn body(recorded: &Value) -> String {
    let bytes = recorded["body"].as_str().unwrap().chars().map(|c| u8::try_from(c).expect("one byte"));
    String::from_utf8(bytes.collect()).unwrap()
}

fn ours((_, operation, input, file): Case) -> Wire {
    let harness = Harness::new(&PROVIDER);
    let harness = match file {
        Some((name, media_type, data)) => harness.attachment(name, media_type, data),
        None => harness,
    };
    let run = harness.call(operation, input);
    let sent = run.expect_forward_success();
    assert_eq!(sent.auth(), ["bearer"], "{operation}");
    sent.wire()
}

/// The headers that the host adds because the manifest says so, for the operation's endpoint.
fn added_by_the_host(operation: &str) -> Vec<(String, String)> {
    let manifest: Value = serde_json::from_str(&manifest()).unwrap();
    let endpoints = manifest["endpoints"].as_array().unwrap();
    let endpoint = endpoints.iter().find(|endpoint| endpoint["operation"] == operation).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = endpoint["headers"].as_array().into_iter().flatten();
    headers.map(|header| (text(&header["name"]), text(&header["value"]))).collect()
}

#[test]
fn every_recording_is_compared() {
    let recordings = recordings();
    let recorded: Vec<_> = recordings["operations"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut compared: Vec<_> = cases().iter().map(|case| case.0).collect();
    compared.sort_unstable();
    let mut sorted = recorded.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, compared);
}

#[test]
fn method_path_query_and_headers_are_the_same() {
    let recordings = recordings();
    for case in cases() {
        let (name, operation) = (case.0, case.1);
        let recorded = recorded(&recordings, name);
        let wire = ours(case);
        assert_eq!(recorded["method"], wire.method, "{name}");
        assert_eq!(recorded["path"], wire.target, "{name}");
        let mut headers = wire.headers.clone();
        headers.extend(added_by_the_host(operation));
        let wanted: Vec<(String, String)> = recorded["headers"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "accept" && *name != "content-type")
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(headers, wanted, "{name}");
        let media_type = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
        let wanted = recorded["headers"].get("content-type").map(|value| media_type(value.as_str().unwrap()));
        assert_eq!(wire.content_type.as_deref().map(media_type), wanted, "{name}");
    }
}

#[test]
fn bodies_are_the_same() {
    let recordings = recordings();
    let mut forms = 0;
    for case in cases() {
        let name = case.0;
        let recorded = recorded(&recordings, name);
        let wanted = &body(recorded);
        let wire = ours(case);
        match recorded["headers"].get("content-type").and_then(Value::as_str) {
            None => assert!(wanted.is_empty() && wire.body.is_empty(), "{name}"),
            Some("application/json") => {
                let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(value(&wire.text()), value(wanted), "{name}");
                // The recordings were made of inputs in this order, so order and spelling are the same too.
                assert_eq!(&wire.text(), wanted, "{name}");
            }
            Some(form) => {
                forms += 1;
                let own = wire.content_type.as_deref().unwrap();
                assert_eq!(parts(own, &wire.text()), parts(form, wanted), "{name}");
            }
        }
    }
    assert_eq!(forms, 2);
}

/// Head and content of each part, whatever the boundary.
fn parts(content_type: &str, body: &str) -> Vec<(Vec<String>, String)> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = body.strip_suffix(&format!("--{boundary}--\r\n")).expect("a closing boundary");
    let opening = format!("--{boundary}\r\n");
    body.split(&opening)
        .skip(1)
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").expect("a head");
            let content = content.strip_suffix("\r\n").expect("a line end after the content");
            (head.split("\r\n").map(str::to_owned).collect(), content.to_owned())
        })
        .collect()
}

#[test]
fn forms_are_told_apart_by_their_parts() {
    let form = |boundary: &str, value: &str| {
        let body =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n--{boundary}--\r\n");
        parts(&format!("multipart/form-data; boundary={boundary}"), &body)
    };
    assert_eq!(form("x", "1"), form("y", "1"));
    assert_ne!(form("x", "1"), form("x", "2"));
    assert_eq!(form("x", "1\r\n")[0].1, "1\r\n");
}
