//! V22: answers that are held open over a lock, or over the end of what they came through.

use kv_fakes::{Script, Step};
use serde_json::json;

use crate::harness::{Canary, Door, Kv, Part, Wire, eventually, request};

/// V22: a lock frees what an answer holds also where nobody reads it, and the reader is told when it reads again.
#[test]
fn a_reader_that_stalls_keeps_nothing_over_a_lock() {
    let kv = Kv::unlocked();
    let endless = "data: and on and on\n\n".repeat(1000);
    let service = kv.scripted("endless", Script::then([Step::send(EVENTS), Step::endless(endless)]));
    let mut wire = begin(&kv, "endless");
    stall(&wire);
    assert_eq!((service.open_connections(), kv.trail_of("outcome").len()), (1, 0));
    kv.run(["lock"]).ok();
    eventually("the connection's end", || (service.open_connections() == 0).then_some(()));
    let outcome = eventually("the outcome", || kv.trail_of("outcome").pop());
    assert_eq!(outcome["error"], "egress.locked");
    assert!(outcome["bytes_in"].as_u64().unwrap() > 0);
    let error = trailer(&mut wire);
    assert_eq!((&error["code"], &error["reason"]), (&json!("locked"), &json!("egress.locked")));
}

/// V22: the mask of a command's output ends with the lock too, whether its command says anything more or not.
#[test]
fn a_mask_ends_with_a_lock() {
    let kv = Kv::unlocked();
    let run = json!({ "program": "quiet", "secrets": [], "environment": [] }).to_string();
    let run = kv.ask(Door::Human, "POST", "/v1/run", run.as_bytes()).json()["run"].as_str().unwrap().to_owned();
    let mut wire = Wire::connect(&kv, Door::Human);
    let head = "HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n";
    wire.send(format!("POST /v1/run/{run}/mask {head}6\r\nhello\n\r\n")).unwrap();
    wire.head().unwrap();
    assert_eq!(wire.part(), Part::Data(b"hello\n".into()));
    kv.run(["lock"]).ok();
    assert_eq!(trailer(&mut wire)["code"], "locked");
    // The command's end is told on a connection of its own.
    let ended = json!({ "exit_code": 0 }).to_string();
    assert_eq!(kv.ask(Door::Human, "POST", &format!("/v1/run/{run}/end"), ended.as_bytes()).outcome, "result");
    eventually("the entry", || kv.trail_of("run_ended").pop());
}

/// What a person takes away is gone at once, also from answers that are under way; what is only widened goes on.
#[test]
fn a_connection_that_is_taken_away_ends_its_answers() {
    let kv = Kv::unlocked();
    let service = kv.scripted("taken", Script::then([Step::send(EVENTS), Step::Hang]));
    let other = kv.scripted("other", Script::then([Step::send(EVENTS), Step::Hang]));
    let _other = begin(&kv, "other");
    let edit = |change: &str, operation: &str| {
        kv.run(["connection", "edit", "taken", change, operation]).ok();
    };
    edit("--deny", "files.delete");
    let mut wire = begin(&kv, "taken");
    edit("--allow", "files.delete");
    kv.run_with(["secret", "rotate", "KEY_OF_TAKEN", "--stdin"], &kv.plant(Canary::openai()).value).ok();
    assert_eq!(service.open_connections(), 1, "an edit that gives more, or a new value, ended it");
    edit("--deny", "models.list");
    eventually("the connection's end", || (service.open_connections() == 0).then_some(()));
    let error = trailer(&mut wire);
    let denied = (&json!("policy_denied"), &json!("connection_changed"), &json!("yes"));
    assert_eq!((&error["code"], &error["reason"], &error["sent"]), denied);
    edit("--allow", "models.list");
    // A reader that has stalled is no help.
    kv.key_is_not_counted(&service);
    let mut wire = begin(&kv, "taken");
    kv.run(["connection", "remove", "taken", "--yes"]).ok();
    eventually("the connection's end", || (service.open_connections() == 0).then_some(()));
    assert_eq!(trailer(&mut wire)["reason"], "connection_changed");
    let outcomes = kv.trail_of("outcome");
    assert!(
        outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome["error"] == "connection_changed"),
        "{outcomes:?}"
    );
    assert_eq!(other.open_connections(), 1, "another connection's answer ended with it");
}

pub(super) const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n";

pub(super) fn chat(text: &str) -> Vec<u8> {
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] });
    let call = json!({ "connection": "openai", "operation": "chat.completions.create", "input": body }).to_string();
    request("POST", "/v1/call", &[], call.as_bytes())
}

/// A call whose answer has begun and is not over.
#[track_caller]
pub(super) fn begin<'a>(kv: &'a Kv, connection: &str) -> Wire<'a> {
    let call = json!({ "connection": connection, "method": "GET", "path": "/v1/models" }).to_string();
    let mut wire = Wire::connect(kv, Door::Agent);
    wire.send(request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
    wire.head().expect("an answer");
    assert!(matches!(wire.part(), Part::Data(_)));
    wire
}

/// Waits until so much is left unread that nothing more comes.
fn stall(wire: &Wire<'_>) {
    let unread = || rustix::io::ioctl_fionread(&wire.stream).unwrap();
    let (mut last, mut same) = (0, 0);
    eventually("a full socket", || {
        let now = unread();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (now > 0 && same > 100).then_some(())
    });
}

/// The error with which an answer breaks off.
#[track_caller]
fn trailer(wire: &mut Wire<'_>) -> serde_json::Value {
    loop {
        match wire.part() {
            Part::Data(_) => {}
            Part::End(trailers) => {
                let error = trailers.into_iter().find(|(name, _)| name == "kv-error").expect("a trailer says why");
                break serde_json::from_str(&error.1).unwrap();
            }
            Part::Broken => panic!("it broke off without a word"),
        }
    }
}
