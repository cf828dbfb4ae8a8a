//! The commands, carried out on this machine: with its own tools, and with BusyBox's where that is installed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use kv_provider_ssh::PROVIDER;
use kv_sdk::test::{Harness, Run};
use kv_sdk::{CommandLine, Exit, FailureKind, Output, Value, json};

/// A home directory, and where its programs are.
struct Machine {
    home: PathBuf,
    programs: Option<PathBuf>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
        self.programs.iter().for_each(|programs| drop(fs::remove_dir_all(programs)));
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn folder(name: &str) -> PathBuf {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("kv-ssh-{name}-{}-{count}", std::process::id()));
    fs::create_dir(&path).unwrap();
    path
}

/// This machine, and the same with BusyBox alone.
fn machines() -> Vec<Machine> {
    let mut machines = vec![Machine { home: folder("home"), programs: None }];
    let busybox =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    match busybox.map(|folder| folder.join("busybox")).find(|program| program.is_file()) {
        Some(busybox) => {
            let programs = folder("busybox");
            for name in ["cat", "chmod", "chown", "ls", "mv", "readlink", "rm", "sh", "stat", "tail", "uname", "wc"] {
                symlink(&busybox, programs.join(name)).unwrap();
            }
            machines.push(Machine { home: folder("home"), programs: Some(programs) });
        }
        None => println!("skipped: BusyBox is missing"),
    }
    machines
}

