//! What a person types, and what stands in for it. Values and passphrases come from a hidden prompt, standard input or a
//! private file; never from an argument or a variable, which other programs can read.

use std::fs::File;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kv_api::{Code, Hidden, HiddenBytes};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr,
};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// As large as a value may be; the vault holds no larger one.
const MAX_VALUE: u64 = 64 << 10;
const MAX_PASSPHRASE: u64 = 1024;
/// As long as a name, an address or a path may be that somebody types.
const MAX_LINE: u64 = 4 << 10;
const MAX_JSON: u64 = kv_api::wire::MAX_JSON_BYTES as u64;

/// Whether somebody can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    allowed: bool,
}

impl Asking {
    pub(crate) fn new(no_input: bool) -> Self {
        // The prompt goes to the terminal itself, so that output may be redirected; standard input must be one, since
        // that is where answers come from in a script.
        Self { allowed: !no_input && std::io::stdin().is_terminal() }
    }

    pub(crate) fn possible(self) -> bool {
        self.allowed
    }

    /// A hidden prompt.
    pub(crate) fn hidden(self, prompt: &str, otherwise: &str) -> Result<Zeroizing<String>, Problem> {
        if !self.allowed {
            return Err(Problem::needs_human(format!(
                "{} is needed, and there is no terminal to ask on",
                prompt.trim_end_matches([':', ' '])
            ))
            .next(otherwise));
        }
        let _silent = Silent::terminal();
        rpassword::prompt_password(format!("{prompt} ")).map(Zeroizing::new).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => interrupted(),
            _ => Problem::failed(format!("the terminal: {error}")),
        })
    }

    /// A line that everybody may see. An empty one is the usual answer, where there is one.
    pub(crate) fn line(self, prompt: &str, usual: Option<&str>, otherwise: &str) -> Result<String, Problem> {
        if !self.allowed {
            return Err(Problem::needs_human(format!(
                "{} is not given, and there is no terminal to ask on",
                lower(prompt)
            ))
            .next(otherwise));
        }
        let shown = usual.map_or(String::new(), |usual| format!(" [{usual}]"));
        let _ = write!(std::io::stderr().lock(), "{prompt}{shown}: ");
        let mut answer = String::new();
        let read = std::io::stdin().lock().take(MAX_LINE).read_line(&mut answer);
        read.map_err(|error| Problem::failed(format!("the terminal: {error}")))?;
        match (answer.trim(), usual) {
            ("", Some(usual)) => Ok(usual.to_owned()),
            ("", None) => Err(Problem::usage(format!("{} is needed", lower(prompt))).next(otherwise)),
            (answer, _) => Ok(answer.to_owned()),
        }
    }

    /// Shows something once, on the terminal itself: output may be a file, a pipe, or an agent.
    pub(crate) fn show_once(self, text: &str) -> Result<(), Problem> {
        let written = File::options().write(true).open("/dev/tty").and_then(|mut terminal| {
            terminal.write_all(text.as_bytes())?;
            terminal.flush()
        });
        written.map_err(|error| Problem::failed(format!("the terminal: {error}")))
    }

    /// `y`, or not.
    pub(crate) fn confirm(self, question: &str) -> Result<bool, Problem> {
        if !self.allowed {
            return Err(
                Problem::needs_human(format!("{question} nobody is there to say")).next("give --yes if that is meant")
            );
        }
        // When standard error has gone, the question is not seen and the answer is no.
        let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|error| Problem::failed(format!("the terminal: {error}")))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    pub(crate) fn passphrase(self, prompt: &str, file: Option<&Path>) -> Result<Hidden, Problem> {
        match file {
            Some(path) => passphrase_from(path),
            None => self.hidden(prompt, "give --passphrase-file FILE").map(|text| Hidden::new(text.to_string())),
        }
    }
}

/// The columns of the terminal, or of one as there are many.
pub(crate) fn columns() -> usize {
    let size = File::open("/dev/tty").ok().and_then(|terminal| tcgetwinsize(terminal).ok());
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(80)
}

/// Forgets what was typed before it was asked for: an answer is to what has been read.
pub(crate) fn forget_typed() {
    if let Ok(terminal) = File::open("/dev/tty") {
        // Where that fails, what was typed is taken for the answer, as it would be elsewhere.
        let _ = tcflush(terminal, QueueSelector::IFlush);
    }
}

/// Waits for somebody at the terminal on a thread of its own, since nothing ends a read of a terminal; the rest of the
/// process goes on, and can end.
pub(crate) async fn aside<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    // Nobody listens any more only when the process is about to end.
    std::thread::spawn(move || drop(sender.send(ask())));
    answer.await.unwrap_or_else(|_| Err(Problem::failed("the terminal was not read")))
}

