//! The typed operations as functions: an input goes in, a request comes out.

use kv_provider_openai::PROVIDER;
use kv_sdk::test::{Harness, Run};
use kv_sdk::{Effect, FailureKind, Payload, Value, json};

fn call(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).call(operation, input)
}

/// With a recording along.
fn call_with_file(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).attachment("talk.mp3", "audio/mpeg", "ID3").call(operation, input)
}

fn text_part(name: &str, value: &str) -> String {
    format!("--kv-test-boundary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn each_operation_makes_its_request() {
    for (operation, input, request, body) in [
        (
            "audio.speech.create",
            json!({"model": "tts-1", "input": "hi", "voice": "coral"}),
            "POST /v1/audio/speech",
            None,
        ),
        ("batches.retrieve", json!({"batch_id": "batch_1"}), "GET /v1/batches/batch_1", Some("")),
        ("files.delete", json!({"file_id": "file-1"}), "DELETE /v1/files/file-1", Some("")),
        ("files.retrieve", json!({"file_id": "a/../b"}), "GET /v1/files/a%2F..%2Fb", Some("")),
        ("files.list", json!({}), "GET /v1/files", Some("")),
        ("images.generate", json!({"prompt": "a cat"}), "POST /v1/images/generations", None),
        ("models.retrieve", json!({"model": "ft:gpt-4o:acme::7q"}), "GET /v1/models/ft:gpt-4o:acme::7q", Some("")),
        ("moderations.create", json!({"input": "hi"}), "POST /v1/moderations", None),
        (
            "responses.retrieve",
            json!({"response_id": "resp_1", "include": ["a", "b"], "stream": true, "starting_after": 7}),
            "GET /v1/responses/resp_1?include%5B%5D=a&include%5B%5D=b&stream=true&starting_after=7",
            Some(""),
        ),
        (
            "vector_stores.search",
            json!({"query": "q", "vector_store_id": "vs_1", "max_num_results": 3}),
            "POST /v1/vector_stores/vs_1/search",
            Some(r#"{"query":"q","max_num_results":3}"#),
        ),
    ] {
        let run = call(operation, input.clone());
        let wire = run.expect_forward_success().wire();
        assert_eq!(format!("{} {}", wire.method, wire.target), request, "{operation}");
        assert_eq!(wire.text(), body.map_or_else(|| input.to_string(), str::to_owned), "{operation}");
    }
}

/// The service's next model has parameters that nobody here has heard of, and nulls are the caller's to send.
#[test]
fn what_is_not_known_is_passed_on() {
    let input = json!({
        "zeta": {"deep": [1, null]}, "model": "gpt-9", "input": [{"type": "telepathy", "strength": 1.5}], "stream": true,
    });
    let run = call("responses.create", input.clone());
    assert_eq!(run.expect_forward_success().wire().text(), input.to_string());
    let run =
        call_with_file("audio.transcriptions.create", json!({"model": "m", "new_thing": {"a": [true]}, "none": null}));
    let body = run.expect_forward_success().wire().text();
    assert!(body.starts_with(&(text_part("model", "m") + &text_part("new_thing[a][]", "true"))), "{body}");
    assert!(!body.contains("none"), "{body}");
}

#[test]
fn streams_are_forwarded_like_anything_else() {
    for operation in ["chat.completions.create", "responses.create"] {
        let run = call(operation, json!({"model": "m", "messages": [], "input": "x", "stream": true}));
        let sent = run.expect_forward_success();
        assert_eq!(sent.effect(), Effect::Write);
        assert!(!sent.repeatable(), "a second answer costs as much as the first");
        assert!(sent.summary().ends_with(", streamed"), "{}", sent.summary());
    }
}

#[test]
fn effects_and_repetition() {
    for (operation, input, effect, repeatable) in [
        ("embeddings.create", json!({"model": "m", "input": "x"}), Effect::Write, false),
        ("files.delete", json!({"file_id": "f"}), Effect::Destroy, false),
        ("models.list", json!({}), Effect::Read, true),
        ("moderations.create", json!({"input": "x"}), Effect::Read, true),
        ("vector_stores.search", json!({"vector_store_id": "v", "query": "q"}), Effect::Read, true),
    ] {
        let run = call(operation, input);
        let sent = run.expect_send();
        assert_eq!((sent.effect(), sent.repeatable()), (effect, repeatable), "{operation}");
    }
}

#[test]
fn summaries_are_one_line_about_the_call() {
    let long = "x".repeat(100) + "\nsecond line";
    for (operation, input, summary) in [
        (
            "audio.speech.create",
            json!({"model": "tts-1", "input": "héy", "voice": "v"}),
            "speak 3 characters with tts-1",
        ),
        ("audio.transcriptions.create", json!({"model": "whisper-1"}), "transcribe talk.mp3 (3 bytes) with whisper-1"),
        (
            "batches.create",
            json!({"input_file_id": "f", "endpoint": "/v1/responses", "completion_window": "24h"}),
            "run file f against /v1/responses within 24h",
        ),
        ("chat.completions.create", json!({"model": "a\u{1b}[2Jb", "messages": []}), "chat with a [2Jb"),
        ("files.create", json!({"purpose": "user_data"}), "upload talk.mp3 (3 bytes) for user_data"),
        ("files.delete", json!({"file_id": "file-1"}), "delete file file-1"),
        (
            "images.generate",
            json!({"prompt": long, "n": 2, "size": "1024x1024", "model": "gpt-image-1"}),
            &format!("generate 2 images of 1024x1024 with gpt-image-1: {}…", "x".repeat(60)),
        ),
        ("models.list", json!({}), "List the models"),
        ("responses.create", json!({"prompt": {"id": "p"}}), "ask the model of a stored prompt for a response"),
        ("responses.create", json!({"model": "o3", "background": true}), "ask o3 for a response, in the background"),
        ("vector_stores.create", json!({"name": "docs"}), "create vector store docs"),
    ] {
        let run = call_with_file(operation, input);
        assert_eq!(run.expect_send().summary(), summary, "{operation}");
    }
}

#[test]
fn a_file_goes_last_with_its_own_name() {
    let run = call_with_file(
        "files.create",
        json!({"file": "talk.mp3", "purpose": "user_data", "expires_after": {"anchor": "created_at", "seconds": 3600}}),
    );
    let wanted = text_part("purpose", "user_data")
        + &text_part("expires_after[anchor]", "created_at")
        + &text_part("expires_after[seconds]", "3600")
        + "--kv-test-boundary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"talk.mp3\"\r\n\
           Content-Type: audio/mpeg\r\n\r\nID3\r\n--kv-test-boundary--\r\n";
    assert_eq!(run.expect_forward_success().wire().text(), wanted);
}

#[test]
fn which_file_has_to_be_clear() {
    let two = Harness::new(&PROVIDER).attachment("a.wav", "audio/wav", "a").attachment("b.wav", "audio/wav", "b");
    let run = two.call("audio.transcriptions.create", json!({"model": "m", "file": "b.wav"}));
    assert!(run.expect_forward_success().wire().text().contains("\r\n\r\nb\r\n"));
    for (run, message, field) in [
        (two.call("files.create", json!({"purpose": "batch"})), "several attachments", Some("/file")),
        (two.call("files.create", json!({"purpose": "batch", "file": "c"})), "`a.wav`, `b.wav`", Some("/file")),
        (call("files.create", json!({"purpose": "batch", "file": "c"})), "it has none", Some("/file")),
        (call("files.create", json!({"purpose": "batch"})), "needs the file as an attachment", None),
    ] {
        let failure = run.expect_failure();
        assert_eq!(failure.kind, FailureKind::InvalidInput);
        assert!(failure.message.contains(message), "{}", failure.message);
        assert_eq!(failure.field.as_deref(), field);
    }
}

/// Files `file-<first>` and on.
fn page(first: usize, count: usize, has_more: bool) -> Value {
    let files: Vec<_> =
        (first..first + count).map(|n| json!({"id": format!("file-{n}"), "filename": "x".repeat(200)})).collect();
    json!({"object": "list", "data": files, "has_more": has_more})
}

#[test]
fn pages_are_joined_until_there_are_enough() {
    let mut run = call("files.list", json!({"max": 250, "purpose": "batch", "after": "file-9", "order": "asc"}));
    assert_eq!(run.expect_send().wire().target, "/v1/files?purpose=batch&after=file-9&order=asc&limit=100");
    run.respond(200, [], page(10, 100, true));
    assert_eq!(run.expect_send().wire().target, "/v1/files?purpose=batch&order=asc&after=file-109&limit=100");
    run.respond(200, [], page(110, 100, true));
    assert_eq!(run.expect_send().wire().target, "/v1/files?purpose=batch&order=asc&after=file-209&limit=50");
    run.respond(200, [], page(210, 50, true));
    let list = run.expect_done();
    assert_eq!(list["data"].as_array().unwrap().len(), 250);
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!("file-10"), &json!("file-259")));
    assert_eq!(list["has_more"], true);
}

