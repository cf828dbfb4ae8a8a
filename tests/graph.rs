//! Who may know whom, compared with who does; what must not be in the program; and where the few dangerous words stand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every dependency between crates of this workspace: from, on, kind, why it may be.
const EDGES: &[(&str, &str, &str, &str)] = &[
    ("kv", "kv-api", "normal", "the demo and the daemon's start need the home's places and the wire's types"),
    ("kv", "kv-bundle", "normal", "the program carries the built-in providers"),
    ("kv", "kv-commands", "normal", "the program is its commands"),
    ("kv", "kv-daemon", "normal", "main, and main alone, can become the daemon"),
    ("kv", "kv-fakes", "normal", "the demo's services"),
    ("kv", "kv-harden", "normal", "the allocator that wipes is chosen where the program begins"),
    ("kv", "kv-model", "normal", "the demo speaks of effects"),
    ("kv", "kv-redact", "dev", "this test searches for secrets with it"),
    ("kv-api", "kv-model", "normal", "the wire's types are made of the domain's words"),
    ("kv-audit", "kv-model", "normal", "entries are made of the domain's words"),
    ("kv-audit", "kv-policy", "normal", "it records permits and denials"),
    ("kv-benches", "kv-api", "normal", "measures the API"),
    ("kv-benches", "kv-audit", "normal", "measures how fast the trail takes entries"),
    ("kv-benches", "kv-bundle", "normal", "measures a step of a real provider"),
    ("kv-benches", "kv-commands", "normal", "measures calls through the client"),
    ("kv-benches", "kv-fakes", "normal", "measures against services on loopback"),
    ("kv-benches", "kv-model", "normal", "calls are made of the domain's words"),
    ("kv-benches", "kv-policy", "normal", "an intent is made of a permit, and a permit by asking"),
    ("kv-benches", "kv-redact", "normal", "measures the search"),
    ("kv-benches", "kv-runtime", "normal", "measures a guest's step"),
    ("kv-bundle", "kv-model", "dev", "tests that the manifests parse"),
    ("kv-bundle", "kv-provider-openai", "build", "built into a component"),
    ("kv-bundle", "kv-provider-postgres", "build", "built into a component"),
    ("kv-bundle", "kv-provider-ssh", "build", "built into a component"),
    ("kv-bundle", "kv-provider-stripe", "build", "built into a component"),
    ("kv-bundle", "kv-runtime", "build", "compiles components with the engine that will run them"),
    ("kv-bundle", "kv-runtime", "dev", "tests that what was compiled loads"),
    ("kv-commands", "kv-api", "normal", "commands know the API"),
    ("kv-commands", "kv-model", "normal", "names are parsed before they are sent"),
    ("kv-daemon", "kv-api", "normal", "answers with the API's types"),
    ("kv-daemon", "kv-audit", "normal", "composes it"),
    ("kv-daemon", "kv-egress", "normal", "composes it"),
    ("kv-daemon", "kv-harden", "normal", "composes it"),
    ("kv-daemon", "kv-model", "normal", "composes with its words"),
    ("kv-daemon", "kv-policy", "normal", "composes it"),
    ("kv-daemon", "kv-redact", "normal", "masks the output of commands"),
    ("kv-daemon", "kv-runtime", "normal", "composes it"),
    ("kv-daemon", "kv-vault", "normal", "composes it"),
    ("kv-egress", "kv-audit", "normal", "accepts only what has been recorded"),
    ("kv-egress", "kv-fakes", "dev", "tests against servers that misbehave"),
    ("kv-egress", "kv-model", "normal", "origins, requests, schemes"),
    ("kv-egress", "kv-policy", "normal", "a recorded permit is a permit"),
    ("kv-egress", "kv-redact", "normal", "cleans answers"),
    ("kv-egress", "kv-vault", "normal", "opens the value that it injects"),
    ("kv-policy", "kv-model", "normal", "decides about the domain's words"),
    ("kv-provider-openai", "kv-sdk", "normal", "a provider knows the SDK"),
    ("kv-provider-postgres", "kv-sdk", "normal", "a provider knows the SDK"),
    ("kv-provider-ssh", "kv-sdk", "normal", "a provider knows the SDK"),
    ("kv-provider-stripe", "kv-sdk", "normal", "a provider knows the SDK"),
    ("kv-runtime", "kv-model", "normal", "a guest's words become the domain's"),
    ("kv-sdk", "kv-sdk-macros", "normal", "the macros write what the SDK exports"),
    ("kv-vault", "kv-model", "normal", "names of secrets"),
];

/// Crates that nothing here may be built with.
const BANNED: &[(&str, &str)] = &[
    ("native-tls", "one TLS stack: rustls"),
    ("openssl-sys", "one TLS stack: rustls"),
    ("reqwest", "it follows redirects, reads proxies from the environment and keeps its own pool"),
    ("ring", "one provider of cryptography: aws-lc-rs"),
];

/// Crates that the program holds twice, and why that is borne.
const TWICE: &[(&str, &str)] = &[
    ("block-buffer", "with sha2"),
    ("cpufeatures", "with sha2"),
    ("crypto-common", "with sha2"),
    ("digest", "with sha2"),
    ("fancy-regex", "zxcvbn and jsonschema want different ones; both are pure parsers"),
    ("generic-array", "russh's is newer than the one with the old sha2"),
    ("getrandom", "jsonschema's hash maps seed with 0.3; keys come from 0.4 alone"),
    ("hashbrown", "gimli, with which wasmtime reads its own tables, is behind the rest"),
    ("num-bigint", "jsonschema and russh want different ones"),
    ("sha2", "wasmtime's compiler hashes with 0.10; kv's own digests are 0.11's"),
    ("syn", "for macros, while the program is built"),
];

