//! V09, V11: every call to the file system that a write makes is killed, failed and cut short in turn. The vault then opens
//! with the state before the write or the one after it, and what was reported is there.

#[path = "../../../../tests/faults/mod.rs"]
mod storage;

use storage::{Fault, Injector, Traced, begin, say, walk};

use super::*;
use crate::{DocumentKind, UnlockError};

const WHERE: &str = "KV_VAULT_FAULTS_DIR";
const WHAT: &str = "KV_VAULT_FAULTS_WORK";
/// The calls of the work are counted without those of the write that follows it.
const COUNTED: &str = "KV_VAULT_FAULTS_COUNTED";
const OTHER: &str = "another passphrase altogether";
const WORKS: [&str; 6] = ["create", "open", "add", "rotate", "remove", "passphrase"];
/// So late that no earlier try makes a later one wait.
const LATER: u64 = NOW + 100 * 24 * 3600 * 1000;

/// All that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    passphrase: &'static str,
    secrets: Vec<(String, Vec<u8>)>,
}

fn before() -> Seen {
    let secrets = vec![("A".to_owned(), b"first".to_vec()), ("B".to_owned(), b"second".to_vec())];
    Seen { passphrase: PASSPHRASE, secrets }
}

fn after(work: &str) -> Seen {
    let mut seen = before();
    match work {
        "create" => seen.secrets.clear(),
        "add" => seen.secrets.push(("C".to_owned(), large())),
        "rotate" => seen.secrets[0].1 = large(),
        "remove" => drop(seen.secrets.remove(1)),
        "passphrase" => seen.passphrase = OTHER,
        _ => {}
    }
    seen
}

/// Over several pages, so that there are several writes to fall between.
fn large() -> Vec<u8> {
    b"large".repeat(2_000)
}

/// Does nothing in a run of the tests. The test below starts it as a process of its own, and traces it.
#[test]
fn the_process_whose_disk_fails() {
    let Some(dir) = std::env::var_os(WHERE).map(PathBuf::from) else { return };
    let work = std::env::var(WHAT).unwrap();
    let open = || {
        let vault = Vault::open(&dir).map_err(|error| chain(&error))?;
        vault.unlock(&passphrase(PASSPHRASE), NOW).map_err(|error| chain(&error))
    };
    let (vault, done) = match work.as_str() {
        "create" | "open" => {
            begin(&dir);
            let params = KdfParams::FLOOR;
            let made = match work.as_str() {
                "create" => Vault::create(&dir, &passphrase(PASSPHRASE), params, NOW).map_err(|error| chain(&error)),
                _ => open(),
            };
            match made {
                Ok(vault) => (Some(vault), Ok(())),
                Err(why) => (None, Err(why)),
            }
        }
        _ => {
            let vault = open().unwrap();
            begin(&dir);
            let done = write(&vault, &work);
            (Some(vault), done)
        }
    };
    say(&done.map_or_else(|why| format!("refused: {why}"), |()| "done".to_owned()));
    // A handle that has met an error either works or says that it does not.
    if let Some(vault) = vault.filter(|_| std::env::var_os(COUNTED).is_none()) {
        let later = vault.put_document(DocumentKind::Connection, "later", b"later");
        say(&later.map_or_else(|error| format!("later refused: {}", chain(&error)), |()| "later done".to_owned()));
    }
}

fn write(vault: &Unlocked, work: &str) -> Result<(), String> {
    match work {
        "add" => vault.put_secret(&name("C"), value(large()), NOW).map(drop),
        "rotate" => vault.rotate_secret(&name("A"), value(large()), NOW).map(drop),
        "remove" => vault.remove_secret(&name("B"), NOW).map(drop),
        _ => {
            let (old, new) = (passphrase(PASSPHRASE), passphrase(OTHER));
            return vault.change_passphrase(&old, &new, KdfParams::FLOOR, NOW).map_err(|error| chain(&error));
        }
    }
    .map_err(|error| chain(&error))
}

/// A home as it is before the work.
fn prepared(work: &str, template: &Home) -> Home {
    let home = home();
    if work != "create" {
        std::fs::copy(template.file(), home.file()).unwrap();
        set_mode(&home.file(), 0o600);
    }
    home
}

