//! What is wrong, each in its own words: who is not there, what does not exist, what does not fit, who does not answer.

use std::os::unix::fs::DirBuilderExt;

use kv_fakes::{OpenAiOptions, Script, Step};
use serde_json::{Value, json};

use crate::harness::{Door, Kv, Refusal, Typed, Wire, request};

#[test]
fn without_a_daemon_a_call_asks_for_the_person_and_starts_nothing() {
    let kv = Kv::new();
    for arguments in
        [&["api", "openai", "GET", "/v1/models", "--json"][..], &["call", "openai", "models.list", "--json"]]
    {
        let ran = kv.run(arguments);
        let error = ran.error();
        assert_eq!((ran.code, &error["reason"], &error["sent"]), (8, &json!("not_running"), &json!("no")));
        assert_eq!(error["next"], json!(["kv unlock"]));
    }
    assert!(!kv.home().agent_socket().exists(), "an agent's call started the daemon");
    let overview = kv.run::<&str>([]).ok();
    assert!(overview.stdout.contains("not running"), "{}", overview.stdout);
}

#[test]
fn another_version_is_told_so() {
    let kv = Kv::unlocked();
    for head in ["", "kv-api: 2\r\n", "kv-api: 0\r\n", "kv-api: \r\n", "kv-api: 1.0\r\n"] {
        let mut wire = Wire::connect(&kv, Door::Agent);
        wire.send(format!("GET /v1/status HTTP/1.1\r\nhost: kv\r\n{head}\r\n")).unwrap();
        let answer = crate::harness::Answer::read(&mut wire).unwrap();
        assert_eq!(answer.faults(), ("daemon_unreachable", "version", "no"), "{head:?}");
        assert_eq!(answer.error.unwrap()["next"], json!(["kv daemon restart"]));
    }
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let typed = |connection, operation| kv.call(Typed { connection, operation, input: json!({}) });
    kv.refuses("connection", &openai, &Refusal::new("not_found", ""), || {
        let answer = kv.get("opnai", "/v1/models");
        assert!(answer.fault("message").contains("there are: openai"), "{answer:?}");
        answer
    });
    kv.refuses("operation", &openai, &Refusal::new("not_found", ""), || {
        let answer = typed("openai", "models.lst");
        assert_eq!(answer.error.as_ref().unwrap()["details"]["nearest"][0], "models.list", "{answer:?}");
        answer
    });
    kv.refuses("path", &openai, &Refusal::new("policy_denied", "unlisted"), || {
        let answer = kv.get("openai", "/v1/modells");
        assert_eq!(answer.error.as_ref().unwrap()["details"]["nearest"][0], "GET /v1/models", "{answer:?}");
        answer
    });
    kv.refuses("method", &openai, &Refusal::new("policy_denied", "unlisted"), || {
        kv.raw(&json!({ "connection": "openai", "method": "DELETE", "path": "/v1/models" }))
    });
    let ran = kv.run(["connect", "opnai", "--json", "--yes"]);
    assert_eq!((ran.code, &ran.error()["code"]), (3, &json!("not_found")));
    assert!(ran.error()["message"].as_str().unwrap().contains("openai"));
    let ran = kv.run(["secret", "show", "NOBODY", "--json"]);
    assert_eq!((ran.code, &ran.error()["next"]), (3, &json!(["kv secret list"])));
}

#[test]
fn an_input_that_does_not_fit_is_refused_with_pointers() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let cases: [(Value, &str); 4] = [
        (json!({ "messages": [] }), ""),
        (json!({ "model": 4, "messages": [{ "role": "user", "content": "x" }] }), "/model"),
        (json!({ "model": "gpt-4o", "messages": "hello" }), "/messages"),
        (
            json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "x" }], "temperature": "hot" }),
            "/temperature",
        ),
    ];
    for (input, pointer) in cases {
        kv.refuses(pointer, &openai, &Refusal::new("usage", "schema"), || {
            let answer =
                kv.call(Typed { connection: "openai", operation: "chat.completions.create", input: input.clone() });
            let violations = answer.error.as_ref().unwrap()["details"]["violations"].clone();
            let named = violations.as_array().unwrap().iter().any(|violation| violation["pointer"] == pointer);
            assert!(named, "{pointer}: {violations}");
            answer
        });
    }
    let ran = kv.run(["call", "openai", "chat.completions.create", r#"{"model":4,"messages":[]}"#]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("/model"), "{}", ran.stderr);
}

#[test]
fn bodies_over_the_cap_are_refused_before_they_are_read() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send("POST /v1/api HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\ncontent-length: 99999999999\r\n\r\n{").unwrap();
    let answer = crate::harness::Answer::read(&mut wire).unwrap();
    assert_eq!(answer.faults(), ("usage", "request.body_too_large", "no"));
    // One that does not say how long it is.
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send("POST /v1/api HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    // The daemon may close while we write: that is the refusal, and its answer may be lost with the connection.
    let refused = (0..10).any(|_| wire.send(&chunk).is_err());
    if !refused {
        let answer = crate::harness::Answer::read(&mut wire).unwrap();
        assert_eq!(answer.faults(), ("usage", "request.body_too_large", "no"));
    }
    assert_eq!((openai.connections(), kv.trail_of("refused").len()), (0, 0));
    kv.get("openai", "/v1/models").forwarded(200);
}

#[test]
fn a_service_that_is_down_says_nothing_was_sent() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let address = openai.address();
    kv.run(["connection", "show", "openai"]).ok();
    // A port that was free a moment ago, and on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_ne!(free, address);
    kv.connect_to("openai", "down", &format!("https://{free}"), "KEY_OF_OPENAI");
    let ran = kv.run(["api", "down", "GET", "/v1/models", "--json"]);
    let error = ran.error();
    assert_eq!(
        (ran.code, &error["code"], &error["reason"], &error["sent"]),
        (9, &json!("upstream"), &json!("egress.connect"), &json!("no"))
    );
    assert_eq!(kv.trail_of("outcome").pop().unwrap()["sent"], "no");
}

