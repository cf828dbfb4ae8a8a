//! The vault's door: open for a time, shut at once, and no way round it.

use kv_fakes::{Script, Step};
use serde_json::json;

use crate::harness::{Door, Kv, Part, Refusal, Typed, Wire, eventually, request};

#[test]
fn a_locked_vault_refuses_and_says_what_to_do() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    kv.run(["lock"]).ok();
    let refusal = Refusal::new("locked", "");
    kv.refuses("raw", &openai, &refusal, || kv.get("openai", "/v1/models"));
    kv.refuses("typed", &openai, &refusal, || {
        kv.call(Typed { connection: "openai", operation: "models.list", input: json!({}) })
    });
    let ran = kv.run(["api", "openai", "GET", "/v1/models", "--json"]);
    let error = ran.error();
    assert_eq!((ran.code, &error["next"][0]), (4, &json!("kv unlock")));
    // What there is, is sealed too.
    for target in ["/v1/connections", "/v1/operations", "/v1/search?words=models"] {
        assert_eq!(kv.ask(Door::Agent, "GET", target, b"").faults(), ("locked", "", "no"), "{target}");
    }
    assert_eq!(openai.request_count(), 1);
    kv.unlock();
    kv.get("openai", "/v1/models").forwarded(200);
}

#[test]
fn locking_ends_a_stream_and_closes_the_way_to_the_service() {
    let kv = Kv::unlocked();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n";
    let service = kv.scripted("slow", Script::then([Step::send(head), Step::Hang]));
    let call = json!({ "connection": "slow", "method": "GET", "path": "/v1/models" });
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(request("POST", "/v1/api", &[], call.to_string().as_bytes())).unwrap();
    wire.head().unwrap();
    assert!(matches!(wire.part(), Part::Data(_)));
    kv.run(["lock"]).ok();
    let error = loop {
        match wire.part() {
            Part::Data(_) => {}
            Part::End(trailers) => break trailers.into_iter().find(|(name, _)| name == "kv-error"),
            Part::Broken => panic!("it broke off without a word"),
        }
    };
    let error: serde_json::Value = serde_json::from_str(&error.expect("a trailer says why").1).unwrap();
    assert_eq!(
        (&error["code"], &error["reason"], &error["sent"]),
        (&json!("locked"), &json!("egress.locked"), &json!("yes"))
    );
    eventually("the connection's end", || (service.open_connections() == 0).then_some(()));
    eventually("the outcome", || kv.trail_of("outcome").pop().filter(|outcome| outcome["error"] == "egress.locked"));
}

#[test]
fn an_unlock_ends_by_itself() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.run(["lock"]).ok();
    kv.run(["unlock", "--for", "1s", "--passphrase-file", &kv.passphrase_file()]).ok();
    let locked = eventually("the end of the unlock", || {
        let answer = kv.get("openai", "/v1/models");
        (answer.outcome == "error").then_some(answer)
    });
    // The one that was under way at that moment cannot say that nothing was sent.
    assert!(matches!(locked.faults(), ("locked", _, "no" | "unknown")), "{}", locked.gist());
    eventually("the entry", || kv.trail_of("locked").pop().filter(|entry| entry["cause"] == "time_limit"));
    kv.refuses("afterwards", &openai, &Refusal::new("locked", ""), || kv.get("openai", "/v1/models"));
}

#[test]
fn wrong_passphrases_wait_longer_and_a_restart_does_not_help() {
    let kv = Kv::unlocked();
    kv.run(["lock"]).ok();
    let wrong = kv.private_file("wrong", "kvcanary not this one");
    let attempt = || kv.run(["unlock", "--passphrase-file", &wrong, "--json"]);
    let first = attempt();
    assert_eq!((first.code, &first.error()["reason"]), (4, &json!("wrong_passphrase")));
    let mut tries = 0;
    let too_soon = loop {
        let error = attempt().error();
        if error["reason"] == "too_soon" {
            break error;
        }
        tries += 1;
        assert!(tries < 20, "nobody counts");
    };
    assert!(too_soon["retry_after_ms"].as_u64().unwrap() > 0, "{too_soon}");
    kv.stop();
    kv.start();
    let error = kv.run(["unlock", "--passphrase-file", &kv.passphrase_file(), "--json"]).error();
    assert_eq!(error["reason"], "too_soon", "a restart forgot the failures");
    // The right one after the wait opens it.
    eventually("the wait", || (kv.run(["unlock", "--passphrase-file", &kv.passphrase_file()]).code == 0).then_some(()));
    assert!(kv.trail_of("unlock_failed").len() >= 2);
}

#[test]
fn a_new_passphrase_takes_the_old_ones_place() {
    let kv = Kv::unlocked();
    kv.openai();
    let new = kv.plant(crate::harness::Canary::passphrase());
    let new_file = kv.private_file("new", &new.value);
    let old_file = kv.passphrase_file();
    let changed = ["passwd", "--passphrase-file", &old_file, "--new-passphrase-file", &new_file, "--accept-weak"];
    kv.run(changed).ok();
    kv.run(["lock"]).ok();
    assert_eq!(kv.run(["unlock", "--passphrase-file", &old_file]).code, 4);
    eventually("the wait", || (kv.run(["unlock", "--passphrase-file", &new_file]).code == 0).then_some(()));
    kv.get("openai", "/v1/models").forwarded(200);
}
