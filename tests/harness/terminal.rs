//! A terminal of its own for a test, with a shell on it that does what a person would.

use std::path::Path;
use std::process::Command;

use super::command::Running;
use super::home::{Kv, PROGRAM};

/// Makes a terminal: what is said to it is typed there, and what it prints is what a person would see.
const SCRIPT: &str = "/usr/bin/script";

impl Kv {
    /// Runs a shell script on a terminal; in it, `$KV` is the program. `None` where the system has no `script`.
    pub(crate) fn on_terminal(&self, script: &str) -> Option<Running<'_>> {
        if !Path::new(SCRIPT).exists() {
            println!("left out: there is no `script` to make a terminal with");
            return None;
        }
        // The shell itself survives the keys that are meant for what it runs.
        let file = self.private_file("typed.sh", format!("trap : INT\n{script}"));
        Some(self.begin::<&str>([], |command| {
            let mut terminal = Command::new(SCRIPT);
            terminal.args(["-q", "-e", "-c", &format!("exec /bin/sh {file}"), "/dev/null"]).env_clear();
            terminal.current_dir(self.beside("")).env("KV", PROGRAM);
            for (name, value) in command.get_envs() {
                value.map(|value| terminal.env(name, value));
            }
            *command = terminal;
        }))
    }
}
