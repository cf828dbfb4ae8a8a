//! What a provider of a machine asks for, and what it is answered.

use std::borrow::Cow;
use std::time::Duration;

use crate::delivery::{Delivery, delivered};
use crate::{Failure, FailureKind};

/// As long as a command may take that does not say how long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// As many bytes as come back of one that does not say how many.
const DEFAULT_MAX_OUTPUT: u32 = 1 << 20;

/// One command and its delivery.
///
/// What is not said is taken from the operation; where that only reads, the command is repeatable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Command {
    pub(crate) line: CommandLine,
    pub(crate) stdin: Vec<u8>,
    pub(crate) timeout_ms: u32,
    pub(crate) max_output: u32,
    pub(crate) delivery: Delivery,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandLine {
    /// Program and arguments.
    Argv(Vec<String>),
    /// Text for the remote shell.
    Shell(String),
}

delivered!(Command);

impl Command {
    fn new(line: CommandLine) -> Self {
        let timeout_ms = milliseconds(DEFAULT_TIMEOUT);
        Self { line, stdin: Vec::new(), timeout_ms, max_output: DEFAULT_MAX_OUTPUT, delivery: Delivery::default() }
    }

    /// Program and arguments. The host quotes each by itself, so a value cannot become a command.
    pub fn argv<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(CommandLine::Argv(argv.into_iter().map(Into::into).collect()))
    }

    /// Text for the remote shell, for which the caller has to have written all of it: nothing in it is quoted.
    pub fn shell(text: impl Into<String>) -> Self {
        Self::new(CommandLine::Shell(text.into()))
    }

    /// What it reads; nothing when it is not said.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may take, after which the host ends it.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout_ms = milliseconds(time);
        self
    }

    /// How many bytes come back, of both streams together; the answer says whether there were more.
    #[must_use]
    pub fn max_output(mut self, bytes: u32) -> Self {
        self.max_output = bytes;
        self
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(u32),
    /// The signal's name, without `SIG`.
    Signal(String),
    TimedOut,
}

/// What a command wrote, whole.
#[derive(Debug, Clone)]
pub struct Output {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// It wrote more than the limit.
    pub truncated: bool,
    line: CommandLine,
    /// The provider's mapper.
    failure: fn(&Output) -> Failure,
}

impl Output {
    pub fn new(exit: Exit, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Self {
        Self {
            exit,
            stdout: stdout.into(),
            stderr: stderr.into(),
            truncated: false,
            line: CommandLine::Argv(Vec::new()),
            failure: |_| Failure::new(FailureKind::Upstream, "the command failed"),
        }
    }

    pub(crate) fn mapped_by(mut self, line: CommandLine, failure: fn(&Output) -> Failure) -> Self {
        self.line = line;
        self.failure = failure;
        self
    }

    /// The command that wrote it.
    pub fn line(&self) -> &CommandLine {
        &self.line
    }

    /// Exit code 0.
    pub fn is_success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The output itself if it is a success's, and otherwise what the provider's mapper makes of it.
    pub fn error_for_exit(self) -> Result<Self, Failure> {
        if self.is_success() { Ok(self) } else { Err(self.to_failure()) }
    }

    /// What the provider's mapper makes of it.
    pub fn to_failure(&self) -> Failure {
        (self.failure)(self)
    }

    /// What it wrote, as text; bytes that are none show as `\u{fffd}`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// What it complained of, as text.
    pub fn error_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}