impl Machine {
    fn carry_out(&self, run: &Run) -> Output {
        let sent = run.expect_send();
        let CommandLine::Argv(argv) = sent.command().line() else { panic!("a shell's text") };
        let program = match &self.programs {
            Some(programs) => programs.join(&argv[0]),
            None => argv[0].clone().into(),
        };
        let mut command = Command::new(program);
        command.args(&argv[1..]).current_dir(&self.home).env("LC_ALL", "C.UTF-8");
        if let Some(programs) = &self.programs {
            command.env("PATH", programs);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        // A program that ends without reading leaves a broken pipe, which is its right.
        let _ = child.stdin.take().unwrap().write_all(sent.command().input());
        let ended = child.wait_with_output().unwrap();
        let exit = match (ended.status.code(), ended.status.signal()) {
            (Some(code), _) => Exit::Code(code.try_into().unwrap()),
            (None, signal) => Exit::Signal(format!("{signal:?}")),
        };
        let mut stdout = ended.stdout;
        let limit = sent.command().output_limit() as usize;
        let truncated = stdout.len() > limit;
        stdout.truncate(limit);
        let mut output = Output::new(exit, stdout, ended.stderr);
        output.truncated = truncated;
        output
    }

    fn finish(&self, operation: &str, input: Value) -> Run {
        let mut run = Harness::new(&PROVIDER).call(operation, input);
        while run.is_sending() {
            let output = self.carry_out(&run);
            run.respond_output(output);
        }
        run
    }

    fn done(&self, operation: &str, input: Value) -> Value {
        self.finish(operation, input).expect_done()
    }

    fn failed(&self, operation: &str, input: Value) -> FailureKind {
        self.finish(operation, input).expect_failure().kind
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn files_are_read() {
    for machine in machines() {
        fs::write(machine.path("-n"), "one\ntwo\nthree\n").unwrap();
        let read = |input| machine.done("read-file", input);
        assert_eq!(read(json!({"path": "-n"}))["text"], "one\ntwo\nthree\n");
        let piece = read(json!({"path": "-n", "offset": 4, "limit": 3}));
        assert_eq!(
            (&piece["text"], &piece["truncated"], &piece["next_offset"]),
            (&json!("two"), &json!(true), &json!(7))
        );
        assert_eq!(read(json!({"path": "-n", "offset": 99}))["bytes"], 0);
        assert_eq!(machine.done("tail", json!({"path": "-n", "lines": 1}))["text"], "three\n");
        fs::write(machine.path("-"), "dash").unwrap();
        assert_eq!(machine.done("read-file", json!({"path": "-"}))["text"], "dash");
        for operation in ["read-file", "tail", "stat"] {
            assert_eq!(machine.failed(operation, json!({"path": "none"})), FailureKind::NotFound, "{operation}");
        }
        assert_eq!(machine.failed("read-file", json!({"path": "."})), FailureKind::InvalidInput);
        assert_eq!(machine.failed("read-file", json!({"path": "-n/x"})), FailureKind::InvalidInput);
        assert!(machine.done("status", json!({}))["system"].as_str().unwrap().contains("Linux"));
    }
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A pipe or a device would be waited for, has no end, or is something else once it is replaced.
#[test]
fn only_files_are_read_and_written() {
    for machine in machines() {
        make_pipe(&machine.path("pipe"));
        symlink("pipe", machine.path("to-pipe")).unwrap();
        symlink("/dev/zero", machine.path("to-zero")).unwrap();
        fs::write(machine.path("file"), "content").unwrap();
        symlink("file", machine.path("to-file")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(machine.path("socket")).unwrap();
        for path in ["pipe", "to-pipe", "to-zero", "/dev/zero", "socket", "."] {
            for operation in ["read-file", "tail", "write-file"] {
                let mut input = json!({"path": path});
                if operation == "write-file" {
                    input["content"] = "x".into();
                }
                assert_eq!(machine.failed(operation, input), FailureKind::InvalidInput, "{operation} {path}");
            }
        }
        assert!(fs::symlink_metadata(machine.path("to-pipe")).unwrap().is_symlink());
        assert_eq!(machine.done("stat", json!({"path": "pipe"}))["kind"], "pipe");
        assert_eq!(machine.done("read-file", json!({"path": "to-file"}))["text"], "content");
        machine.done("write-file", json!({"path": "to-file", "content": "new"}));
        assert_eq!(fs::read_to_string(machine.path("file")).unwrap(), "new");
    }
}

/// A name is one entry, whatever is in it, and long paths are asked about in several commands.
#[test]
fn odd_names_and_long_paths() {
    let machine = &machines()[0];
    let odd = ["two\nlines", "b\\ackslash", "q'uote", "\u{e4}\u{1b}[2J", " blank ", "81a4 1 1 a b .x"];
    for name in odd {
        fs::write(machine.path(name), name).unwrap();
    }
    let listed = machine.done("list-dir", json!({}));
    for name in odd {
        let found: Vec<_> =
            listed["entries"].as_array().unwrap().iter().filter(|entry| entry["name"] == name).collect();
        assert_eq!(found.len(), 1, "{name:?}: {listed}");
        assert_eq!((&found[0]["kind"], &found[0]["size"]), (&json!("file"), &json!(name.len())), "{name:?}");
    }
    assert_eq!(listed["entries"].as_array().unwrap().len(), odd.len());
    let deep = "d'".repeat(120);
    let path: PathBuf = std::iter::repeat_n(&deep, 6).collect();
    fs::create_dir_all(machine.path("").join(&path)).unwrap();
    for number in 0..40 {
        fs::write(machine.path("").join(&path).join(format!("{number:02}{}", "x".repeat(200))), "x").unwrap();
    }
    let listed = machine.done("list-dir", json!({"path": path.to_str().unwrap()}));
    let entries = listed["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["kind"] == "file"), "{listed}");
    assert_eq!((entries.len(), &listed["truncated"]), (40, &json!(false)));
}

#[test]
fn directories_are_listed() {
    for machine in machines() {
        for name in [".hidden", "a b", "-x"] {
            fs::write(machine.path(name), name).unwrap();
        }
        fs::create_dir(machine.path("dir")).unwrap();
        symlink("none", machine.path("link")).unwrap();
        let listed = machine.done("list-dir", json!({}));
        let mut seen: Vec<_> = listed["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| format!("{} {}", entry["name"].as_str().unwrap(), entry["kind"].as_str().unwrap()))
            .collect();
        seen.sort();
        assert_eq!(seen, ["-x file", ".hidden file", "a b file", "dir directory", "link link"]);
        assert_eq!(machine.done("list-dir", json!({"limit": 2}))["truncated"], true);
        let path = machine.home.display().to_string();
        assert_eq!(machine.done("list-dir", json!({"path": path}))["entries"].as_array().unwrap().len(), 5);
        assert_eq!(machine.done("stat", json!({"path": "a b"}))["size"], 3);
        assert_eq!(machine.done("stat", json!({"path": "link"}))["kind"], "link");
        assert_eq!(machine.failed("stat", json!({"path": "link", "follow": true})), FailureKind::NotFound);
        assert_eq!(machine.failed("list-dir", json!({"path": "none"})), FailureKind::NotFound);
        assert_eq!(machine.failed("list-dir", json!({"path": "-x"})), FailureKind::InvalidInput);
    }
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    for machine in machines() {
        let write = |input| machine.done("write-file", input);
        write(json!({"path": "new", "content": "it's $HOME `x`\n"}));
        assert_eq!(fs::read_to_string(machine.path("new")).unwrap(), "it's $HOME `x`\n");
        let usual = mode(&machine.path("new"));
        assert_eq!(usual & 0o600, 0o600);
        assert_eq!(usual & 0o111, 0);

        write(json!({"path": "new", "base64": "AP8=", "mode": "0600"}));
        assert_eq!((fs::read(machine.path("new")).unwrap(), mode(&machine.path("new"))), (vec![0, 255], 0o600));
        fs::set_permissions(machine.path("new"), fs::Permissions::from_mode(0o751)).unwrap();
        write(json!({"path": "new", "content": "kept"}));
        assert_eq!(mode(&machine.path("new")), 0o751);

        fs::create_dir(machine.path("dir")).unwrap();
        symlink("../new", machine.path("dir/link")).unwrap();
        write(json!({"path": "dir/link", "content": "through"}));
        assert_eq!(fs::read_to_string(machine.path("new")).unwrap(), "through");
        assert!(fs::symlink_metadata(machine.path("dir/link")).unwrap().is_symlink());
        write(json!({"path": "-rf", "content": ""}));
        assert_eq!(fs::read(machine.path("-rf")).unwrap(), b"");

        assert_eq!(machine.failed("write-file", json!({"path": "dir", "content": ""})), FailureKind::InvalidInput);
        assert_eq!(machine.failed("write-file", json!({"path": "none/f", "content": ""})), FailureKind::NotFound);
        // Nothing is left beside them.
        let mut left: Vec<_> = fs::read_dir(&machine.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["-rf", "dir", "new"]);
    }
}

#[test]
fn what_does_not_arrive_whole_changes_nothing() {
    for machine in machines() {
        fs::write(machine.path("f"), "before").unwrap();
        let mut run = Harness::new(&PROVIDER).call("write-file", json!({"path": "f", "content": "after, all of it"}));
        let CommandLine::Argv(argv) = run.expect_send().command().line().clone() else { panic!("a shell's text") };
        // The same command, fed less than it was told.
        let mut command = Command::new(machine.programs.as_ref().map_or("sh".into(), |programs| programs.join("sh")));
        if let Some(programs) = &machine.programs {
            command.env("PATH", programs);
        }
        let ended = command.args(&argv[1..]).current_dir(&machine.home).stdin(Stdio::null()).status().unwrap();
        assert_eq!(ended.code(), Some(87));
        run.respond_output(Output::new(Exit::Code(87), "", ""));
        assert_eq!(run.expect_failure().kind, FailureKind::Upstream);
        assert_eq!(fs::read_to_string(machine.path("f")).unwrap(), "before");
        assert_eq!(fs::read_dir(&machine.home).unwrap().count(), 1);

        // Somebody put a link in the temporary's place.
        symlink("f", machine.path(".kv-write-call-1")).unwrap();
        assert_eq!(machine.failed("write-file", json!({"path": "g", "content": "x"})), FailureKind::Upstream);
        assert_eq!(fs::read_to_string(machine.path("f")).unwrap(), "before");
    }
}
