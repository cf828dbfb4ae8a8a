use serde_json::{Value, json};

use super::*;
use crate::testing::{Client, block_on, parsed};
use crate::{Protocols, Scripted};

const KEY: &str = "sk-proj-testkey-0000000000000000wxyz";

fn options() -> OpenAiOptions {
    OpenAiOptions { key: KEY.to_owned(), chunk_every: Duration::ZERO, ..OpenAiOptions::default() }
}

/// Runs `test` with a client of a fresh fake.
fn with_client(options: OpenAiOptions, test: impl AsyncFnOnce(&Client<'_>)) {
    block_on(async {
        let ca = TestCa::new();
        let service = FakeOpenAi::start(&ca, options).unwrap();
        test(&Client::new(&ca, &service, KEY)).await;
    });
}

fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "one two"}], "stream": stream,
        "stream_options": {"include_usage": true}})
}

/// The `data:` fields of a stream.
fn events(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.ends_with("\n\n"), "{text}");
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[test]
fn a_wrong_key_is_shown_partly() {
    with_client(options(), async |client| {
        let wrong = Client { key: "sk-abcdefghijklmnop1234".to_owned(), protocols: Protocols::Http1, ..*client };
        let (status, body) = wrong.json("GET", "/v1/models", Value::Null).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")));
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("sk-abcde***********1234."), "{message}");
        let none = Client { key: String::new(), protocols: Protocols::Http1, ..*client };
        let answer = none.call("GET", "/v1/models", &[], "").await;
        assert_eq!(answer.status(), 401);
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    });
}

#[test]
fn short_keys_are_starred_without_a_panic() {
    for (key, shown) in [
        ("", ""),
        ("a", "a"),
        ("abc", "ab*"),
        ("abcdefghijkl", "ab**********"),
        ("abcdefghijklm", "abcdefgh*jklm"),
        ("ééééééééééééé", "éééééééé*éééé"),
    ] {
        assert_eq!(error::starred(key), shown);
    }
}

#[test]
fn chat_answers_and_says_its_limits() {
    with_client(options(), async |client| {
        let answer = client.call("POST", "/v1/chat/completions", &[], chat("gpt-4o", false).to_string()).await;
        let (status, body) = parsed(&answer);
        assert_eq!(status, 200);
        assert_eq!(body["choices"][0]["message"]["content"], "You said: one two");
        assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("gpt-4o-2024-08-06")));
        for header in
            ["x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests", "set-cookie", "alt-svc"]
        {
            assert!(answer.headers().contains_key(header), "{header}");
        }
    });
}

#[test]
fn chat_streams_chunks_usage_and_done() {
    with_client(options(), async |client| {
        let answer = client.call("POST", "/v1/chat/completions", &[], chat("gpt-4o", true).to_string()).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let mut events = events(answer.body());
        assert_eq!(events.pop().unwrap(), "[DONE]");
        let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "You said: one two");
        let last = chunks.last().unwrap();
        assert_eq!((&last["choices"], last["usage"]["completion_tokens"].as_u64()), (&json!([]), Some(4)));
    });
}

#[test]
fn responses_stream_numbered_events() {
    with_client(options(), async |client| {
        let body = json!({"model": "gpt-4o", "input": "a b", "stream": true}).to_string();
        let answer = client.call("POST", "/v1/responses", &[], body).await;
        let events: Vec<Value> =
            events(answer.body()).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
        assert_eq!(events[0]["type"], "response.created");
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        let id = last["response"]["id"].as_str().unwrap();
        let (_, kept) = client.json("GET", &format!("/v1/responses/{id}"), Value::Null).await;
        assert_eq!(kept["output"][0]["content"][0]["text"], "You said: a b");
    });
}

#[test]
fn trouble_models_are_in_trouble() {
    with_client(options(), async |client| {
        let cases = [
            ("fake-overloaded", 503, Value::Null),
            ("fake-quota-exceeded", 429, json!("insufficient_quota")),
            ("fake-rate-limited", 429, json!("rate_limit_exceeded")),
            ("fake-server-error", 500, Value::Null),
            ("gpt-9", 404, json!("model_not_found")),
        ];
        for (model, status, code) in cases {
            let (got, body) = client.json("POST", "/v1/chat/completions", chat(model, false)).await;
            assert_eq!((got, &body["error"]["code"]), (status, &code), "{model}");
        }
        let request = || {
            let request = http::Request::post("/v1/chat/completions").header("authorization", format!("Bearer {KEY}"));
            request.body(http_body_util::Full::new(chat("fake-stream-cut", true).to_string().into())).unwrap()
        };
        assert!(client.send(request()).await.is_err());
        let answer =
            client.call("POST", "/v1/chat/completions", &[], chat("fake-stream-error", true).to_string()).await;
        assert!(events(answer.body()).last().unwrap().contains("server_error"));
    });
}