fn traced(injector: &Injector, home: &Home, work: &str, at: Option<(Fault, usize)>) -> Traced {
    let test = "tests::faults::the_process_whose_disk_fails";
    let env = [(WHERE, home.dir.to_str().unwrap()), (WHAT, work), (COUNTED, "")];
    injector.run(test, &home.dir, at, if at.is_some() { &env[..2] } else { &env })
}

#[test]
fn every_call_of_every_write_fails_once() {
    let Some(injector) = Injector::build() else { return };
    let template = home();
    let vault = template.create();
    for (of, bytes) in before().secrets {
        vault.put_secret(&name(&of), value(bytes), NOW).unwrap();
    }
    let keys = vault.keys.copy_for_test();
    drop(vault);
    let works = WORKS.map(|work| {
        let run = traced(&injector, &prepared(work, &template), work, None);
        assert!(run.says("done"), "{work}: {run:?}");
        (work, run.calls)
    });
    walk(&works, |work, fault, call| {
        let home = prepared(work, &template);
        let run = traced(&injector, &home, work, Some((fault, call)));
        check(work, fault, &home, &run, &keys)
            .map_err(|why| format!("{why}: {:?}, {:?}\n{}", run.hit, run.said, run.stderr))
    });
}

fn check(work: &str, fault: Fault, home: &Home, run: &Traced, keys: &Keys) -> Result<(), String> {
    let (done, later_done) = (run.says("done"), run.says("later done"));
    if fault != Fault::Kill && run.said.is_empty() {
        return Err("it said nothing".to_owned());
    }
    if run.failed_a_sync_of(fault).is_some_and(|path| counts(work, path)) && done && later_done {
        return Err("a sync failed, and everything was reported as done".to_owned());
    }
    if !Vault::exists(&home.dir) {
        if work != "create" || done {
            return Err("there is no vault".to_owned());
        }
        // What a failed creation left is in nobody's way.
        Vault::create(&home.dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, LATER).map_err(|error| chain(&error))?;
        return Ok(());
    }
    // Where the header is not written, a key derivation would show nothing.
    let (passphrase, vault) = match work {
        "add" | "remove" | "rotate" => {
            let vault = Vault::open(&home.dir).map_err(|error| chain(&error))?;
            (PASSPHRASE, Unlocked::load(vault.store, keys.copy_for_test()).map_err(|error| chain(&error))?)
        }
        _ => unlock(&Vault::open(&home.dir).map_err(|error| chain(&error))?)?,
    };
    let secrets = vault.secrets().into_iter().map(|meta| meta.name.to_string());
    let secrets = secrets.map(|of| (of.clone(), read(&vault, &of).unwrap())).collect();
    let seen = Seen { passphrase, secrets };
    let old = if work == "create" { after(work) } else { before() };
    if seen != old && seen != after(work) {
        return Err(format!("a mixture: {:?}, {:?}", seen.passphrase, vault.secrets()));
    }
    if done && seen != after(work) {
        return Err("it was reported and is not there".to_owned());
    }
    if run.says("refused: the disk is full; nothing was written") && seen != old {
        return Err("it said that nothing was written, and it was".to_owned());
    }
    let later = vault.document(DocumentKind::Connection, "later").map_err(|error| chain(&error))?;
    if later_done && later.is_none() {
        return Err("the later write was reported and is not there".to_owned());
    }
    vault.put_document(DocumentKind::Connection, "after", b"after").map_err(|error| chain(&error))
}

/// Whether anything hangs on the sync of this. SQLite does not look at what the sync of a folder comes to, and its files keep
/// their names but for the first time. When it closes a file that was laid out, it syncs the journal once more, which has
/// been empty since the commit; earlier syncs of a journal are those of the other works too.
fn counts(work: &str, path: &Path) -> bool {
    !(path.is_dir() || (work == "create" && path.ends_with("vault.db.new-journal")))
}

fn unlock(vault: &Vault) -> Result<(&'static str, Unlocked), String> {
    match vault.unlock(&passphrase(PASSPHRASE), LATER) {
        Ok(vault) => Ok((PASSPHRASE, vault)),
        Err(UnlockError::WrongPassphrase { .. }) => {
            let vault = vault.unlock(&passphrase(OTHER), LATER * 2).map_err(|error| chain(&error))?;
            Ok((OTHER, vault))
        }
        Err(error) => Err(chain(&error)),
    }
}
