//! The operations as functions: an input goes in, a command comes out, and what it wrote comes back.

use kv_provider_ssh::{PROVIDER, manifest};
use kv_sdk::test::{Harness, Run};
use kv_sdk::{CommandLine, Effect, Exit, FailureKind, Output, Value, json};

fn call(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).setting("user", "deploy").call(operation, input)
}

/// Everything that the host gets of a command, in one line.
fn shown(run: &Run) -> String {
    let sent = run.expect_send();
    let command = sent.command();
    let line = match command.line() {
        CommandLine::Argv(argv) => argv.join("|"),
        CommandLine::Shell(text) => format!("shell: {text}"),
    };
    let repeatable = if sent.repeatable() { ", repeatable" } else { "" };
    format!("{line} ({} ms, {} bytes) {:?}{repeatable}", command.timeout_ms(), command.output_limit(), sent.effect())
}

fn wrote(exit: u32, stdout: &str, stderr: &str) -> Output {
    Output::new(Exit::Code(exit), stdout, stderr)
}

fn cut(stdout: &[u8]) -> Output {
    let mut output = Output::new(Exit::Signal("PIPE".into()), stdout, "");
    output.truncated = true;
    output
}

#[test]
fn each_operation_makes_its_command() {
    for (operation, input, wanted) in [
        ("status", json!({}), "uname|-a (60000 ms, 1048576 bytes) Read, repeatable"),
        ("run", json!({"argv": ["a b", "$x"]}), "a b|$x (60000 ms, 1048576 bytes) Write"),
        ("run", json!({"argv": ["x"], "timeout_seconds": 600, "max_output": 9}), "x (600000 ms, 9 bytes) Write"),
        ("shell", json!({"text": "a | b; c"}), "shell: a | b; c (60000 ms, 1048576 bytes) Write"),
        ("read-file", json!({"path": "/a b"}), "ls|-ldL|--|/a b (60000 ms, 1048576 bytes) Read, repeatable"),
        ("tail", json!({"path": "-n", "lines": 7}), "ls|-ldL|--|./-n (60000 ms, 1048576 bytes) Read, repeatable"),
        (
            "stat",
            json!({"path": "x", "follow": true}),
            "stat|-L|-c|%f %s %Y %U %G %n|--|x (60000 ms, 1048576 bytes) Read, repeatable",
        ),
        ("list-dir", json!({}), "ls|-1Ab|--|./ (60000 ms, 1048576 bytes) Read, repeatable"),
        ("list-dir", json!({"path": "/etc"}), "ls|-1Ab|--|/etc/ (60000 ms, 1048576 bytes) Read, repeatable"),
    ] {
        assert_eq!(shown(&call(operation, input.clone())), wanted, "{operation} {input}");
    }
    for (operation, input, wanted) in [
        ("read-file", json!({"path": "/a b"}), "tail|-c|+1|--|/a b (60000 ms, 262144 bytes) Read, repeatable"),
        (
            "read-file",
            json!({"path": "-", "offset": 10, "limit": 5}),
            "tail|-c|+11|--|./- (60000 ms, 5 bytes) Read, repeatable",
        ),
        ("tail", json!({"path": "-n", "lines": 7}), "tail|-n|7|--|./-n (60000 ms, 1048576 bytes) Read, repeatable"),
    ] {
        assert_eq!(shown(&of_a_file(operation, input.clone())), wanted, "{operation} {input}");
    }
}

/// A call whose path turned out to be a regular file's.
fn of_a_file(operation: &str, input: Value) -> Run {
    let mut run = call(operation, input);
    run.respond_output(wrote(0, "-rw-r--r-- 1 u g 4 Jan  1 00:00 /f\n", ""));
    run
}

/// What has no end is not opened.
#[test]
fn only_files_are_read() {
    for (first, kind) in [
        ("prw-r--r--", FailureKind::InvalidInput),
        ("crw-rw-rw-", FailureKind::InvalidInput),
        ("brw-rw----", FailureKind::InvalidInput),
        ("srwxr-xr-x", FailureKind::InvalidInput),
        ("drwxr-xr-x", FailureKind::InvalidInput),
        ("", FailureKind::InvalidInput),
    ] {
        for operation in ["read-file", "tail"] {
            let mut run = call(operation, json!({"path": "/f"}));
            run.respond_output(wrote(0, &format!("{first} 1 u g 0 Jan  1 00:00 /f\n"), ""));
            let failure = run.expect_failure();
            assert_eq!((failure.kind, failure.field.as_deref()), (kind, Some("/path")), "{operation} {first}");
        }
    }
}

