//! OpenAI and Stripe through kv, by commands and by the agents' socket.

use serde_json::{Value, json};

use kv_fakes::{OpenAiOptions, Script, Step, sse_data};

use crate::harness::{Door, Kv, Part, Refusal, Typed, Wire, request};

#[test]
fn openai_lists_and_chats() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let listed = kv.run(["call", "openai", "models.list"]).ok().json();
    assert!(listed["data"].as_array().unwrap().iter().any(|model| model["id"] == "gpt-4o"));
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "a word, please" }] });
    let chat = kv.run(["api", "openai", "POST", "/v1/chat/completions", "-d", &body.to_string()]).ok().json();
    assert!(chat["choices"][0]["message"]["content"].as_str().unwrap().contains("a word, please"));
    let typed =
        kv.call(Typed { connection: "openai", operation: "chat.completions.create", input: body }).forwarded(200);
    assert_eq!(typed.header("content-type"), Some("application/json"));
    let seen = openai.requests();
    let targets: Vec<_> = seen.iter().map(|request| (request.method.as_str(), request.target.as_str())).collect();
    assert_eq!(targets, [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/chat/completions")]);
    assert!(seen.iter().all(|request| request.bearer() == Some(&openai.key.value)));
    let kinds: Vec<_> = kv.trail().iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect();
    let calls: Vec<_> = kinds.iter().filter(|kind| ["intent", "outcome"].contains(&kind.as_str())).collect();
    assert_eq!(calls, ["intent", "outcome", "intent", "outcome", "intent", "outcome"]);
    let verified = kv.run(["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["entries"].as_u64(), Some(kinds.len() as u64));
}

#[test]
fn a_stream_passes_through_as_it_comes() {
    let kv = Kv::unlocked();
    let openai = kv.openai_with(OpenAiOptions { says: Some("one two three four".to_owned()), ..Default::default() });
    let body = json!({ "model": "gpt-4o", "stream": true, "messages": [{ "role": "user", "content": "count" }] });
    let streamed = kv.run(["api", "openai", "POST", "/v1/chat/completions", "-d", &body.to_string(), "-i"]).ok();
    assert!(streamed.stdout.starts_with("HTTP 200\n"), "{}", streamed.stdout);
    assert!(streamed.stdout.trim_end().ends_with("data: [DONE]"), "{}", streamed.stdout);
    let said: String = streamed
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(said, "one two three four");
    assert_eq!(openai.request_count(), 1);
}

/// The service has not sent its last event when the first is here: it never will.
#[test]
fn the_first_event_arrives_before_the_last_is_sent() {
    let kv = Kv::unlocked();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let first = sse_data(r#"{"choices":[{"delta":{"content":"first"}}]}"#);
    kv.scripted("slow", Script::then([Step::send(head), Step::Send(first.clone()), Step::Hang]));
    let call = json!({
        "connection": "slow", "method": "POST", "path": "/v1/chat/completions",
        "body": { "json": { "model": "gpt-4o", "stream": true, "messages": [] } },
    });
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(request("POST", "/v1/api", &[], call.to_string().as_bytes())).unwrap();
    assert_eq!(wire.head().unwrap().header("kv-outcome"), Some("forwarded"));
    let mut came = Vec::new();
    while came.len() < first.len() {
        match wire.part() {
            Part::Data(data) => came.extend(data),
            other => panic!("{other:?} after {} bytes", came.len()),
        }
    }
    assert_eq!(came, first);
}

#[test]
fn stripe_takes_payments_lists_pages_and_says_why_a_card_is_declined() {
    let kv = Kv::unlocked();
    let stripe = kv.stripe();
    let call = |operation, input| kv.call(Typed { connection: "stripe", operation, input });
    for number in 0..7 {
        call("customers.create", json!({ "email": format!("c{number}@example.com") })).forwarded(200);
    }
    let before = stripe.request_count();
    let listed = call("customers.list", json!({ "auto_paginate": true, "max_items": 7, "limit": 3 }));
    assert_eq!(listed.outcome, "result", "{}", listed.text());
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 7, "{}", listed.text());
    assert!(stripe.request_count() > before + 1, "one page was read");

    let payment = json!({ "amount": 1999, "currency": "eur", "payment_method": "pm_card_visa", "confirm": true });
    let made = call("payment_intents.create", payment).forwarded(200);
    assert_eq!(made.json()["status"], "succeeded");
    let posted = stripe.requests().into_iter().rfind(|request| request.path() == "/v1/payment_intents").unwrap();
    assert_eq!(posted.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(String::from_utf8_lossy(&posted.body).contains("amount=1999"));
    assert_eq!(posted.header("idempotency-key"), made.call.as_deref());

    let declined = json!({
        "amount": 1999, "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": true,
    });
    let declined = call("payment_intents.create", declined);
    assert_eq!((declined.fault("code"), declined.fault("sent")), ("upstream", "yes"), "{}", declined.text());
    let details = &declined.error.as_ref().unwrap()["details"];
    assert_eq!(details["code"], "card_declined", "{details}");
}

#[test]
fn a_payout_waits_for_the_person_in_every_way_of_asking() {
    let kv = Kv::unlocked();
    let stripe = kv.stripe();
    let payout = json!({ "amount": 50_000, "currency": "eur" });
    let refusal = Refusal::asks();
    kv.refuses("raw", &stripe, &refusal, || kv.post("stripe", "/v1/payouts", &payout));
    kv.refuses("typed", &stripe, &refusal, || {
        kv.call(Typed { connection: "stripe", operation: "payouts.create", input: payout.clone() })
    });
    let ran = kv.run(["api", "stripe", "POST", "/v1/payouts", "-d", &payout.to_string(), "--hold", "0"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""));
    assert!(ran.stderr.contains("nothing was sent") && ran.stderr.contains("kv approve"), "{}", ran.stderr);
    assert_eq!(stripe.request_count(), 0);
    // The person may decide otherwise.
    kv.run(["connection", "edit", "stripe", "--allow", "payouts.create"]).ok();
    kv.post("stripe", "/v1/payouts", &payout).forwarded(200);
    kv.run(["connection", "edit", "stripe", "--deny", "payouts.create"]).ok();
    kv.refuses("denied again", &stripe, &Refusal::new("policy_denied", "deny"), || {
        kv.post("stripe", "/v1/payouts", &payout)
    });
}

/// The names that a person would take are recognised, and the connection is made without a question.
#[test]
fn a_known_name_makes_its_connection() {
    let kv = Kv::unlocked();
    let key = kv.plant(crate::harness::Canary::openai());
    let stored = kv.run_with(["set", "OPENAI_API_KEY", "--stdin", "--json"], &key.value).ok().json();
    assert_eq!(stored["connection"]["name"], "openai");
    assert_eq!(stored["connection"]["origin"], "https://api.openai.com");
    assert_eq!(stored["secret"]["length"], key.value.len());
    let shown = kv.run(["connection", "show", "openai", "--json"]).ok().json();
    assert_eq!(shown["bindings"]["key"], "OPENAI_API_KEY");
    let key = kv.plant(crate::harness::Canary::stripe());
    let stored = kv.run_with(["set", "STRIPE_SECRET_KEY", "--stdin", "--json"], &key.value).ok().json();
    assert_eq!(stored["connection"]["key_label"], "test key", "{stored}");
}
