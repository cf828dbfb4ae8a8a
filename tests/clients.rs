//! The official MCP clients, as they come from their makers, against `kv mcp` and the real daemon.
//!
//! They are not Rust, so they are there only where `KV_TEST_PYTHON` (an interpreter with the packages of
//! `clients/requirements.txt`) and `KV_TEST_NODE_MODULES` (a folder with those of `clients/npm-packages.txt`) say so. With
//! `KV_TEST_CLIENTS=required`, as in CI, their absence is a failure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use kv_fakes::OpenAiOptions;
use serde_json::Value;

use crate::harness::{Kv, PROGRAM};

const PYTHON: &[&str] = &["legacy", "auto", "2026-07-28"];
const TYPESCRIPT: &[&str] = &["v1", "legacy", "auto", "2026-07-28"];

/// What a variable says, or that the test is left out.
fn given(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        let required = std::env::var_os("KV_TEST_CLIENTS").is_some_and(|value| value == "required");
        assert!(!required, "{name} is not set, and KV_TEST_CLIENTS=required");
        println!("left out: {name} is not set");
    }
    value
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/clients").join(name)
}

/// Every mode with an open vault, then with a locked one, then without a daemon.
fn play(modes: &[&str], start: impl Fn() -> Command) {
    let kv = Kv::unlocked();
    // Slow enough that a stream is still under way when it is cancelled.
    kv.openai_with(OpenAiOptions { chunk_every: std::time::Duration::from_millis(2), ..Default::default() });
    let (database, machine) = (kv.database(), kv.machine());
    let (has_database, has_machine) = (database.is_some(), machine.is_some());
    let session = |mode: &str, expect: &str| {
        let mut command = start();
        let home = kv.root();
        command.arg("--kv").arg(PROGRAM).arg("--home").arg(&home).args(["--mode", mode, "--expect", expect]);
        if has_database {
            command.args(["--database", "app"]);
        }
        if has_machine {
            command.args(["--machine", "box"]);
        }
        let ran = command.output().expect("the interpreter starts");
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        kv.saw("a client's output", &ran.stdout);
        kv.saw("a client's errors", &ran.stderr);
        assert!(ran.status.success(), "{mode}, {expect}: {out}{err}");
        let facts: Value = serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}"));
        assert_eq!(facts["expect"], expect, "{facts}");
    };
    modes.iter().for_each(|mode| session(mode, "open"));
    // They look at the daemon when they go, so they go before it does.
    drop((database, machine));
    kv.run(["lock"]).ok();
    modes.iter().for_each(|mode| session(mode, "locked"));
    kv.stop();
    modes.iter().for_each(|mode| session(mode, "stopped"));
    assert!(!kv.home().agent_socket().exists(), "an agent's call started the daemon");
}

#[test]
fn the_python_client() {
    let Some(python) = given("KV_TEST_PYTHON") else { return };
    play(PYTHON, || {
        let mut command = Command::new(&python);
        command.arg(script("mcp_python.py"));
        command
    });
}

#[test]
fn the_typescript_client() {
    let Some(modules) = given("KV_TEST_NODE_MODULES") else { return };
    play(TYPESCRIPT, || {
        let mut command = Command::new("node");
        command.arg(script("mcp_typescript/client.mjs")).arg("--modules").arg(&modules);
        command
    });
}
