//! The vault at its boundary: a directory, a passphrase, and whatever somebody did to the file in between.
#![expect(clippy::disallowed_methods, reason = "tests compare the values that they put in")]

mod backoff;
mod bits;
mod crash;
mod faults;
mod life;
mod memory;
mod places;
mod random_operations;
mod residue;
mod rows;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kv_model::SecretName;
use rusqlite::Connection;

use crate::keys::Keys;
use crate::unlocked::Unlocked;
use crate::{KdfParams, Passphrase, SecretValue, Vault};

pub(super) const NOW: u64 = 1_700_000_000_000;
pub(super) const PASSPHRASE: &str = "correct horse battery staple";

/// A directory of mode 0700 that goes away.
pub(super) struct Home {
    pub(super) dir: PathBuf,
    _temporary: tempfile::TempDir,
}

pub(super) fn home() -> Home {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("vault");
    std::fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o700);
    Home { dir, _temporary: temporary }
}

impl Home {
    pub(super) fn create(&self) -> Unlocked {
        Vault::create(&self.dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW).unwrap()
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("vault.db")
    }

    /// The file as anybody's SQLite sees it.
    pub(super) fn tamper(&self, sql: &str) {
        Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }
}

pub(super) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

pub(super) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

pub(super) fn value(bytes: impl AsRef<[u8]>) -> SecretValue {
    SecretValue::new(bytes.as_ref().to_vec())
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The current value under a name.
pub(super) fn read(vault: &Unlocked, of: &str) -> Option<Vec<u8>> {
    let meta = vault.secret(&name(of))?;
    Some(vault.open_secret(meta.id).unwrap().expose().to_vec())
}

/// Opens again with keys that are known, to spare the key derivation where it is not the matter.
pub(super) fn reopen(dir: &Path, keys: &Keys) -> Unlocked {
    Unlocked::load(Vault::open(dir).unwrap().store, keys.copy_for_test()).unwrap()
}

/// Every error's chain, as one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
