//! Lines and streams in pieces: where they are cut must not matter.

use super::super::stream::Chat;
use serde_json::{Value, json};

fn heard(events: &[u8], step: usize) -> (String, Option<(String, Value, bool)>) {
    let mut chat = Chat::default();
    let mut added = String::new();
    events.chunks(step).for_each(|chunk| added.push_str(&chat.take(chunk)));
    (added, chat.end().map(|spoken| (spoken.text, spoken.about, spoken.failed)))
}

#[test]
fn chats_are_put_together_wherever_they_are_cut() {
    let events = concat!(
        ": a comment\r\n\r\n",
        "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n",
        "event: x\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hall\u{f6}\"}}]}\n\n",
        "data:{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\":1}\"}}]},\ndata: \"finish_reason\":\"tool_calls\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n",
        "data: [DONE]\n\n",
    )
    .as_bytes();
    for step in 1..events.len() {
        let (added, spoken) = heard(events, step);
        let (text, about, failed) = spoken.unwrap();
        assert_eq!((added.as_str(), text.as_str(), failed), ("Hall\u{f6}", "Hall\u{f6}", false));
        assert_eq!(
            about,
            json!({
                "id": "c1", "model": "m", "usage": { "total_tokens": 3 },
                "choices": [{ "index": 0, "finish_reason": "tool_calls", "tool_calls": [{ "id": "t", "name": "f", "arguments": "{\"a\":1}" }] }]
            })
        );
    }
}

#[test]
fn responses_come_with_the_whole_at_their_end() {
    let events = concat!(
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n",
    );
    let (added, spoken) = heard(events.as_bytes(), 7);
    let (text, about, failed) = spoken.unwrap();
    assert_eq!((added.as_str(), text.as_str(), failed), ("Hi", "Hi", false));
    assert_eq!(about["response"]["id"], "r");
}

#[test]
fn errors_within_a_stream_are_errors() {
    for events in [
        "data: {\"error\":{\"message\":\"broken\"}}\n\n",
        "data: {\"type\":\"error\",\"message\":\"broken\"}",
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"broken\"}}}\n\n",
    ] {
        let (_, spoken) = heard(events.as_bytes(), 3);
        let (_, about, failed) = spoken.unwrap();
        assert!(failed);
        assert_eq!(about["error"]["message"], "broken");
    }
}

#[test]
fn several_choices_are_told_apart() {
    let events = "data: {\"choices\":[{\"index\":1,\"text\":\"b\"},{\"index\":0,\"text\":\"a\"}]}\n\n";
    let (added, spoken) = heard(events.as_bytes(), 9);
    let (text, about, _) = spoken.unwrap();
    assert_eq!((added.as_str(), text.as_str()), ("a", "a"));
    assert_eq!(about["choices"], json!([{ "index": 0, "text": "a" }, { "index": 1, "text": "b" }]));
}

#[test]
fn what_is_no_chat_stays_what_it_was() {
    for events in ["data: {\"price\":1}\n\n", "data: [DONE]\n\n", "hello", "", "data: [1,2]\n\ndata: {\n\n"] {
        assert!(heard(events.as_bytes(), 4).1.is_none(), "{events}");
    }
}

#[test]
fn a_stream_without_end_is_cut() {
    let event = json!({ "choices": [{ "index": 0, "delta": { "content": "x".repeat(500 << 10) } }] });
    let events = format!("data: {event}\n\n").repeat(20);
    let (_, spoken) = heard(events.as_bytes(), 64 << 10);
    let (text, about, _) = spoken.unwrap();
    assert_eq!(text.len(), 8 * (500 << 10));
    assert_eq!(about["cut"], true);
    let (_, spoken) = heard("data: ".repeat(1 << 20).as_bytes(), 64 << 10);
    assert!(spoken.is_none());
}
