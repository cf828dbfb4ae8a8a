//! The trail, read from its files, by the format's description and not by kv's own reader.

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Kv;

impl Kv {
    /// The files of the trail in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home().audit()).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "ndjson"))
            .collect();
        paths.sort();
        paths
    }

    /// All entries so far.
    #[track_caller]
    pub(crate) fn trail(&self) -> Vec<Value> {
        let text: String =
            self.segments().iter().map(|path| std::fs::read_to_string(path).expect("it is text")).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The entries of one kind.
    #[track_caller]
    pub(crate) fn trail_of(&self, kind: &str) -> Vec<Value> {
        self.trail().into_iter().filter(|entry| entry["kind"] == kind).collect()
    }

    /// Whether every entry's hash and place are right, and every intent has one outcome.
    pub(super) fn check_trail(&self) -> Result<(), String> {
        let open = self.open_intents()?;
        if open.is_empty() { Ok(()) } else { Err(format!("intents without an outcome: {open:?}")) }
    }

    /// The intents without an outcome, in a trail whose every hash and place is right, and no outcome is a second one.
    pub(crate) fn open_intents(&self) -> Result<Vec<u64>, String> {
        let (mut seq, mut prev) = (0, "0".repeat(64));
        let mut open: Vec<u64> = Vec::new();
        for path in self.segments() {
            for line in std::fs::read_to_string(path).map_err(|error| error.to_string())?.lines() {
                let entry: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
                let (hashed, _) = line.rsplit_once(",\"hash\":\"").ok_or_else(|| format!("no hash: {line}"))?;
                let hash: String = Sha256::digest(hashed).iter().map(|byte| format!("{byte:02x}")).collect();
                seq += 1;
                if entry["seq"] != seq || entry["prev"] != *prev || entry["hash"] != *hash {
                    return Err(format!("entry {seq} is not in its place: {line}"));
                }
                match entry["kind"].as_str() {
                    Some("intent") => open.push(seq),
                    Some("outcome") => {
                        let intent = entry["intent"].as_u64();
                        let at = open.iter().position(|seq| Some(*seq) == intent);
                        open.swap_remove(at.ok_or_else(|| format!("a second outcome, or a stray one: {line}"))?);
                    }
                    _ => {}
                }
                prev = hash;
            }
        }
        Ok(open)
    }
}
