//! What the trail says of what was refused, stopped and decided.

use std::net::TcpListener;

use kv_fakes::{Script, Step};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Answer, Canary, Door, Kv, Wire, eventually, request};

/// The agents' socket refuses a verb of the person's: each time is recorded or counted, and nothing of what it asked for.
#[test]
fn refusals_at_the_agents_socket_are_counted_and_their_words_kept_out() {
    const TRIES: u64 = 40;
    let kv = Kv::unlocked();
    let before = kv.trail().len();
    let mut wire = Wire::connect(&kv, Door::Agent);
    for _ in 0..TRIES {
        wire.send(request("GET", "/v1/secrets/CURIOSITY", &[("kv-agent", "curious")], b"")).unwrap();
        assert_eq!(Answer::read(&mut wire).unwrap().faults(), ("not_found", "verb", "no"));
    }
    let count = |entries: &[Value]| entries.iter().map(|entry| 1 + entry["more"].as_u64().unwrap()).sum::<u64>();
    let refusals = eventually("a second that has room for one more, and the count in it", || {
        kv.ask(Door::Agent, "GET", "/v1/nowhere", b"");
        let refusals = kv.trail().split_off(before);
        (count(&refusals) > TRIES).then_some(refusals)
    });
    for entry in &refusals {
        assert_eq!((&entry["kind"], &entry["reason"]), (&json!("refusal"), &json!("verb")), "{entry}");
        assert!(!entry.to_string().contains("CURIOSITY") && !entry.to_string().contains("nowhere"), "{entry}");
    }
    assert_eq!(refusals[0]["principal"]["name"], "curious");

    let before = kv.trail().len();
    kv.ask(Door::Human, "GET", "/v1/nowhere", b"");
    kv.ask(Door::Human, "POST", "/v1/secrets", b"{");
    assert_eq!(kv.trail().len(), before, "the person's slips are in the trail");
    eventually("a second that has room", || {
        kv.ask(Door::Agent, "POST", "/v1/api", b"{ words of the caller's");
        kv.trail_of("refusal").pop().filter(|entry| entry["reason"] == "request.json")
    });
    assert!(!kv.trail().iter().any(|entry| entry.to_string().contains("words of the caller")));
}

#[test]
fn a_lock_under_a_call_says_what_had_left() {
    let kv = Kv::unlocked();
    // One service takes the request and says nothing; where the other should be, a socket accepts and speaks no TLS.
    let silent = kv.scripted("silent", Script::then([Step::Hang]));
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    kv.connect_to("openai", "deaf", &format!("https://{}", deaf.local_addr().unwrap()), "KEY_OF_SILENT");
    for (connection, sent) in [("silent", "unknown"), ("deaf", "no")] {
        let call = json!({ "connection": connection, "method": "GET", "path": "/v1/models" });
        let mut wire = Wire::connect(&kv, Door::Agent);
        wire.send(request("POST", "/v1/api", &[], call.to_string().as_bytes())).unwrap();
        let kept = match connection {
            "silent" => eventually("the request", || (silent.request_count() == 1).then_some(None)),
            _ => Some(deaf.accept().unwrap()),
        };
        kv.run(["lock"]).ok();
        let answer = Answer::read(&mut wire).unwrap();
        assert_eq!((answer.faults().0, answer.faults().2), ("locked", sent), "{connection}: {}", answer.gist());
        let outcome = eventually("the outcome", || {
            let intent = kv.trail_of("intent").pop()?;
            kv.trail_of("outcome").into_iter().find(|outcome| outcome["intent"] == intent["seq"])
        });
        assert_eq!((&outcome["sent"], &outcome["status"]), (&json!(sent), &Value::Null), "{connection}");
        drop(kept);
        kv.unlock();
    }
}

