//! H64: many callers at once, each with its own answer.

use std::sync::Mutex;

use serde_json::json;

use crate::harness::{Answer, Door, Kv, Wire, random, request};

const CALLERS: usize = 64;
const CALLS: usize = 16;

#[test]
fn a_thousand_calls_and_every_answer_to_its_own_caller() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (kv, wrong) = (&kv, &wrong);
            scope.spawn(move || {
                let mut wire = Wire::connect(kv, Door::Agent);
                for call in 0..CALLS {
                    let mine = format!("caller {caller}, call {call}, {}", random(32));
                    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": mine }] });
                    let raw = json!({ "connection": "openai", "method": "POST", "path": "/v1/chat/completions", "body": { "json": body } });
                    let typed = json!({ "connection": "openai", "operation": "chat.completions.create", "input": body });
                    let (target, body) = if call % 2 == 0 { ("/v1/api", raw) } else { ("/v1/call", typed) };
                    let agent = format!("agent-{caller}");
                    wire.send(request("POST", target, &[("kv-agent", &agent)], body.to_string().as_bytes())).unwrap();
                    let answer = Answer::read(&mut wire).unwrap();
                    let text = answer.text();
                    let right = answer.status == Some(200) && answer.complete && text.contains(&mine) && text.matches("caller ").count() == 1;
                    if !right {
                        wrong.lock().unwrap().push(format!("{mine}: {}", answer.gist()));
                    }
                }
            });
        }
    });
    crate::harness::all_right(CALLERS * CALLS, &wrong.into_inner().unwrap());
    assert_eq!(openai.request_count(), CALLERS * CALLS);
    // One intent and one outcome for each, by the agent that made it.
    let intents = kv.trail_of("intent");
    assert_eq!((intents.len(), kv.trail_of("outcome").len()), (CALLERS * CALLS, CALLERS * CALLS));
    for caller in 0..CALLERS {
        let name = json!(format!("agent-{caller}"));
        assert_eq!(intents.iter().filter(|intent| intent["principal"]["name"] == name).count(), CALLS);
    }
}
