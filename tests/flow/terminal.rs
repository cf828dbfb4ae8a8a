//! kv at a terminal: what a person types, what a command under `kv run` finds there, and the terminal afterwards.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Canary, Kv, Running};

fn with_secret() -> (Kv, Canary) {
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    kv.run_with(["set", "FIRST", "--stdin"], &key.value).ok();
    (kv, key)
}

fn tell(pid: &str, signal: Signal) {
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
}

/// What stands behind this word on the line that begins with it.
fn after<'a>(running: &mut Running<'a>, word: &str) -> String {
    loop {
        let line = running.line().unwrap_or_else(|| panic!("it ended without saying {word:?}"));
        if let Some(rest) = line.strip_prefix(word) {
            return rest.trim().to_owned();
        }
    }
}

#[test]
fn a_command_finds_the_terminal_that_kv_has() {
    let (kv, _) = with_secret();
    let script = r#"
        stty rows 33 cols 99
        before=$(stty -g)
        "$KV" run --secret FIRST --passphrase-file passphrase -- sh -c '
            test -t 0 && test -t 1 && test -t 2 && echo on a terminal
            echo "$FIRST"; echo "$FIRST" >&2; printf "%s" "$FIRST" | od -An -v -w999 -tx1
            stty size; exit 7'
        echo "ended $?"
        test "$before" = "$(stty -g)" && echo as it was
        "$KV" run --no-secrets --no-pty -- sh -c 'test -t 0 && ! test -t 1 && ! test -t 2 && echo on pipes'
        "$KV" run --no-secrets -- sh -c 'test -t 1 || echo piped' | cat
        "$KV" run --no-secrets -- no-such-command-kv; echo "missing $?"
        "$KV" run --no-secrets -- /etc/passwd; echo "no program $?"
        "$KV" run --no-secrets -- sh -c 'kill -9 $$'; echo "killed $?""#;
    let Some(terminal) = kv.on_terminal(script) else { return };
    let ran = terminal.end().ok();
    for said in [
        "on a terminal\r\n",
        "33 99\r\n",
        "ended 7\r\n",
        "as it was\r\n",
        "on pipes\r\n",
        "piped\r\n",
        "`no-such-command-kv` was not found",
        "missing 127\r\n",
        "`/etc/passwd` cannot be executed",
        "no program 126\r\n",
        "killed 137\r\n",
    ] {
        assert!(ran.stdout.contains(said), "{said:?} is not in {}", ran.stdout);
    }
    // The end of the test searches for the value itself.
    assert_eq!(ran.stdout.matches("[kv:redacted]").count(), 3, "{}", ran.stdout);
}

/// Ctrl-C counts once: whether the command shares kv's terminal (its input redirected or not) or has one of its own.
#[test]
fn a_key_counts_once() {
    let kv = Kv::unlocked();
    for (options, input) in [("", ""), ("--no-pty", ""), ("--no-pty", "</dev/null"), ("", "</dev/null")] {
        let script = format!(
            r#""$KV" run --no-secrets {options} -- sh -c '
                trap "echo interrupted" INT; trap "echo over; exit 3" USR1
                echo "ready $PPID"; while :; do sleep 0.01; done' {input}
            echo "ended $?""#
        );
        let Some(mut terminal) = kv.on_terminal(&script) else { return };
        let pid = after(&mut terminal, "ready");
        terminal.say("\u{3}");
        terminal.wait_for("interrupted");
        tell(&pid, Signal::USR1);
        let ran = terminal.end().ok();
        assert_eq!(ran.stdout.matches("interrupted").count(), 1, "{options} {input}: {}", ran.stdout);
        assert!(ran.stdout.contains("over\r\nended 3"), "{options} {input}: {}", ran.stdout);
    }
}

#[test]
fn keys_and_the_windows_size_reach_the_command() {
    let kv = Kv::unlocked();
    let script = r#"
        echo "tty $(tty)"
        "$KV" run --no-secrets -- sh -c '
            trap "stty size" WINCH; trap "exit 4" INT
            read -r line; echo "read $line"; while :; do sleep 0.01; done'
        echo "ended $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    let outer = after(&mut terminal, "tty");
    terminal.say("a line\n");
    terminal.wait_for("read a line");
    let resized = Command::new("stty").args(["-F", &outer, "cols", "77", "rows", "22"]).status().unwrap();
    assert!(resized.success());
    terminal.wait_for("22 77");
    terminal.say("\u{3}");
    assert!(terminal.end().ok().stdout.contains("ended 4"));
}

/// However a run ends, the terminal is as it was.
#[test]
fn the_terminal_is_put_back() {
    let kv = Kv::unlocked();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::USR1, 138)] {
        let script = r#"
            before=$(stty -g)
            "$KV" run --no-secrets -- sh -c 'echo "ready $PPID"; exec sleep 60'
            echo "ended $?"; test "$before" = "$(stty -g)" && echo as it was"#;
        let Some(mut terminal) = kv.on_terminal(script) else { return };
        let pid = after(&mut terminal, "ready");
        tell(&pid, signal);
        let ran = terminal.end().ok();
        assert!(ran.stdout.contains(&format!("ended {code}\r\nas it was")), "{signal:?}: {}", ran.stdout);
    }
    // The mask ends in the middle: so does the command, and kv says that it was its own failure.
    let script = r#"
        before=$(stty -g)
        "$KV" run --no-secrets -- sh -c 'echo ready; while :; do sleep 0.01; echo on; done'
        echo "ended $?"; test "$before" = "$(stty -g)" && echo as it was"#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("ready");
    kv.kill();
    kv.trail_is_odd();
    let ran = terminal.end().ok();
    assert!(ran.stdout.contains("ended 125\r\nas it was"), "{}", ran.stdout);
}

/// Enter at the first prompt: kv makes a passphrase, shows it on the terminal and nowhere else, and has it typed back.
#[test]
fn kv_makes_a_passphrase() {
    let kv = Kv::new();
    kv.start();
    let script = r#""$KV" init --throw-away --json >made.json 2>errors; echo "ended $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Passphrase:");
    terminal.say("\n");
    let shown = loop {
        let line = terminal.line().expect("a passphrase is shown");
        if line.trim().split('-').filter(|group| group.len() == 4).count() == 6 {
            break line.trim().to_owned();
        }
    };
    terminal.wait_for("Type it:");
    terminal.say("something else\n");
    terminal.wait_for("Type it:");
    terminal.say(&format!("{shown}\n"));
    let ran = terminal.end().ok();
    assert!(ran.stdout.contains("ended 0"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(&shown), "it was shown a second time");
    for (file, bytes) in kv.files(&kv.beside("")) {
        let found = String::from_utf8_lossy(&bytes).contains(&shown);
        assert!(!found, "it stands in {}", file.display());
    }
    // It opens the vault.
    kv.run(["lock"]).ok();
    let file = kv.private_file("made", &shown);
    kv.run(["unlock", "--passphrase-file", &file]).ok();
    // Somebody who does not type it back has no vault.
    let kv = Kv::new();
    kv.start();
    let Some(mut terminal) = kv.on_terminal(r#""$KV" init --throw-away; echo "ended $?""#) else { return };
    terminal.wait_for("Passphrase:");
    for _ in 0..4 {
        terminal.say("\n");
    }
    let ran = terminal.end().ok();
    assert!(ran.stdout.contains("no vault was made") && ran.stdout.contains("ended 2"), "{}", ran.stdout);
    assert!(!kv.home().data.join("vault.db").exists());
}
