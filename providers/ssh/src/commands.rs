//! Commands that the caller writes. Their output goes to the caller as it comes, with the exit code, whatever that is.

use std::time::Duration;

use kv_sdk::{Command, Failure, Io, Reply};

use crate::piece;

const DEFAULT_TIMEOUT_SECONDS: u32 = 60;
const DEFAULT_MAX_OUTPUT: u32 = 1 << 20;
/// As many characters of a command as a summary repeats.
const SUMMARY_CHARS: usize = 160;

#[kv_sdk::input]
pub(crate) struct Run {
    /// Program and arguments, such as `["systemctl", "status", "nginx"]`. Each arrives as it is: no globs, no `~`, no
    /// variables, no pipes.
    #[schemars(length(min = 1))]
    argv: Vec<String>,
    /// What it reads, as text; or say `stdin_base64`.
    stdin: Option<String>,
    /// What it reads, in base64, where it is no text.
    stdin_base64: Option<String>,
    /// How long it may take, 1 to 600; 60 when not said.
    #[schemars(range(min = 1, max = 600))]
    timeout_seconds: Option<u32>,
    /// How many bytes of output come back, up to 8388608; 1048576 when not said.
    #[schemars(range(min = 1, max = 8388608))]
    max_output: Option<u32>,
}

/// Run a program
///
/// In the user's home directory. Output, standard error and exit code come back apart; a code other than 0 is a result,
/// not a failure.
#[kv_sdk::operation(name = "run", effect = Write, suggest = Ask, facts(program = "/argv/0"))]
pub(crate) async fn run(io: &Io, input: Run) -> Result<Reply, Failure> {
    if input.argv.first().is_none_or(String::is_empty) {
        return Err(Failure::invalid_input("the program is missing").at("/argv"));
    }
    let summary = shortened(&format!("run {}", input.argv.join(" ")));
    let stdin = stdin(input.stdin, input.stdin_base64)?;
    let command = bounded(Command::argv(input.argv), stdin, input.timeout_seconds, input.max_output);
    io.forward(command.summary(summary)).await
}

#[kv_sdk::input]
pub(crate) struct Shell {
    /// Text for the user's shell on the machine, as typed there: `journalctl -u nginx | tail -n 20`.
    #[schemars(length(min = 1))]
    text: String,
    /// What it reads, as text; or say `stdin_base64`.
    stdin: Option<String>,
    /// What it reads, in base64, where it is no text.
    stdin_base64: Option<String>,
    /// How long it may take, 1 to 600; 60 when not said.
    #[schemars(range(min = 1, max = 600))]
    timeout_seconds: Option<u32>,
    /// How many bytes of output come back, up to 8388608; 1048576 when not said.
    #[schemars(range(min = 1, max = 8388608))]
    max_output: Option<u32>,
}

/// Run text in a shell
///
/// The text is interpreted: pipes, globs, variables and `;` work, and anything that is put into it unquoted becomes part
/// of the command. Use `run` where one program is enough.
#[kv_sdk::operation(name = "shell", effect = Write, suggest = Ask)]
pub(crate) async fn shell(io: &Io, input: Shell) -> Result<Reply, Failure> {
    let summary = shortened(&format!("shell: {}", input.text));
    let stdin = stdin(input.stdin, input.stdin_base64)?;
    let command = bounded(Command::shell(input.text), stdin, input.timeout_seconds, input.max_output);
    io.forward(command.summary(summary)).await
}

fn stdin(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, Failure> {
    match (text, base64) {
        (None, None) => Ok(Vec::new()),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => piece::decode(&base64).map_err(|failure| failure.at("/stdin_base64")),
        (Some(_), Some(_)) => {
            Err(Failure::invalid_input("it is `stdin` or `stdin_base64`, not both").at("/stdin_base64"))
        }
    }
}

fn bounded(command: Command, stdin: Vec<u8>, seconds: Option<u32>, max_output: Option<u32>) -> Command {
    command
        .stdin(stdin)
        .timeout(Duration::from_secs(seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS).into()))
        .max_output(max_output.unwrap_or(DEFAULT_MAX_OUTPUT))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SUMMARY_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
