use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{KdfParams, Vault};

/// A round moment, at the beginning of a step.
const T0: u64 = 1_800_000_000_000;
const STEP: u64 = 30_000;

fn passphrase() -> Passphrase {
    Passphrase::new("four unrelated words here".to_owned()).unwrap()
}

fn create(directory: &Path) -> Unlocked {
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    drop(Vault::create(directory, &passphrase(), KdfParams::FLOOR, T0).unwrap());
    open(directory)
}

fn open(directory: &Path) -> Unlocked {
    Vault::open(directory).unwrap().unlock(&passphrase(), T0).unwrap()
}

/// The code of a seed at a time, by a search: the code under test has no function that gives one away.
fn code_at(seed: &[u8; SEED_BYTES], at_ms: u64) -> String {
    let step = at_ms / STEP;
    let fits = |code: &u32| {
        let text = format!("{code:06}");
        let digits = Digits::parse(&text).unwrap();
        // At the edge of the window's other side only this step is allowed.
        totp::step_of(seed, digits, at_ms) == Some(step)
    };
    format!("{:06}", (0..1_000_000).find(fits).unwrap())
}

fn enrol(vault: &Unlocked) -> ([u8; SEED_BYTES], Vec<String>) {
    let enrolment = vault.begin_totp().unwrap();
    let seed = *enrolment.seed;
    let codes = vault.confirm_totp(enrolment, &code_at(&seed, T0), T0).map_err(|(error, _)| error).unwrap();
    (seed, codes.iter().map(str::to_owned).collect())
}

fn wrong_for(seed: &[u8; SEED_BYTES], at_ms: u64) -> String {
    let is_wrong = |code: &u32| totp::step_of(seed, Digits::parse(&format!("{code:06}")).unwrap(), at_ms).is_none();
    format!("{:06}", (0..).find(is_wrong).unwrap())
}

#[test]
fn a_code_counts_once_ever() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    assert!(matches!(vault.verify_factor("123456", T0), Err(FactorError::NotEnrolled)));
    let (seed, _) = enrol(&vault);
    let first = code_at(&seed, T0);
    assert!(matches!(vault.verify_factor(&first, T0), Err(FactorError::Used)), "enrolling has spent it");
    let next = code_at(&seed, T0 + STEP);
    assert_eq!(vault.verify_factor(&next, T0 + STEP).unwrap().kind(), ProofKind::Totp);
    for later in [0, 1, STEP, STEP * 2 - 1] {
        assert!(matches!(vault.verify_factor(&next, T0 + STEP + later), Err(FactorError::Used)));
        drop(vault.verify_factor(&code_at(&seed, T0), T0));
    }
    drop(vault);
    let vault = open(dir.path());
    assert!(vault.verify_factor(&next, T0 + STEP).is_err(), "after a restart");
    // The clock is turned back to when an earlier code was right.
    let at = T0 + 900_000 + STEP * 10;
    assert!(vault.verify_factor(&code_at(&seed, at), at).is_ok());
    assert!(matches!(vault.verify_factor(&code_at(&seed, at - STEP * 3), at - STEP * 3), Err(FactorError::Used)));
}

#[test]
fn one_app_at_a_time_and_only_once_it_has_shown_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    let enrolment = vault.begin_totp().unwrap();
    let seed = *enrolment.seed;
    let (error, enrolment) = vault.confirm_totp(enrolment, &wrong_for(&seed, T0), T0).err().unwrap();
    assert!(matches!(error, FactorError::Wrong { .. }));
    assert_eq!(vault.factors().unwrap().totp, None);
    let (error, enrolment) = vault.confirm_totp(enrolment.unwrap(), "12345", T0).err().unwrap();
    assert!(matches!(error, FactorError::NotACode));
    let other = vault.begin_totp().unwrap();
    let other_seed = *other.seed;
    assert_ne!(seed, other_seed);
    assert!(vault.confirm_totp(enrolment.unwrap(), &code_at(&seed, T0), T0).is_ok());
    assert!(matches!(vault.begin_totp(), Err(FactorError::AlreadyEnrolled)));
    let late = vault.confirm_totp(other, &code_at(&other_seed, T0), T0).err().unwrap();
    assert!(matches!(late, (FactorError::AlreadyEnrolled, None)));
    let uri = vault.factors().unwrap();
    assert_eq!(uri.totp.unwrap().recovery_codes_left, recovery::COUNT);
}

#[test]
fn recovery_codes_count_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    let (_, codes) = enrol(&vault);
    assert_eq!(codes.len(), recovery::COUNT);
    assert_eq!(vault.verify_factor(&codes[3].to_uppercase(), T0).unwrap().kind(), ProofKind::Recovery);
    assert!(matches!(vault.verify_factor(&codes[3], T0), Err(FactorError::Wrong { .. })));
    drop(vault);
    let vault = open(dir.path());
    assert!(vault.verify_factor(&codes[3], T0).is_err());
    assert_eq!(vault.verify_factor(&codes[0].replace('-', ""), T0).unwrap().kind(), ProofKind::Recovery);
    assert_eq!(vault.factors().unwrap().totp.unwrap().recovery_codes_left, recovery::COUNT - 2);
}

