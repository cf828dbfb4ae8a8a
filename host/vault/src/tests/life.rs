use std::sync::Arc;

use super::*;
use crate::error::{CreateError, OpenError, PassphraseChangeError, StorageError, UnlockError};
use crate::{DocumentKind, MAX_RECORDS, MAX_SEALED_BYTES, MAX_VALUE_BYTES, REDACT_OLD_MS, ReadError, WriteError};

#[test]
fn values_come_back_as_they_went_in() {
    let home = home();
    let vault = home.create();
    let values: [(&str, Vec<u8>); 6] = [
        ("ONE_BYTE", b"x".to_vec()),
        ("MULTI_LINE", b"-----BEGIN KEY-----\r\nabc\n\n-----END KEY-----\n".to_vec()),
        ("BINARY", (0..=255).collect()),
        ("ZEROS_AT_THE_END", b"abc\0\0\0".to_vec()),
        ("A_CLASS_EXACTLY", vec![7; 128]),
        ("LARGEST", vec![b'k'; MAX_VALUE_BYTES]),
    ];
    for (of, bytes) in &values {
        let meta = vault.put_secret(&name(of), value(bytes), NOW + 1).unwrap();
        assert_eq!((meta.version, meta.length, meta.created_ms, meta.changed_ms), (1, bytes.len(), NOW + 1, NOW + 1));
    }
    let (id, epoch) = (vault.id(), vault.epoch());
    drop(vault);

    let vault = Vault::open(&home.dir).unwrap();
    assert_eq!(vault.id(), id);
    let vault = vault.unlock(&passphrase(PASSPHRASE), NOW).unwrap();
    assert_eq!(vault.epoch(), epoch);
    for (of, bytes) in &values {
        assert_eq!(read(&vault, of).as_ref(), Some(bytes), "{of}");
    }
    let names: Vec<_> = vault.secrets().into_iter().map(|meta| meta.name.to_string()).collect();
    assert!(names.is_sorted() && names.len() == values.len());
}

#[test]
fn refusals_change_nothing() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("a"), NOW).unwrap();
    vault.put_secret(&name("B"), value("b"), NOW).unwrap();
    let (epoch, generation) = (vault.epoch(), vault.generation());
    assert!(matches!(vault.put_secret(&name("A"), value("x"), NOW), Err(WriteError::NameTaken(_))));
    assert!(matches!(vault.put_secret(&name("C"), value(""), NOW), Err(WriteError::EmptyValue)));
    assert!(matches!(
        vault.put_secret(&name("C"), value(vec![0; MAX_VALUE_BYTES + 1]), NOW),
        Err(WriteError::ValueTooLong { bytes }) if bytes == MAX_VALUE_BYTES + 1
    ));
    assert!(matches!(vault.rotate_secret(&name("C"), value("x"), NOW), Err(WriteError::NoSuchSecret(_))));
    assert!(matches!(vault.remove_secret(&name("C"), NOW), Err(WriteError::NoSuchSecret(_))));
    assert!(matches!(vault.rename_secret(&name("C"), &name("D")), Err(WriteError::NoSuchSecret(_))));
    assert!(matches!(vault.rename_secret(&name("A"), &name("B")), Err(WriteError::NameTaken(_))));
    assert!(matches!(vault.rename_secret(&name("A"), &name("A")), Err(WriteError::NameTaken(_))));
    let long = "n".repeat(129);
    assert!(matches!(
        vault.put_document(DocumentKind::Connection, &long, b""),
        Err(WriteError::DocumentName { bytes: 129 })
    ));
    assert!(matches!(
        vault.put_document(DocumentKind::Connection, "", b""),
        Err(WriteError::DocumentName { bytes: 0 })
    ));
    assert!(!vault.remove_document(DocumentKind::Connection, "none").unwrap());
    assert_eq!((vault.epoch(), vault.generation()), (epoch, generation));
    assert_eq!(read(&vault, "A").unwrap(), b"a");
}

