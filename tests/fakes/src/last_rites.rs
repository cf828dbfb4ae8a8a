//! Ends a server when the process that started it is gone, however that went: killed, or at its end with the server in a
//! `static`, which nothing drops.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of its input, which comes with the end of this process, and cleans up then. Dropping
/// this ends the shell before it does anything: whoever drops it has cleaned up.
pub(crate) struct LastRites(Child);

impl LastRites {
    /// `signal` goes to `pid`, if that is still a process with `home` in its command line; then `home` is removed.
    pub(crate) fn over(pid: u32, signal: &str, home: &Path) -> io::Result<LastRites> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "kv-last-rites"]).arg(pid.to_string()).arg(signal).arg(home);
        shell.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().map(LastRites)
    }
}

impl Drop for LastRites {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other end of its input is closed in every child of this process, so that nobody else keeps it open.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
if tr '\000' ' ' <"/proc/$1/cmdline" | grep -qF -- "$3"; then
  kill "-$2" "$1"
  waited=0
  while [ -e "/proc/$1" ] && [ "$waited" -lt 100 ]; do sleep 0.05; waited=$((waited + 1)); done
fi
rm -rf -- "$3"
"#;
