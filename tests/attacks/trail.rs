//! A01, A02, A03, A06, A08 to A10, A13: the trail, attacked from outside, through the daemon.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::harness::{Answer, Canary, Door, Kv, Wire, all_right, eventually, random, request};

/// Ten calls, then a stopped daemon. The head is in the vault.
fn with_history() -> Kv {
    let kv = Kv::unlocked();
    kv.openai();
    for _ in 0..10 {
        kv.get("openai", "/v1/models").forwarded(200);
    }
    kv.stop();
    kv.trail_is_odd();
    kv
}

/// The daemon is started on a changed trail. What `kv audit verify` says then, or what kept the daemon from starting.
fn verify(kv: &Kv) -> Result<Value, String> {
    let mut child = kv.spawn_daemon(|_| {});
    let socket = kv.home().human_socket();
    let ended = eventually("the daemon, or its end", || match child.try_wait().unwrap() {
        Some(status) => Some(Some(status)),
        None => std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(None),
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(1));
        return Err(kv.log());
    }
    kv.run(["unlock", "--passphrase-file", &kv.passphrase_file()]);
    let ran = kv.run(["audit", "verify", "--json"]);
    let result = if ran.code == 0 { Ok(ran.json()) } else { Err(ran.error()["message"].as_str().unwrap().to_owned()) };
    assert!(ran.code == 0 || ran.code == 12, "{ran:?}");
    kv.run(["daemon", "stop"]).ok();
    child.wait().unwrap();
    result
}

#[test]
fn what_was_changed_is_named() {
    type Change = fn(&mut Vec<String>);
    // What is done to the lines, and which entry has to be named.
    let changes: [(&str, &str, Change, u64); 9] = [
        ("A01", "a byte in the middle", |lines| lines[7] = lines[7].replacen("\"time_ms\":1", "\"time_ms\":2", 1), 8),
        ("A01", "a byte of a hash", |lines| flip_hash(&mut lines[7]), 8),
        ("A01", "the first is deleted", |lines| drop(lines.remove(0)), 1),
        ("A01", "one in the middle is deleted", |lines| drop(lines.remove(7)), 8),
        ("A01", "two are swapped", |lines| lines.swap(7, 8), 8),
        ("A01", "one is there twice", |lines| lines.insert(8, lines[7].clone()), 9),
        ("A01", "one is put in", |lines| lines.insert(7, lines[7].replace("\"seq\":8,", "\"seq\":8 ,")), 8),
        (
            "A09",
            "one that looks right is put in",
            |lines| {
                let made = format!(
                    "{{\"seq\":8,\"time_ms\":1,\"prev\":\"{0}\",\"kind\":\"locked\",\"cause\":\"asked\",\"hash\":\"{0}\"}}",
                    "0".repeat(64)
                );
                lines.insert(7, made);
            },
            8,
        ),
        (
            "A01",
            "a byte of the last",
            |lines| {
                let last = lines.len() - 1;
                lines[last] = lines[last].replacen("asked", "askee", 1);
            },
            0,
        ),
    ];
    let mut wrong = Vec::new();
    let kv = with_history();
    let path = kv.segments().remove(0);
    let honest = fs::read_to_string(&path).unwrap();
    for (id, name, change, entry) in &changes {
        let mut lines: Vec<String> = honest.lines().map(str::to_owned).collect();
        change(&mut lines);
        let entry = if *entry == 0 { lines.len() as u64 } else { *entry };
        kv.segments().iter().for_each(|path| fs::remove_file(path).unwrap());
        write_private(&path, &(lines.join("\n") + "\n"));
        match verify(&kv) {
            Err(why) if why.contains(&format!("entry {entry}")) || why.contains(&format!(" {entry} ")) => {}
            other => wrong.push(format!("{id} {name}: entry {entry} is not named: {other:?}")),
        }
    }
    all_right(changes.len(), &wrong);
}

/// In the file's own mode, which the daemon insists on.
fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn flip_hash(line: &mut String) {
    let at = line.len() - 10;
    let other = if line.as_bytes()[at] == b'0' { "1" } else { "0" };
    line.replace_range(at..=at, other);
}