#[test]
fn old_values_are_masked_for_a_day_and_then_erased() {
    let home = home();
    let vault = home.create();
    let id = vault.put_secret(&name("A"), value("first"), NOW).unwrap().id;
    let gone = vault.put_secret(&name("GONE"), value("gone"), NOW).unwrap().id;
    let meta = vault.rotate_secret(&name("A"), value("second"), NOW + 10).unwrap();
    assert_eq!((meta.id, meta.version, meta.created_ms, meta.changed_ms), (id, 2, NOW, NOW + 10));
    vault.remove_secret(&name("GONE"), NOW + 20).unwrap();

    assert_eq!(vault.secret_by_id(gone), None);
    assert!(matches!(vault.open_secret(gone), Err(ReadError::NoSuchSecret)));
    let at = |now| {
        let mut all = vault.redactable(now);
        all.sort_by_key(|(secret, version)| (*secret == gone, *version));
        all
    };
    assert_eq!(at(NOW + 10 + REDACT_OLD_MS - 1), [(id, 1), (id, 2), (gone, 1)]);
    assert_eq!(at(NOW + 10 + REDACT_OLD_MS), [(id, 2), (gone, 1)]);
    assert_eq!(at(NOW + 20 + REDACT_OLD_MS), [(id, 2)]);
    // A clock that went back masks more, not less.
    assert_eq!(at(0), [(id, 1), (id, 2), (gone, 1)]);
    assert_eq!(vault.open_version(id, 1).unwrap().expose(), b"first");
    assert_eq!(vault.open_version(gone, 1).unwrap().expose(), b"gone");

    // The name is free again, and whoever takes it is somebody else.
    assert_ne!(vault.put_secret(&name("GONE"), value("new"), NOW + 30).unwrap().id, gone);

    assert_eq!(vault.prune(NOW + 20).unwrap(), 0);
    assert_eq!(vault.prune(NOW + 10 + REDACT_OLD_MS).unwrap(), 1);
    assert!(matches!(vault.open_version(id, 1), Err(ReadError::NoSuchVersion(1))));
    assert_eq!(vault.prune(NOW + 20 + REDACT_OLD_MS).unwrap(), 1);
    assert_eq!(read(&vault, "A").unwrap(), b"second");
    assert_eq!(vault.rotate_secret(&name("A"), value("third"), NOW).unwrap().version, 3);
}

#[test]
fn a_new_name_keeps_id_version_and_old_values() {
    let home = home();
    let vault = home.create();
    let id = vault.put_secret(&name("OLD"), value("1"), NOW).unwrap().id;
    vault.rotate_secret(&name("OLD"), value("2"), NOW).unwrap();
    let meta = vault.rename_secret(&name("OLD"), &name("NEW")).unwrap();
    assert_eq!((meta.id, meta.version, meta.name.as_str()), (id, 2, "NEW"));
    let keys = vault.keys.copy_for_test();
    drop(vault);
    let vault = reopen(&home.dir, &keys);
    assert_eq!(vault.secret(&name("OLD")), None);
    assert_eq!(read(&vault, "NEW").unwrap(), b"2");
    assert_eq!(vault.open_version(id, 1).unwrap().expose(), b"1");
}

#[test]
fn documents_are_apart_by_kind_and_do_not_touch_secrets() {
    let home = home();
    let vault = home.create();
    let generation = vault.generation();
    vault.put_document(DocumentKind::Connection, "openai", b"{}").unwrap();
    vault.put_document(DocumentKind::Connection, "openai", b"{\"v\":2}").unwrap();
    vault.put_document(DocumentKind::AuditHead, "openai", b"").unwrap();
    assert_eq!(vault.generation(), generation);
    let keys = vault.keys.copy_for_test();
    drop(vault);
    let vault = reopen(&home.dir, &keys);
    assert_eq!(vault.document(DocumentKind::Connection, "openai").unwrap().unwrap().as_slice(), b"{\"v\":2}");
    assert_eq!(vault.document(DocumentKind::AuditHead, "openai").unwrap().unwrap().as_slice(), b"");
    assert!(vault.document(DocumentKind::Connection, "stripe").unwrap().is_none());
    assert_eq!(vault.documents(DocumentKind::Connection).unwrap().len(), 1);
    assert!(vault.remove_document(DocumentKind::Connection, "openai").unwrap());
    assert!(vault.documents(DocumentKind::Connection).unwrap().is_empty());
    assert!(vault.redactable(NOW).is_empty());
}

