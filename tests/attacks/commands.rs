//! C01 to C11, R16: the command line and `kv run`. What is typed wrong does not come back, and a command gets what it was
//! given and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::harness::{Canary, Kv, Running, all_right, base64, eventually, rows};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    run: Vec<String>,
    exit: i32,
    says: Vec<String>,
}

/// Each is refused for the right reason, prints nothing but that, changes nothing, and speaks to no service.
#[test]
fn refusals() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let typed = kv.plant(Canary::openai());
    let before = kv.trail().len();
    let rows: Vec<Row> = rows("commands.toml");
    let mut wrong = Vec::new();
    for row in &rows {
        let arguments: Vec<_> = row.run.iter().map(|word| word.replace("{key}", &typed.value)).collect();
        let ran = kv.run_quietly(&arguments);
        let says = row.says.iter().all(|text| ran.stderr.contains(text));
        if ran.code != row.exit || !says || !ran.stdout.is_empty() {
            wrong.push(format!("{} {:?}: exit {}\n{}{}", row.id, row.run, ran.code, ran.stdout, ran.stderr));
        }
        if let Some(form) = typed.found_in(format!("{}{}", ran.stdout, ran.stderr).as_bytes()) {
            wrong.push(format!("{} {:?}: the value came back, {form}", row.id, row.run));
        }
    }
    all_right(rows.len(), &wrong);
    assert_eq!((kv.trail().len(), openai.connections()), (before, 0));
}

/// C02, C05: no command and no daemon has a value in its arguments or environment, and no file is left behind.
#[test]
fn arguments_and_files_hold_no_value() {
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    let mut storing = kv.begin(["set", "KEY", "--stdin"], |_| {});
    storing.say(&key.value[..10]);
    let look = |pid: u32| {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            kv.saw(&format!("{file} of {pid}"), &bytes);
        }
    };
    look(storing.pid());
    storing.say(&key.value[10..]);
    storing.end().ok();
    look(kv.daemon_pid());
    let environment = fs::read_to_string(format!("/proc/{}/environ", kv.daemon_pid())).unwrap_or_default();
    for name in ["PROXY", "SSLKEYLOGFILE", "SSL_CERT", "RUST_LOG", "RUST_BACKTRACE"] {
        assert!(!environment.contains(name), "the daemon runs with {name}");
    }
    // Beside kv's own directory there is what the test put there, and nothing of kv's.
    let mut names: Vec<_> = fs::read_dir(kv.beside("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "kv", "passphrase", "person"]);
}

/// C03: what is typed at the hidden prompt is not shown, on a terminal of its own.
#[test]
fn the_prompt_is_hidden() {
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    let Some(mut terminal) = kv.on_terminal("\"$KV\" set TYPED") else { return };
    terminal.wait_for("Value (hidden):");
    terminal.say(&format!("{}\n", key.value));
    let ran = terminal.end().ok();
    assert!(ran.stdout.contains("stored"), "{}", ran.stdout);
    let shown = kv.run(["secret", "show", "TYPED", "--json"]).ok().json();
    assert_eq!(shown["length"], key.value.len());
}

/// A home with two secrets that a command may be given.
fn with_secrets() -> (Kv, Canary, Canary) {
    let kv = Kv::unlocked();
    let (first, second) = (kv.plant(Canary::openai()), kv.plant(Canary::stripe()));
    for (name, key) in [("FIRST", &first), ("SECOND", &second)] {
        kv.run_with(["set", name, "--stdin"], &key.value).ok();
    }
    (kv, first, second)
}

fn run<'a>(kv: &'a Kv, secrets: &[&str], script: &str, change: impl FnOnce(&mut std::process::Command)) -> Running<'a> {
    let mut arguments = vec!["run".to_owned()];
    for name in secrets {
        arguments.extend(["--secret".to_owned(), (*name).to_owned()]);
    }
    match secrets {
        [] => arguments.push("--no-secrets".to_owned()),
        _ => arguments.extend(["--passphrase-file".to_owned(), kv.passphrase_file()]),
    }
    arguments.extend(["--", "/bin/sh", "-c", script].map(str::to_owned));
    kv.begin(arguments, change)
}

