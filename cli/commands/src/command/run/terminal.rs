//! A terminal for the command, where kv has one itself: programs draw, ask and colour as they would without kv, and what
//! they print still goes through the mask.
//!
//! The person's terminal is made raw for that long: every key goes to the command's own terminal, which knows what Ctrl-C
//! means there. It is put back when [`Terminal`] is dropped, which a panic does too; signals do not end kv meanwhile.
//! Nothing here looks at what passes.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::stream::unfold;
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::output::{CHUNK, Pieces};
use super::status::Unfinished;
use crate::problem::Problem;

/// As many pieces as are read ahead of the mask.
const AHEAD: usize = 2;

/// The person's terminal, raw, and our end of the command's.
pub(super) struct Terminal {
    before: Termios,
    /// The thread that reads from it owns it: when nobody takes its output any more, the command's terminal hangs up.
    ours: Weak<File>,
}

/// The command's end, before the command has it.
pub(super) struct Inner(File);

/// Whether all three are terminals: a command whose output is captured is not to draw.
pub(super) fn possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
}

impl Terminal {
    /// Makes a terminal like the person's own, and the person's raw.
    pub(super) fn open() -> Result<(Self, Inner, Pieces), Problem> {
        let failed = |error: io::Error| {
            Problem::failed(format!("a terminal for the command: {error}")).next("--no-pty does without")
        };
        let (ours, inner) = pair().map_err(failed)?;
        let before = tcgetattr(io::stdin()).map_err(|error| failed(error.into()))?;
        tcsetattr(&inner.0, OptionalActions::Now, &before).map_err(|error| failed(error.into()))?;
        let ours = Arc::new(ours);
        let terminal = Self { before, ours: Arc::downgrade(&ours) };
        terminal.resize();
        terminal.raw().map_err(|error| failed(error.into()))?;
        pass_keys(Weak::clone(&terminal.ours));
        Ok((terminal, inner, read(ours)))
    }

    /// The person's window is the command's.
    pub(super) fn resize(&self) {
        if let (Some(ours), Ok(size)) = (self.ours.upgrade(), tcgetwinsize(io::stdin())) {
            // A command that has closed its terminal has no window.
            let _ = tcsetwinsize(&*ours, size);
        }
    }

    /// After kv was stopped: a shell has used the terminal in its own way.
    pub(super) fn resume(&self) {
        // A terminal that has gone needs no setting.
        let _ = self.raw();
        self.resize();
    }

    fn raw(&self) -> Result<(), Errno> {
        let mut raw = self.before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Inner {
    /// The command on this terminal. Only the process itself can make a terminal its own, between its start and the
    /// command's: kv starts itself anew for that, and becomes the command (see [`attach`]).
    pub(super) fn command(self, program: &OsStr) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ATTACH).arg("--").arg(program);
        command.stdin(self.0.try_clone()?).stdout(self.0.try_clone()?).stderr(Stdio::from(self.0));
        Ok(command)
    }
}

/// The hidden command by which kv starts itself.
pub(crate) const ATTACH: &str = "run-on-terminal";

/// Takes standard input as this process's terminal and becomes the command. Returns only when that fails.
pub(crate) fn attach(command: &[OsString]) -> ExitCode {
    let Some((program, rest)) = command.split_first() else {
        return Unfinished::from(Problem::usage("there is no command")).report(false);
    };
    if let Err(error) = setsid().and_then(|_| ioctl_tiocsctty(io::stdin())) {
        return Unfinished::from(Problem::failed(format!("the command's terminal: {error}"))).report(false);
    }
    let error = Command::new(program).args(rest).exec();
    Unfinished::start(program, &error).report(false)
}

fn pair() -> io::Result<(File, Inner)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(ours.as_fd(), Vec::new())?;
    let inner = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(OsStr::from_bytes(name.to_bytes()))?;
    Ok((File::from(ours), Inner(inner)))
}

/// What the command prints. Terminals are read by threads: one that waits for a key does not keep kv from ending.
fn read(ours: Arc<File>) -> Pieces {
    let (sender, pieces) = tokio::sync::mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        // The end of a terminal is an error (EIO), once nobody holds the other side.
        while let Ok(length @ 1..) = (&*ours).read(&mut chunk) {
            let Some(piece) = chunk.get(..length) else { break };
            if sender.blocking_send(Ok(Bytes::copy_from_slice(piece))).is_err() {
                break;
            }
        }
    });
    Box::pin(unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) }))
}

/// What the person types.
fn pass_keys(ours: Weak<File>) {
    std::thread::spawn(move || {
        let mut keys = [0; 1024];
        let mut stdin = io::stdin().lock();
        while let Ok(length @ 1..) = stdin.read(&mut keys) {
            let (Some(ours), Some(typed)) = (ours.upgrade(), keys.get(..length)) else { break };
            if (&*ours).write_all(typed).is_err() {
                break;
            }
        }
    });
}