#[test]
fn the_passphrase_changes_and_the_old_one_is_over() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("a"), NOW).unwrap();
    let old_wrap = vault.store_for_test().header().unwrap().wrapped;
    let (old, new) = (passphrase(PASSPHRASE), passphrase("another one entirely"));
    assert!(matches!(
        vault.change_passphrase(&new, &old, KdfParams::FLOOR, NOW),
        Err(PassphraseChangeError::Old(UnlockError::WrongPassphrase { attempts: 1 }))
    ));
    vault.change_passphrase(&old, &new, KdfParams::FLOOR, NOW).unwrap();
    assert_eq!(read(&vault, "A").unwrap(), b"a");
    vault.verify_passphrase(&new, NOW).unwrap();
    assert!(matches!(vault.verify_passphrase(&old, NOW), Err(UnlockError::WrongPassphrase { attempts: 1 })));
    for entry in std::fs::read_dir(&home.dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(old_wrap.len()).any(|window| window == old_wrap), "the old wrap is still there");
    }
    drop(vault);
    let vault = Vault::open(&home.dir).unwrap();
    assert!(matches!(vault.unlock(&old, NOW), Err(UnlockError::WrongPassphrase { attempts: 2 })));
    assert_eq!(read(&vault.unlock(&new, NOW).unwrap(), "A").unwrap(), b"a");
}

#[test]
fn a_second_kv_is_kept_out() {
    let home = home();
    let unlocked = home.create();
    assert!(Vault::exists(&home.dir));
    assert!(matches!(Vault::open(&home.dir), Err(OpenError::InUse)));
    assert!(matches!(Vault::create(&home.dir, &passphrase("x"), KdfParams::FLOOR, NOW), Err(CreateError::InUse)));
    // A locked vault holds the file as well.
    let locked = unlocked.vault();
    drop(unlocked);
    assert!(matches!(Vault::open(&home.dir), Err(OpenError::InUse)));
    drop(locked);
    drop(Vault::open(&home.dir).unwrap());
    let before = std::fs::read(home.file()).unwrap();
    assert!(matches!(Vault::create(&home.dir, &passphrase("x"), KdfParams::FLOOR, NOW), Err(CreateError::Exists(_))));
    assert_eq!(std::fs::read(home.file()).unwrap(), before);
}

#[test]
fn an_old_unlock_cannot_write_over_a_newer_one() {
    let home = home();
    let first = home.create();
    let second = first.vault().unlock(&passphrase(PASSPHRASE), NOW).unwrap();
    second.put_secret(&name("A"), value("a"), NOW).unwrap();
    assert!(matches!(first.put_secret(&name("B"), value("b"), NOW), Err(WriteError::Superseded)));
    second.put_secret(&name("C"), value("c"), NOW).unwrap();
    let keys = second.keys.copy_for_test();
    drop((first, second));
    assert_eq!(reopen(&home.dir, &keys).secrets().len(), 2);
}

#[test]
fn a_full_disk_refuses_the_write_and_leaves_the_rest() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("a"), NOW).unwrap();
    let pages = std::fs::metadata(home.file()).unwrap().len() / 4096;
    vault.store_for_test().sql(&format!("PRAGMA max_page_count = {pages}"));
    let (epoch, generation) = (vault.epoch(), vault.generation());
    let full = vault.put_secret(&name("B"), value(vec![1; 60_000]), NOW);
    assert!(matches!(full, Err(WriteError::Storage(StorageError::Full))), "{full:?}");
    assert_eq!((vault.epoch(), vault.generation()), (epoch, generation));
    assert_eq!(vault.secret(&name("B")), None);
    vault.store_for_test().sql("PRAGMA max_page_count = 100000");
    vault.put_secret(&name("B"), value(vec![1; 60_000]), NOW).unwrap();
    let keys = vault.keys.copy_for_test();
    drop(vault);
    assert_eq!(reopen(&home.dir, &keys).secrets().len(), 2);
}

#[test]
fn a_full_vault_still_lets_go() {
    let home = home();
    let vault = home.create();
    vault.put_many_for_test(MAX_RECORDS, 40);
    assert!(matches!(vault.put_secret(&name("ONE_MORE"), value("x"), NOW), Err(WriteError::Full)));
    assert!(matches!(vault.rotate_secret(&name("MANY_1"), value("x"), NOW), Err(WriteError::Full)));
    vault.rename_secret(&name("MANY_1"), &name("MANY_X")).unwrap();
    vault.remove_secret(&name("MANY_X"), NOW).unwrap();
    vault.prune(NOW + REDACT_OLD_MS).unwrap();
    vault.put_secret(&name("ONE_MORE"), value("x"), NOW).unwrap();
    let keys = vault.keys.copy_for_test();
    drop(vault);
    assert_eq!(reopen(&home.dir, &keys).secrets().len(), MAX_RECORDS);
}