#[test]
fn the_end_of_the_list_ends_it() {
    let mut run = call("files.list", json!({"max": 1000, "limit": 2}));
    assert_eq!(run.expect_send().wire().target, "/v1/files?limit=2");
    run.respond(200, [], page(0, 2, true));
    run.respond(200, [], page(2, 1, false));
    assert_eq!(run.expect_done()["has_more"], false);

    let mut run = call("files.list", json!({"max": 5}));
    run.respond(200, [], json!({"data": []}));
    assert_eq!(
        run.expect_done(),
        json!({"object": "list", "first_id": null, "last_id": null, "has_more": false, "data": []})
    );
}

/// The most files, with the longest names that file systems allow, stay within what the host keeps of a call.
#[test]
fn a_thousand_files_fit_into_the_state() {
    let mut run = call("files.list", json!({"max": 1000, "limit": 10000}));
    for first in (0..1000).step_by(100) {
        let files: Vec<_> = (first..first + 100)
            .map(|n| {
                json!({
                    "object": "file", "id": format!("file-{n:022}"), "purpose": "assistants", "filename": "ü".repeat(127),
                    "bytes": 512_000_000, "created_at": 1_800_000_000, "expires_at": null, "status": "processed", "status_details": null,
                })
            })
            .collect();
        run.respond(200, [("x-request-id", "req_1")], json!({"object": "list", "data": files, "has_more": true}));
    }
    assert_eq!(run.expect_done()["data"].as_array().unwrap().len(), 1000);
}

