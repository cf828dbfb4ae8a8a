//! V12: memory runs out at some point of an opening or a write. It ends with an error or with the process, and the file is as
//! it was or as it was to be.

use std::process::Command;

use super::*;

const WHERE: &str = "KV_VAULT_MEMORY_DIR";

/// Does nothing in a run of the tests. The test below starts it as a process of its own, with little memory.
#[test]
fn the_process_without_memory() {
    let Some(dir) = std::env::var_os(WHERE).map(PathBuf::from) else { return };
    let vault = Vault::open(&dir).unwrap().unlock(&passphrase(PASSPHRASE), NOW).unwrap();
    vault.rotate_secret(&name("A"), value(vec![b'n'; 60_000]), NOW).unwrap();
    println!("said done");
}

#[test]
fn too_little_memory_ends_it_and_damages_nothing() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("old"), NOW).unwrap();
    drop(vault);
    let (mut ended, mut done) = (0, 0);
    let mut version = 1;
    for mib in (8..=160).step_by(4) {
        let output = Command::new("/bin/sh")
            .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &(mib * 1024).to_string()])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "tests::memory::the_process_without_memory", "--nocapture", "--test-threads=1"])
            .env(WHERE, &home.dir)
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).contains("said done");
        // A try that was counted and not judged makes the next one wait; a day is enough.
        let vault = Vault::open(&home.dir).unwrap().unlock(&passphrase(PASSPHRASE), NOW + mib * 86_400_000).unwrap();
        let found = vault.secret(&name("A")).unwrap().version;
        assert!(
            found == version + 1 || (found == version && !said),
            "{mib} MiB: {version}, then {found}, said: {said}"
        );
        assert!(read(&vault, "A").is_some());
        version = found;
        *if said { &mut done } else { &mut ended } += 1;
    }
    println!("{ended} ended, {done} were done");
    assert!(ended > 0 && done > 0, "{ended} ended, {done} were done");
}