#[test]
fn commands_of_the_callers_own_stream() {
    let run = call("run", json!({"argv": ["make", "-j"], "stdin": "in"}));
    let sent = run.expect_forward();
    assert_eq!((sent.summary(), sent.command().input()), ("run make -j", b"in".as_slice()));
    let run = call("shell", json!({"text": "x".repeat(500)}));
    let summary = run.expect_forward().summary();
    assert!(summary.starts_with("shell: xxx") && summary.ends_with('…') && summary.chars().count() < 200);
    assert_eq!(call("run", json!({"argv": [""]})).expect_failure().field.as_deref(), Some("/argv"));
    let run = call("run", json!({"argv": ["tar", "x"], "stdin_base64": "/wAB"}));
    assert_eq!(run.expect_forward().command().input(), [0xff, 0, 1]);
    for input in [json!({"argv": ["x"], "stdin": "", "stdin_base64": ""}), json!({"argv": ["x"], "stdin_base64": "%"})]
    {
        assert_eq!(call("run", input).expect_failure().field.as_deref(), Some("/stdin_base64"));
    }
}

#[test]
fn a_file_is_read_in_pieces() {
    let mut run = of_a_file("read-file", json!({"path": "/f", "offset": 2, "limit": 4}));
    run.respond_output(cut("abc\u{e4}".as_bytes().get(..4).unwrap()));
    assert_eq!(
        run.expect_done(),
        json!({"path": "/f", "offset": 2, "text": "abc", "bytes": 3, "truncated": true, "next_offset": 5})
    );
    let mut run = of_a_file("read-file", json!({"path": "/f"}));
    run.respond_output(Output::new(Exit::Code(0), vec![0xff, 0], ""));
    assert_eq!(run.expect_done(), json!({"path": "/f", "offset": 0, "base64": "/wA=", "bytes": 2, "truncated": false}));
    let mut run = of_a_file("tail", json!({"path": "/f"}));
    run.respond_output(wrote(0, "a\nb\n", ""));
    assert_eq!(run.expect_done(), json!({"path": "/f", "text": "a\nb\n", "bytes": 4, "truncated": false}));
}

#[test]
fn what_a_program_says_becomes_a_failure() {
    for (output, kind, code, field) in [
        (
            wrote(1, "", "tail: cannot open '/f' for reading: No such file or directory\n"),
            FailureKind::NotFound,
            "1",
            Some("/path"),
        ),
        (wrote(1, "", "tail: /f: Permission denied"), FailureKind::Forbidden, "1", Some("/path")),
        (wrote(1, "", "tail: error reading '/f': Is a directory"), FailureKind::InvalidInput, "1", Some("/path")),
        (wrote(127, "", "sh: tail: not found"), FailureKind::Upstream, "127", None),
        (Output::new(Exit::Signal("KILL".into()), "", ""), FailureKind::Upstream, "KILL", None),
        (Output::new(Exit::TimedOut, "", ""), FailureKind::Upstream, "timeout", None),
    ] {
        let mut run = of_a_file("tail", json!({"path": "/f"}));
        run.respond_output(output.clone());
        let failure = run.expect_failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref(), failure.field.as_deref()),
            (kind, Some(code), field),
            "{output:?}"
        );
    }
}

#[test]
fn in_another_language_the_path_itself_is_asked() {
    for (answer, kind) in [
        (wrote(1, "", "stat : aucun fichier"), FailureKind::NotFound),
        (wrote(0, "41ed 1 2 root root /f\n", ""), FailureKind::InvalidInput),
        (wrote(0, "8180 1 2 root root /f\n", ""), FailureKind::Forbidden),
    ] {
        let mut run = of_a_file("read-file", json!({"path": "/f"}));
        run.respond_output(wrote(1, "", "tail : impossible d'ouvrir"));
        assert!(shown(&run).starts_with("stat|-L|-c|"), "{}", shown(&run));
        run.respond_output(answer);
        assert_eq!(run.expect_failure().kind, kind);
    }
}

