use std::os::unix::fs::symlink;

use super::*;
use crate::error::{CreateError, OpenError, Refusal};

fn refusal(dir: &Path) -> Refusal {
    match Vault::open(dir) {
        Err(OpenError::Refused(refusal)) => refusal,
        other => panic!("{:?}", other.err()),
    }
}

fn create_refusal(dir: &Path) -> Refusal {
    match Vault::create(dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW) {
        Err(CreateError::Refused(refusal)) => refusal,
        other => panic!("{:?}", other.err()),
    }
}

fn created() -> Home {
    let home = home();
    drop(home.create());
    home
}

#[test]
fn files_have_mode_0600() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("a"), NOW).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&home.dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{entry:?}");
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["vault.db", "vault.db-journal", "vault.lock"]);
}

#[test]
fn a_missing_directory_is_made_but_not_those_above() {
    let home = home();
    let dir = home.dir.join("new/");
    assert!(!Vault::exists(&dir));
    assert!(matches!(Vault::open(&dir), Err(OpenError::NoVault(_))));
    drop(Vault::create(&dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW).unwrap());
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(Vault::create(&home.dir.join("a/b"), &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW).is_err());
    assert!(!home.dir.join("a").exists());
}

#[test]
fn loose_modes() {
    let home = created();
    for mode in [0o644, 0o640, 0o602, 0o700, 0o4600, 0o400] {
        set_mode(&home.file(), mode);
        assert!(matches!(refusal(&home.dir), Refusal::Mode { mode: found, .. } if found == mode), "{mode:o}");
    }
    set_mode(&home.file(), 0o600);
    for mode in [0o777, 0o750, 0o701] {
        set_mode(&home.dir, mode);
        assert!(matches!(refusal(&home.dir), Refusal::Mode { mode: found, .. } if found == mode), "{mode:o}");
        assert!(matches!(create_refusal(&home.dir), Refusal::Mode { .. }));
    }
    set_mode(&home.dir, 0o700);
    set_mode(&home.dir.join("vault.lock"), 0o666);
    assert!(matches!(refusal(&home.dir), Refusal::Mode { .. }));
}

#[test]
fn an_open_directory_above() {
    let outer = home();
    let dir = outer.dir.join("inner");
    drop(Vault::create(&dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW).unwrap());
    set_mode(&outer.dir, 0o777);
    assert!(matches!(refusal(&dir), Refusal::AncestorOpen(_)));
    set_mode(&outer.dir, 0o1777);
    drop(Vault::open(&dir).unwrap());
}

#[test]
fn symbolic_links() {
    let home = created();
    let beside = home.dir.with_file_name("link");
    symlink(&home.dir, &beside).unwrap();
    for path in [beside.clone(), beside.join(""), beside.join(".")] {
        assert!(matches!(refusal(&path), Refusal::NotADirectory { found: "a symbolic link", .. }), "{path:?}");
        assert!(matches!(create_refusal(&path), Refusal::NotADirectory { .. }));
    }
    let moved = home.dir.join("elsewhere");
    std::fs::rename(home.file(), &moved).unwrap();
    symlink(&moved, home.file()).unwrap();
    assert!(matches!(refusal(&home.dir), Refusal::NotAFile { found: "a symbolic link", .. }));
    // A dangling one counts as something, so nothing is created through it.
    std::fs::remove_file(&moved).unwrap();
    assert!(Vault::exists(&home.dir));
    assert!(matches!(
        Vault::create(&home.dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW),
        Err(CreateError::Exists(_))
    ));
    assert!(!moved.exists());
}

#[test]
fn hard_links_fifos_directories_and_others() {
    let home = created();
    std::fs::hard_link(home.file(), home.dir.join("second")).unwrap();
    assert!(matches!(refusal(&home.dir), Refusal::HardLinked { links: 2, .. }));
    std::fs::remove_file(home.dir.join("second")).unwrap();

    for planted in ["vault.db", "vault.db-journal", "vault.lock"] {
        let path = home.dir.join(planted);
        let kept = std::fs::read(&path).ok();
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(refusal(&home.dir), Refusal::NotAFile { found: "a directory", .. }), "{planted}");
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert!(matches!(refusal(&home.dir), Refusal::NotAFile { found: "a FIFO", .. }), "{planted}");
        std::fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        assert!(matches!(refusal(&home.dir), Refusal::NotAFile { found: "a symbolic link", .. }), "{planted}");
        std::fs::remove_file(&path).unwrap();
        if let Some(bytes) = kept {
            std::fs::write(&path, bytes).unwrap();
            set_mode(&path, 0o600);
        }
    }
    drop(Vault::open(&home.dir).unwrap());
}