/// Does something that asks, until it is done or Ctrl-C ends it, with the terminal as it was before. Prompts in it go
/// through [`aside`].
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let _kept = Kept::terminal();
    tokio::select! {
        done = work => done,
        signal = tokio::signal::ctrl_c() => match signal {
            Ok(()) => Err(interrupted()),
            Err(error) => Err(Problem::failed(format!("signals: {error}"))),
        },
    }
}

fn interrupted() -> Problem {
    Problem::new(Code::Interrupted, "ended by Ctrl-C")
}

/// A terminal that is put back to what it was when this is dropped.
struct Kept {
    terminal: File,
    before: Termios,
}

/// A terminal that shows nothing of what is typed, until this is dropped. The prompt turns that off too, but only after it
/// has been printed, and somebody may be quicker; between two tries it would be on again.
pub(crate) struct Silent {
    _kept: Kept,
}

impl Silent {
    /// `None` where there is no terminal, which the prompt then says.
    pub(crate) fn terminal() -> Option<Self> {
        let kept = Kept::terminal()?;
        let mut silent = kept.before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(&kept.terminal, OptionalActions::Now, &silent).ok()?;
        Some(Self { _kept: kept })
    }
}

impl Kept {
    fn terminal() -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// A passphrase from a file that nobody else can read; one trailing line break is dropped.
fn passphrase_from(path: &Path) -> Result<Hidden, Problem> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
    let found = file.metadata().map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
    if found.is_file() && found.mode() & 0o077 != 0 {
        return Err(Problem::usage(format!("{shown} can be read by others, so it is not used"))
            .next(format!("chmod 600 {shown}")));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_PASSPHRASE + 2)
        .read_to_string(&mut text)
        .map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
    Ok(Hidden::new(without_line_break(&text).to_owned()))
}

/// A prompt as a part of a sentence.
fn lower(prompt: &str) -> String {
    let mut letters = prompt.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// How a value is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueSource {
    Prompt,
    Stdin,
    StdinRaw,
}

impl ValueSource {
    pub(crate) fn new(stdin: bool, raw: bool) -> Self {
        match (stdin, raw) {
            (_, true) => Self::StdinRaw,
            (true, false) => Self::Stdin,
            (false, false) => Self::Prompt,
        }
    }
}

/// A secret's value.
pub(crate) fn value(asking: Asking, source: ValueSource, name: &str) -> Result<HiddenBytes, Problem> {
    let bytes = match source {
        ValueSource::Prompt => {
            let text = asking.hidden("Value (hidden):", &format!("kv set {name} --stdin < FILE"))?;
            text.as_bytes().to_vec()
        }
        ValueSource::Stdin | ValueSource::StdinRaw if std::io::stdin().is_terminal() => {
            return Err(Problem::usage("a value typed here would be shown; nothing was stored")
                .next(format!("kv set {name}   asks without echo")));
        }
        ValueSource::Stdin | ValueSource::StdinRaw => {
            let mut bytes = Zeroizing::new(Vec::new());
            std::io::stdin()
                .lock()
                .take(MAX_VALUE + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| Problem::failed(format!("standard input: {error}")))?;
            if source == ValueSource::Stdin && bytes.last() == Some(&b'\n') {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            std::mem::take(&mut *bytes)
        }
    };
    if bytes.is_empty() {
        return Err(Problem::usage("the value is empty; nothing was stored"));
    }
    if bytes.len() as u64 > MAX_VALUE {
        return Err(Problem::usage(format!("the value is over {MAX_VALUE} bytes; nothing was stored")));
    }
    Ok(HiddenBytes::new(bytes))
}

/// JSON from an argument, `@FILE`, or `-` for standard input.
pub(crate) fn json(argument: &str) -> Result<serde_json::Value, Problem> {
    let bytes = bytes(argument)?;
    kv_model::json::parse(&bytes, MAX_JSON as usize).map_err(|error| Problem::usage(error.to_string()))
}

/// Bytes from an argument, `@FILE`, or `-` for standard input.
pub(crate) fn bytes(argument: &str) -> Result<Vec<u8>, Problem> {
    let read = |source: &mut dyn Read, what: &str| {
        let mut bytes = Vec::new();
        source
            .take(MAX_JSON + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Problem::usage(format!("{what}: {error}")))?;
        if bytes.len() as u64 > MAX_JSON {
            return Err(Problem::usage(format!("{what} is over {MAX_JSON} bytes; send it as an attachment")));
        }
        Ok(bytes)
    };
    match argument.strip_prefix('@') {
        Some(path) => {
            let mut file = std::fs::File::open(path).map_err(|error| Problem::usage(format!("{path}: {error}")))?;
            read(&mut file, path)
        }
        None if argument == "-" => read(&mut std::io::stdin().lock(), "standard input"),
        None => Ok(argument.as_bytes().to_vec()),
    }
}
