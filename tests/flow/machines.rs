//! A person at a terminal and a machine: connecting it, with its fingerprint seen and accepted.

use std::fs;

use kv_fakes::{KeyPair, SshdOptions, current_user};
use kv_model::HostKey;
use serde_json::json;

use crate::harness::{Kv, Typed, bare};

fn fingerprint(public: &str) -> String {
    HostKey::parse(public).unwrap().fingerprint().to_string()
}

/// The fingerprint is shown, a person says yes, and the machine is tried at once.
#[test]
fn a_person_connects_a_machine() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine_with(SshdOptions::default()) else { return };
    fs::write(kv.beside("id_ed25519"), &machine.key.private).unwrap();
    let place = format!("{}@127.0.0.1:{}", current_user(), machine.sshd.port());
    let script = format!(r#""$KV" connect ssh {place} --name typed; echo "ended $?""#);
    let Some(mut terminal) = kv.on_terminal(&script) else { return };
    terminal.wait_for("Is that meant? [y/N]");
    terminal.say("y\n");
    terminal.wait_for(&fingerprint(&machine.sshd.host_keys()[0].public));
    terminal.wait_for("Are these its keys? [y/N]");
    terminal.say("y\n");
    terminal.wait_for("Private key's file");
    terminal.say("id_ed25519\n");
    terminal.wait_for("Connect? [y/N]");
    assert_eq!(machine.sshd.log().matches("Accepted publickey").count(), 0, "nobody has said yes");
    terminal.say("y\n");
    let ran = terminal.end().ok();
    for words in ["would be   typed", "connection typed", "host key   ssh-ed25519 SHA256:", "kv ssh typed", "ended 0"] {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
    assert_eq!(machine.sshd.log().matches("Accepted publickey").count(), 1);
    let answer = kv.call(Typed { connection: "typed", operation: "status", input: json!({}) });
    assert_eq!(answer.outcome, "result", "{}", answer.gist());
}

/// Who does not know the keys says no, and nothing is made, nor logged in to.
#[test]
fn a_person_says_no_to_a_key() {
    let kv = Kv::unlocked();
    let talkative = SshdOptions { config: vec!["LogLevel DEBUG1".to_owned()], ..SshdOptions::default() };
    let Some(machine) = kv.machine_with(talkative) else { return };
    let place = format!("{}@127.0.0.1:{}", current_user(), machine.sshd.port());
    let script = format!(r#""$KV" connect ssh {place} --name typed --key SSH_KEY --yes; echo "ended $?""#);
    let Some(mut terminal) = kv.on_terminal(&script) else { return };
    terminal.wait_for("Are these its keys? [y/N]");
    terminal.say("\n");
    let ran = terminal.end().ok();
    assert!(ran.stdout.contains("nothing was connected") && !ran.stdout.contains("ended 0"), "{}", ran.stdout);
    assert!(!kv.run(["connection", "list"]).ok().stdout.contains("typed"));
    assert!(machine.sshd.was_not_asked(), "{}", machine.sshd.log());
}

/// What a file of known hosts revokes stays revoked, beside an authority that it names too.
#[test]
fn known_hosts_are_imported_with_what_they_revoke() {
    let kv = Kv::unlocked();
    let Some(machine) = kv.machine_with(SshdOptions::default()) else { return };
    let real = bare(&machine.sshd.host_keys()[0].public);
    let authority = bare(&KeyPair::generate("ed25519", None).unwrap().public);
    let name = format!("[127.0.0.1]:{}", machine.sshd.port());
    let place = format!("{}@127.0.0.1:{}", current_user(), machine.sshd.port());
    let connect = |connection: &str| {
        kv.run(["connect", "ssh", &place, "--name", connection, "--known-hosts", "known", "--key", "SSH_KEY", "--yes"])
    };
    fs::write(kv.beside("known"), format!("{name} {real}\n")).unwrap();
    connect("good").ok();
    fs::write(kv.beside("known"), format!("@revoked * {real}\n@cert-authority {name} {authority}\n{name} {real}\n"))
        .unwrap();
    let ran = connect("bad");
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let shown = kv.run(["connection", "show", "bad"]).ok().stdout;
    assert!(shown.contains(&format!("revoked    ssh-ed25519 {}", fingerprint(&real))), "{shown}");
    let answer = kv.call(Typed { connection: "bad", operation: "status", input: json!({}) });
    assert_eq!(
        (answer.fault("reason"), answer.fault("sent")),
        ("egress.ssh.host_key_revoked", "no"),
        "{}",
        answer.gist()
    );
    fs::write(kv.beside("known"), format!("@revoked {name} {real}\n{name} {real}\n")).unwrap();
    let ran = connect("none");
    assert!(ran.code != 0 && ran.stderr.contains("has no key for"), "{}", ran.stderr);
}
