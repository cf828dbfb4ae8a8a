//! I01, I02, I03, I06: what is said at the daemon's sockets by somebody who means no good.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use kv_fakes::{Script, Step};

use super::held::{EVENTS, begin, chat};
use crate::harness::{Answer, Door, Kv, Part, Wire, all_right, eventually, request};

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

/// I06: a body that does not go on is waited for 10 s, at both doors and in each framing, and what had come of it goes nowhere.
#[test]
fn a_body_that_does_not_go_on() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let intents = kv.trail_of("intent").len();
    let head =
        |path: &str, framing: &str| format!("POST {path} HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\n{framing}\r\n\r\n");
    let half = r#"{"connection":"openai","method":"GET","#;
    let cases = [
        (Door::Agent, head("/v1/api", "content-length: 60") + half),
        (Door::Agent, head("/v1/api", "transfer-encoding: chunked") + &format!("{:x}\r\n{half}\r\n", half.len())),
        (Door::Agent, head("/v1/call", "kv-head-length: 10\r\ncontent-length: 4000000") + &half.repeat(50_000)),
        (Door::Agent, head("/v1/api", "content-length: 60")),
        (Door::Human, head("/v1/secrets", "content-length: 60") + r#"{"name":"HALF","#),
    ];
    let begun = std::time::Instant::now();
    let mut wires: Vec<_> = cases
        .iter()
        .map(|(door, text)| {
            let mut wire = Wire::connect(&kv, *door);
            wire.send(text).unwrap();
            wire
        })
        .collect();
    kv.get("openai", "/v1/models").forwarded(200);
    for (wire, (_, text)) in wires.iter_mut().zip(&cases) {
        let answer = Answer::read(wire).expect("it is told why");
        assert_eq!(answer.faults(), ("usage", "request.body_too_slow", "no"), "{}", text.lines().next().unwrap());
        assert!(Answer::read(wire).is_none(), "the rest of a body was taken for a request");
    }
    let waited = begun.elapsed().as_secs();
    assert!((9..25).contains(&waited), "{waited} s");
    assert_eq!((openai.request_count(), kv.trail_of("intent").len()), (1, intents + 1));
    assert!(!kv.run(["secret", "list"]).ok().stdout.contains("HALF"));
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
