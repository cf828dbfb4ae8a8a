//! V01, V05, V13, V15, V22, V23: the vault through the daemon. Its file's own attacks are tested in `kv-vault`.

use std::fs::{self, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Canary, Kv, all_right, contains, eventually};

/// V01: whatever is wrong with a passphrase, it is one error; a line's end behind it is none of it; and ways to type the
/// same letters are the same.
#[test]
fn passphrases() {
    let kv = Kv::new();
    let typed = kv.plant(Canary::new("the passphrase", format!("kvcanary {} \u{fc}ber", crate::harness::random(16))));
    let composed = kv.private_file("composed", &typed.value);
    kv.start();
    kv.run(["init", "--passphrase-file", &composed, "--throw-away", "--no-input"]).ok();
    for (name, text) in [
        ("decomposed", typed.value.replace('\u{fc}', "u\u{308}")),
        ("with a line feed", format!("{}\n", typed.value)),
        ("with a line end of another system", format!("{}\r\n", typed.value)),
    ] {
        kv.run(["lock"]).ok();
        let file = kv.private_file("other", &text);
        assert_eq!(kv.run(["unlock", "--passphrase-file", &file]).code, 0, "{name}");
    }
    kv.run(["lock"]).ok();
    let mut seen = Vec::new();
    for (name, text) in [
        ("another", format!("{}x", typed.value)),
        ("shorter", typed.value[..10].to_owned()),
        ("with a blank", format!("{} ", typed.value)),
        ("with two line feeds", format!("{}\n\n", typed.value)),
        ("with NUL", format!("{}\0", typed.value)),
        ("of 1 MiB", "x".repeat(1 << 20)),
        ("empty", String::new()),
    ] {
        let file = kv.private_file("other", &text);
        let error = eventually("the wait for another attempt", || {
            let error = kv.run(["unlock", "--passphrase-file", &file, "--json"]).error();
            (error["reason"] != "too_soon").then_some(error)
        });
        let usual = (error["code"] == "locked" && error["reason"] == "wrong_passphrase")
            // What no passphrase can be is refused before it is tried.
            || (error["code"] == "usage" && (text.is_empty() || text.len() > 1000 || text.contains('\0')));
        if !usual {
            seen.push(format!("V01 {name}: {error}"));
        }
        if seen.len() + 3 > 6 {
            break;
        }
    }
    all_right(7, &seen);
    // A file that others can read is no place for one.
    fs::set_permissions(&composed, Permissions::from_mode(0o644)).unwrap();
    let ran = kv.run(["unlock", "--passphrase-file", &composed]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("chmod 600"), "{}", ran.stderr);
}

/// V13: a daemon that was killed leaves nothing that keeps the next one out, and what was stored is there.
#[test]
fn a_killed_daemon_is_followed_by_another() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    for _ in 0..3 {
        kv.kill();
        kv.start();
        assert_eq!(kv.get("openai", "/v1/models").fault("code"), "locked", "a crash left the vault open");
        kv.unlock();
        kv.get("openai", "/v1/models").forwarded(200);
    }
    kv.run(["audit", "verify"]).ok();
    assert_eq!(openai.request_count(), 4);
}

/// V15: a vault that others can reach, or that is not where it seems to be, is not opened.
#[test]
fn odd_places() {
    let kv = Kv::unlocked();
    kv.openai();
    kv.stop();
    let data = kv.home().data;
    let file = data.join("vault.db");
    let honest = kv.beside("vault.copy");
    fs::copy(&file, &honest).unwrap();
    let put_back = || {
        let _ = fs::remove_file(&file);
        let _ = fs::remove_dir(&file);
        fs::copy(&honest, &file).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    };
    type Change<'a> = (&'a str, &'a dyn Fn());
    let fifo = || {
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().unwrap().success());
    };
    let changes: [Change<'_>; 8] = [
        ("a file that others read", &|| fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap()),
        ("a directory that others enter", &|| fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap()),
        ("a symbolic link", &|| {
            fs::remove_file(&file).unwrap();
            symlink(&honest, &file).unwrap();
        }),
        ("a hard link", &|| fs::hard_link(&file, data.join("second")).unwrap()),
        ("a pipe", &fifo),
        ("a directory", &|| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }),
        ("a file of something else", &|| fs::write(&file, "SQLite format 3\0 not").unwrap()),
        ("an empty file", &|| fs::write(&file, "").unwrap()),
    ];
    let mut wrong = Vec::new();
    for (name, change) in &changes {
        change();
        let mut child = kv.spawn_daemon(|_| {});
        let socket = kv.home().human_socket();
        let ended = eventually("the daemon, or its end", || match child.try_wait().unwrap() {
            Some(status) => Some(Some(status)),
            None => std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(None),
        });
        // It may start and refuse to unlock, or not start; but open it may not.
        if ended.is_none() {
            if kv.run(["unlock", "--passphrase-file", &kv.passphrase_file()]).code == 0 {
                wrong.push(format!("V15 {name}: it was opened"));
            }
            kv.run(["daemon", "stop"]).ok();
            child.wait().unwrap();
        }
        let _ = fs::remove_file(data.join("second"));
        put_back();
    }
    all_right(changes.len(), &wrong);
    kv.start();
    kv.unlock();
    kv.get("openai", "/v1/models").forwarded(200);
}

