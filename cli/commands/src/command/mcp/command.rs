//! What a command on another machine wrote and how it ended, as a tool's result.
//!
//! Its output is somebody else's text: inert where it is shown, byte for byte in files. Output that is no text is in a
//! file alone. An exit code other than 0 is a result, as it is for the program itself; that it had to be ended is an error.

use kv_api::{ApiError, Code, CommandExit, CommandLine, Sent};
use kv_model::MAX_OUTPUT_BYTES;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

use super::body::{Body, Controls, Gathering};
use super::fault;
use super::link::Leased;
use super::progress::Progress;
use super::reply::{MAX_TEXT, attach, heading};
use super::shown::{Shown, without_colours};
use super::store::{Store, beginning};
use crate::command::ssh::Lines;
use crate::inert::Inert;
use crate::output::inert;
use crate::problem::Problem;

/// As much of the errors as is shown beside any amount of output.
const LEAST_STDERR: usize = 8 << 10;
/// As much of a signal's name; those that there are have four letters.
const MAX_SIGNAL: usize = 32;

/// A command that has ended, or whose answer broke off.
pub(super) struct Ran {
    call: Option<String>,
    stdout: Written,
    stderr: Written,
    ended: Result<Ended, Problem>,
}

struct Ended {
    exit: CommandExit,
    truncated: bool,
}

/// What came on one stream.
struct Written {
    body: Body,
    size: u64,
    /// As much as is shown of it.
    most: usize,
}

/// A stream under way.
struct Stream<'a> {
    gathering: Gathering<'a>,
    inert: Inert,
}

impl<'a> Stream<'a> {
    fn new(store: &'a Store, name: &'static str) -> Self {
        Self { gathering: Gathering::new(store, name, Controls::AllButNul), inert: Inert::default() }
    }

    /// Takes bytes; gives them as a client may be shown them.
    fn take(&mut self, bytes: &[u8]) -> Result<String, Problem> {
        if self.gathering.size() + bytes.len() as u64 > u64::from(MAX_OUTPUT_BYTES) {
            return Err(Problem::failed(format!("the command's output is over {MAX_OUTPUT_BYTES} bytes")));
        }
        self.gathering.take(bytes)?;
        Ok(if self.gathering.is_text() { without_colours(&self.inert.take(bytes)) } else { String::new() })
    }

    fn end(self, from: &str, most: usize) -> Result<Written, Problem> {
        let size = self.gathering.size();
        Ok(Written { body: self.gathering.end(from, Shown::Inert, most)?, size, most })
    }
}

/// Reads a command's output to its end, and tells the client what comes.
pub(super) async fn collect(
    mut leased: Leased,
    from: &str,
    store: &Store,
    progress: &mut Progress,
) -> Result<Ran, Problem> {
    let call = leased.answer.call.clone();
    let (mut out, mut err) = (Stream::new(store, "stdout"), Stream::new(store, "stderr"));
    let ended = follow(&mut leased, &mut out, &mut err, progress).await;
    // Nothing comes after the end but the end of the answer.
    if ended.is_ok() && matches!(leased.answer.next().await, Ok(None)) {
        leased.release();
    }
    let written = |stream: &Stream<'_>| usize::try_from(stream.gathering.size()).unwrap_or(usize::MAX);
    let for_out = MAX_TEXT - written(&err).min(LEAST_STDERR);
    let for_err = MAX_TEXT - written(&out).min(for_out);
    Ok(Ran { call, stdout: out.end(from, for_out)?, stderr: err.end(from, for_err)?, ended })
}

async fn follow(
    leased: &mut Leased,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
    progress: &mut Progress,
) -> Result<Ended, Problem> {
    let mut lines = Lines::default();
    while let Some(chunk) = leased.answer.next().await? {
        lines.take(&chunk)?;
        while let Some(line) = lines.next()? {
            let said = match line {
                CommandLine::Stdout { data } => out.take(data.reveal())?,
                CommandLine::Stderr { data } => err.take(data.reveal())?,
                CommandLine::End { exit, truncated } => return Ok(Ended { exit, truncated }),
            };
            if !said.is_empty() {
                progress.tell(&said).await;
            }
        }
    }
    Err(ApiError::new(Code::Upstream, "the answer broke off before the command had ended")
        .reason("broken_off")
        .sent(Sent::Yes)
        .into())
}

