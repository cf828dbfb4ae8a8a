use super::*;
use crate::error::UnlockError;
use crate::format::parse_header;
use crate::passphrase::{generate_passphrase, passphrase_strength};
use crate::{KdfBounds, MAX_PASSPHRASE_BYTES, PassphraseError};

fn wrong(vault: &Vault, at: u64) -> String {
    match vault.unlock(&passphrase("wrong"), at) {
        Err(UnlockError::WrongPassphrase { attempts }) => format!("wrong {attempts}"),
        Err(UnlockError::TooSoon { retry_after_ms }) => format!("wait {retry_after_ms}"),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn tries_are_counted_across_restarts() {
    let home = home();
    drop(home.create());
    let open = || Vault::open(&home.dir).unwrap();
    for nth in 1..=3 {
        assert_eq!(wrong(&open(), NOW), format!("wrong {nth}"));
    }
    assert_eq!(wrong(&open(), NOW), "wait 1000");
    assert_eq!(wrong(&open(), NOW + 999), "wait 1");
    // The right one has to wait as well: otherwise the wait would tell which it is.
    assert!(matches!(open().unlock(&passphrase(PASSPHRASE), NOW), Err(UnlockError::TooSoon { retry_after_ms: 1000 })));
    assert_eq!(wrong(&open(), NOW + 1000), "wrong 4");
    assert_eq!(wrong(&open(), NOW + 1000), "wait 2000");
    // The clock goes back an hour: the wait starts anew there, and is no longer than before.
    assert_eq!(wrong(&open(), NOW - 3_600_000), "wait 2000");
    assert_eq!(wrong(&open(), NOW - 3_600_000 + 1_500), "wait 500");
    open().unlock(&passphrase(PASSPHRASE), NOW - 3_600_000 + 2_000).unwrap();
    assert_eq!(wrong(&open(), NOW), "wrong 1");
}

#[test]
fn proving_presence_counts_with_unlocking() {
    let home = home();
    let unlocked = home.create();
    for _ in 0..3 {
        unlocked.verify_passphrase(&passphrase("wrong"), NOW).unwrap_err();
    }
    assert!(matches!(
        unlocked.verify_passphrase(&passphrase(PASSPHRASE), NOW),
        Err(UnlockError::TooSoon { retry_after_ms: 1000 })
    ));
    assert_eq!(wrong(&unlocked.vault(), NOW), "wait 1000");
    unlocked.verify_passphrase(&passphrase(PASSPHRASE), NOW + 1000).unwrap();
}

#[test]
fn counters_that_make_no_sense_wait() {
    let home = home();
    drop(home.create());
    home.tamper("UPDATE attempts SET failed = -1, last_ms = 9223372036854775807");
    let vault = Vault::open(&home.dir).unwrap();
    assert_eq!(wrong(&vault, NOW), "wait 300000");
    vault.unlock(&passphrase(PASSPHRASE), NOW + 300_000).unwrap();
}

#[test]
fn one_passphrase_however_it_was_typed() {
    let home = home();
    drop(Vault::create(&home.dir, &passphrase("Zürich caf\u{e9}"), KdfParams::FLOOR, NOW).unwrap());
    let vault = Vault::open(&home.dir).unwrap();
    vault.unlock(&passphrase("Zu\u{308}rich cafe\u{301}"), NOW).unwrap();
    // A line's end, a NUL and a space are part of it.
    for (nth, other) in ["Zürich café\n", "Zürich café\r\n", "Zürich café\0", " Zürich café"].into_iter().enumerate()
    {
        let unlocked = vault.unlock(&passphrase(other), NOW + 10_000 * nth as u64);
        assert!(matches!(unlocked, Err(UnlockError::WrongPassphrase { .. })), "{other:?}");
    }
}

#[test]
fn passphrases_have_bounds() {
    let error = |text: &str| Passphrase::new(text.to_owned()).unwrap_err();
    assert_eq!(error(""), PassphraseError::Empty);
    assert_eq!(error(&"x".repeat(MAX_PASSPHRASE_BYTES + 1)), PassphraseError::TooLong);
    assert_eq!(error(&"x".repeat(1 << 20)), PassphraseError::TooLong);
    // U+0958 becomes two characters in NFC, so this grows past the bound.
    assert_eq!(error(&"\u{958}".repeat(MAX_PASSPHRASE_BYTES / 3)), PassphraseError::TooLong);
    assert!(Passphrase::new("x".repeat(MAX_PASSPHRASE_BYTES)).is_ok());
}

#[test]
fn strength_tells_weak_from_strong() {
    let weak = passphrase_strength(&passphrase("password1"));
    assert!(weak.score <= 1 && weak.warning.is_some(), "{weak:?}");
    let generated = generate_passphrase().unwrap();
    assert_eq!(generated.len(), 6 * 4 + 5);
    assert!(generated.split('-').all(|group| group.len() == 4 && group.bytes().all(|b| b.is_ascii_alphanumeric())));
    assert_ne!(*generated, *generate_passphrase().unwrap());
    let strong = passphrase_strength(&passphrase(&generated));
    assert!(strong.score == 4 && strong.guesses_log10 > 15.0, "{strong:?}");
}

#[test]
fn costs_are_bounded_before_anything_is_allocated() {
    for (memory, passes, lanes, name) in [
        (u32::MAX, 3, 4, "memory in KiB"),
        (1024 * 1024 + 1, 3, 4, "memory in KiB"),
        (19 * 1024 - 1, 2, 1, "memory in KiB"),
        (8, 2, 1, "memory in KiB"),
        (65536, u32::MAX, 4, "passes"),
        (65536, 17, 4, "passes"),
        (65536, 1, 4, "passes"),
        (65536, 3, 1 << 24, "lanes"),
        (65536, 3, 0, "lanes"),
    ] {
        assert!(matches!(KdfParams::new(memory, passes, lanes), Err(KdfBounds { name: n, .. }) if n == name));
    }
    assert!(KdfParams::new(1024 * 1024, 16, 8).is_ok());
    let default = KdfParams::default();
    assert_eq!((default.memory_kib(), default.passes(), default.lanes()), (65536, 3, 4));
}

/// What comes of a header in which an attacker changed some bytes and mended the checksum.
fn forged(home: &Home, at: usize, change: impl Fn(&mut [u8])) -> String {
    let header: Vec<u8> =
        Connection::open(home.file()).unwrap().query_row("SELECT bytes FROM header", [], |row| row.get(0)).unwrap();
    let mut forged = header.clone();
    change(&mut forged[at..156]);
    let checksum = kv_model::Digest::of(&forged[..156]);
    forged[156..].copy_from_slice(checksum.as_bytes());
    let put =
        |bytes: &[u8]| Connection::open(home.file()).unwrap().execute("UPDATE header SET bytes = ?1", [bytes]).unwrap();
    put(&forged);
    let outcome = match Vault::open(&home.dir) {
        Err(error) => chain(&error),
        Ok(vault) => match vault.unlock(&passphrase(PASSPHRASE), NOW) {
            Err(error) => chain(&error),
            Ok(_) => "opened".to_owned(),
        },
    };
    put(&header);
    outcome
}

#[test]
fn a_forged_header_opens_nothing() {
    let home = home();
    drop(home.create());
    assert_eq!(forged(&home, 0, |_| {}), "opened");
    for (at, bytes, outcome) in [
        (0, &b"KV"[..], "it does not begin as a vault's header does"),
        (8, &[0, 0], "format version 0"),
        (8, &[0, 2], "format version 2"),
        (10, &[0], "key derivation 0"),
        (11, &[2], "cipher 2"),
        (12, &[0, 0, 0, 1], "flags 0x1"),
        (32, &[0xff; 4], "memory in KiB = 4294967295"),
        (32, &8_u32.to_be_bytes(), "memory in KiB = 8"),
        (36, &[0xff; 4], "passes = 4294967295"),
        (40, &[1, 0, 0, 0], "lanes = 16777216"),
        (52, &[0; 32], "the salt is all zeros"),
        (36, &3_u32.to_be_bytes(), "the passphrase is wrong"),
    ] {
        let found = forged(&home, at, |front| front[..bytes.len()].copy_from_slice(bytes));
        assert!(found.contains(outcome), "byte {at}: {found}");
    }
    // Vault id, creation time, salt, nonce and wrap.
    for at in [16, 44, 60, 90, 110] {
        // Each was counted; the next case starts afresh.
        home.tamper("UPDATE attempts SET failed = 0");
        assert_eq!(forged(&home, at, |front| front[0] ^= 1), "the passphrase is wrong", "byte {at}");
    }
    assert!(parse_header(&[0; 1 << 16]).is_err());
}
