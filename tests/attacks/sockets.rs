//! I01, I02, I06, I20, I27, I40, C41: the daemon's sockets, spoken to by somebody who means no good.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use kv_fakes::{Script, Step};
use serde_json::json;

use crate::harness::{Answer, Canary, Door, Kv, Part, Wire, all_right, eventually, request};

/// I01: JSON that is not, or that two readers would read in two ways. The connection is kept: its framing was right.
#[test]
fn strange_json() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let call = r#"{"connection":"openai","method":"GET","path":"/v1/models"}"#;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide: String = format!("{{{}}}", (0..200_000).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(","));
    let long = format!(
        r#"{{"connection":"openai","method":"GET","path":"/v1/models","query":[["a",{}]]}}"#,
        "9".repeat(1_000_000)
    );
    let utf16: Vec<u8> = call.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "request.json"),
        ("half an object", call.as_bytes()[..20].into(), "request.json"),
        (
            "a key twice",
            br#"{"connection":"openai","connection":"openai","method":"GET","path":"/v1/models"}"#.into(),
            "request.json",
        ),
        (
            "a key twice, once escaped",
            br#"{"connection":"openai","\u0063onnection":"x","method":"GET","path":"/v1/models"}"#.into(),
            "request.json",
        ),
        (
            "a key twice, below",
            br#"{"connection":"openai","method":"GET","path":"/v1/models","body":{"json":{"a":1,"a":2}}}"#.into(),
            "request.json",
        ),
        (
            "no number",
            br#"{"connection":"openai","method":"POST","path":"/v1/files","body":{"json":NaN}}"#.into(),
            "request.json",
        ),
        (
            "a number beyond all",
            br#"{"connection":"openai","method":"POST","path":"/v1/files","body":{"json":1e400}}"#.into(),
            "request.json",
        ),
        (
            "half a surrogate pair",
            br#"{"connection":"openai","method":"GET","path":"/v1/models/\ud800"}"#.into(),
            "request.json",
        ),
        ("a mark of byte order", [b"\xef\xbb\xbf", call.as_bytes()].concat(), "request.json"),
        ("UTF-16", utf16, "request.json"),
        ("bytes behind it", [call.as_bytes(), b"x"].concat(), "request.json"),
        ("another behind it", [call.as_bytes(), call.as_bytes()].concat(), "request.json"),
        ("NUL behind it", [call.as_bytes(), b"\0"].concat(), "request.json"),
        ("no UTF-8", b"{\"connection\":\"\xff\"}".into(), "request.json"),
        ("an array", b"[]".into(), "request.form"),
        (
            "a field too many",
            br#"{"connection":"openai","method":"GET","path":"/v1/models","origin":"https://evil.test"}"#.into(),
            "request.form",
        ),
        ("a field too few", br#"{"connection":"openai","method":"GET"}"#.into(), "request.form"),
        ("a number for a name", br#"{"connection":1,"method":"GET","path":"/v1/models"}"#.into(), "request.form"),
        ("a name that is none", br#"{"connection":"../x","method":"GET","path":"/v1/models"}"#.into(), "request.form"),
        (
            "an effect that is none",
            br#"{"connection":"openai","method":"GET","path":"/v1/models","most":"all"}"#.into(),
            "request.form",
        ),
        ("too deep", deep.into_bytes(), "request.json"),
        ("200,000 keys", wide.into_bytes(), "request.form"),
        ("a number of a million digits", long.into_bytes(), ""),
    ];
    let mut wire = Wire::connect(&kv, Door::Agent);
    let mut wrong = Vec::new();
    for (name, body, reason) in &cases {
        wire.send(request("POST", "/v1/api", &[], body)).unwrap();
        let Some(answer) = Answer::read(&mut wire) else {
            wrong.push(format!("I01 {name}: the connection was closed"));
            wire = Wire::connect(&kv, Door::Agent);
            continue;
        };
        let right = answer.fault("code") == "usage" && answer.fault("sent") == "no";
        if !right || (!reason.is_empty() && answer.fault("reason") != *reason) {
            wrong.push(format!("I01 {name}: {}", answer.gist()));
        }
    }
    all_right(cases.len(), &wrong);
    wire.send(request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
    assert_eq!(Answer::read(&mut wire).unwrap().forwarded(200).status, Some(200));
    assert_eq!(openai.request_count(), 1);
}

/// I02: HTTP that is not, or not within bounds: refused or cut off, and the daemon goes on.
#[test]
fn strange_http() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let call = r#"{"connection":"openai","method":"GET","path":"/v1/models"}"#;
    let start = "POST /v1/api HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\n";
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases: Vec<(&str, String)> = vec![
        ("noise", "\0\u{1}\u{2}garbage\r\n\r\n".into()),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".into()),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("HTTP/0.9", "GET /v1/status\r\n\r\n".into()),
        ("HTTP/3.0", "GET /v1/status HTTP/3.0\r\n\r\n".into()),
        ("two lengths", format!("{start}content-length: 5\r\ncontent-length: {}\r\n\r\n{call}", call.len())),
        ("a length with a sign", format!("{start}content-length: +{}\r\n\r\n{call}", call.len())),
        ("a length below zero", format!("{start}content-length: -1\r\n\r\n{call}")),
        ("a length of 2^64", format!("{start}content-length: 18446744073709551616\r\n\r\n{call}")),
        ("an unknown framing", format!("{start}transfer-encoding: xchunked\r\n\r\n{call}")),
        ("a framing of two", format!("{start}transfer-encoding: chunked, identity\r\n\r\n{call}")),
        ("a chunk without a size", format!("{start}transfer-encoding: chunked\r\n\r\nzz\r\n{call}\r\n0\r\n\r\n")),
        ("a chunk of 2^64", format!("{start}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n{call}")),
        ("a folded header", format!("{start}x: y\r\n z\r\n\r\n")),
        ("a blank before a colon", format!("{start}content-length : 5\r\n\r\nabcde")),
        ("1,000 headers", format!("{start}{many}\r\n")),
        ("a head of 1 MiB", format!("{start}x: {}\r\n\r\n", "y".repeat(1 << 20))),
        ("a line of 1 MiB", format!("POST /{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 20))),
        ("no end of a line", "x".repeat(1 << 20)),
    ];
    let mut wrong = Vec::new();
    for (name, text) in &cases {
        let mut wire = Wire::connect(&kv, Door::Agent);
        // It may be closed while we write.
        let _ = wire.send(text);
        let _ = wire.stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = wire.stream.read_to_end(&mut answer);
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.0 4");
        // What has a right head but no kv-api of ours is answered by the version check, which is a refusal too.
        let refused = refused || answer.starts_with(b"HTTP/1.1 503");
        if !refused {
            wrong.push(format!(
                "I02 {name}: {}",
                String::from_utf8_lossy(&answer).chars().take(200).collect::<String>()
            ));
        }
    }
    all_right(cases.len(), &wrong);
    assert_eq!(openai.request_count(), 0);
    kv.get("openai", "/v1/models").forwarded(200);
}

/// I02, I06: a head that does not come is waited for 10 s, not for ever, and nobody else waits with it.
#[test]
fn a_head_that_does_not_come() {
    let kv = Kv::unlocked();
    let mut slow: Vec<_> = (0..8)
        .map(|_| {
            let mut wire = Wire::connect(&kv, Door::Agent);
            wire.send("POST /v1/api HTTP/1.1\r\nhost:").unwrap();
            wire
        })
        .collect();
    kv.run(["status"]).ok();
    let begun = std::time::Instant::now();
    // Neither one that has said nothing yet nor one between two requests is a slow head.
    let mut fresh = Wire::connect(&kv, Door::Agent);
    let mut between = Wire::connect(&kv, Door::Agent);
    let status = request("GET", "/v1/status", &[], b"");
    between.send(&status).unwrap();
    assert_eq!(Answer::read(&mut between).unwrap().outcome, "result");
    for wire in &mut slow {
        let mut rest = Vec::new();
        wire.stream.read_to_end(&mut rest).expect("it is closed in time");
    }
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    for wire in [&mut fresh, &mut between] {
        wire.send(&status).unwrap();
        assert_eq!(Answer::read(wire).expect("an idle connection is kept").outcome, "result");
    }
}

/// I03: requests in a row on one connection are answered in order.
#[test]
fn requests_in_a_row() {
    let kv = Kv::unlocked();
    let _openai = kv.openai();
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send((0..5).flat_map(|n| chat(&format!("number {n}."))).collect::<Vec<u8>>()).unwrap();
    for n in 0..5 {
        let answer = Answer::read(&mut wire).unwrap().forwarded(200);
        assert!(answer.text().contains(&format!("number {n}.")), "{}", answer.gist());
    }
    wire.stream.shutdown(Shutdown::Write).unwrap();
    assert!(Answer::read(&mut wire).is_none());
}

/// I06: a caller that closes its half after its request is still owed the answer, however long that takes. One that closes
/// both has gone, and its call with it.
#[test]
fn a_half_closed_caller_is_answered() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(chat("half a farewell")).unwrap();
    wire.stream.shutdown(Shutdown::Write).unwrap();
    let answer = Answer::read(&mut wire).expect("an answer").forwarded(200);
    assert!(answer.text().contains("half a farewell"), "{}", answer.gist());
    assert!(Answer::read(&mut wire).is_none(), "the connection ends with its answer");
    // While the answer is only beginning.
    let slow = kv.scripted(
        "slow",
        Script::then([
            Step::send(EVENTS),
            Step::Rest(Duration::from_millis(1500)),
            Step::send("data: last\n\n"),
            Step::Close,
        ]),
    );
    let mut wire = begin(&kv, "slow");
    wire.stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let end = loop {
        match wire.part() {
            Part::Data(data) => rest.extend(data),
            end => break end,
        }
    };
    assert!(rest.ends_with(b"data: last\n\n") && end == Part::End(Vec::new()), "{end:?} after {rest:?}");
    // Half first, and then the rest.
    let hanging = kv.scripted("hanging", Script::then([Step::send(EVENTS), Step::Hang]));
    let wire = begin(&kv, "hanging");
    wire.stream.shutdown(Shutdown::Write).unwrap();
    drop(wire);
    eventually("the call's end", || (hanging.open_connections() == 0).then_some(()));
    eventually("the outcome", || (kv.trail_of("outcome").len() == 3).then_some(()));
    assert_eq!((openai.request_count(), slow.request_count(), hanging.request_count()), (1, 1, 1));
}

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

/// Sockets that a service manager holds: taken as they are, in their order, not removed at the end; and whoever stops the
/// daemon is told that it comes back.
#[test]
fn sockets_that_are_handed_over() {
    let kv = Kv::new();
    let home = kv.home();
    DirBuilder::new().recursive(true).mode(0o700).create(&home.runtime).unwrap();
    let agent = UnixListener::bind(home.agent_socket()).unwrap();
    let human = UnixListener::bind(home.human_socket()).unwrap();
    // A shell puts them where a service manager would, and becomes the daemon.
    let start = |first: &UnixListener, second: &UnixListener| {
        kv.spawn_daemon(|command| {
            let log = fs::OpenOptions::new().append(true).open(home.log()).unwrap();
            let script =
                "exec 3<&0 4>&1 0</dev/null 1>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$0\" daemon run";
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).arg(command.get_program()).env_clear().stderr(log);
            shell.stdin(OwnedFd::from(first.try_clone().unwrap())).stdout(OwnedFd::from(second.try_clone().unwrap()));
            for (name, value) in command.get_envs() {
                value.map(|value| shell.env(name, value));
            }
            *command = shell;
        })
    };
    assert_eq!(start(&human, &agent).wait().unwrap().code(), Some(1));
    assert!(kv.log().contains("in this order"), "{}", kv.log());
    let mut daemon = start(&agent, &human);
    // Somebody listens already, so the first answer is waited for by asking.
    let status = kv.run(["status", "--json"]).ok().json();
    assert_eq!(status["socket_activated"], true, "{status}");
    // Somebody has to take note of its end, as a service manager does.
    let end = std::thread::spawn(move || daemon.wait().unwrap().code());
    let stopped = kv.run(["daemon", "stop"]).ok();
    assert!(stopped.stdout.contains("starts it again"), "{stopped:?}");
    assert_eq!(end.join().unwrap(), Some(0));
    assert!(home.agent_socket().exists() && home.human_socket().exists());
    // The next one finds them as they were.
    let mut daemon = start(&agent, &human);
    assert_eq!(kv.ask(Door::Agent, "GET", "/v1/status", b"").outcome, "result");
    let end = std::thread::spawn(move || daemon.wait().unwrap().code());
    assert_eq!(kv.run(["daemon", "stop", "--json"]).ok().json()["socket_activated"], true);
    assert_eq!(end.join().unwrap(), Some(0));
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

/// I06: many large requests at once are refused where they would not fit into memory together, and the person's are not.
#[test]
fn large_requests_together_have_a_bound() {
    const CALLERS: usize = 12;
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let before = memory(&kv);
    // Bodies that are nearly whole, and stay so: none of them is over its own bound.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let kv = &kv;
                scope.spawn(move || {
                    let mut wire = Wire::connect(kv, Door::Agent);
                    let length = 64 << 20;
                    let head = format!(
                        "POST /v1/call HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\nkv-head-length: 10\r\ncontent-length: {length}\r\n\r\n"
                    );
                    wire.send(head).unwrap();
                    let piece = vec![b'x'; 1 << 20];
                    // It may be refused, and closed, while we write.
                    let sent = (0..63).all(|_| wire.send(&piece).is_ok());
                    // Those whose bytes were all taken sit on them until the others have been refused.
                    let mut answer = None;
                    if !sent {
                        answer = Some(wire.head().map(|_| wire.part()));
                    }
                    (sent, answer, wire)
                })
            })
            .collect();
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
        kv.run(["secret", "list"]).ok();
        answers
    });
    let refused = answers.iter().filter(|(sent, ..)| !sent).count();
    println!("{refused} of {CALLERS} requests of 64 MiB were refused; the daemon took up to {} MiB", peak(&kv) >> 20);
    assert!((CALLERS - 4..CALLERS).contains(&refused), "{refused}");
    for (_, answer, _) in &answers {
        // Closed while we were writing: what it said is lost.
        if let Some(Some(Part::Data(body))) = answer {
            assert!(String::from_utf8_lossy(body).contains("memory_full"), "{}", String::from_utf8_lossy(body));
        }
    }
    assert!(peak(&kv) < before + (700 << 20), "the daemon took {} MiB", peak(&kv) >> 20);
    drop(answers);
    assert_eq!(openai.request_count(), 0);
    eventually("memory", || (kv.get("openai", "/v1/models").outcome == "forwarded").then_some(()));
}