/// The files that may say `unsafe`. Each argues every block.
const UNSAFE: &[(&str, &str)] = &[
    ("host/harden/src/launchd.rs", "sockets that launchd hands over through a C function"),
    ("host/harden/src/lib.rs", "an allocator that wipes"),
    ("host/runtime/src/aot.rs", "native code of our own build is loaded as trusted"),
    ("sdk/rust/src/export/allocator.rs", "a guest's own allocator, inside the sandbox; no host links it"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli lies in the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo).args(arguments).arg("--offline").current_dir(root()).output().expect("cargo runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("cargo prints text")
}

#[test]
fn crates_know_whom_they_may_know_and_no_others() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut found = BTreeSet::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let (from, on) = (package["name"].as_str().unwrap(), dependency["name"].as_str().unwrap());
            if ours.contains(on) {
                found.insert((from, on, dependency["kind"].as_str().unwrap_or("normal")));
            }
        }
    }
    let allowed: BTreeSet<_> = EDGES.iter().map(|(from, on, kind, _)| (*from, *on, *kind)).collect();
    assert_eq!(allowed.len(), EDGES.len(), "an edge stands in the table twice");
    let new: Vec<_> = found.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "not in the table: {new:?}; in the table alone: {gone:?}");
}

/// The promises that the table is there for, said once more, so that a new edge cannot break one with a good reason.
#[test]
fn the_walls_stand() {
    let knows = |from: &'static str| -> BTreeSet<&'static str> {
        let mut known = BTreeSet::new();
        let mut left = vec![from];
        while let Some(next) = left.pop() {
            let edges = EDGES.iter().filter(|(user, _, kind, _)| *user == next && *kind == "normal");
            left.extend(edges.map(|(_, on, _, _)| *on).filter(|on| known.insert(*on)));
        }
        known
    };
    let only =
        |from: &'static str, on: &[&'static str]| assert_eq!(knows(from), on.iter().copied().collect(), "{from}");
    only("kv-model", &[]);
    only("kv-redact", &[]);
    only("kv-harden", &[]);
    only("kv-vault", &["kv-model"]);
    only("kv-policy", &["kv-model"]);
    only("kv-runtime", &["kv-model"]);
    only("kv-api", &["kv-model"]);
    only("kv-audit", &["kv-model", "kv-policy"]);
    only("kv-commands", &["kv-api", "kv-model"]);
    only("kv-sdk", &["kv-sdk-macros"]);
    only("kv-provider-openai", &["kv-sdk", "kv-sdk-macros"]);
    only("kv-provider-stripe", &["kv-sdk", "kv-sdk-macros"]);
    only("kv-fakes", &[]);
    let users = |of: &str| -> Vec<&str> {
        EDGES.iter().filter(|(_, on, kind, _)| *on == of && *kind == "normal").map(|(from, ..)| *from).collect()
    };
    assert_eq!(users("kv-daemon"), ["kv"]);
    assert_eq!(users("kv-vault"), ["kv-daemon", "kv-egress"]);
    assert_eq!(users("kv-egress"), ["kv-daemon"]);
}

#[test]
fn banned_crates_are_in_nothing() {
    let tree = cargo(&["tree", "--workspace", "-e", "normal,build,dev", "--prefix", "none", "--format", "{p}"]);
    let names: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("rustls") && names.contains("aws-lc-rs"), "the tree was not read");
    for (name, why) in BANNED {
        assert!(!names.contains(name), "{name} is built: {why}; find it with: cargo tree -i {name}");
    }
}

#[test]
fn what_the_program_holds_twice_has_a_reason() {
    let tree = cargo(&["tree", "-p", "kv", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let twice: BTreeSet<_> = versions.iter().filter(|(_, known)| known.len() > 1).map(|(name, _)| *name).collect();
    let known: BTreeSet<_> = TWICE.iter().map(|(name, _)| *name).collect();
    assert_eq!(twice, known);
}

/// Our own Rust files, with their paths from the root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = ["cli", "host", "providers", "sdk", "tests"].map(|name| root().join(name)).into();
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 200, "the sources were not found");
    files
}

/// What stands before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

#[test]
fn unsafe_stands_where_it_may() {
    // In pieces, or this file would say it too.
    let words = [["unsafe", " {"].concat(), ["unsafe", " impl"].concat(), ["unsafe", " fn"].concat()];
    let says = |text: &str| text.lines().any(|line| words.iter().any(|word| code(line).contains(word.as_str())));
    let found: BTreeSet<_> = sources()
        .into_iter()
        .filter(|(_, text)| says(text))
        .map(|(name, _)| name)
        .filter(|name| !generated(name))
        .collect();
    assert_eq!(found, UNSAFE.iter().map(|(name, _)| (*name).to_owned()).collect());
}

/// The guest side of the SDK is written by a macro of wit-bindgen, whose exports are declared so; no host links it.
fn generated(name: &str) -> bool {
    name == "sdk/rust/src/export/guest.rs"
}

/// Every place outside of tests that reads a secret's value says why, with an `expect` that clippy checks.
#[test]
fn every_reading_of_a_value_says_why() {
    let mut places = Vec::new();
    for (name, text) in sources() {
        if !name.starts_with("host/") || name.contains("/tests") || name == "host/vault/src/value.rs" {
            continue;
        }
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if code(line).contains(".expose()") {
                places.push(name.clone());
                let explained = text.contains("clippy::disallowed_methods") && text.contains("reason = ");
                assert!(explained, "{name}:{}: reads a value and does not say why", at + 1);
            }
        }
    }
    places.dedup();
    // The list is what a stranger reads first. It is meant to stay short.
    assert!((1..=8).contains(&places.len()), "{places:?}");
}