#[test]
fn a_service_that_closes_says_that_nobody_knows() {
    let kv = Kv::unlocked();
    let service = kv.scripted("lying", Script::then([Step::Reset]));
    let body = json!({ "model": "gpt-4o", "messages": [] });
    let answer = kv.post("lying", "/v1/chat/completions", &body);
    assert_eq!(answer.faults(), ("upstream", "egress.reset", "unknown"));
    assert_eq!(service.request_count(), 1, "a write was repeated");
    assert_eq!(kv.trail_of("outcome").pop().unwrap()["sent"], "unknown");
}

#[test]
fn a_service_that_fails_is_passed_on_as_it_is() {
    let kv = Kv::unlocked();
    kv.openai_with(OpenAiOptions { requests_per_minute: Some(1), ..Default::default() });
    kv.get("openai", "/v1/models").forwarded(200);
    let limited = kv.run(["api", "openai", "GET", "/v1/models", "--json"]);
    assert_eq!((limited.code, &limited.error()["sent"]), (9, &json!("yes")));
    assert!(limited.stdout.contains("rate_limit_exceeded"), "{}", limited.stdout);
    let typed = kv.call(Typed { connection: "openai", operation: "models.list", input: json!({}) });
    assert_eq!(typed.faults(), ("upstream", "upstream.rate_limited", "yes"), "{}", typed.text());
}

#[test]
fn one_daemon_keeps_another_out() {
    let kv = Kv::unlocked();
    kv.openai();
    let before = kv.trail().len();
    let mut second = kv.spawn_daemon(|_| {});
    let ended = second.wait().unwrap();
    assert_eq!(ended.code(), Some(1));
    assert!(kv.log().contains("another daemon answers"), "{}", kv.log());
    assert_eq!(kv.trail().len(), before, "the second one wrote into the trail");
    kv.get("openai", "/v1/models").forwarded(200);
    assert_eq!(kv.run(["status", "--json"]).ok().json()["pid"], kv.daemon_pid());
}

#[test]
fn what_is_there_is_not_made_again() {
    let kv = Kv::unlocked();
    kv.openai();
    let file = kv.passphrase_file();
    let ran = kv.run(["init", "--passphrase-file", &file, "--throw-away", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (11, &json!("conflict")));
    let other = crate::harness::Canary::openai();
    let ran = kv.run_with(["set", "KEY_OF_OPENAI", "--stdin", "--json"], &kv.plant(other).value);
    assert_eq!((ran.code, &ran.error()["next"]), (11, &json!(["kv secret rotate KEY_OF_OPENAI"])));
    let ran = kv.run(["connect", "openai", "--bind", "key=KEY_OF_OPENAI", "--yes", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (11, &json!("conflict")));
    kv.get("openai", "/v1/models").forwarded(200);
}

/// Somebody else's program at the socket's place: the client looks before it speaks.
#[test]
fn what_is_not_kv_is_not_spoken_to() {
    let kv = Kv::new();
    let runtime = kv.home().runtime;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&runtime).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(kv.home().agent_socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let ran = kv.run(["api", "openai", "GET", "/v1/models", "--json"]);
    assert_eq!(ran.code, 8);
    assert!(ran.error()["message"].as_str().unwrap().contains("can be entered by others"));
    assert!(listener.accept().is_err(), "it connected all the same");
}

/// The daemon answers nothing that no verb is, and the agents' socket has none of the person's.
#[test]
fn the_agents_socket_has_no_verb_of_the_persons() {
    let kv = Kv::unlocked();
    let verbs = [
        ("POST", "/v1/vault/init"),
        ("POST", "/v1/vault/suggest"),
        ("POST", "/v1/vault/unlock"),
        ("POST", "/v1/vault/lock"),
        ("POST", "/v1/vault/passwd"),
        ("GET", "/v1/secrets"),
        ("POST", "/v1/secrets"),
        ("GET", "/v1/secrets/KEY"),
        ("POST", "/v1/secrets/KEY/rotate"),
        ("POST", "/v1/secrets/KEY/rename"),
        ("DELETE", "/v1/secrets/KEY"),
        ("GET", "/v1/providers"),
        ("POST", "/v1/connections"),
        ("GET", "/v1/connections/openai"),
        ("POST", "/v1/connections/openai/edit"),
        ("POST", "/v1/connections/openai/test"),
        ("DELETE", "/v1/connections/openai"),
        ("GET", "/v1/audit"),
        ("POST", "/v1/audit/verify"),
        ("GET", "/v1/doctor"),
        ("POST", "/v1/run"),
        ("POST", "/v1/run/00000000000000000000000000000000/mask"),
        ("POST", "/v1/run/00000000000000000000000000000000/end"),
        ("POST", "/v1/daemon/stop"),
    ];
    let entries = done(&kv);
    let mut wire = Wire::connect(&kv, Door::Agent);
    for (method, target) in verbs {
        wire.send(request(method, target, &[], b"{}")).unwrap();
        let answer = crate::harness::Answer::read(&mut wire).unwrap();
        assert_eq!(answer.faults(), ("not_found", "verb", "no"), "{method} {target}");
    }
    // That somebody tried stands there, and nothing else.
    assert_eq!(done(&kv), entries);
    assert!(!kv.trail_of("refusal").is_empty());
}

/// How many entries there are of what was done.
fn done(kv: &Kv) -> usize {
    kv.trail().iter().filter(|entry| entry["kind"] != "refusal").count()
}
