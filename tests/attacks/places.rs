//! I20, I27, I40, C41: where the sockets are, whose they are, and who may come in.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::{Door, Kv, all_right, request};

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
            .args(["--exact", "attacks::places::a_stranger", "--nocapture"])
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
