//! One run of the program: what goes in, what comes out, and an end to waiting.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use serde_json::Value;

use super::Kv;
use super::canary::contains;
use super::patience::{PATIENCE, eventually};

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    line: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails the test unless the command went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "`{}` failed\n{}{}", self.line, self.stdout, self.stderr);
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("`{}`: {error}: {}", self.line, self.stdout))
    }

    /// The error that `--json` printed.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let body: Value = serde_json::from_str(self.stderr.trim())
            .unwrap_or_else(|error| panic!("`{}`: {error}: {}", self.line, self.stderr));
        assert_eq!((&body["v"], body["error"]["exit"].as_i64()), (&1.into(), Some(self.code.into())), "{}", self.line);
        body["error"].clone()
    }
}

/// A command that is still running. Dropping it kills it, and nobody else.
pub(crate) struct Running<'a> {
    kv: &'a Kv,
    line: String,
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    /// Read, and not asked for yet.
    unread: Vec<u8>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl<'a> Running<'a> {
    pub(super) fn start(kv: &'a Kv, line: String, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = child.stdout.take().expect("it was piped");
        let mut stderr = child.stderr.take().expect("it was piped");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(length) = stdout.read(&mut chunk) {
                if length == 0 || sender.send(chunk[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            bytes
        });
        let stdin = child.stdin.take();
        Self { kv, line, child, stdin, output, unread: Vec::new(), stderr: Some(stderr) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input. A command that has ended does not read; that shows elsewhere.
    pub(crate) fn say(&mut self, text: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        }
    }

    /// Waits until it has written this, with or without a line's end behind it. What was read stays unread.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !contains(&self.unread, text.as_bytes()) {
            assert!(self.read_on(), "`{}` ended without saying {text:?}", self.line);
        }
    }

    /// The next line of its output. `None`: there will be none.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                break end + 1;
            }
            if !self.read_on() {
                break self.unread.len();
            }
        };
        let line: Vec<u8> = self.unread.drain(..end).collect();
        (!line.is_empty()).then(|| {
            self.kv.saw(&format!("output of `{}`", self.line), &line);
            String::from_utf8_lossy(&line).into_owned()
        })
    }

    /// `false`: there is no more.
    #[track_caller]
    fn read_on(&mut self) -> bool {
        match self.output.recv_timeout(PATIENCE) {
            Ok(bytes) => {
                self.unread.extend_from_slice(&bytes);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("`{}` says nothing", self.line),
        }
    }

    /// Closes its input and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        self.stdin = None;
        let mut stdout = String::new();
        while let Some(line) = self.line() {
            stdout.push_str(&line);
        }
        // Once more in one piece: a secret may go over a line's end.
        self.kv.saw(&format!("all output of `{}`", self.line), stdout.as_bytes());
        let status = eventually(&format!("the end of `{}`", self.line), || self.child.try_wait().expect("it is ours"));
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        self.kv.saw(&format!("errors of `{}`", self.line), &stderr);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ran { line: self.line.clone(), code: exit(status), stdout, stderr }
    }
}

/// As a shell would say it.
fn exit(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