#[test]
fn what_a_passphrase_is_given_for_is_recorded_before_it_is_done() {
    let kv = Kv::unlocked();
    kv.run(["lock"]).ok();
    let wrong = kv.private_file("wrong", "kvcanary not this one");
    assert_eq!(kv.run(["unlock", "--passphrase-file", &wrong]).code, 4);
    let kinds = |what: &str| {
        let trail = kv.trail();
        let at = trail.iter().position(|entry| entry["kind"] == "attempted" && entry["what"] == what).unwrap();
        trail[at + 1]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!((kinds("init").as_str(), kinds("unlock").as_str()), ("vault_created", "unlock_failed"));
    // A value for a command is handed out for the passphrase too, however the answer is printed.
    kv.unlock();
    let key = kv.plant(Canary::openai());
    kv.run_with(["set", "HANDED_OUT", "--stdin"], &key.value).ok();
    let run = |file: &str, printed: &[&str]| {
        let from = kv.trail().len();
        let mut arguments = vec!["run", "--secret", "HANDED_OUT", "--passphrase-file", file];
        arguments.extend(printed);
        arguments.extend(["--", "/bin/sh", "-c", "echo ran"]);
        let ran = kv.run(arguments);
        (ran.code, ran.stdout, kv.trail().split_off(from))
    };
    for printed in [&[][..], &["--json"]] {
        let (code, stdout, entries) = run(&wrong, printed);
        assert_eq!((code, stdout.as_str(), entries.len()), (125, "", 2), "{entries:?}");
        assert_eq!((&entries[0]["kind"], &entries[0]["what"]), (&json!("attempted"), &json!("run")));
        assert_eq!(entries[1]["kind"], "unlock_failed");
        let (code, stdout, entries) = run(&kv.passphrase_file(), printed);
        assert_eq!((code, stdout.as_str(), entries.len()), (0, "ran\n", 3), "{entries:?}");
        assert_eq!((&entries[0]["kind"], &entries[0]["what"]), (&json!("attempted"), &json!("run")));
        assert_eq!((&entries[1]["kind"], &entries[2]["kind"]), (&json!("run_started"), &json!("run_ended")));
    }
    // Nothing was tried where no passphrase was given.
    let before = kv.trail().len();
    let asked = json!({ "program": "sh", "secrets": ["HANDED_OUT"], "environment": [] }).to_string();
    let answer = kv.ask(Door::Human, "POST", "/v1/run", asked.as_bytes());
    assert_eq!(answer.faults(), ("needs_human", "passphrase", "no"));
    assert_eq!(kv.trail().len(), before);
}

/// What the person decides is in the trail, with everything that says where secrets may go.
#[test]
fn a_connection_is_recorded_with_what_was_decided() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let made = kv.trail_of("connection_made").pop().unwrap();
    let ca = kv.ca.ca_pem();
    let digest: String = Sha256::digest(ca.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let setup = json!({ "private": true, "ca": digest, "settings": {}, "bindings": { "key": made["secrets"][0] } });
    assert_eq!(made["setup"], setup, "{made}");
    kv.run(["connection", "edit", "openai", "--deny", "models.list"]).ok();
    let edited = kv.trail_of("connection_edited").pop().unwrap();
    assert_eq!(edited["decided"], json!({ "allow": [], "ask": [], "deny": ["models.list"], "more": 0 }), "{edited}");
    assert_eq!(edited["setup"], setup);
    // A value that was put into a setting by mistake.
    let change = json!({ "settings": { "organization": openai.key.value } }).to_string();
    let mut wire = Wire::connect(&kv, Door::Human);
    wire.is_unseen();
    wire.send(request("POST", "/v1/connections/openai/edit", &[], change.as_bytes())).unwrap();
    assert_eq!(Answer::read(&mut wire).unwrap().outcome, "result");
    let edited = kv.trail_of("connection_edited").pop().unwrap();
    assert!(edited["setup"]["settings"]["organization"].is_string(), "{edited}");
    assert_eq!(openai.key.found_in(edited.to_string().as_bytes()), None);
}

#[test]
fn the_newest_entries_are_the_end_of_all() {
    let kv = Kv::unlocked();
    kv.openai();
    for _ in 0..5 {
        kv.get("openai", "/v1/models").forwarded(200);
    }
    let lines = |more: &[&str]| -> Vec<Value> {
        let ran = kv.run([&["audit", "--json"], more].concat()).ok();
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let calls = lines(&["--connection", "openai", "-n", "1000"]);
    assert_eq!(calls.iter().filter(|entry| entry["kind"] == "outcome").count(), 5);
    for count in [1, 2, 7] {
        let newest = lines(&["--connection", "openai", "-n", &count.to_string()]);
        assert_eq!(newest, calls[calls.len() - count..]);
    }
}