#[test]
fn five_wrong_codes_pause_and_neither_a_restart_nor_a_clock_helps() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    let (seed, codes) = enrol(&vault);
    let at = T0 + STEP * 4;
    let wrong = wrong_for(&seed, at);
    for left in (0..PACE.free).rev() {
        let error = vault.verify_factor(&wrong, at).unwrap_err();
        assert!(matches!(error, FactorError::Wrong { left_before_pause } if left_before_pause == left), "{error}");
    }
    let right = code_at(&seed, at);
    let paused = |vault: &Unlocked, code: &str, at: u64| match vault.verify_factor(code, at) {
        Err(FactorError::Paused { retry_after_ms }) => retry_after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(paused(&vault, &right, at), 60_000);
    assert_eq!(paused(&vault, &codes[0], at + 59_999), 1);
    assert_eq!(vault.factors().unwrap().totp.unwrap().paused_until_ms, Some(at + 60_000));
    drop(vault);
    let vault = open(dir.path());
    assert_eq!(paused(&vault, &right, at + 1), 59_999);
    assert_eq!(paused(&vault, &right, at - 500_000), 60_000, "a clock that went back begins the wait anew");
    // After the wait one try, and the next waits for twice as long.
    let later = at - 500_000 + 60_000;
    let wrong = wrong_for(&seed, later);
    assert!(matches!(vault.verify_factor(&wrong, later), Err(FactorError::Wrong { left_before_pause: 0 })));
    assert_eq!(paused(&vault, &wrong, later), 120_000);
    let good = later + 120_000;
    assert!(vault.verify_factor(&codes[1], good).is_ok());
    assert_eq!(vault.factors().unwrap().totp.unwrap().failures, 0);
}

#[test]
fn what_is_no_code_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    enrol(&vault);
    for text in ["", "12345", "1234567", " 123456", "123456\n", "１２３４５６", "+12345", "hello", "k7f3-9qbm-2xre"]
    {
        assert!(matches!(vault.verify_factor(text, T0), Err(FactorError::NotACode)), "{text:?}");
    }
    assert_eq!(vault.factors().unwrap().totp.unwrap().failures, 0);
}

#[test]
fn of_many_that_race_with_one_code_one_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Arc::new(create(dir.path()));
    let (seed, codes) = enrol(&vault);
    let at = T0 + STEP * 2;
    for code in [code_at(&seed, at), codes[5].clone()] {
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // As many as are wrong before a pause; the winner sets the count back.
            for _ in 0..4 {
                scope.spawn(|| won.fetch_add(usize::from(vault.verify_factor(&code, at).is_ok()), Ordering::Relaxed));
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn an_app_is_removed_with_a_proof_of_its_own_kind() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    let (_, codes) = enrol(&vault);
    let weak = vault.verify_passphrase_factor(&passphrase(), T0).unwrap();
    assert_eq!(weak.kind(), ProofKind::Passphrase);
    assert!(matches!(vault.remove_totp(&weak), Err(FactorError::Weaker)));
    let wrong = Passphrase::new("other words than those".to_owned()).unwrap();
    let error = vault.verify_passphrase_factor(&wrong, T0).unwrap_err();
    assert_eq!(error.code(), "wrong_passphrase");
    let proof = vault.verify_factor(&codes[0], T0).unwrap();
    vault.remove_totp(&proof).unwrap();
    assert!(matches!(vault.remove_totp(&proof), Err(FactorError::NotEnrolled)));
    assert!(matches!(vault.verify_factor(&codes[1], T0), Err(FactorError::NotEnrolled)));
    assert!(vault.begin_totp().is_ok());
}

#[test]
fn nothing_of_it_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(dir.path());
    let (seed, codes) = enrol(&vault);
    drop(vault);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut wanted = vec![seed.to_vec(), hex.into_bytes(), totp::base32(&seed).as_bytes().to_vec(), b"totp".to_vec()];
    for code in &codes {
        wanted.push(code.as_bytes().to_vec());
        wanted.push(code.replace('-', "").into_bytes());
        wanted.push(recovery::hash(&seed, &code.replace('-', "")).unwrap().to_vec());
    }
    for text in wanted {
        assert!(!files.windows(text.len()).any(|window| window == text));
    }
}

#[test]
fn the_address_is_what_apps_read() {
    let enrolment = TotpEnrolment { seed: Zeroizing::new(*b"12345678901234567890") };
    assert_eq!(
        *enrolment.uri("kv-1a2b&x=y/\u{202e}"),
        "otpauth://totp/kv:kv-1a2bxy?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=kv&algorithm=SHA1&digits=6&period=30"
    );
}
