//! A12, A05: the real folder, its modes and its lock; and the verifier for everybody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::format::Head;
use crate::{DirectoryError, OpenError};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("audit");
    (temporary, dir)
}

fn write(dir: &Path) -> Head {
    let (log, _) = AuditLog::open(dir, small_segments(), T0).unwrap();
    for _ in 0..5 {
        call(&log, Effect::Write, T0);
    }
    block_on(log.flush()).unwrap();
    log.head()
}

#[test]
fn it_is_ours_alone() {
    let (_temporary, dir) = folder();
    write(&dir);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
    for loose in [0o750, 0o701, 0o777] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(loose)).unwrap();
        assert!(matches!(
            AuditLog::open(&dir, Options::default(), T0),
            Err(OpenError::Directory(DirectoryError::Mode { .. }))
        ));
    }
}

#[test]
fn two_daemons_cannot_write() {
    let (_temporary, dir) = folder();
    let (log, _) = AuditLog::open(&dir, Options::default(), T0).unwrap();
    assert!(matches!(AuditLog::open(&dir, Options::default(), T0), Err(OpenError::Directory(DirectoryError::InUse))));
    // Reading is for everybody.
    assert!(crate::verify(&dir, None).unwrap().is_intact());
    drop(log);
    AuditLog::open(&dir, Options::default(), T0).unwrap();
}

#[test]
fn links_pipes_and_loose_files_are_refused() {
    let (temporary, dir) = folder();
    symlink(temporary.path(), &dir).unwrap();
    assert!(matches!(AuditLog::open(&dir, Options::default(), T0), Err(OpenError::Directory(DirectoryError::Open(_)))));
    fs::remove_file(&dir).unwrap();
    write(&dir);

    let last = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let elsewhere = temporary.path().join("elsewhere");
    let refused = |dir: &Path| matches!(AuditLog::open(dir, Options::default(), T0), Err(OpenError::Io { .. }));
    fs::set_permissions(&last, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&dir));
    fs::set_permissions(&last, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&last, &elsewhere).unwrap();
    assert!(refused(&dir));
    fs::remove_file(&last).unwrap();
    symlink(&elsewhere, &last).unwrap();
    assert!(refused(&dir));
    assert!(crate::verify(&dir, None).is_err());
    fs::remove_file(&last).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &last, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(refused(&dir));
    fs::remove_file(&last).unwrap();
    fs::rename(&elsewhere, &last).unwrap();
    AuditLog::open(&dir, Options::default(), T0).unwrap();
}

#[test]
fn other_files_do_not_matter() {
    let (_temporary, dir) = folder();
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["notes.txt", "1.ndjson", "0000001.ndjson", "00000x.ndjson", "000009.ndjson.bak"] {
        fs::write(dir.join(name), "x").unwrap();
    }
    let head = write(&dir);
    assert!(crate::verify(&dir, Some(head)).unwrap().is_intact());
}

/// The verifier in the reference, against the same logs.
#[test]
fn the_python_verifier_agrees() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/verify_audit.py");
    let run = |dir: &Path, head: Option<Head>| {
        let mut command = Command::new("python3");
        command.arg("-I").arg(script).arg(dir);
        if let Some(head) = head {
            command.args([head.seq.to_string(), head.hash.to_string()]);
        }
        command.output()
    };
    let (_temporary, dir) = folder();
    let head = write(&dir);
    let Ok(output) = run(&dir, Some(head)) else {
        eprintln!("there is no python3 here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(&format!("intact up to entry {}", head.seq)), "{said}");

    let second = dir.join("000002.ndjson");
    let good = fs::read_to_string(&second).unwrap();
    let says = |text: &str, head: Option<Head>| {
        fs::write(&second, text).unwrap();
        let output = run(&dir, head).unwrap();
        let bad = crate::verify(&dir, head).unwrap().bad.map(|bad| bad.seq);
        assert_eq!(output.status.code(), Some(i32::from(bad.is_some())));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(bad.is_none_or(|seq| said.contains(&format!("entry {seq} ("))), "{said}, not {bad:?}");
    };
    says(&good.replacen("\"step\":0", "\"step\":1", 1), Some(head));
    says(&good.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>(), Some(head));
    says(good.trim_end(), Some(head));
    says(&good, Some(Head { seq: head.seq + 1, ..head }));
    says(&good, Some(Head { hash: kv_model::Digest::ZERO, ..head }));
    says(&good, None);
}
