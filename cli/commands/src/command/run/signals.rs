//! Signals that come while a command runs, and whom they are for. Each reaches the command once: what its terminal has sent
//! it already is not sent again.
//!
//! Stopping (`TSTP`) is not listened to. The terminal stops the whole group, kv and the command alike, which is what is
//! meant; and a group without a shell to wake it up is then left alone by the system, as it would be without kv.

use std::fs::File;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind, signal};

use super::terminal::Terminal;
use crate::problem::Problem;

/// Everything that a command may want to hear of. From here on none of it ends kv.
pub(super) struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    quit: unix::Signal,
    interrupt: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    alarm: unix::Signal,
    resume: unix::Signal,
    window: unix::Signal,
}

impl Signals {
    /// Before the command starts and before the terminal is changed: a signal in between would find neither restored.
    pub(super) fn listen() -> Result<Self, Problem> {
        let listen =
            |kind: SignalKind| signal(kind).map_err(|error| Problem::failed(format!("listening for signals: {error}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            interrupt: listen(SignalKind::interrupt())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            alarm: listen(SignalKind::alarm())?,
            resume: listen(SignalKind::from_raw(Signal::CONT.as_raw()))?,
            window: listen(SignalKind::window_change())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.user1.recv() => Signal::USR1,
            _ = self.user2.recv() => Signal::USR2,
            _ = self.alarm.recv() => Signal::ALARM,
            _ = self.resume.recv() => Signal::CONT,
            _ = self.window.recv() => Signal::WINCH,
        }
    }
}

/// Passes a signal on, if the command has not had it.
pub(super) fn pass(signal: Signal, child: &Child, terminal: Option<&Terminal>) {
    match (terminal, signal) {
        // The system tells the command, as soon as its own terminal has the new size.
        (Some(terminal), Signal::WINCH) => return terminal.resize(),
        // Whoever stopped kv may have used the terminal meanwhile.
        (Some(terminal), Signal::CONT) => terminal.resume(),
        (None, Signal::INT | Signal::QUIT | Signal::WINCH) if in_foreground() => return,
        _ => {}
    }
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // It may have ended this moment; then there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
}

/// Whether keys like Ctrl-C reach this process, and then the command too: it is of the same group. Standard input tells
/// nothing about that, since it may be redirected. A signal that another program sends to kv alone meanwhile looks the
/// same; one lost is better than each key counting twice.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
