//! The schemas as the host uses them: what callers really send passes, and where they err the violation says where.

use kv_provider_openai::manifest;
use kv_sdk::{Value, json, serde_json};

/// The pointers of an input's violations, in order.
fn violations(operation: &str, input: &Value) -> Vec<String> {
    let manifest: Value = serde_json::from_str(&manifest()).unwrap();
    let operations = manifest["operations"].as_array().unwrap();
    let schema = &operations.iter().find(|candidate| candidate["name"] == operation).unwrap()["input"];
    let validator = jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{operation}: {error}"));
    let mut pointers: Vec<_> = validator.iter_errors(input).map(|error| error.instance_path().to_string()).collect();
    pointers.sort_unstable();
    pointers
}

#[test]
fn what_callers_send_passes() {
    let tool_call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for (operation, input) in [
        (
            "chat.completions.create",
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.2, "stop": ["a"],
                "metadata": {"a": "b"}, "tool_choice": "auto", "parameter_of_next_year": {"a": 1}}),
        ),
        (
            "chat.completions.create",
            json!({"model": "m", "messages": [{"role": "developer", "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ]}]}),
        ),
        // The service's own answer, sent back to it.
        (
            "chat.completions.create",
            json!({"model": "m", "messages": [
                {"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [tool_call]},
                {"role": "tool", "tool_call_id": "1", "content": ""},
            ], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": null}}]}),
        ),
        ("responses.create", json!({"model": "m", "input": "x", "conversation": "conv_1"})),
        (
            "responses.create",
            json!({"model": "m", "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": null},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ], "tools": [{"type": "web_search"}], "conversation": {"id": "conv_1"}}),
        ),
        ("responses.create", json!({"prompt": {"id": "pmpt_1"}})),
        ("embeddings.create", json!({"model": "m", "input": "x"})),
        ("embeddings.create", json!({"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64"})),
        ("moderations.create", json!({"input": [{"type": "text", "text": "x"}]})),
        ("audio.speech.create", json!({"model": "m", "input": "x", "voice": {"id": "v"}, "speed": 0.25})),
        (
            "audio.transcriptions.create",
            json!({"model": "m", "timestamp_granularities": ["word"], "chunking_strategy": "auto"}),
        ),
        ("files.create", json!({"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 3600}})),
        ("files.list", json!({"limit": 10000, "max": 1000})),
        ("images.generate", json!({"prompt": "x", "size": "auto", "n": 10})),
        ("models.list", json!({})),
        ("vector_stores.create", json!({"expires_after": {"anchor": "last_active_at", "days": 7}})),
        ("vector_stores.search", json!({"vector_store_id": "v", "query": ["a"], "max_num_results": 50})),
    ] {
        assert_eq!(violations(operation, &input), [""; 0], "{operation} {input}");
    }
}

#[test]
fn a_violation_says_where() {
    for (operation, input, pointers) in [
        ("chat.completions.create", json!({"messages": [{"role": "user"}]}), vec![""]),
        ("chat.completions.create", json!({"model": "m", "messages": []}), vec!["/messages"]),
        (
            "chat.completions.create",
            json!({"model": "", "messages": "x", "temperature": 3, "n": 0, "stream": "yes", "stop": ["1", "2", "3", "4", "5"]}),
            vec!["/messages", "/model", "/n", "/stop", "/stream", "/temperature"],
        ),
        ("chat.completions.create", json!({"model": "m", "messages": [{"role": "usr"}]}), vec!["/messages/0/role"]),
        // Parts of the other API, and a picture as that one has it.
        (
            "chat.completions.create",
            json!({"model": "m", "messages": [{"role": "user", "content": [
                {"type": "input_text", "text": "x"}, {"type": "image_url", "image_url": "https://x.test/a.png"},
            ]}]}),
            vec!["/messages/0/content/0/type", "/messages/0/content/1/image_url"],
        ),
        (
            "responses.create",
            json!({"model": "m", "input": [{"role": "usr", "content": [{"text": "x"}]}]}),
            vec!["/input/0/content/0", "/input/0/role"],
        ),
        (
            "embeddings.create",
            json!({"model": "m", "input": ["a", 1.5], "encoding_format": "hex"}),
            vec!["/encoding_format", "/input/1"],
        ),
        ("embeddings.create", json!({"model": "m", "input": []}), vec!["/input"]),
        ("files.list", json!({"limit": 10001, "max": 0}), vec!["/limit", "/max"]),
        ("files.retrieve", json!({"file_id": ""}), vec!["/file_id"]),
        ("images.generate", json!({"prompt": "x", "n": 11}), vec!["/n"]),
        ("audio.speech.create", json!({"model": "m", "input": "x", "voice": "v", "speed": 4.1}), vec!["/speed"]),
        (
            "vector_stores.search",
            json!({"vector_store_id": "v", "query": "a", "max_num_results": 51}),
            vec!["/max_num_results"],
        ),
    ] {
        assert_eq!(violations(operation, &input), pointers, "{operation} {input}");
    }
}
