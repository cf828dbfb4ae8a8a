//! I01, I02, I06, I20, I27, I40, C41: the daemon's sockets, spoken to by somebody who means no good.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use crate::harness::{Answer, Door, Kv, Wire, all_right, eventually, request};

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
    for wire in &mut slow {
        let mut rest = Vec::new();
        wire.stream.read_to_end(&mut rest).expect("it is closed in time");
    }
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
}

/// I03, I06: requests in a row on one connection are answered in order. A caller that closes its half has gone.
#[test]
fn requests_in_a_row_and_a_half_closed_caller() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let ask = |text: &str| {
        let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] });
        let call = json!({ "connection": "openai", "operation": "chat.completions.create", "input": body }).to_string();
        request("POST", "/v1/call", &[], call.as_bytes())
    };
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send((0..5).flat_map(|n| ask(&format!("number {n}."))).collect::<Vec<u8>>()).unwrap();
    for n in 0..5 {
        let answer = Answer::read(&mut wire).unwrap().forwarded(200);
        assert!(answer.text().contains(&format!("number {n}.")), "{}", answer.gist());
    }
    wire.stream.shutdown(Shutdown::Write).unwrap();
    assert!(Answer::read(&mut wire).is_none());
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(ask("half")).unwrap();
    wire.stream.shutdown(Shutdown::Write).unwrap();
    let answered = Answer::read(&mut wire).is_some();
    // A caller that goes while its intent is being written leaves that behind, and nothing was sent. What was sent has
    // its outcome.
    kv.trail_is_odd();
    eventually("the outcome", || (kv.trail_of("outcome").len() >= openai.request_count()).then_some(()));
    assert!(answered || openai.request_count() <= 6);
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