/// I06: ten thousand idle agents, or as many as the test's own limit of files allows: all of them are kept, the person's door
/// is open, and each costs little.
#[test]
fn ten_thousand_idle_agents() {
    let limit = {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        getrlimit(Resource::Nofile).current.unwrap_or(1 << 20) as usize
    };
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    // The other tests of this process need files too. Of the daemon's own, agents get three quarters.
    let many = 10_000.min(limit / 2).min(limit.saturating_sub(512) / 4 * 3 - 64);
    let before = memory(&kv);
    let status = request("GET", "/v1/status", &[], b"");
    let mut idle = Vec::with_capacity(many);
    for number in 0..many {
        let mut wire = Wire::connect(&kv, Door::Agent);
        wire.send(&status).unwrap();
        let answer = Answer::read(&mut wire).unwrap_or_else(|| panic!("agent {number} was turned away"));
        assert_eq!(answer.outcome, "result", "{}", answer.gist());
        idle.push(wire);
    }
    let each = memory(&kv).saturating_sub(before) / many;
    println!("{many} idle agents after a request each: {each} bytes of the daemon's memory for one");
    assert!(each < 24 << 10, "{each} bytes for an idle connection");
    assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
    kv.get("openai", "/v1/models").forwarded(200);
    kv.run(["secret", "list"]).ok();
    for wire in idle.iter_mut().step_by(97) {
        wire.send(&status).unwrap();
        assert_eq!(Answer::read(wire).expect("it was kept").outcome, "result");
    }
    assert_eq!(openai.request_count(), 2);
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n";

fn chat(text: &str) -> Vec<u8> {
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] });
    let call = json!({ "connection": "openai", "operation": "chat.completions.create", "input": body }).to_string();
    request("POST", "/v1/call", &[], call.as_bytes())
}