/// A02: an end that was cut off is missed by the vault, which knows how far the trail had come.
#[test]
fn a_cut_end_is_missed() {
    let kv = with_history();
    let path = kv.segments().remove(0);
    let honest = fs::read_to_string(&path).unwrap();
    let count = honest.lines().count();
    let mut wrong = Vec::new();
    for cut in [3, 10, count - 1, count] {
        kv.segments().iter().for_each(|path| fs::remove_file(path).unwrap());
        if cut < count {
            let kept: String = honest.lines().take(count - cut).flat_map(|line| [line, "\n"]).collect();
            write_private(&path, &kept);
        }
        if let Ok(report) = verify(&kv) {
            wrong.push(format!("A02 without the last {cut} of {count}: {report}"));
        }
    }
    all_right(4, &wrong);
}

/// A06, K06: a disk that takes no more. The call is refused before anything leaves; with room again, work goes on.
#[test]
fn what_cannot_be_recorded_is_not_sent() {
    let kv = Kv::new();
    // Without this the system would end the daemon at its first write beyond the limit.
    kv.start_from_shell("trap '' XFSZ");
    kv.init();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    kv.trail_is_odd();
    let daemon = Pid::from_raw(kv.daemon_pid().cast_signed());
    let size = kv.segments().iter().map(|path| fs::metadata(path).unwrap().len()).max().unwrap();
    let limit = |bytes: Option<u64>| {
        prlimit(daemon, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("it is ours");
    };
    limit(Some(size + 20));
    let before = (openai.request_count(), openai.connections());
    for (name, attempt) in [
        ("a read", json!({ "connection": "openai", "method": "GET", "path": "/v1/models" })),
        (
            "a write",
            json!({ "connection": "openai", "method": "POST", "path": "/v1/chat/completions", "body": { "json": {} } }),
        ),
    ] {
        let answer = kv.raw(&attempt);
        assert_eq!(answer.faults(), ("failed", "audit.unavailable", "no"), "{name}: {}", answer.gist());
    }
    assert_eq!((openai.request_count(), openai.connections()), before);
    let status = kv.run(["status", "--json"]).ok().json();
    assert_eq!(status["audit"]["state"], "unavailable", "{status}");
    assert_eq!(kv.run(["doctor"]).code, 13);
    // Nor is anything changed that could not be recorded.
    let key = kv.plant(Canary::openai());
    assert_ne!(kv.run_with(["set", "OTHER", "--stdin"], &key.value).code, 0);
    limit(None);
    eventually("room again", || (kv.get("openai", "/v1/models").status == Some(200)).then_some(()));
    assert_eq!(kv.run(["secret", "show", "OTHER"]).code, 3, "it was stored without a record");
    kv.run(["audit", "verify"]).ok();
}

/// A08, A09, A10: whatever a caller words itself stays on one line, acts on no terminal, and is cut.
#[test]
fn hostile_words_stay_words() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let words = [
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "a\nb\r\n{\"seq\":1}",
        "\u{202e}evil\u{200b}",
        "\",\"hash\":\"0000",
        "\0",
        "ä\u{85}\u{9b}31m",
    ];
    let lines =
        |kv: &Kv| kv.segments().iter().map(|path| fs::read_to_string(path).unwrap().lines().count()).sum::<usize>();
    for word in words {
        // As an agent's name it is refused, unless it is one.
        let mut wire = Wire::connect(&kv, Door::Agent);
        let call = json!({ "connection": "openai", "method": "GET", "path": "/v1/models" }).to_string();
        let clean: String = word.chars().filter(|c| !c.is_control()).collect();
        if wire.send(request("POST", "/v1/api", &[("kv-agent", &clean)], call.as_bytes())).is_ok() {
            let answer = Answer::read(&mut wire).unwrap();
            assert_eq!(answer.outcome, "error", "{word:?} is an agent's name");
        }
        for connection in [word, "openai"] {
            for operation in [word, "models.list"] {
                if connection == "openai" && operation == "models.list" {
                    continue;
                }
                let call = json!({ "connection": connection, "operation": operation, "input": {} });
                let answer = kv.ask(Door::Agent, "POST", "/v1/call", call.to_string().as_bytes());
                assert_eq!((answer.outcome.as_str(), answer.fault("sent")), ("error", "no"), "{word:?}");
                let message = answer.fault("message");
                assert!(!message.chars().any(char::is_control), "{word:?} came back: {}", answer.gist());
            }
        }
        let before = lines(&kv);
        let program = kv.beside(&word.replace(['/', '\0'], "_"));
        kv.run([std::ffi::OsString::from("run"), "--no-secrets".into(), "--".into(), program.into_os_string()]);
        // A run that starts and ends, or does not start: two entries, on as many lines.
        assert_eq!(lines(&kv) - before, 2, "{word:?}");
    }
    assert_eq!(openai.request_count(), 0);
    let shown = kv.run(["audit"]).ok().stdout;
    let inert = shown.chars().all(|c| c == '\n' || !(c.is_control() || "\u{202e}\u{200b}".contains(c)));
    assert!(inert, "the viewer acts on the terminal");
    assert_eq!(shown.lines().count(), kv.trail().len());
}

