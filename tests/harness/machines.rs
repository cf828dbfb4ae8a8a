//! Real OpenSSH servers that this kv is connected to. Each test has its own: they start in a moment, and their logs are
//! then of that test alone.

use std::fs;

use kv_fakes::{KeyPair, RealSshd, SshdOptions, current_user, sshd_is_installed};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Typed;
use super::canary::Canary;
use super::home::Kv;
use super::wire::Door;

/// A server, and the key that logs in there.
pub(crate) struct Machine<'a> {
    kv: &'a Kv,
    pub(crate) sshd: RealSshd,
    pub(crate) key: KeyPair,
}

/// What a command came to, as its caller sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// As the last line has it: `{"code":0}`.
    pub(crate) exit: Value,
    pub(crate) truncated: bool,
}

impl Kv {
    /// A machine, and a connection `box` to it that may run anything. `None` where OpenSSH is not installed.
    #[track_caller]
    pub(crate) fn machine(&self) -> Option<Machine<'_>> {
        let machine = self.machine_with(SshdOptions::default())?;
        machine.connect("box", json!({}));
        machine.allow_all("box");
        Some(machine)
    }

    /// A machine that nothing is connected to yet. Its key is bound as `SSH_KEY`, and is searched for.
    #[track_caller]
    pub(crate) fn machine_with(&self, options: SshdOptions) -> Option<Machine<'_>> {
        sshd_is_installed().then(|| self.machine_again(options, "SSH_KEY"))
    }

    /// A further machine, whose key is bound by another name.
    #[track_caller]
    pub(crate) fn machine_again(&self, mut options: SshdOptions, secret: &str) -> Machine<'_> {
        let key = KeyPair::generate("ed25519", None).expect("ssh-keygen runs");
        options.authorized.push(key.public.clone());
        let sshd = RealSshd::start(&options).expect("sshd starts");
        self.plant_key("the SSH key", &key.private);
        self.run_with(["set", secret, "--stdin"], &key.private).ok();
        Machine { kv: self, sshd, key }
    }

    /// Searches for a private key: whole, and each line of it, since a part of a key is a key to whoever guesses the rest.
    pub(crate) fn plant_key(&self, name: &'static str, private: &str) {
        self.plant(Canary::new(name, private.to_owned()));
        let lines: Vec<&str> = private.lines().filter(|line| !line.starts_with("-----")).collect();
        // The first two lines hold the format's name and the public key.
        for line in lines.iter().skip(2).filter(|line| line.len() > 30) {
            self.plant(Canary::new(name, (*line).to_owned()));
        }
    }

    /// Command lines of every process that can be seen, and the daemon's environment, are searched too.
    pub(crate) fn saw_processes(&self) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                self.saw("a command line", &fs::read(entry.path().join("cmdline")).unwrap_or_default());
            }
        }
        if let Some(pid) = self.running_pid() {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            self.saw("the daemon's environment", &environment);
        }
    }
}

impl Machine<'_> {
    #[track_caller]
    pub(crate) fn connect(&self, name: &str, settings: Value) {
        let made = self.try_connect(name, settings, json!({ "key": "SSH_KEY" }));
        assert_eq!(made.outcome, "result", "{}", made.gist());
    }

    /// With the server's key pinned and the present user, unless the settings say otherwise.
    #[track_caller]
    pub(crate) fn try_connect(&self, name: &str, more: Value, bindings: Value) -> Answer {
        let pinned: Vec<_> = self.sshd.host_keys().iter().map(|key| bare(&key.public)).collect();
        let mut settings = json!({ "user": current_user(), "host-keys": pinned.join("\n") });
        for (key, value) in more.as_object().into_iter().flatten() {
            settings[key] = value.clone();
        }
        let body = json!({
            "provider": "ssh", "name": name, "origin": self.sshd.origin(), "bindings": bindings,
            "settings": settings, "allow_private": true,
        });
        self.kv.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes())
    }

    /// Another server in this one's place, which has ended.
    #[track_caller]
    pub(crate) fn replaced(self, options: SshdOptions) -> Self {
        let (kv, key) = (self.kv, self.key.clone());
        drop(self);
        Self { kv, sshd: RealSshd::start(&options).expect("sshd starts"), key }
    }

    #[track_caller]
    pub(crate) fn allow_all(&self, connection: &str) {
        for operation in ["run", "shell", "write-file"] {
            self.kv.run(["connection", "edit", connection, "--allow", operation]).ok();
        }
    }

    #[track_caller]
    pub(crate) fn call(&self, operation: &str, input: Value) -> Answer {
        self.kv.call(Typed { connection: "box", operation, input })
    }

    #[track_caller]
    pub(crate) fn run(&self, argv: &[&str]) -> Said {
        Said::of(&self.call("run", json!({ "argv": argv })))
    }

    #[track_caller]
    pub(crate) fn shell(&self, text: &str) -> Said {
        Said::of(&self.call("shell", json!({ "text": text })))
    }
}

impl Said {
    /// Fails the test unless the answer is a command's, whole.
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(
            (answer.outcome.as_str(), answer.complete),
            ("command", true),
            "{} {:?}",
            answer.gist(),
            answer.error
        );
        let mut said = Self { stdout: Vec::new(), stderr: Vec::new(), exit: Value::Null, truncated: false };
        for line in answer.text().lines() {
            let line: Value = serde_json::from_str(line).expect("each line is JSON");
            assert!(said.exit.is_null(), "something comes after the end: {line}");
            if let Some(out) = line.get("stdout") {
                said.stdout.extend(unbase64(out["data"].as_str().expect("text")));
            } else if let Some(err) = line.get("stderr") {
                said.stderr.extend(unbase64(err["data"].as_str().expect("text")));
            } else {
                said.exit = line["end"]["exit"].clone();
                said.truncated = line["end"]["truncated"].as_bool().expect("a boolean");
            }
        }
        assert!(!said.exit.is_null(), "there is no last line");
        said
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Algorithm and key, without the comment.
pub(crate) fn bare(public: &str) -> String {
    public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// For answers of ours alone: it takes what it is given for well-formed.
fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        held = held << 6 | u32::from(digit(byte));
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kv.saw("the log of sshd", self.sshd.log().as_bytes());
            self.kv.saw_processes();
        }
    }
}
