//! Where kv's files are. `KV_HOME` moves all of them; otherwise the XDG directories do, on every system.

use std::path::{Path, PathBuf};

/// The directories of one user's kv.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The vault and installed providers.
    pub data: PathBuf,
    /// The audit log, the daemon's log, backups.
    pub state: PathBuf,
    /// The two sockets.
    pub runtime: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory: set HOME, or KV_HOME")]
pub struct NoHome;

impl Home {
    /// From the environment of this process.
    pub fn from_env() -> Result<Self, NoHome> {
        Self::from(|name| std::env::var_os(name).map(PathBuf::from))
    }

    /// From named variables. Relative paths are ignored, as the XDG specification asks.
    pub fn from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, NoHome> {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        if let Some(root) = absolute("KV_HOME") {
            return Ok(Self::under(&root));
        }
        let home = absolute("HOME").ok_or(NoHome);
        let or_home = |name: &str, below: &str| match absolute(name) {
            Some(path) => Ok(path.join("kv")),
            None => home.clone().map(|home| home.join(below).join("kv")),
        };
        let state = or_home("XDG_STATE_HOME", ".local/state")?;
        // Without a runtime directory of the session's, the sockets stand beside the state: private, and no worse.
        let runtime = absolute("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |path| path.join("kv"));
        Ok(Self { data: or_home("XDG_DATA_HOME", ".local/share")?, state, runtime })
    }

    /// Everything under one directory.
    pub fn under(root: &Path) -> Self {
        Self { data: root.join("data"), state: root.join("state"), runtime: root.join("run") }
    }

    pub fn agent_socket(&self) -> PathBuf {
        self.runtime.join("agent.sock")
    }

    pub fn human_socket(&self) -> PathBuf {
        self.runtime.join("human.sock")
    }

    pub fn audit(&self) -> PathBuf {
        self.state.join("audit")
    }

    pub fn log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    pub fn backups(&self) -> PathBuf {
        self.state.join("backups")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(variables: &[(&str, &str)]) -> Result<Home, NoHome> {
        Home::from(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value)))
    }

    #[test]
    fn follows_the_environment() {
        assert_eq!(home(&[("KV_HOME", "/k"), ("HOME", "/h")]).unwrap().agent_socket(), Path::new("/k/run/agent.sock"));
        let xdg = home(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")]).unwrap();
        assert_eq!(xdg.human_socket(), Path::new("/run/user/1/kv/human.sock"));
        assert_eq!(xdg.data, Path::new("/h/.local/share/kv"));
        assert_eq!(home(&[("HOME", "/h")]).unwrap().runtime, Path::new("/h/.local/state/kv/run"));
        assert_eq!(home(&[("KV_HOME", "relative")]), Err(NoHome));
    }
}
