//! The one command for another machine: checked and quoted once. What is decided about is what is sent.

mod host_key;
mod known_hosts;
mod quote;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::host_key::{Fingerprint, HostKey, HostKeyAlgorithm, HostKeyError, MAX_HOST_KEYS, PinnedKey, PinnedKeys};
pub use self::known_hosts::{KnownHosts, MAX_KNOWN_HOSTS, Skipped, known_hosts};
pub use self::quote::QuoteError;
use crate::{Digest, Effect, Manifest, OperationName, Scheme, SchemeName, Sha256};

/// The longest command line: Linux gives one argument 128 KiB, and a server's `sh -c` gets the whole line as one.
pub const MAX_COMMAND_BYTES: usize = 100 << 10;
/// As many bytes as a command may be fed.
pub const MAX_STDIN_BYTES: usize = 8 << 20;
/// As long as a command may take.
pub const MAX_COMMAND_TIME: Duration = Duration::from_secs(600);
/// As many bytes as a command's output may have, both streams together; more is cut.
pub const MAX_OUTPUT_BYTES: u32 = 8 << 20;
/// Programs that write nothing, whatever their arguments are, on any system (macOS has a `base64` that does): a command
/// that begins with one may be called a read.
const READERS: [&str; 13] =
    ["cat", "df", "du", "head", "id", "ls", "readlink", "realpath", "sha256sum", "stat", "tail", "uname", "wc"];

/// A command as a provider makes it: nothing of it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandParts {
    pub line: CommandLine,
    pub stdin: Vec<u8>,
    pub timeout_ms: u32,
    pub max_output: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// Program and arguments: the host quotes each.
    Argv(Vec<String>),
    /// Text for the remote shell.
    Shell(String),
}

/// Why a command is not one that can go out. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("the command's input has {bytes} bytes, over the limit of {MAX_STDIN_BYTES}")]
    Input { bytes: usize },
    #[error("the command's output is to have up to {0} bytes; at most {MAX_OUTPUT_BYTES} can be had")]
    Output(u32),
    #[error("argument {index} cannot be quoted: {why}")]
    Quote { index: usize, why: QuoteError },
    #[error("the command's text has a NUL")]
    Shell,
    #[error("the command is to take {0} ms; it can have 1 to {most}", most = MAX_COMMAND_TIME.as_millis())]
    Time(u32),
    #[error("the command has {bytes} bytes, over the limit of {MAX_COMMAND_BYTES}")]
    TooLong { bytes: usize },
}

impl CommandError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            CommandError::Empty => "command.empty",
            CommandError::Input { .. } => "command.input",
            CommandError::Output(_) => "command.output",
            CommandError::Quote { .. } | CommandError::Shell => "command.text",
            CommandError::Time(_) => "command.time",
            CommandError::TooLong { .. } => "command.too_long",
        }
    }
}

/// A command that can go out.
#[derive(Debug, Clone)]
pub struct Command {
    line: CommandLine,
    text: String,
    stdin: Bytes,
    timeout: Duration,
    max_output: u32,
    auth: Vec<(SchemeName, Arc<Scheme>)>,
    operation: OperationName,
    effect: Effect,
    endpoint: String,
}

impl Command {
    /// From a provider's command. `operation` is the call's, and `claimed` what the provider says that this does.
    pub fn from_provider(
        parts: CommandParts,
        claimed: Effect,
        manifest: &Manifest,
        operation: &OperationName,
    ) -> Result<Self, CommandError> {
        let text = parts.line.text()?;
        if text.len() > MAX_COMMAND_BYTES {
            return Err(CommandError::TooLong { bytes: text.len() });
        }
        if parts.stdin.len() > MAX_STDIN_BYTES {
            return Err(CommandError::Input { bytes: parts.stdin.len() });
        }
        if parts.max_output > MAX_OUTPUT_BYTES {
            return Err(CommandError::Output(parts.max_output));
        }
        let timeout = Duration::from_millis(parts.timeout_ms.into());
        if timeout.is_zero() || timeout > MAX_COMMAND_TIME {
            return Err(CommandError::Time(parts.timeout_ms));
        }
        let declared = manifest.operations.get(operation).map_or(Effect::Grant, |found| manifest.effect_of(found));
        Ok(Self {
            effect: declared.graver(claimed).graver(parts.line.least_effect()),
            endpoint: parts.line.describe(),
            line: parts.line,
            text,
            stdin: parts.stdin.into(),
            timeout,
            max_output: parts.max_output,
            auth: manifest.default_schemes(),
            operation: operation.clone(),
        })
    }

    pub fn line(&self) -> &CommandLine {
        &self.line
    }

    /// As it goes out: for the remote shell, which every server hands it to.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn stdin(&self) -> &Bytes {
        &self.stdin
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// In bytes, both streams together.
    pub fn max_output(&self) -> u32 {
        self.max_output
    }

    pub fn auth(&self) -> &[(SchemeName, Arc<Scheme>)] {
        &self.auth
    }

    pub fn operation(&self) -> &OperationName {
        &self.operation
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// For people: `run cat`, `shell`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Of everything that goes out but the credential.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.part(b"kv.command/1");
        hash.part(self.text.as_bytes());
        hash.part(&self.stdin);
        hash.part(&(self.timeout.as_millis() as u64).to_be_bytes());
        hash.part(&self.max_output.to_be_bytes());
        hash.finish()
    }
}

impl CommandLine {
    fn text(&self) -> Result<String, CommandError> {
        match self {
            CommandLine::Argv(argv) => {
                if argv.first().is_none_or(String::is_empty) {
                    return Err(CommandError::Empty);
                }
                quote::line(argv).map_err(|(index, why)| CommandError::Quote { index, why })
            }
            CommandLine::Shell(text) if text.trim().is_empty() => Err(CommandError::Empty),
            CommandLine::Shell(text) if text.contains('\0') => Err(CommandError::Shell),
            CommandLine::Shell(text) => Ok(text.clone()),
        }
    }

    /// The least that it does, whatever its provider says: a shell's text may do anything.
    fn least_effect(&self) -> Effect {
        match self {
            CommandLine::Argv(argv) if argv.first().is_some_and(|program| READERS.contains(&program.as_str())) => {
                Effect::Read
            }
            CommandLine::Argv(_) | CommandLine::Shell(_) => Effect::Write,
        }
    }

    /// The program without its arguments, which are data.
    fn describe(&self) -> String {
        match self {
            CommandLine::Argv(argv) => format!("run {}", argv.first().map(String::as_str).unwrap_or_default()),
            CommandLine::Shell(_) => "shell".to_owned(),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(u32),
    Signal(String),
    TimedOut,
}

/// What a command wrote, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// There was more than the limit.
    pub truncated: bool,
}
