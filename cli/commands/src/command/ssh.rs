//! `kv ssh CONNECTION -- COMMAND`: a program on another machine, as if it ran here: its output as it comes, its exit code.
//!
//! Output is another machine's text. On a terminal it steers nothing; to a pipe or a file it goes byte for byte.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use bytes::{Buf, BytesMut};
use kv_api::{CommandExit, CommandLine, HiddenBytes};
use kv_model::{Effect, MAX_COMMAND_TIME, Protocol};
use serde_json::{Map, Value};

use super::typed::{self, Target};
use super::{Context, RUN_FAILED, connection, wait_for};
use crate::arguments::Ssh;
use crate::client::{Answer, Outcome};
use crate::inert::Inert;
use crate::output::{print_json, write_out};
use crate::problem::Problem;

/// As much as a command is fed. It travels in a request's JSON, which is bounded as a whole.
const MAX_STDIN: u64 = 4 << 20;
/// The longest line of an answer: a piece of output is far shorter.
const MAX_LINE: usize = 16 << 20;
/// What `timeout` ends with.
const TIMED_OUT: u8 = 124;

/// Never a [`Problem`] outward: the exit codes are the command's, so kv's own failures all have one.
pub(super) fn run(context: &Context, arguments: Ssh) -> ExitCode {
    match wait_for(carry_out(context, arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => problem.report_as(context.output.json, RUN_FAILED),
    }
}

async fn carry_out(context: &Context, arguments: Ssh) -> Result<u8, Problem> {
    let name = connection::parse(&arguments.connection)?;
    let mut input = Map::new();
    let operation = match arguments.shell {
        Some(text) => {
            input.insert("text".to_owned(), text.into());
            "shell"
        }
        None => {
            input.insert("argv".to_owned(), arguments.command.into());
            "run"
        }
    };
    if let Some(time) = arguments.timeout {
        if time.is_zero() || time > MAX_COMMAND_TIME {
            return Err(Problem::usage(format!("a command can take 1 s to {} s", MAX_COMMAND_TIME.as_secs())));
        }
        input.insert("timeout_seconds".to_owned(), time.as_secs().max(1).into());
    }
    input.extend(arguments.max_output.map(|most| ("max_output".to_owned(), Value::from(most))));
    if !arguments.no_stdin && !std::io::stdin().is_terminal() {
        match standard_input()? {
            Fed::Nothing => {}
            Fed::Text(text) => drop(input.insert("stdin".to_owned(), text.into())),
            Fed::Bytes(bytes) => {
                let base64 = serde_json::to_value(HiddenBytes::new(bytes));
                input.insert("stdin_base64".to_owned(), base64.map_err(|error| Problem::failed(error.to_string()))?);
            }
        }
    }
    let target =
        Target { connection: &name, protocol: Protocol::Ssh, agent: &arguments.agent, hold_ms: arguments.hold.ms() };
    let answer = typed::call(context, &target, operation, input.into(), Effect::Grant).await?;
    if answer.outcome != Outcome::Command {
        print_json(&answer.text().await?)?;
        return Ok(0);
    }
    let mut screen = Screen::new();
    let ended = follow(answer, &mut screen).await;
    screen.end()?;
    let (exit, truncated) = ended?;
    if truncated {
        context.output.note("kv: there was more output than was asked for: --max-output BYTES");
    }
    if exit == CommandExit::TimedOut {
        context.output.note("kv: the command was ended, since its time was over: --timeout TIME");
    }
    Ok(code(&exit))
}

/// What there is to read.
enum Fed {
    Bytes(Vec<u8>),
    Nothing,
    Text(String),
}

fn standard_input() -> Result<Fed, Problem> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_STDIN + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Problem::failed(format!("standard input: {error}")))?;
    if bytes.len() as u64 > MAX_STDIN {
        return Err(Problem::usage(format!("standard input is over {MAX_STDIN} bytes; nothing was run")));
    }
    Ok(fed(bytes))
}

/// Text goes as text, so that the trail's reader of a call's input can read it. JSON writes a control character with six.
fn fed(bytes: Vec<u8>) -> Fed {
    let odd = bytes.iter().filter(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')).count();
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Fed::Nothing,
        Ok(text) if odd * 16 <= text.len() => Fed::Text(text),
        Ok(text) => Fed::Bytes(text.into_bytes()),
        Err(error) => Fed::Bytes(error.into_bytes()),
    }
}

/// Writes what comes until the command has ended.
async fn follow(mut answer: Answer, screen: &mut Screen) -> Result<(CommandExit, bool), Problem> {
    let mut lines = Lines::default();
    while let Some(chunk) = answer.next().await? {
        lines.take(&chunk)?;
        while let Some(line) = lines.next()? {
            match line {
                CommandLine::Stdout { data } => screen.out.write(data.reveal())?,
                CommandLine::Stderr { data } => screen.err.write(data.reveal())?,
                CommandLine::End { exit, truncated } => return Ok((exit, truncated)),
            }
        }
    }
    Err(Problem::from(
        kv_api::ApiError::new(kv_api::Code::Upstream, "the answer broke off before the command had ended")
            .reason("broken_off")
            .sent(kv_api::Sent::Yes),
    ))
}