/// C06, C07: the command has the secrets that were named, in those variables, and no others; and no descriptor of kv's.
#[test]
fn a_command_has_what_it_was_given() {
    let (kv, first, second) = with_secrets();
    // Told by length: the value itself would be masked. A variable that held a secret already is gone.
    let script = "echo \"${#FIRST} ${#SECOND} ${#LEFT} ${#KEPT}\"; ls /proc/self/fd | wc -l";
    let leave = |command: &mut std::process::Command| {
        command.env("LEFT", &second.value).env("KEPT", "harmless");
    };
    let ran = run(&kv, &["FIRST"], script, leave).end().ok();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], format!("{} 0 0 8", first.value.len()));
    // As many as without kv in between: its three, that of `ls` itself, and what whoever runs the tests handed down.
    let without = std::process::Command::new("/bin/sh").args(["-c", "ls /proc/self/fd | wc -l"]).output().unwrap();
    assert_eq!(lines[1].trim(), String::from_utf8_lossy(&without.stdout).trim(), "it inherited a descriptor of kv's");
    assert!(ran.stderr.contains("LEFT held a secret and was taken away"), "{}", ran.stderr);
    let ran = run(&kv, &[], "echo \"${#FIRST} ${#SECOND}\"", |_| {}).end().ok();
    assert_eq!(ran.stdout, "0 0\n");
    let started = kv.trail_of("run_started");
    assert_eq!(
        started.iter().map(|entry| entry["secrets"].clone()).collect::<Vec<_>>(),
        [serde_json::json!(["FIRST"]), serde_json::json!([])]
    );
    assert_eq!(kv.trail_of("run_ended").len(), 2);
    // A wrong passphrase gives nothing to nobody.
    let wrong = kv.private_file("wrong", "kvcanary not this one");
    let ran = kv.run(["run", "--secret", "FIRST", "--passphrase-file", &wrong, "--", "/bin/sh", "-c", "echo ran"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (125, ""));
}

/// C08: variables that steer programs carry no secret.
#[test]
fn names_that_steer_programs() {
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    let names = [
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "BASH_ENV",
        "ENV",
        "IFS",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PERL5OPT",
        "RUBYOPT",
        "GIT_SSH_COMMAND",
        "HOME",
        "SHELL",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "path",
        "ld_preload",
    ];
    let mut wrong = Vec::new();
    for name in names {
        kv.run_with(["set", name, "--stdin"], &key.value).ok();
        let file = kv.passphrase_file();
        let ran =
            kv.run(["run", "--secret", name, "--passphrase-file", &file, "--json", "--", "/bin/sh", "-c", "echo ran"]);
        if ran.code != 125 || !ran.stdout.is_empty() || !ran.stderr.contains("steers programs") {
            wrong.push(format!("{name}: {}{}", ran.stdout, ran.stderr));
        }
    }
    all_right(names.len(), &wrong);
}