#[test]
fn another_owner() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give a file away.
    }
    let home = created();
    let strange = Some(rustix::fs::Uid::from_raw(12345));
    rustix::fs::chown(home.file(), strange, None).unwrap();
    assert!(matches!(refusal(&home.dir), Refusal::Owner { uid: 12345, .. }));
    rustix::fs::chown(home.file(), Some(rustix::fs::Uid::ROOT), None).unwrap();
    rustix::fs::chown(&home.dir, strange, None).unwrap();
    assert!(matches!(refusal(&home.dir), Refusal::Owner { uid: 12345, .. }));
}

#[test]
fn what_a_killed_creation_left_is_cleared() {
    let home = home();
    for leftover in ["vault.db.new", "vault.db.new-journal", "vault.db-journal"] {
        std::fs::write(home.dir.join(leftover), b"half").unwrap();
        set_mode(&home.dir.join(leftover), 0o600);
    }
    drop(home.create());
    assert!(!home.dir.join("vault.db.new").exists() && !home.dir.join("vault.db.new-journal").exists());
    assert!(!home.dir.join("vault.db-journal").exists());
    drop(Vault::open(&home.dir).unwrap());
}

#[test]
fn planted_companions() {
    let home = created();
    for planted in ["vault.db-wal", "vault.db-shm"] {
        let path = home.dir.join(planted);
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(refusal(&home.dir), Refusal::Planted(_)), "{planted}");
        std::fs::remove_file(&path).unwrap();
    }
    let journal = home.dir.join("vault.db-journal");
    std::fs::write(&journal, b"").unwrap();
    set_mode(&journal, 0o666);
    assert!(matches!(refusal(&home.dir), Refusal::Mode { mode: 0o666, .. }));
    set_mode(&journal, 0o600);
    // With our owner and mode it is what a kill may leave; nonsense in it is ignored by SQLite.
    std::fs::write(&journal, b"nonsense").unwrap();
    set_mode(&journal, 0o600);
    drop(Vault::open(&home.dir).unwrap());
}

fn damage(home: &Home) -> String {
    match Vault::open(&home.dir) {
        Err(error @ OpenError::Damaged(_)) => chain(&error),
        Err(other) => panic!("{}", chain(&other)),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn planted_objects_in_the_file() {
    for sql in [
        "CREATE TRIGGER t AFTER UPDATE ON root BEGIN DELETE FROM records; END",
        "CREATE VIEW v AS SELECT * FROM records",
        "CREATE TABLE extra (x)",
        "CREATE INDEX i ON records (sealed)",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "DROP TABLE records; CREATE VIEW records AS SELECT x'00' AS id, x'00' AS sealed",
        "DROP TABLE records; CREATE TABLE records (id BLOB, sealed BLOB)",
        "DROP TABLE attempts",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql || ' ' WHERE name = 'root'",
    ] {
        let home = created();
        home.tamper(sql);
        let found = damage(&home);
        assert!(found.contains("which kv did not put there") || found.contains("a table is missing"), "{sql}: {found}");
    }
}

#[test]
fn another_shape_of_file() {
    for (sql, wanted) in [
        ("PRAGMA page_size = 65536; VACUUM", "its pages have another size"),
        ("PRAGMA journal_mode = WAL", "it keeps a write-ahead log"),
        ("PRAGMA auto_vacuum = FULL; VACUUM", "it is vacuumed by itself"),
        ("PRAGMA application_id = 7", "it belongs to another program"),
        ("PRAGMA user_version = 2", "its format version is not known"),
        ("INSERT INTO records VALUES (x'00', zeroblob(2000000))", "opened"),
        ("DELETE FROM header", "a row is missing"),
        ("UPDATE header SET bytes = zeroblob(100000)", "the header is 100000 bytes long"),
        ("UPDATE header SET bytes = zeroblob(2000000)", "string or blob too big"),
    ] {
        let home = created();
        home.tamper(sql);
        match Vault::open(&home.dir) {
            Err(error) => assert!(chain(&error).contains(wanted), "{sql}: {}", chain(&error)),
            Ok(vault) => {
                assert_eq!(wanted, "opened", "{sql}");
                let error = vault.unlock(&passphrase(PASSPHRASE), NOW).err().map(|error| chain(&error)).unwrap();
                assert!(error.starts_with("the vault is damaged"), "{sql}: {error}");
            }
        }
    }
}

#[test]
fn other_files_under_its_name() {
    let home = created();
    for bytes in [&b""[..], b"SQLite format 3\0", &[0; 4096], b"#!/bin/sh\n"] {
        std::fs::write(home.file(), bytes).unwrap();
        assert!(damage(&home).contains("not a whole SQLite database"));
    }
    let huge = std::fs::OpenOptions::new().write(true).open(home.file()).unwrap();
    huge.set_len(1 << 33).unwrap();
    assert!(matches!(refusal(&home.dir), Refusal::TooLarge { .. }));
}
