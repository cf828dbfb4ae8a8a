//! How a command ended, in the caller's terms. The exit code, or the signal's name, is the failure's code.

use kv_sdk::{CommandLine, Exit, Failure, FailureKind, Output};

/// As many characters of what a program complained of as a message repeats.
const COMPLAINT_CHARS: usize = 500;

/// What Linux calls its errors, where nobody set a language. In another language the kind is looked for in other ways.
const WORDS: &[(&str, FailureKind)] = &[
    ("No such file or directory", FailureKind::NotFound),
    ("Permission denied", FailureKind::Forbidden),
    ("Operation not permitted", FailureKind::Forbidden),
    ("Is a directory", FailureKind::InvalidInput),
    ("Not a directory", FailureKind::InvalidInput),
    ("File name too long", FailureKind::InvalidInput),
    ("No space left on device", FailureKind::Conflict),
    ("Read-only file system", FailureKind::Conflict),
];

pub(crate) fn failure(output: &Output) -> Failure {
    let program = program(output);
    let upstream = |message: String| Failure::new(FailureKind::Upstream, message);
    match &output.exit {
        Exit::TimedOut => upstream(format!("`{program}` did not end in time and was ended")).code("timeout"),
        Exit::Signal(name) => upstream(format!("`{program}` was ended by the signal {name}")).code(name),
        Exit::Code(127) => upstream(format!("the machine has no `{program}`")).code("127"),
        Exit::Code(126) => upstream(format!("this user may not run `{program}`")).code("126"),
        Exit::Code(code) => of_words(output, &program, *code),
    }
}

fn of_words(output: &Output, program: &str, code: u32) -> Failure {
    let text = output.error_text();
    let complaint: String = text.trim().chars().take(COMPLAINT_CHARS).collect();
    let message = if complaint.is_empty() { format!("`{program}` ended with exit code {code}") } else { complaint };
    let kind = WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, kind)| *kind);
    let failure = Failure::new(kind.unwrap_or(FailureKind::Upstream), message).code(code.to_string());
    match kind {
        Some(FailureKind::NotFound | FailureKind::Forbidden | FailureKind::InvalidInput) => failure.at("/path"),
        _ => failure,
    }
}

/// Whether a program ended badly, and its words did not say why.
pub(crate) fn is_unclear(failure: &Failure) -> bool {
    failure.kind == FailureKind::Upstream && matches!(failure.code.as_deref(), Some("1" | "2"))
}

pub(crate) fn is_directory(path: &str) -> Failure {
    Failure::invalid_input(format!("`{path}` is a directory; `list-dir` lists it")).at("/path")
}

fn program(output: &Output) -> String {
    match output.line() {
        CommandLine::Argv(argv) => argv.first().cloned().unwrap_or_default(),
        CommandLine::Shell(_) => "the shell".to_owned(),
    }
}
