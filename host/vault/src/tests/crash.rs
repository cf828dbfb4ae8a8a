//! A process that writes without pause is killed at any moment; what it left is the last state it reported, or the next.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::{DocumentKind, UnlockError};

const WHERE: &str = "KV_VAULT_CRASH_DIR";
const WHAT: &str = "KV_VAULT_CRASH_WORK";
const FROM: &str = "KV_VAULT_CRASH_FROM";

/// What is compared.
struct Expected {
    passphrase: String,
    steady: Vec<u8>,
    head: Vec<u8>,
    comes_and_goes: Option<Vec<u8>>,
}

/// The state after so many steps.
fn state_after(steps: u64) -> Expected {
    let last = |kind: u64| (1..=steps).rev().find(|step| step % PERIOD == kind);
    let there = last(COME).filter(|come| last(GO).is_none_or(|go| go < *come));
    Expected {
        passphrase: last(PASS).map_or(PASSPHRASE.to_owned(), |step| format!("passphrase {step}")),
        steady: written_at(last(ROTATE).unwrap_or(0)),
        head: last(DOCUMENT).map(written_at).unwrap_or_default(),
        comes_and_goes: there.map(written_at),
    }
}

fn written_at(step: u64) -> Vec<u8> {
    format!("value {step} {}", "x".repeat(step as usize * 37 % 5_000)).into_bytes()
}

const PERIOD: u64 = 16;
const ROTATE: u64 = 1;
const DOCUMENT: u64 = 2;
const COME: u64 = 3;
const GO: u64 = 9;
const PASS: u64 = 12;

fn take_step(vault: &Unlocked, step: u64) {
    let bytes = written_at(step);
    match step % PERIOD {
        ROTATE => drop(vault.rotate_secret(&name("STEADY"), value(bytes), NOW).unwrap()),
        DOCUMENT => vault.put_document(DocumentKind::AuditHead, "head", &bytes).unwrap(),
        COME => drop(vault.put_secret(&name("COMES_AND_GOES"), value(bytes), NOW).unwrap()),
        GO => drop(vault.remove_secret(&name("COMES_AND_GOES"), NOW).unwrap()),
        PASS => {
            let (old, new) = (state_after(step - 1).passphrase, state_after(step).passphrase);
            vault.change_passphrase(&passphrase(&old), &passphrase(&new), KdfParams::FLOOR, NOW).unwrap();
        }
        13 => drop(vault.prune(u64::MAX).unwrap()),
        // Writes that change nothing in what is compared.
        _ => vault.put_document(DocumentKind::Connection, "filler", &bytes).unwrap(),
    }
}

/// Does nothing in a run of the tests. The tests below start it as a process of its own.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(WHERE).map(PathBuf::from) else { return };
    let say = |text: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").unwrap();
        out.flush().unwrap();
    };
    if std::env::var(WHAT).unwrap() == "create" {
        say("step 0".to_owned());
        drop(Vault::create(&dir, &passphrase(PASSPHRASE), KdfParams::FLOOR, NOW).unwrap());
        say("step 1".to_owned());
        loop {
            std::thread::park();
        }
    }
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    let vault = Vault::open(&dir).unwrap().unlock(&passphrase(&state_after(from).passphrase), NOW).unwrap();
    say(format!("step {from}"));
    for step in from + 1.. {
        take_step(&vault, step);
        say(format!("step {step}"));
    }
}

fn start(dir: &Path, what: &str, from: u64) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::the_process_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(WHERE, dir)
        .env(WHAT, what)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn step_in(line: &str) -> Option<u64> {
    line.split("step ").nth(1)?.trim().parse().ok()
}

/// Waits for the first step, then some random microseconds, kills, and gives back the last step that was reported.
fn kill_after(mut child: Child, out: BufReader<std::process::ChildStdout>, most_us: u32) -> u64 {
    let mut lines = out.lines();
    let first = lines.by_ref().find_map(|line| step_in(&line.unwrap())).unwrap();
    let wait = u32::from_be_bytes(crate::random::bytes().unwrap()) % most_us;
    std::thread::park_timeout(Duration::from_micros(wait.into()));
    child.kill().unwrap();
    let last = lines.map_while(Result::ok).filter_map(|line| step_in(&line)).last();
    child.wait().unwrap();
    last.unwrap_or(first)
}

#[test]
fn killed_while_it_writes() {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("STEADY"), value(written_at(0)), NOW).unwrap();
    drop(vault);
    let (mut from, mut taken) = (0, 0);
    for round in 0..20 {
        let (child, out) = start(&home.dir, "write", from);
        let reported = kill_after(child, out, 200_000);
        taken += reported - from;
        let vault = Vault::open(&home.dir).unwrap();
        let Some(vault) = [reported, reported + 1].into_iter().find_map(|steps| as_after(&vault, steps)) else {
            panic!("round {round}: neither the state after step {reported} nor the next");
        };
        from = (reported / PERIOD + 1) * PERIOD;
        bring_to(&vault, [reported, reported + 1], from);
    }
    println!("{taken} steps were taken");
    assert!(taken > 20, "only {taken} steps were taken");
}

/// The vault, if it opens and holds what it should after so many steps.
fn as_after(vault: &Vault, steps: u64) -> Option<Unlocked> {
    let expected = state_after(steps);
    let vault = match vault.unlock(&passphrase(&expected.passphrase), NOW) {
        Ok(vault) => vault,
        Err(UnlockError::WrongPassphrase { .. }) => return None,
        Err(other) => panic!("{}", chain(&other)),
    };
    let head = vault.document(DocumentKind::AuditHead, "head").unwrap().map(|head| head.to_vec()).unwrap_or_default();
    (read(&vault, "STEADY") == Some(expected.steady)
        && head == expected.head
        && read(&vault, "COMES_AND_GOES") == expected.comes_and_goes)
        .then_some(vault)
}

/// Writes what the next round begins with: a kill leaves it open which of two steps was the last.
fn bring_to(vault: &Unlocked, now: [u64; 2], steps: u64) {
    let wanted = state_after(steps);
    let old = now.map(|steps| passphrase(&state_after(steps).passphrase));
    let old = old.iter().find(|old| vault.verify_passphrase(old, NOW).is_ok()).unwrap();
    vault.change_passphrase(old, &passphrase(&wanted.passphrase), KdfParams::FLOOR, NOW).unwrap();
    vault.rotate_secret(&name("STEADY"), value(wanted.steady), NOW).unwrap();
    vault.put_document(DocumentKind::AuditHead, "head", &wanted.head).unwrap();
    if vault.secret(&name("COMES_AND_GOES")).is_some() {
        vault.remove_secret(&name("COMES_AND_GOES"), NOW).unwrap();
    }
}

#[test]
fn killed_while_it_is_created() {
    for _ in 0..10 {
        let home = home();
        let (child, out) = start(&home.dir, "create", 0);
        let reported = kill_after(child, out, 80_000);
        match Vault::exists(&home.dir) {
            true => drop(Vault::open(&home.dir).unwrap().unlock(&passphrase(PASSPHRASE), NOW).unwrap()),
            false => {
                assert_eq!(reported, 0, "it was reported and is not there");
                drop(home.create());
            }
        }
    }
}