#[test]
fn bytes_are_bounded_as_well_as_records() {
    let home = home();
    let vault = home.create();
    vault.put_many_for_test(MAX_SEALED_BYTES / (MAX_VALUE_BYTES + 336), MAX_VALUE_BYTES);
    vault.put_document(DocumentKind::Connection, "c", b"").unwrap();
    assert!(matches!(vault.put_secret(&name("ONE_MORE"), value(vec![1; MAX_VALUE_BYTES]), NOW), Err(WriteError::Full)));
    // A document that grows in its place counts too.
    let grown = vault.put_document(DocumentKind::Connection, "c", &vec![1; crate::MAX_DOCUMENT_BYTES]);
    assert!(matches!(grown, Err(WriteError::Full)));
    let keys = vault.keys.copy_for_test();
    drop(vault);
    drop(reopen(&home.dir, &keys));
}

#[test]
fn readers_see_whole_states_while_a_writer_writes() {
    let home = home();
    let vault = Arc::new(home.create());
    let id = vault.put_secret(&name("A"), value([0; 40]), NOW).unwrap().id;
    let reader = {
        let vault = vault.clone();
        std::thread::spawn(move || {
            let mut seen = 0;
            while seen < 30 {
                let read = vault.open_secret(id).unwrap();
                let first = read.expose()[0];
                assert!(first >= seen && read.expose().iter().all(|byte| *byte == first));
                seen = first;
            }
        })
    };
    for round in 1..=30 {
        vault.rotate_secret(&name("A"), value([round; 40]), NOW).unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn every_nonce_is_another() {
    let home = home();
    let vault = home.create();
    let id = vault.put_secret(&name("A"), value("a"), NOW).unwrap().id;
    for _ in 0..100 {
        vault.rotate_secret(&name("A"), value("the same"), NOW).unwrap();
    }
    let mut nonces = std::collections::HashSet::new();
    for (_, version) in vault.redactable(NOW) {
        let sealed = vault.sealed_for_test(id, version);
        assert!(nonces.insert(sealed[..24].to_vec()) && nonces.insert(sealed[296..320].to_vec()));
    }
    assert_eq!(nonces.len(), 202);
}

#[test]
fn names_in_errors_but_never_values() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("kvcanary"), NOW).unwrap();
    let error = vault.put_secret(&name("A"), value("kvcanary"), NOW).unwrap_err();
    assert_eq!(chain(&error), "there is a secret `A` already");
    assert_eq!(format!("{:?} {:?}", value("kvcanary"), passphrase("kvcanary")), "SecretValue Passphrase");
}

/// Written by the first kv; a change to the format that breaks it needs a new version number.
#[test]
fn a_vault_of_format_1_still_opens() {
    let home = home();
    std::fs::write(home.file(), include_bytes!("format-1.db")).unwrap();
    set_mode(&home.file(), 0o600);
    let vault = Vault::open(&home.dir).unwrap().unlock(&passphrase("Zürich café"), NOW).unwrap();
    assert_eq!(vault.epoch(), 8);
    assert_eq!(read(&vault, "OPENAI_API_KEY").unwrap(), b"sk-reference-2");
    assert_eq!(read(&vault, "BINARY").unwrap(), (0..=255).collect::<Vec<u8>>());
    assert_eq!(vault.secret(&name("REMOVED")), None);
    let mut old: Vec<_> = vault
        .redactable(NOW + 5)
        .into_iter()
        .map(|(id, version)| vault.open_version(id, version).unwrap().expose().to_vec())
        .filter(|value| value.len() < 100)
        .collect();
    old.sort();
    assert_eq!(old, [&b"gone"[..], b"sk-reference-1", b"sk-reference-2"]);
    assert_eq!(vault.document(DocumentKind::Connection, "openai").unwrap().unwrap().as_slice(), b"{}");
}
