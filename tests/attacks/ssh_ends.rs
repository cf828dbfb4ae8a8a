//! What stands at the two ends of a command over SSH: the login shell that reads it, and the terminal that shows what it
//! wrote; and a server that is trusted and wants more. The rest of S is in `ssh`.

use std::fs;

use kv_fakes::SshdOptions;
use serde_json::json;

use super::ssh::{Row, code};
use crate::harness::{Canary, Kv, Rogue, all_right, rows};

/// S06, S09: a server that is trusted and opens channels to its client is let open none; one that does not stop is left.
#[test]
fn a_server_that_wants_things() {
    let kv = Kv::unlocked();
    let password = kv.plant(Canary::new("the SSH password", "kvcanary-rogue-71c0de5501".to_owned()));
    kv.run_with(["set", "ROGUE_PASSWORD", "--stdin"], &password.value).ok();
    for (name, more) in [("curious", 0), ("greedy", 1000)] {
        let server = Rogue::start(&password.value, more);
        let place = format!("someone@127.0.0.1:{}", server.port);
        let bound = ["--bind", "password=ROGUE_PASSWORD", "--no-test", "--yes"];
        let connect = ["connect", "ssh", &place, "--name", name, "--host-key", &server.host_key];
        kv.run(connect.into_iter().chain(bound)).ok();
        kv.run(["connection", "edit", name, "--allow", "run"]).ok();
        let ran = kv.run(["ssh", name, "--", "true"]);
        let (commands, opened, refused) = server.seen();
        assert_eq!((commands, opened), (1, 0), "{name}: {} {}", ran.stdout, ran.stderr);
        match more {
            0 => assert_eq!((ran.code, ran.stdout.as_str(), refused), (0, "done\n", 6), "{}", ran.stderr),
            _ => assert!(ran.code == 125 && refused > 6, "{} {} {refused}", ran.code, ran.stderr),
        }
    }
}

/// S05: the same where the user's login shell is none of POSIX's. The server hands each line to it as a login would.
#[test]
fn arguments_through_other_shells() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for shell in ["/usr/bin/tcsh -f", "/usr/bin/fish --no-config", "/usr/bin/zsh -f"] {
        if !std::path::Path::new(shell.split(' ').next().unwrap()).exists() {
            println!("left out: there is no {shell}");
            continue;
        }
        let kv = Kv::unlocked();
        let config = vec![format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"")];
        let Some(machine) = kv.machine_with(SshdOptions { config, ..SshdOptions::default() }) else { return };
        machine.connect("box", json!({}));
        machine.allow_all("box");
        let mark = kv.beside("mark").display().to_string();
        let arguments: Vec<_> = rows::<Row>("arguments.toml")
            .into_iter()
            .filter(|row| row.refuse.is_none())
            .map(|row| row.argument.replace("MARK", &mark))
            .chain([format!("a\n touch {mark}\n"), "!!".into(), "!$".into(), "x!y".into(), "\u{f601}".into()])
            .collect();
        cases += arguments.len();
        let argv: Vec<_> = ["printf", "<%s>"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let said = machine.run(&argv);
        let expected: String = arguments.iter().map(|argument| format!("<{argument}>")).collect();
        if said.text() != expected || said.exit != code(0) {
            wrong.push(format!("{shell}: {said:?}"));
        }
        // Each by itself, too: which form a line takes depends on all of its arguments.
        for argument in &arguments {
            let said = machine.run(&["printf", "%s", argument]);
            if said.text() != *argument {
                wrong.push(format!("{shell}: {argument:?} came as {said:?}"));
            }
        }
        let path = kv.beside("it's\nwritten!").display().to_string();
        let written = machine.call("write-file", json!({ "path": path, "content": "first\nsecond!\n" }));
        let read = machine.call("read-file", json!({ "path": path }));
        if written.outcome != "result" || read.json()["text"] != "first\nsecond!\n" {
            wrong.push(format!("{shell}: {} {}", written.gist(), read.gist()));
        }
        assert!(!fs::exists(&mark).unwrap(), "an argument was run by {shell}");
    }
    all_right(cases, &wrong);
}

/// S11: what would move a terminal is shown, and not done.
#[test]
fn output_is_inert() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine() else { return };
    let evil = "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}]8;;http://evil.test\u{1b}\\link\u{1b}P$qm\u{1b}\\\u{1b}]0;title\u{7}\u{202e}abc\rover\u{9b}2J";
    let said = machine.run(&["printf", "%s", evil]);
    assert_eq!(said.stdout, evil.as_bytes(), "a program that reads it gets it as it was");
    let script = format!("\"$KV\" ssh box -- printf '%s\\n' '{}'", evil.replace('\'', "'\\''"));
    let Some(terminal) = kv.on_terminal(&script) else { return };
    let shown = terminal.end();
    assert!(shown.stdout.contains("abc"), "{:?} {:?}", shown.stdout, shown.stderr);
    for mark in ["\u{1b}]", "\u{1b}P", "\u{7}", "\u{202e}", "\u{9b}", "\rover"] {
        assert!(!shown.stdout.contains(mark), "{mark:?} in {:?}", shown.stdout);
    }
    // As JSON, with or without a name for it: escapes on a terminal, the text itself for a program.
    let path = kv.beside("evil").display().to_string();
    let evil = "text \u{9b}2J\u{202e}\u{200b}\u{e0041}\u{7f} and a long end";
    fs::write(&path, evil).unwrap();
    let input = json!({ "path": path }).to_string();
    let script = format!(
        r#""$KV" call box read-file '{input}'; "$KV" --json operation call box/read-file '{input}'
        "$KV" call box read-file '{input}' | od -An -v -w999 -tx1 | grep -c 'c2 9b 32 4a e2 80 ae'"#
    );
    let Some(terminal) = kv.on_terminal(&script) else { return };
    let shown = terminal.end().ok().stdout;
    for mark in ["\u{202e}", "\u{9b}", "\u{200b}", "\u{e0041}", "\u{7f}"] {
        assert!(!shown.contains(mark), "{mark:?} in {shown:?}");
    }
    let escaped = r"text \u009b2J\u202e\u200b\udb40\udc41\u007f and";
    assert_eq!(shown.matches(escaped).count(), 2, "{shown}");
    assert!(shown.trim_end().ends_with('1'), "{shown}");
}
