//! I05, I06, I22: callers that go in the middle, that use up what the daemon has, or hand it what it did not ask for.

use std::fs::{self, File};
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::harness::{Answer, Door, Kv, Wire, eventually, request};

fn chat() -> Vec<u8> {
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "hello" }] });
    let call =
        json!({ "connection": "openai", "method": "POST", "path": "/v1/chat/completions", "body": { "json": body } });
    request("POST", "/v1/api", &[("kv-agent", "tester")], call.to_string().as_bytes())
}

/// I05: a caller goes at every moment of a call, from the first byte of its request to the last of the answer. Each intent
/// gets its outcome, nothing goes out without one, and the daemon is as it was.
#[test]
fn callers_that_go_at_any_moment() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let bytes = chat();
    for cut in [1, 20, bytes.len() / 2, bytes.len() - 1] {
        let mut stream = UnixStream::connect(kv.home().agent_socket()).unwrap();
        stream.write_all(&bytes[..cut]).unwrap();
    }
    assert_eq!(kv.trail_of("intent").len(), 0, "half a request is none");
    for step in 0..200 {
        let mut stream = UnixStream::connect(kv.home().agent_socket()).unwrap();
        stream.write_all(&bytes).unwrap();
        // How long a call takes is the machine's; its steps lie somewhere in these 20 ms.
        std::thread::park_timeout(Duration::from_micros(step * 100));
    }
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(&bytes).unwrap();
    Answer::read(&mut wire).unwrap().forwarded(200);
    eventually("the last outcome", || {
        let status = kv.ask(Door::Human, "GET", "/v1/status", b"").json();
        (status["calls_in_flight"] == 0).then_some(())
    });
    // Who goes while the intent is being recorded leaves it without an outcome, and nothing sent: such are in the log's format.
    kv.trail_is_odd();
    let open = kv.open_intents().unwrap().len();
    let (intents, outcomes) = (kv.trail_of("intent").len(), kv.trail_of("outcome"));
    assert_eq!(intents, outcomes.len() + open);
    assert!(open < intents / 2, "{open} of {intents} intents have no outcome");
    let with = |sent: &str| outcomes.iter().filter(|outcome| outcome["sent"] == sent).count();
    let seen = openai.request_count();
    assert!((with("yes")..=with("yes") + with("unknown")).contains(&seen), "{seen} requests, but {outcomes:?}");
}

/// I06: no descriptor is left. Nobody can come in while it lasts; afterwards everybody can, and nothing has ended.
#[test]
fn no_descriptor_is_left() {
    let kv = Kv::unlocked();
    let _openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    let Some(open) = descriptors(&kv) else {
        println!("left out: this user may not see the daemon's descriptors");
        return;
    };
    let pid = Pid::from_raw(i32::try_from(kv.daemon_pid()).unwrap()).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", kv.daemon_pid())).unwrap();
    let hard = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().nth(4);
    let few = Rlimit { current: Some(open as u64 + 8), maximum: hard.and_then(|hard| hard.parse().ok()) };
    let usual = prlimit(Some(pid), Resource::Nofile, few).unwrap();
    let crowd: Vec<_> = (0..64).filter_map(|_| UnixStream::connect(kv.home().agent_socket()).ok()).collect();
    eventually("the last descriptor", || (descriptors(&kv)? >= open + 8).then_some(()));
    drop(crowd);
    // With the few that there are, both doors are open again.
    assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
    kv.get("openai", "/v1/models").forwarded(200);
    prlimit(Some(pid), Resource::Nofile, usual).unwrap();
    kv.run(["audit", "verify"]).ok();
}

/// I22: descriptors that come along with a request are closed, and the request is one like any other.
#[test]
fn descriptors_that_are_handed_over() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    let before = descriptors(&kv);
    let files: Vec<_> = (0..250).map(|_| File::open("/dev/null").unwrap()).collect();
    let handed: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(250))];
    let mut wires = Vec::new();
    for _ in 0..4 {
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(&handed)));
        let mut wire = Wire::connect(&kv, Door::Agent);
        let bytes = chat();
        let sent = sendmsg(&wire.stream, &[IoSlice::new(&bytes)], &mut along, SendFlags::empty()).unwrap();
        assert_eq!(sent, bytes.len());
        Answer::read(&mut wire).unwrap().forwarded(200);
        // Kept, so that none of them is closed with its connection.
        wires.push(wire);
    }
    assert_eq!(openai.request_count(), 5);
    match (before, descriptors(&kv)) {
        (Some(before), Some(now)) => assert!(now < before + 50, "{before} descriptors have become {now}"),
        _ => println!("left out: this user may not see the daemon's descriptors"),
    }
}

/// How many descriptors the daemon has.
fn descriptors(kv: &Kv) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", kv.daemon_pid())).ok()?.count())
}