/// V05: an older file, put back as a whole, opens: nothing outside the vault says that it is old. The trail does not go back
/// with it, and tells what the file has lost.
#[test]
fn an_older_file_opens_and_the_trail_is_ahead_of_it() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.stop();
    let file = kv.home().data.join("vault.db");
    let older = fs::read(&file).unwrap();
    kv.start();
    kv.unlock();
    let new = kv.plant(Canary::openai());
    kv.run_with(["secret", "rotate", "KEY_OF_OPENAI", "--stdin"], &new.value).ok();
    kv.stop();
    fs::write(&file, &older).unwrap();
    kv.start();
    kv.unlock();
    kv.get("openai", "/v1/models").forwarded(200);
    assert_eq!(openai.requests().last().unwrap().bearer(), Some(openai.key.value.as_str()));
    let shown = kv.run(["secret", "show", "KEY_OF_OPENAI", "--json"]).json();
    let rotated = kv.trail_of("secret_rotated");
    assert_eq!((&shown["version"], &rotated[0]["version"], rotated.len()), (&json!(1), &json!(2), 1));
    kv.run(["audit", "verify"]).ok();
}

/// V22, V23: within a second of a lock nothing in the daemon's memory is a secret or a passphrase any more.
#[test]
fn after_a_lock_the_memory_holds_no_secret() {
    let kv = Kv::unlocked();
    let (openai, stripe) = (kv.openai(), kv.stripe());
    let old = openai.key.clone();
    let new = kv.plant(Canary::openai());
    kv.get("openai", "/v1/models").forwarded(200);
    kv.post("stripe", "/v1/customers", &json!({ "email": "a@example.com" })).forwarded(200);
    let wrong = kv.plant(Canary::passphrase());
    let wrong_file = kv.private_file("wrong", &wrong.value);
    kv.run(["lock"]).ok();
    kv.run(["unlock", "--passphrase-file", &wrong_file]);
    eventually("the wait", || (kv.run(["unlock", "--passphrase-file", &kv.passphrase_file()]).code == 0).then_some(()));
    for _ in 0..20 {
        kv.get("openai", "/v1/models").forwarded(200);
    }
    kv.key_is_not_counted(&openai);
    kv.run_with(["secret", "rotate", "KEY_OF_OPENAI", "--stdin"], &new.value).ok();
    kv.get("openai", "/v1/models");
    kv.run(["lock"]).ok();
    let sought =
        [("old", &old), ("new", &new), ("Stripe's", &stripe.key), ("passphrase", &kv.passphrase), ("wrong", &wrong)];
    let locked = std::time::Instant::now();
    loop {
        let Some(memory) = memory(kv.daemon_pid()) else {
            println!("left out: this user may not read the daemon's memory");
            return;
        };
        // The search itself works: the daemon knows where its home is.
        let home = kv.root().display().to_string();
        assert!(memory.iter().any(|part| contains(&part.bytes, home.as_bytes())), "the memory was not read");
        let found: Vec<_> = memory
            .iter()
            .flat_map(|part| sought.iter().filter_map(|(name, canary)| part.around(canary.value.as_bytes(), name)))
            .collect();
        if found.is_empty() {
            break;
        }
        assert!(locked.elapsed() < Duration::from_secs(1) + SCAN * 2, "still there:\n{}", found.join("\n"));
    }
}

/// One look through the memory takes about so long on a busy machine.
const SCAN: Duration = Duration::from_secs(1);

/// A range of the process's memory that it can write to.
struct Part {
    name: String,
    bytes: Vec<u8>,
}

impl Part {
    /// Where it stands, with its neighbours but without itself.
    fn around(&self, value: &[u8], name: &str) -> Option<String> {
        let at = self.bytes.windows(value.len()).position(|window| window == value)?;
        let shown = |bytes: &[u8]| -> String {
            bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
        };
        let (before, after) = (&self.bytes[at.saturating_sub(48)..at], &self.bytes[at + value.len()..]);
        Some(format!(
            "{name} in {}, {at} bytes in: {} <> {}",
            self.name,
            shown(before),
            shown(&after[..after.len().min(48)])
        ))
    }
}

/// All that the process can write to. `None`: it cannot be read, which is as it should be for everyone but root.
fn memory(pid: u32) -> Option<Vec<Part>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut file = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut parts = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next()?, words.next()?);
        let (from, until) = range.split_once('-')?;
        let (from, until) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(until, 16).ok()?);
        if !mode.starts_with("rw") {
            continue;
        }
        // In pieces: some of a large range may never have been touched, and cannot be read.
        let (mut at, piece) = (from, 1 << 20);
        let mut bytes = Vec::new();
        while at < until {
            let mut part = vec![0; usize::try_from((until - at).min(piece)).ok()?];
            if file.seek(SeekFrom::Start(at)).is_ok() && file.read_exact(&mut part).is_ok() {
                bytes.extend_from_slice(&part);
            }
            at += piece;
        }
        parts.push(Part { name: format!("{range} {}", words.last().unwrap_or_default()), bytes });
    }
    (!parts.is_empty()).then_some(parts)
}

/// K02: others of the same user cannot read it at all; here it is the one who asks that cannot, not the one who is asked.
#[test]
fn the_daemon_says_that_it_cannot_be_dumped() {
    let kv = Kv::unlocked();
    let checks = kv.run(["doctor", "--json"]);
    let memory =
        checks.json()["checks"].as_array().unwrap().iter().find(|check| check["name"] == "daemon memory").cloned();
    assert_eq!(memory.unwrap()["ok"], true);
    let limits = fs::read_to_string(format!("/proc/{}/limits", kv.daemon_pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().skip(4).take(2).all(|limit| limit == "0"), "{core}");
}