/// The result. What a command wrote before its answer broke off is given with the error.
pub(super) fn result(from: &str, ran: Ran) -> CallToolResult {
    let Ran { call, stdout, stderr, ended } = ran;
    let (mut content, mut notes) = (Map::new(), Vec::new());
    content.insert("from".to_owned(), from.into());
    if let Some(call) = call {
        content.insert("call".to_owned(), call.into());
    }
    let (how, failed) = match ended {
        Ok(ended) => {
            let said = exit(&ended.exit, &mut content);
            content.insert("truncated".to_owned(), ended.truncated.into());
            if ended.truncated {
                notes.push("It wrote more than was asked for: the rest is lost.".to_owned());
            }
            said
        }
        Err(problem) => (failure(problem.into_error(), &mut content), true),
    };
    let mut blocks = Vec::new();
    let out = show("stdout", "", &stdout, &mut content, &mut blocks, &mut notes);
    let err = show("stderr", "stderr_", &stderr, &mut content, &mut blocks, &mut notes);
    notes.extend(order(out, err).map(str::to_owned));
    if stdout.size + stderr.size == 0 {
        notes.push("It wrote nothing.".to_owned());
    }
    blocks.insert(0, ContentBlock::text(heading(from, &how, &notes)));
    let mut result = if failed { CallToolResult::error(blocks) } else { CallToolResult::success(blocks) };
    result.structured_content = Some(Value::Object(content));
    result
}

/// How it ended, and whether that is an error.
fn exit(exit: &CommandExit, content: &mut Map<String, Value>) -> (String, bool) {
    match exit {
        CommandExit::Code(code) => {
            content.insert("exit_code".to_owned(), (*code).into());
            (format!("exit code {code}. "), false)
        }
        CommandExit::Signal(name) => {
            let name = inert(&name.chars().take(MAX_SIGNAL).collect::<String>());
            content.insert("signal".to_owned(), name.as_str().into());
            (format!("It was ended by the signal {name}. "), false)
        }
        CommandExit::TimedOut => {
            content.insert("timed_out".to_owned(), true.into());
            let error = ApiError::new(Code::Upstream, "the command was ended, since its time was over")
                .reason("timeout")
                .sent(Sent::Yes)
                .next("give a larger timeout_seconds, at most 600, or a command that takes less");
            (failure(error, content), true)
        }
    }
}

/// An error in the words of every other, for the heading and for the content.
fn failure(error: ApiError, content: &mut Map<String, Value>) -> String {
    let next: Vec<String> = error.next.iter().map(|next| fault::for_agent(next)).collect();
    if let Value::Object(fields) = fault::structured(&error, &next) {
        content.extend(fields);
    }
    format!("{}\n", fault::text(&error, &next))
}

/// Whether there is text to be shown.
fn show(
    name: &str,
    prefix: &str,
    written: &Written,
    content: &mut Map<String, Value>,
    blocks: &mut Vec<ContentBlock>,
    notes: &mut Vec<String>,
) -> bool {
    let size = written.size;
    match &written.body {
        Body::Short(bytes) => {
            let text = Shown::Inert.text(&String::from_utf8_lossy(bytes));
            let is_shown = !text.is_empty();
            if is_shown {
                blocks.push(ContentBlock::text(text.as_str()));
            }
            content.insert(name.to_owned(), text.into());
            is_shown
        }
        Body::Long { file, .. } if file.shown == Shown::Bytes => {
            notes.push(format!("Its {name} is no text: the {size} bytes are in the file."));
            attach(prefix, content, blocks, file, "application/octet-stream");
            false
        }
        Body::Long { head, file } => {
            let (piece, text) = Shown::Inert.fit(beginning(head).unwrap_or_default(), written.most);
            if let Some(cursor) = file.cursor(piece.len() as u64) {
                let shown = piece.len();
                notes.push(format!(
                    "Of its {name} these are the first {shown} of {size} bytes: kv_more with cursor {cursor} goes on, and the file has all."
                ));
                content.insert(format!("{prefix}cursor"), cursor.into());
            }
            blocks.push(ContentBlock::text(text.as_str()));
            content.insert(name.to_owned(), text.into());
            attach(prefix, content, blocks, file, "text/plain");
            true
        }
    }
}

/// Two blocks of somebody else's text must not be taken for each other.
fn order(out: bool, err: bool) -> Option<&'static str> {
    match (out, err) {
        (true, true) => Some("First comes its stdout, then its stderr."),
        (true, false) => Some("It is its stdout."),
        (false, true) => Some("It is its stderr."),
        (false, false) => None,
    }
}