#[test]
fn a_failure_between_pages_ends_the_call() {
    let mut run = call("files.list", json!({"max": 200}));
    run.respond(200, [], page(0, 100, true));
    run.respond(
        429,
        [("retry-after", "3")],
        json!({"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}),
    );
    let failure = run.expect_failure();
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, Some(3_000)));

    let mut run = call("files.list", json!({"max": 200}));
    run.respond_with(200, [], Payload::Text("<html>".to_owned()));
    assert_eq!(run.expect_failure().kind, FailureKind::Upstream);
}

#[test]
fn a_refusal_reaches_the_caller_in_its_own_terms() {
    let error = |param: Value, code: &str| json!({"error": {"message": "No.", "type": "invalid_request_error", "param": param, "code": code}});
    for (operation, input, status, body, kind, field) in [
        (
            "chat.completions.create",
            json!({"model": "m", "messages": []}),
            400,
            error(json!("messages[0].role"), "invalid_value"),
            FailureKind::InvalidInput,
            Some("/messages/0/role"),
        ),
        (
            "chat.completions.create",
            json!({"model": "m", "messages": []}),
            404,
            error(Value::Null, "model_not_found"),
            FailureKind::NotFound,
            Some("/model"),
        ),
        (
            "files.retrieve",
            json!({"file_id": "f"}),
            404,
            error(json!("id"), "x"),
            FailureKind::NotFound,
            Some("/file_id"),
        ),
        ("models.retrieve", json!({"model": "m"}), 404, error(Value::Null, "x"), FailureKind::NotFound, Some("/model")),
        (
            "responses.retrieve",
            json!({"response_id": "r"}),
            404,
            error(Value::Null, "x"),
            FailureKind::NotFound,
            Some("/response_id"),
        ),
        ("models.list", json!({}), 401, error(Value::Null, "invalid_api_key"), FailureKind::Unauthorized, None),
    ] {
        let mut run = call(operation, input);
        run.respond(status, [], body);
        let failure = run.expect_failure();
        assert_eq!((failure.kind, failure.field.as_deref()), (kind, field), "{operation}: {}", failure.message);
    }
}

/// The host checks inputs against the schema first; this is what is left of a check without it.
#[test]
fn what_does_not_fit_is_pointed_at() {
    for (operation, input, field) in [
        ("chat.completions.create", json!({"model": 5, "messages": []}), "/model"),
        ("images.generate", json!({"prompt": "x", "n": "two"}), "/n"),
        ("files.retrieve", json!({}), ""),
        ("models.list", json!({"limit": 3}), "/limit"),
    ] {
        let run = call(operation, input);
        let failure = run.expect_failure();
        assert_eq!((failure.kind, failure.field.as_deref()), (FailureKind::InvalidInput, Some(field)), "{operation}");
    }
}
