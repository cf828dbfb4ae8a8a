//! A disk that fails: a test's own program, run again with one of its calls to the file system killed, failed or cut short.
//!
//! `kv-vault` and `kv-audit` walk through every call of their writes with it. It needs a C compiler and a system that lets a
//! process trace its own child; where one is missing, [`Injector::build`] says so and the test has nothing to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const SOURCE: &str = include_str!("inject.c");
pub(crate) const EINTR: i32 = 4;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// What is done at the n-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It and every later one fail with this.
    Ever(i32),
    Kill,
    /// It alone fails with this.
    Once(i32),
    /// It writes half, if it writes.
    Short,
}

/// A disk that stays broken and one that is full are refused by the same lines, so the one stands for the other.
pub(crate) const FAULTS: [Fault; 5] =
    [Fault::Kill, Fault::Once(EIO), Fault::Ever(ENOSPC), Fault::Once(EINTR), Fault::Short];

/// The compiled tracer.
pub(crate) struct Injector {
    program: PathBuf,
    _directory: tempfile::TempDir,
}

/// What a traced run came to.
#[derive(Debug)]
pub(crate) struct Traced {
    /// Calls that count, from the beginning on.
    pub(crate) calls: usize,
    /// The call that was hit, and the path it was about.
    pub(crate) hit: Option<(String, PathBuf)>,
    /// What the program said: its lines that begin with `said `.
    pub(crate) said: Vec<String>,
    pub(crate) stderr: String,
}

impl Traced {
    pub(crate) fn says(&self, what: &str) -> bool {
        self.said.iter().any(|line| line.starts_with(what))
    }

    /// What was made to fail its sync. A sync that was merely interrupted has not failed: the standard library makes it again.
    pub(crate) fn failed_a_sync_of(&self, fault: Fault) -> Option<&Path> {
        let failing = matches!(fault, Fault::Once(EIO | ENOSPC) | Fault::Ever(_));
        self.hit.as_ref().filter(|(call, _)| failing && call.ends_with("sync")).map(|(_, path)| path.as_path())
    }
}

impl Injector {
    pub(crate) fn build() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (source, program) = (directory.path().join("inject.c"), directory.path().join("inject"));
        std::fs::write(&source, SOURCE).unwrap();
        let compiled = Command::new("cc").args(["-O1", "-Wall", "-o"]).arg(&program).arg(&source).output();
        match compiled {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                println!("left out: the tracer does not compile here: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            Err(error) => {
                println!("left out: there is no `cc`: {error}");
                return None;
            }
        }
        let tried = Command::new(&program).args(["/nowhere", "count", "0", "0", "/bin/true"]).status().unwrap();
        if !tried.success() {
            println!("left out: no process may be traced here ({tried})");
            return None;
        }
        Some(Self { program, _directory: directory })
    }

    /// Runs one test of this very binary, which looks into its environment for what to do.
    pub(crate) fn run(&self, test: &str, folder: &Path, at: Option<(Fault, usize)>, env: &[(&str, &str)]) -> Traced {
        let (mode, errno) = match at {
            None => ("count", 0),
            Some((Fault::Ever(errno), _)) => ("ever", errno),
            Some((Fault::Kill, _)) => ("kill", 0),
            Some((Fault::Once(errno), _)) => ("once", errno),
            Some((Fault::Short, _)) => ("short", 0),
        };
        let call = at.map_or(0, |(_, call)| call).to_string();
        let output = Command::new(&self.program)
            .arg(folder)
            .args([mode, &call, &errno.to_string()])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = |what: &str| stderr.lines().find_map(|line| line.strip_prefix("inject: ")?.strip_prefix(what));
        let hit = told("hit ").and_then(|hit| hit.split_once(' ')).map(|(call, path)| (call.to_owned(), path.into()));
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.lines().filter_map(|line| line.split("said ").nth(1)).map(str::to_owned).collect();
        let calls = told("calls ").and_then(|calls| calls.parse().ok());
        Traced { calls: calls.unwrap_or_else(|| panic!("the tracer failed: {stderr}")), hit, said, stderr }
    }
}

/// What the traced test says when its preparations are over.
pub(crate) fn begin(folder: &Path) {
    let _ = std::fs::File::open(folder.join("faults-begin"));
}

/// What it says to the one that walks.
pub(crate) fn say(what: &str) {
    println!("said {what}");
}

/// Tries every fault at every call of each work, four at a time, since much of it waits for the disk. `check` looks at what is left and says what is wrong with it.
pub(crate) fn walk(works: &[(&str, usize)], check: impl Fn(&str, Fault, usize) -> Result<(), String> + Sync) {
    let all: Vec<_> = works
        .iter()
        .flat_map(|(work, calls)| (1..=*calls).flat_map(move |call| FAULTS.map(|fault| (*work, fault, call))))
        .collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((work, fault, call)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(work, *fault, *call) {
                        wrong.lock().unwrap().push(format!("{work}, {fault:?} at call {call}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{} faults at the calls of {works:?}", all.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