/// Lines of JSON out of pieces of any size.
#[derive(Default)]
pub(super) struct Lines(BytesMut);

impl Lines {
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        if self.0.len() + chunk.len() > MAX_LINE {
            return Err(Problem::failed("the daemon's answer has a line without an end"));
        }
        self.0.extend_from_slice(chunk);
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<CommandLine>, Problem> {
        let Some(end) = self.0.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = self.0.split_to(end);
        self.0.advance(1);
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| Problem::failed(format!("the daemon's answer is not understood: {error}")))
    }
}

/// The two ways out, each inert where it is a terminal.
struct Screen {
    out: Way<std::io::Stdout>,
    err: Way<std::io::Stderr>,
}

struct Way<W> {
    to: W,
    inert: Option<Inert>,
}

impl Screen {
    fn new() -> Self {
        Self { out: Way::new(std::io::stdout()), err: Way::new(std::io::stderr()) }
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.out.end()?;
        self.err.end()
    }
}

impl<W: Write + IsTerminal> Way<W> {
    fn new(to: W) -> Self {
        let inert = to.is_terminal().then(Inert::default);
        Self { to, inert }
    }
}

impl<W: Write> Way<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        match &mut self.inert {
            Some(inert) => {
                let text = inert.take(bytes);
                self.put(text.as_bytes())
            }
            None => self.put(bytes),
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        let text = self.inert.as_mut().map(Inert::end).unwrap_or_default();
        self.put(text.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        match self.to.write_all(bytes).and_then(|()| self.to.flush()) {
            // Nobody reads on, and the command ends with its caller: that is no success of the command's.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(CLOSED_PIPE),
            other => write_out(other),
        }
    }
}

/// What a shell says of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 141;
/// As a shell would have it.
fn code(exit: &CommandExit) -> u8 {
    match exit {
        CommandExit::Code(code) => u8::try_from(*code).unwrap_or(u8::MAX),
        CommandExit::Signal(name) => 128 + number(name),
        CommandExit::TimedOut => TIMED_OUT,
    }
}

/// The signals of RFC 4254, 6.10, by Linux's numbers; 0 for another's own.
fn number(signal: &str) -> u8 {
    match signal {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_as_a_shell_would_tell() {
        for (exit, number) in [
            (CommandExit::Code(0), 0),
            (CommandExit::Code(7), 7),
            (CommandExit::Code(300), 255),
            (CommandExit::Signal("TERM".to_owned()), 143),
            (CommandExit::Signal("X@y".to_owned()), 128),
            (CommandExit::TimedOut, 124),
        ] {
            assert_eq!(code(&exit), number, "{exit:?}");
        }
    }

    #[test]
    fn what_a_command_reads_goes_as_it_is() {
        assert!(matches!(fed(Vec::new()), Fed::Nothing));
        assert!(matches!(fed("a\u{e4}\n".into()), Fed::Text(text) if text == "a\u{e4}\n"));
        for bytes in [&b"\xff\xfe"[..], b"\0\x01\x02", b"PK\x03\x04\x14\0"] {
            assert!(matches!(fed(bytes.to_vec()), Fed::Bytes(same) if same == bytes), "{bytes:?}");
        }
    }

    #[test]
    fn lines_come_out_of_any_pieces() {
        let text = b"{\"stdout\":{\"data\":\"aGk=\"}}\n{\"end\":{\"exit\":{\"code\":3},\"truncated\":true}}\n";
        for at in 0..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in [&text[..at], &text[at..]] {
                lines.take(piece).unwrap();
                while let Some(line) = lines.next().unwrap() {
                    seen.push(line);
                }
            }
            let [CommandLine::Stdout { data }, CommandLine::End { exit, truncated: true }] = &seen[..] else {
                panic!("{seen:?}")
            };
            assert_eq!((data.reveal(), exit), (&b"hi"[..], &CommandExit::Code(3)));
        }
        let mut lines = Lines::default();
        lines.take(b"nonsense\n").unwrap();
        assert!(lines.next().is_err());
        assert!(Lines::default().take(&vec![b'x'; MAX_LINE + 1]).is_err());
    }

    #[test]
    fn a_terminal_gets_text_and_a_pipe_bytes() {
        let mut way = Way { to: Vec::new(), inert: Some(Inert::default()) };
        way.write(b"a\x1b]0;x\x07").unwrap();
        way.end().unwrap();
        assert_eq!(String::from_utf8(way.to).unwrap(), "a�]0;x�");
        let mut way = Way { to: Vec::new(), inert: None };
        way.write(b"a\x1b]0;x\x07\xff").unwrap();
        assert_eq!(way.to, b"a\x1b]0;x\x07\xff");
    }
}