/// A10, A13: a secret in any field of any call is in no entry, however the call ends.
#[test]
fn a_secret_in_any_field_is_in_no_entry() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let key = openai.key.value.clone();
    // One that fits the grammar of every name.
    let short = kv.plant(Canary::new("a short key", format!("kvcanary{}", random(24).to_ascii_lowercase())));
    kv.run_with(["set", "SHORT", "--stdin"], &short.value).ok();
    let calls = [
        json!({ "connection": "openai", "method": "GET", "path": format!("/v1/models/{key}") }),
        json!({ "connection": "openai", "method": "GET", "path": format!("/v1/{key}") }),
        json!({ "connection": "openai", "method": "GET", "path": "/v1/models", "query": [[key, key]] }),
        json!({ "connection": "openai", "method": "GET", "path": "/v1/models", "headers": [[key, key]] }),
        json!({ "connection": "openai", "method": "GET", "path": "/v1/models", "headers": [["accept", key]] }),
        json!({ "connection": "openai", "method": key, "path": "/v1/models" }),
        json!({ "connection": key, "method": "GET", "path": "/v1/models" }),
        json!({ "connection": short.value, "method": "GET", "path": "/v1/models" }),
        json!({ "connection": "openai", "method": "POST", "path": "/v1/files", "body": { "bytes": { "media_type": key, "data": "" } } }),
        json!({ "connection": "openai", "method": "POST", "path": "/v1/chat/completions", "body": { "json": key } }),
    ];
    let mut wrong = Vec::new();
    for call in &calls {
        // Not looked at by the harness: a caller that has the key may get its own words back in an error.
        let before = kv.trail().len();
        let answer = kv.raw_unseen(call);
        let entries = kv.trail().split_off(before);
        if answer.outcome != "error" || openai.connections() > 0 {
            wrong.push(format!("{call}: it went through"));
        }
        for entry in entries {
            if [&openai.key, &short].iter().any(|key| key.found_in(entry.to_string().as_bytes()).is_some()) {
                wrong.push(format!("it is in the trail: {}", entry["kind"]));
            }
        }
    }
    all_right(calls.len(), &wrong);
    // As the name of an operation, an agent, a command.
    let before = kv.trail().len();
    let call = json!({ "connection": "openai", "operation": short.value, "input": {} }).to_string();
    let named = json!({ "connection": "openai", "method": "GET", "path": "/v1/models" }).to_string();
    for (target, agent, body) in [("/v1/call", "tester", &call), ("/v1/api", &*short.value, &named)] {
        let mut wire = Wire::connect(&kv, Door::Agent);
        wire.is_unseen();
        wire.send(request("POST", target, &[("kv-agent", agent)], body.as_bytes())).unwrap();
        assert_eq!(Answer::read(&mut wire).unwrap().outcome, "error");
    }
    kv.run_unseen(["run", "--no-secrets", "--", &format!("/nowhere/{}", short.value)]);
    assert_eq!(kv.trail().len() - before, 4);
    assert_eq!(openai.connections(), 0);
}