/// A call whose answer has begun and is not over.
#[track_caller]
fn begin<'a>(kv: &'a Kv, connection: &str) -> Wire<'a> {
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

/// What the daemon has in memory, in bytes.
fn memory(kv: &Kv) -> usize {
    of_status(kv, "VmRSS:")
}

/// The most that it ever had.
fn peak(kv: &Kv) -> usize {
    of_status(kv, "VmHWM:")
}

fn of_status(kv: &Kv, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", kv.daemon_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

/// I06: idle and unread connections in numbers leave the person's door open.
#[test]
fn crowds_at_the_agents_door_leave_the_persons_open() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let idle: Vec<_> = (0..400).map(|_| UnixStream::connect(kv.home().agent_socket()).unwrap()).collect();
    // These ask for much and read nothing.
    let call = json!({ "connection": "openai", "method": "GET", "path": "/v1/models" }).to_string();
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(kv.home().agent_socket()).unwrap();
            for _ in 0..4 {
                stream.write_all(&request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
    kv.run(["secret", "list"]).ok();
    kv.get("openai", "/v1/models").forwarded(200);
    drop((idle, deaf));
    // Calls whose callers went have their outcomes all the same.
    eventually("outcomes", || (kv.trail_of("intent").len() == kv.trail_of("outcome").len()).then_some(()));
    assert!(openai.request_count() > 0);
}

/// I40: there is no port.
#[test]
fn no_port_is_open() {
    let kv = Kv::unlocked();
    let _openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", kv.daemon_pid())) else {
        println!("left out: this user may not see the daemon's descriptors");
        return;
    };
    let sockets: Vec<String> = descriptors
        .flatten()
        .filter_map(|entry| {
            fs::read_link(entry.path()).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    assert!(sockets.len() >= 2, "its sockets were not found");
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/{}/net/{table}", kv.daemon_pid())).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            // State 0A listens; of UDP, any is too much. A connection to the service is none.
            let listens = words.get(3) == Some(&"0A") || table.starts_with("udp");
            assert!(!(listens && words.get(9).is_some_and(|inode| sockets.iter().any(|own| own == inode))), "{line}");
        }
    }
}

/// I27: what stands in the sockets' place before the daemon does keeps it from starting.
#[test]
fn places_that_are_taken() {
    let kv = Kv::new();
    let home = kv.home();
    let make = |mode: u32| DirBuilder::new().recursive(true).mode(mode).create(&home.runtime).unwrap();
    type Change<'a> = (&'a str, &'a dyn Fn(), &'a str);
    let changes: [Change<'_>; 7] = [
        (
            "a file",
            &|| {
                make(0o700);
                fs::write(home.agent_socket(), "x").unwrap();
            },
            "no socket of ours",
        ),
        (
            "a link to a file",
            &|| {
                make(0o700);
                symlink("/etc/passwd", home.human_socket()).unwrap();
            },
            "no socket of ours",
        ),
        (
            "a directory",
            &|| {
                make(0o700);
                fs::create_dir(home.agent_socket()).unwrap();
            },
            "no socket of ours",
        ),
        (
            "an open directory",
            &|| {
                make(0o700);
                fs::set_permissions(&home.runtime, Permissions::from_mode(0o777)).unwrap();
            },
            "0700",
        ),
        (
            "a readable directory",
            &|| {
                make(0o700);
                fs::set_permissions(&home.runtime, Permissions::from_mode(0o750)).unwrap();
            },
            "0700",
        ),
        (
            "a link to a directory",
            &|| {
                fs::create_dir_all(kv.root()).unwrap();
                symlink("/tmp", &home.runtime).unwrap();
            },
            "symbolic link",
        ),
        (
            "somebody else's directory",
            &|| {
                make(0o700);
                // Only root can give it away; anybody else has none that is not their own.
                let _ = std::os::unix::fs::chown(&home.runtime, Some(65534), Some(65534));
                if !rustix::process::getuid().is_root() {
                    fs::set_permissions(&home.runtime, Permissions::from_mode(0o755)).unwrap();
                }
            },
            "",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, change, says) in &changes {
        change();
        let ended = kv.spawn_daemon(|_| {}).wait().unwrap();
        let log = kv.log();
        let last = log.lines().rev().find(|line| line.starts_with("error")).unwrap_or_default().to_owned();
        if ended.code() != Some(1) || !last.contains(says) {
            wrong.push(format!("I27 {name}: {ended}, {last:?}"));
        }
        if fs::symlink_metadata(&home.runtime).is_ok_and(|found| found.file_type().is_symlink()) {
            fs::remove_file(&home.runtime).unwrap();
        } else {
            fs::remove_dir_all(&home.runtime).unwrap();
        }
    }
    // A path that no socket can have.
    let long = kv.root().join("x".repeat(100));
    let mut child = kv.spawn_daemon(|command| {
        command.env("KV_HOME", &long);
    });
    if child.wait().unwrap().code() != Some(1) || !kv.log().contains("over 100 bytes") {
        wrong.push(format!("I27 a long path: {}", kv.log()));
    }
    all_right(changes.len() + 1, &wrong);
}

/// C41, I27: variables that lead to somebody else's daemon lead to a refusal, before a byte is sent.
#[test]
fn somebody_elses_daemon() {
    let kv = Kv::new();
    let home = kv.home();
    DirBuilder::new().recursive(true).mode(0o700).create(&home.runtime).unwrap();
    let listeners: Vec<_> =
        [home.agent_socket(), home.human_socket()].map(|path| UnixListener::bind(path).unwrap()).into();
    listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
    let untouched = || listeners.iter().all(|listener| listener.accept().is_err());
    fs::set_permissions(&home.runtime, Permissions::from_mode(0o711)).unwrap();
    let key = kv.plant(crate::harness::Canary::openai());
    for arguments in
        [&["set", "KEY", "--stdin", "--json"][..], &["unlock", "--json"], &["api", "openai", "GET", "/", "--json"]]
    {
        let ran = kv.run_with(arguments, &key.value);
        assert_eq!(ran.code, 8, "{ran:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains("nothing was sent"), "{ran:?}");
        assert!(untouched(), "{arguments:?} spoke to it");
    }
    fs::set_permissions(&home.runtime, Permissions::from_mode(0o700)).unwrap();
    if !rustix::process::getuid().is_root() {
        println!("left out: only root can make a directory of another user's");
        return;
    }
    std::os::unix::fs::chown(&home.runtime, Some(65534), Some(65534)).unwrap();
    let ran = kv.run_with(["set", "KEY", "--stdin", "--json"], &key.value);
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(ran.error()["message"].as_str().unwrap().contains("belongs to another user"), "{ran:?}");
    assert!(untouched(), "it spoke to it");
}

/// I20: another user is kept out twice, by the directory's mode and by the daemon itself.
#[test]
fn another_user() {
    if !rustix::process::getuid().is_root() {
        println!("left out: only root can become another user");
        return;
    }
    let kv = Kv::unlocked();
    let openai = kv.openai();
    // A copy that another user can run, and a way that another user can go, up to the sockets' directory.
    let program = kv.beside("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [kv.beside(""), kv.root(), program.clone()] {
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let socket = kv.home().agent_socket();
    assert_eq!(fs::metadata(&kv.home().runtime).unwrap().mode() & 0o777, 0o700);
    let stranger = |expected: &str| {
        let ran = Command::new(&program)
            .args(["--exact", "attacks::sockets::a_stranger", "--nocapture"])
            .env("KV_TEST_SOCKET", &socket)
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.contains(expected), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    };
    stranger("cannot connect");
    // Were the modes wrong, the daemon still looks who it is.
    fs::set_permissions(&kv.home().runtime, Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
    stranger("connected, and got 0 bytes");
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&kv.home().runtime, Permissions::from_mode(0o700)).unwrap();
    for path in [kv.root(), kv.beside("")] {
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(openai.request_count(), 0);
}

/// The other user's side of [`another_user`]; a test of its own does nothing.
#[test]
fn a_stranger() {
    let Some(socket) = std::env::var_os("KV_TEST_SOCKET") else { return };
    let Ok(mut stream) = UnixStream::connect(socket) else {
        println!("cannot connect");
        return;
    };
    let _ = stream.write_all(&request("GET", "/v1/status", &[], b""));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    println!("connected, and got {} bytes", answer.len());
}
