//! What `kv run` ends with. Its own failures end with codes that no command uses for itself, so that a script can tell them
//! from what the command came to; which error it was stands in the message, by its name.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use kv_api::Code;

use crate::output::inert;
use crate::problem::Problem;

/// What `env`, `nice` and the like end with when they themselves failed.
pub(crate) const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why there is no command that has ended.
#[derive(Debug)]
pub(super) struct Unfinished {
    problem: Problem,
    exit: u8,
}

impl Unfinished {
    /// The program is not there, is no program, or the system has no room for it.
    pub(super) fn start(program: &OsStr, error: &Error) -> Self {
        let name = inert(&program.to_string_lossy());
        match error.kind() {
            ErrorKind::NotFound => {
                Self { problem: Problem::new(Code::NotFound, format!("`{name}` was not found")), exit: NOT_FOUND }
            }
            // Nothing is wrong with the command: another time it would have started.
            ErrorKind::WouldBlock | ErrorKind::OutOfMemory => {
                Self::from(Problem::failed(format!("the command did not start: {error}")))
            }
            _ => {
                Self { problem: Problem::failed(format!("`{name}` cannot be executed: {error}")), exit: NOT_EXECUTABLE }
            }
        }
    }

    pub(super) fn report(&self, json: bool) -> ExitCode {
        self.problem.report_as(json, self.exit)
    }
}

impl From<Problem> for Unfinished {
    fn from(problem: Problem) -> Self {
        Self { problem, exit: FAILED }
    }
}

/// The command's own code, or 128 and its signal.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(i32::from(FAILED));
    u8::try_from(code).unwrap_or(FAILED)
}
