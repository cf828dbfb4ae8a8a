//! A new process for each call, as scripts do it.

use std::process::Stdio;

use tokio::process::Command;

use crate::Result;
use crate::load::Asker;

/// Runs one command to its end, again and again.
pub(crate) struct Process {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Asker for Process {
    async fn ask(&mut self) -> Result<()> {
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("`{}`: {}", self.program, String::from_utf8_lossy(&output.stderr)).into())
    }
}