/// C10: signals are passed on, exit codes are passed back, and what did not start says so.
#[test]
fn signals_and_exit_codes() {
    let (kv, _, _) = with_secrets();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        assert_eq!(run(&kv, &[], script, |_| {}).end().code, code, "{script}");
    }
    for (program, code) in [("/nowhere/at-all", 127), ("/etc/passwd", 126), ("no-such-command-kv", 127)] {
        assert_eq!(kv.run(["run", "--no-secrets", "--", program]).code, code, "{program}");
    }
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::WINCH, "WINCH"),
        (Signal::CONT, "CONT"),
    ] {
        let script =
            format!("trap 'echo got {name}; exit 40' {name}; echo ready; while :; do read x || sleep 0.01; done");
        // A group of its own: in that of a terminal, the terminal itself would tell the command.
        let mut running = run(&kv, &[], &script, |command| {
            command.process_group(0);
        });
        assert_eq!(running.line().as_deref(), Some("ready\n"));
        kill_process(Pid::from_raw(running.pid().cast_signed()).unwrap(), signal).unwrap();
        let ran = running.end();
        assert_eq!((ran.code, ran.stdout.as_str()), (40, &*format!("got {name}\n")));
    }
    // A command that dies of the signal that was passed on.
    let mut running = run(&kv, &[], "echo ready; exec sleep 60", |_| {});
    running.line();
    kill_process(Pid::from_raw(running.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(running.end().code, 143);
}

/// C10: kv's own failures end as no command does by itself, and still say which they were.
#[test]
fn its_own_failures_are_told_from_the_commands() {
    let (kv, _, _) = with_secrets();
    let wrong = kv.private_file("wrong", "kvcanary not this one");
    let file = kv.passphrase_file();
    let mut rows = vec![
        (vec!["--secret", "NONE", "--passphrase-file", &file], "not_found"),
        (vec!["--secret", "FIRST", "--passphrase-file", &wrong], "locked"),
        (vec!["--secret", "FIRST"], "needs_human"),
        (vec![], "usage"),
    ];
    let ends = |rows: &[(Vec<&str>, &str)]| {
        for (options, code) in rows {
            let ran = kv.run([&["run", "--json"], &options[..], &["--", "/bin/sh", "-c", "echo ran"]].concat());
            assert_eq!((ran.code, ran.error()["code"].as_str()), (125, Some(*code)), "{options:?}");
            assert_eq!(ran.stdout, "", "{options:?}");
        }
    };
    ends(&rows);
    kv.run(["lock"]).ok();
    rows = vec![(vec!["--no-secrets"], "locked")];
    ends(&rows);
    kv.unlock();
    // The same numbers from a command are the command's.
    for code in [3, 4, 8, 10, 125] {
        assert_eq!(run(&kv, &[], &format!("exit {code}"), |_| {}).end().code, code);
    }
}

/// C10: what a command leaves behind does not keep kv, and all that the command itself wrote is there.
#[test]
fn leftovers_are_left() {
    let (kv, first, _) = with_secrets();
    let script = "sleep 1000 & echo $!; head -c 300000 /dev/zero | tr '\\0' x; echo \"$FIRST\"; exit 5";
    let mut running = run(&kv, &["FIRST"], script, |_| {});
    let pid = running.line().unwrap();
    let ran = running.end();
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(ran.code, 5);
    assert_eq!(ran.stdout, format!("{}[kv:redacted]\n", "x".repeat(300_000)));
    assert!(!ran.stdout.contains(&first.value));
    assert_eq!(kv.trail_of("run_ended").last().unwrap()["exit_code"], 5);
}

/// C11, R16: what the command prints of a secret is masked, in every form, in both streams, however it is cut; and what it
/// prints otherwise comes as it is.
#[test]
fn output_is_masked() {
    let (kv, first, _) = with_secrets();
    let scripts = [
        ("as it is", "echo \"$FIRST\""),
        ("in errors", "echo \"$FIRST\" >&2"),
        ("base64", "printf %s \"$FIRST\" | base64 -w0"),
        ("base64 in lines", "printf %s \"$FIRST$FIRST\" | base64"),
        ("hex with blanks", "printf %s \"$FIRST\" | od -An -v -w999 -tx1"),
        ("hex in one", "printf %s \"$FIRST\" | od -An -v -tx1 | tr -d ' \\n'"),
        ("upper case", "printf %s \"$FIRST\" | tr a-z A-Z"),
        (
            "a byte at a time",
            "printf %s \"$FIRST\" | while IFS= read -r -n1 c 2>/dev/null || [ -n \"$c\" ]; do printf %s \"$c\"; done; printf %s \"$FIRST\"",
        ),
        ("in two writes", "printf %.20s \"$FIRST\"; printf %s \"$FIRST\" | cut -c21-"),
        ("traced", "set -x; : \"$FIRST\""),
        ("the environment", "env"),
        ("of another process", "tr '\\0' '\\n' </proc/self/environ"),
        ("an error of the shell", "\"$FIRST\" 2>&1; :"),
    ];
    let mut wrong = Vec::new();
    for (name, script) in scripts {
        let ran = run(&kv, &["FIRST"], script, |_| {}).end();
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        if first.found_in(shown.as_bytes()).is_some() || !shown.contains("[kv:redacted]") {
            wrong.push(format!("{name}: {shown}"));
        }
    }
    // Without a secret of its own, a command that found one elsewhere is masked too.
    kv.private_file("found", &first.value);
    let found = run(&kv, &[], "cat found; printf '%s' plain; printf '\\000\\377'", |_| {}).end().ok();
    if !found.stdout.starts_with("[kv:redacted]plain\0") {
        wrong.push(format!("found elsewhere: {found:?}"));
    }
    // What is not whole passes, at once.
    let whole = run(&kv, &["FIRST"], "printf '%.12s...' \"$FIRST\"", |_| {}).end().ok();
    if whole.stdout != format!("{}...", &first.value[..12]) {
        wrong.push(format!("a part: {whole:?}"));
    }
    all_right(scripts.len() + 2, &wrong);
    fs::remove_file(kv.beside("found")).unwrap();
    let redactions = kv.trail_of("run_ended").iter().filter_map(|entry| entry["redactions"].as_u64()).sum::<u64>();
    assert!(redactions >= scripts.len() as u64, "{redactions}");
}

/// C10: output comes as it is written, and a prompt without a line's end is seen.
#[test]
fn output_is_not_held_back() {
    let (kv, first, _) = with_secrets();
    let mut running = run(&kv, &["FIRST"], "echo one; read x; printf 'two? '; read y; echo \"three $x $y\"", |_| {});
    assert_eq!(running.line().as_deref(), Some("one\n"));
    running.say("a\n");
    running.say("b\n");
    let ran = running.end().ok();
    assert_eq!(ran.stdout, "two? three a b\n");
    assert!(!base64(first.value.as_bytes()).is_empty());
}

/// A lock ends what was handed out: what the command prints can no longer be masked, so it is not shown and the command ends.
#[test]
fn a_lock_during_a_run() {
    let (kv, _, _) = with_secrets();
    let mut running = run(&kv, &["FIRST"], "echo before; read x; echo \"$FIRST\"; echo after", |_| {});
    assert_eq!(running.line().as_deref(), Some("before\n"));
    kv.run(["lock"]).ok();
    running.say("go\n");
    // That the value does not come out, the end of the test looks for.
    let ran = running.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (125, ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the vault was locked") && ran.stderr.contains("the command was ended"),
        "{}",
        ran.stderr
    );
    eventually("the daemon", || (kv.run(["status"]).code == 0).then_some(()));
}

/// The help of every command, as it was when somebody last looked at it. `KV_UPDATE_HELP=1` writes it anew.
#[test]
fn help_texts() {
    let kv = Kv::new();
    let directory = format!("{}/../tests/help", env!("CARGO_MANIFEST_DIR"));
    let mut left = vec![Vec::<String>::new()];
    let (mut wrong, mut known) = (Vec::new(), std::collections::BTreeSet::new());
    while let Some(words) = left.pop() {
        let text = kv.run(words.iter().map(String::as_str).chain(["--help"])).ok().stdout;
        let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        left.extend(subcommands(&text).into_iter().map(|word| [&words[..], &[word]].concat()));
        let name = format!(
            "{}.txt",
            std::iter::once("kv").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-")
        );
        let path = format!("{directory}/{name}");
        known.insert(name.clone());
        if std::env::var_os("KV_UPDATE_HELP").is_some_and(|value| value == "1") {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, &text).unwrap();
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            wrong.push(format!("{name} is\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "run again with KV_UPDATE_HELP=1 and look at what changed:\n{}", wrong.join("\n"));
    let there: std::collections::BTreeSet<_> =
        fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(there, known, "a command's help without the command");
    assert!(known.len() > 30);
}

fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A name stands two columns in; a line that goes on stands further.
    lines
        .filter(|line| line.as_bytes().get(2).is_some_and(|byte| *byte != b' '))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Completions and manual pages come out, and hold what the commands do.
#[test]
fn completions_and_manual_pages() {
    let kv = Kv::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = kv.run(["completions", shell]).ok().stdout;
        assert!(text.contains("unlock") && text.contains("kv"), "{shell}");
    }
    let directory = kv.beside("man");
    fs::create_dir(&directory).unwrap();
    kv.run(["man", &directory.display().to_string()]).ok();
    let page = fs::read_to_string(directory.join("kv.1")).unwrap();
    assert!(page.contains(".TH kv 1") && page.contains("unlock"));
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o170_000, 0o040_000);
}
