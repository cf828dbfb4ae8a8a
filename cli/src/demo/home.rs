//! The demonstration's own home: a private temporary directory, its files, and the program run in it.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use kv_fakes::TestCa;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Result;

pub(super) struct DemoHome {
    pub(super) passphrase_file: PathBuf,
    pub(super) ca_file: PathBuf,
    program: PathBuf,
    directory: tempfile::TempDir,
}

/// Keys in the services' formats, made for this run; they open nothing anywhere.
pub(super) struct Keys {
    pub(super) openai: String,
    pub(super) stripe: String,
}

impl Keys {
    pub(super) fn random() -> Result<Self> {
        // In pieces, so that scanners for leaked keys do not take the format for a key.
        Ok(Self { openai: ["sk-", "proj-", &random(48)?].concat(), stripe: ["sk_", "test_", &random(32)?].concat() })
    }
}

pub(super) fn random(length: usize) -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzABCDEFGH";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

impl DemoHome {
    pub(super) fn new(ca: &TestCa) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("kv-demo-").tempdir()?;
        let passphrase_file = directory.path().join("passphrase");
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&passphrase_file)?;
        file.write_all(random(24)?.as_bytes())?;
        let ca_file = directory.path().join("ca.pem");
        ca.write_ca(&ca_file)?;
        Ok(Self { passphrase_file, ca_file, program: std::env::current_exe()?, directory })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn kv(&self) -> kv_api::home::Home {
        kv_api::home::Home::under(&self.path().join("kv"))
    }

    /// This program, in this home, with nothing of the surrounding environment but what finds programs.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("KV_HOME", self.path().join("kv"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs one command to its end.
    pub(super) async fn run(&self, arguments: &[&str], stdin: Option<&str>) -> Result<Output> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn()?;
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            pipe.write_all(text.as_bytes()).await?;
        }
        Ok(child.wait_with_output().await?)
    }

    /// Ends the daemon and removes everything.
    pub(super) async fn end(self) -> Result<()> {
        let stopped = self.run(&["daemon", "stop"], None).await?;
        if !stopped.status.success() {
            return Err(format!("the daemon did not stop: {}", String::from_utf8_lossy(&stopped.stderr)).into());
        }
        std::fs::remove_dir_all(self.path())?;
        Ok(())
    }
}

/// However the demonstration ends, its daemon ends with it.
impl Drop for DemoHome {
    fn drop(&mut self) {
        if !self.directory.path().exists() {
            return;
        }
        let stop = std::process::Command::new(&self.program)
            .args(["daemon", "stop"])
            .env_clear()
            .env("KV_HOME", self.directory.path().join("kv"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if let Err(error) = stop {
            eprintln!("the demonstration's daemon could not be told to stop: {error}");
        }
    }
}