#[test]
fn wrong_requests_have_their_own_errors() {
    with_client(OpenAiOptions { requests_per_minute: Some(8), ..options() }, async |client| {
        let user = json!([{"role": "user", "content": "x"}]);
        let cases = [
            ("POST", "/v1/chat/completions", json!({"messages": user}), 400, Value::Null),
            ("POST", "/v1/chat/completions", json!({"model": "gpt-4o"}), 400, json!("messages")),
            ("POST", "/v1/chat/completions", json!({"model": "gpt-4o", "messages": "x"}), 400, json!("messages")),
            (
                "POST",
                "/v1/chat/completions",
                json!({"model": "gpt-4o", "messages": user, "temperature": 3}),
                400,
                json!("temperature"),
            ),
            ("POST", "/v1/chat/completions", json!([]), 400, Value::Null),
            ("POST", "/v1/nothing", json!({}), 404, Value::Null),
            ("DELETE", "/v1/chat/completions", Value::Null, 405, Value::Null),
            ("GET", "/v1/files/file-none", Value::Null, 404, json!("id")),
            // The ninth is over the limit.
            ("GET", "/v1/models", Value::Null, 429, Value::Null),
        ];
        for (method, path, body, status, param) in cases {
            let (got, answer) = client.json(method, path, body.clone()).await;
            assert_eq!((got, &answer["error"]["param"]), (status, &param), "{method} {path} {body}");
        }
    });
}

#[test]
fn a_file_comes_back_byte_for_byte() {
    with_client(options(), async |client| {
        let body = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: \
                    form-data; name=\"file\"; filename=\"a b.jsonl\"\r\n\r\n\r\n\0--y\r\n--x--\r\n";
        let headers = [("content-type", "multipart/form-data; boundary=x")];
        let (status, file) = parsed(&client.call("POST", "/v1/files", &headers, body).await);
        assert_eq!((status, &file["filename"], &file["bytes"]), (200, &json!("a b.jsonl"), &json!(6)));
        let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
        assert_eq!(&client.call("GET", &format!("{path}/content"), &[], "").await.body()[..], b"\r\n\0--y");
        assert_eq!(client.json("DELETE", &path, Value::Null).await.1["deleted"], true);
        assert_eq!(client.json("GET", &path, Value::Null).await.0, 404);
        assert_eq!(client.call("POST", "/v1/files", &headers, "--x\r\nnonsense").await.status(), 400);
    });
}

#[test]
fn lists_page_by_cursor() {
    with_client(options(), async |client| {
        for name in ["a", "b", "c"] {
            client.json("POST", "/v1/vector_stores", json!({"name": name})).await;
        }
        let (_, first) = client.json("GET", "/v1/vector_stores?limit=2", Value::Null).await;
        assert_eq!((&first["data"][0]["name"], &first["has_more"]), (&json!("c"), &json!(true)));
        let next = format!("/v1/vector_stores?limit=2&after={}", first["last_id"].as_str().unwrap());
        let (_, second) = client.json("GET", &next, Value::Null).await;
        assert_eq!((&second["data"][0]["name"], &second["has_more"]), (&json!("a"), &json!(false)));
        assert_eq!(client.json("GET", "/v1/vector_stores?limit=0", Value::Null).await.0, 400);
    });
}

#[test]
fn calls_get_their_own_answers() {
    block_on(async {
        let ca = TestCa::new();
        let service = FakeOpenAi::start(&ca, OpenAiOptions { requests_per_minute: None, ..options() }).unwrap();
        let client = Client { protocols: Protocols::Http2, ..Client::new(&ca, &service, KEY) };
        for number in 0..50 {
            let input = json!({"model": "gpt-4o", "input": format!("canary-{number}")});
            let (_, body) = client.json("POST", "/v1/responses", input).await;
            assert_eq!(body["output"][0]["content"][0]["text"], format!("You said: canary-{number}"));
        }
        assert_eq!(service.request_count(), 50);
    });
}

#[test]
fn it_can_be_played_over_a_raw_connection() {
    block_on(async {
        let ca = TestCa::new();
        let service = Scripted::start(&ca, crate::Script::serving(FakeOpenAi::new(options()))).unwrap();
        let (status, _) = Client::new(&ca, &service, KEY).json("GET", "/v1/models", Value::Null).await;
        assert_eq!(status, 200);
        let raw = String::from_utf8(service.requests()[0].raw.to_vec()).unwrap();
        assert_eq!(raw.matches(KEY).count(), 1);
    });
}

#[test]
fn no_request_makes_it_panic() {
    use proptest::prelude::*;
    let fake = FakeOpenAi::new(options());
    let paths = "/(v1|)/(models|chat/completions|responses|embeddings|files|uploads|batches|vector_stores|images/generations|audio/speech|moderations|realtime/client_secrets|é|)(/x|/|)(/content|/cancel|/parts|/complete|/search|/files|)(\\?limit=[0-9]{0,30}&after=x|)";
    let bodies = "(\\{\"model\":(\"gpt-4o\"|1|null|\"tts-1\"|\"text-embedding-3-small\"),\"(messages|input|prompt)\":(\\[\\]|\\[1\\]|\"x\"|\\[\\{\"role\":\"user\",\"content\":[1-9]\\}\\]|null|\\[\\[1\\]\\]),\"(n|dimensions|max_tokens|bytes)\":(-1|0|1|1e9|18446744073709551615)\\}|\\[|)";
    proptest!(|(method in "GET|POST|DELETE|PUT", target in paths, body in bodies, form in any::<bool>())| {
        let content_type = if form { "multipart/form-data; boundary=x" } else { "application/json" };
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {KEY}").into()),
            ("content-type".to_owned(), content_type.into()),
        ];
        let request = Recorded {
            connection: 1, version: http::Version::HTTP_11, method, target, headers, body: body.into(), complete: true,
            raw: bytes::Bytes::new(),
        };
        fake.reply(&request);
    });
}