#[test]
fn a_directory_is_listed_with_its_facts() {
    let mut run = call("list-dir", json!({"path": "/d", "limit": 3}));
    run.respond_output(wrote(0, ".a\nb c\ngone\nmore\n", ""));
    assert_eq!(
        shown(&run),
        "stat|-c|%f %s %Y %U %G %n|--|/d/.a|/d/b c|/d/gone (60000 ms, 1048576 bytes) Read, repeatable"
    );
    run.respond_output(wrote(1, "81a4 3 9 u g /d/.a\n41ed 4 8 u g /d/b c\n", "stat: gone"));
    assert_eq!(
        run.expect_done(),
        json!({
            "path": "/d", "truncated": true, "entries": [
                {"name": ".a", "kind": "file", "size": 3, "mode": "0644", "owner": "u", "group": "g", "modified": 9},
                {"name": "b c", "kind": "directory", "size": 4, "mode": "0755", "owner": "u", "group": "g", "modified": 8},
                {"name": "gone"},
            ],
        })
    );
    let mut run = call("list-dir", json!({"path": "/d"}));
    run.respond_output(wrote(0, "", ""));
    assert_eq!(run.expect_done(), json!({"path": "/d", "entries": [], "truncated": false}));
    let mut run = call("list-dir", json!({"path": "/f"}));
    run.respond_output(wrote(2, "", "ls: cannot access '/f/': Not a directory"));
    assert_eq!(run.expect_failure().kind, FailureKind::InvalidInput);
}

#[test]
fn a_file_is_written_by_one_command() {
    let mut run = call("write-file", json!({"path": "-f", "base64": "AAE=", "mode": "0640"}));
    let sent = run.expect_send();
    assert_eq!((sent.effect(), sent.repeatable(), sent.summary()), (Effect::Write, false, "write 2 bytes to -f"));
    let CommandLine::Argv(argv) = sent.command().line() else { panic!("a shell's text") };
    assert_eq!(
        (argv[0].as_str(), argv[1].as_str(), &argv[3..]),
        ("sh", "-c", ["sh", "./-f", "call-1", "0640", "2"].map(str::to_owned).as_slice())
    );
    assert_eq!(sent.command().input(), [0, 1]);
    run.respond_output(wrote(0, "", ""));
    assert_eq!(run.expect_done(), json!({"path": "-f", "bytes": 2}));

    for (code, kind) in [
        (83, FailureKind::NotFound),
        (84, FailureKind::Forbidden),
        (87, FailureKind::Upstream),
        (127, FailureKind::Upstream),
    ] {
        let mut run = call("write-file", json!({"path": "/f", "content": ""}));
        run.respond_output(wrote(code, "", ""));
        assert_eq!((run.expect_failure().kind, run.expect_failure().code.clone()), (kind, Some(code.to_string())));
    }
    for (input, field) in [
        (json!({"path": "/f"}), "/content"),
        (json!({"path": "/f", "content": "", "base64": ""}), "/base64"),
        (json!({"path": "/f", "base64": "%"}), "/base64"),
        (json!({"path": "/f", "content": "", "mode": "u+x"}), "/mode"),
        (json!({"path": "~/f", "content": ""}), "/path"),
    ] {
        assert_eq!(call("write-file", input.clone()).expect_failure().field.as_deref(), Some(field), "{input}");
    }
}

#[test]
fn a_status() {
    let mut run = call("status", json!({}));
    run.respond_output(wrote(0, "Linux web1 6.1\n", ""));
    assert_eq!(run.expect_done(), json!({"system": "Linux web1 6.1"}));
}

/// What people are shown, to be looked through when it changes.
#[test]
fn the_operations_are_those_of_the_list() {
    let manifest: Value = kv_sdk::serde_json::from_str(&manifest()).unwrap();
    let lines: Vec<_> = manifest["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| {
            let word = |name: &str| operation[name].as_str().unwrap().to_owned();
            let members: Vec<_> = operation["input"]["properties"]
                .as_object()
                .map(|properties| properties.keys().cloned().collect())
                .unwrap_or_default();
            let line = format!("{:<11}{:<6}{:<6}{}", word("name"), word("effect"), word("suggest"), members.join(" "));
            line.trim_end().to_owned()
        })
        .collect();
    assert_eq!(lines.join("\n"), include_str!("operations.txt").trim_end());
    assert_eq!((&manifest["protocol"], &manifest["origins"]), (&json!("ssh"), &json!([])));
}
