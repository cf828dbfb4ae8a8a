//! Where a guest's values become the host's: everything that a guest says is distrusted here, and nowhere else.
//!
//! What comes out is bounded in size and inert to look at. It is not yet a request that may go out: endpoint, headers,
//! encoding and effect are judged by [`kv_model::HttpRequest`], which trusts nobody either.

#[cfg(test)]
mod tests;

use kv_model::{
    Body, Call, CommandLine, CommandOutput, CommandParts, Delivery, Effect, Exit, Failure, FailureKind, HttpResponse,
    MAX_HEADERS, MAX_PATH_BYTES, MAX_QUERY_BYTES, MAX_QUERY_PAIRS, MAX_SEGMENTS, Next, Part, PartContent, Parts,
    Payload, RequestParts, SqlResponse, StatementParts, Step,
};

use crate::bindings::http::exports::kv::provider::http as guest;
use crate::bindings::http::kv::provider::types;
use crate::bindings::sql::exports::kv::provider::sql as guest_sql;
use crate::bindings::ssh::exports::kv::provider::ssh as guest_ssh;
use crate::error::StepError;
use crate::text;

/// As `types.wit` promises. Kept by the host for as long as a person takes to approve.
const MAX_STATE_BYTES: usize = 1 << 20;
/// A result goes to an agent, whose context it fills; larger ones belong in a forwarded answer, which is not copied.
const MAX_RESULT_BYTES: usize = 4 << 20;
/// As deep as a result may nest: the host's own bound on JSON, so that whoever reads it next can.
const MAX_RESULT_DEPTH: usize = kv_model::json::MAX_DEPTH;
/// A summary is one line on a person's screen.
const MAX_SUMMARY_CHARS: usize = 200;
/// A failure is read by an agent or a person; services' own messages stay under 500.
const MAX_MESSAGE_CHARS: usize = 2000;
const MAX_FIELD_BYTES: usize = 256;
const MAX_CODE_BYTES: usize = 100;
/// A wait between two polls. A longer one belongs to the caller, who can see it.
const MAX_DELAY_MS: u32 = 60_000;
/// A day: what is longer tells a caller no more.
const MAX_RETRY_AFTER_MS: u64 = 24 * 60 * 60 * 1000;
/// The longest method there is has seven letters.
const MAX_METHOD_BYTES: usize = 16;
const MAX_HEADER_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 256;
/// As many schemes as a request may name; a manifest's most elaborate has three.
const MAX_AUTH: usize = 8;
/// As many pairs as a form may have, nested keys each counting: Stripe's largest forms have some 500.
const MAX_FORM_PAIRS: usize = 5000;
const MAX_PARTS: usize = 64;

/// The answer to a step of a guest that speaks HTTP.
pub(crate) fn http_step(step: guest::Step) -> Result<Step, StepError> {
    Ok(match step {
        guest::Step::Done(result) => Step::Done(json_text(result)?),
        guest::Step::Send(guest::Send { request: parts, delivery: how }) => {
            no_options(&how)?;
            Step::Send { request: Parts::Http(request(parts)?), delivery: delivery(how)? }
        }
    })
}

/// The answer to a step of a guest that speaks SQL.
pub(crate) fn sql_step(step: guest_sql::Step) -> Result<Step, StepError> {
    Ok(match step {
        guest_sql::Step::Done(result) => Step::Done(json_text(result)?),
        guest_sql::Step::Send(guest_sql::Send { statement, delivery: how }) => {
            let (max_changes, preview) = statement_options(&how.options)?;
            let guest_sql::Statement { text, params, max_rows } = statement;
            let parts = StatementParts { text, params, max_rows, max_changes, preview };
            Step::Send { request: Parts::Sql(parts), delivery: delivery(how)? }
        }
    })
}

/// The answer to a step of a guest that runs commands.
pub(crate) fn ssh_step(step: guest_ssh::Step) -> Result<Step, StepError> {
    Ok(match step {
        guest_ssh::Step::Done(result) => Step::Done(json_text(result)?),
        guest_ssh::Step::Send(guest_ssh::Send { command, delivery: how }) => {
            no_options(&how)?;
            let line = match command.line {
                guest_ssh::CommandLine::Argv(argv) => CommandLine::Argv(argv),
                guest_ssh::CommandLine::Shell(text) => CommandLine::Shell(text),
            };
            let guest_ssh::Command { stdin, timeout_ms, max_output, .. } = command;
            let parts = CommandParts { line, stdin, timeout_ms, max_output };
            Step::Send { request: Parts::Ssh(parts), delivery: delivery(how)? }
        }
    })
}

/// The options that a statement's delivery may have: `max-changes` with a count, and `preview`.
fn statement_options(options: &[(String, String)]) -> Result<(Option<u64>, bool), StepError> {
    let (mut max_changes, mut preview) = (None, false);
    for (name, value) in options {
        match (name.as_str(), value.as_str()) {
            ("max-changes", count) => {
                let count = count.parse().map_err(|_| StepError::Malformed("a `max-changes` that is no count"))?;
                max_changes = Some(count);
            }
            ("preview", "true") => preview = true,
            ("preview", _) => return Err(StepError::Malformed("a `preview` that is not `true`")),
            _ => return Err(unknown_option(name)),
        }
    }
    Ok((max_changes, preview))
}

fn no_options(delivery: &types::Delivery) -> Result<(), StepError> {
    delivery.options.first().map_or(Ok(()), |(name, _)| Err(unknown_option(name)))
}

fn unknown_option(name: &str) -> StepError {
    StepError::UnknownOption(text::one_line(name, 40))
}

/// A guest's failure. It is one whatever its details are, so what is wrong with those is left out.
pub(crate) fn failure(failure: types::Failure) -> Failure {
    let field = failure.field.filter(|field| is_pointer(field));
    let code = failure.code.filter(|code| is_code(code));
    Failure {
        kind: kind(failure.kind),
        message: text::few_lines(&failure.message, MAX_MESSAGE_CHARS),
        field,
        code,
        retry_after_ms: failure.retry_after_ms.map(|ms| ms.min(MAX_RETRY_AFTER_MS)),
    }
}

fn kind(kind: types::FailureKind) -> FailureKind {
    match kind {
        types::FailureKind::InvalidInput => FailureKind::InvalidInput,
        types::FailureKind::Unauthorized => FailureKind::Unauthorized,
        types::FailureKind::Forbidden => FailureKind::Forbidden,
        types::FailureKind::NotFound => FailureKind::NotFound,
        types::FailureKind::Conflict => FailureKind::Conflict,
        types::FailureKind::RateLimited => FailureKind::RateLimited,
        types::FailureKind::Unavailable => FailureKind::Unavailable,
        types::FailureKind::Upstream => FailureKind::Upstream,
        types::FailureKind::Internal => FailureKind::Internal,
    }
}

/// A JSON pointer that can stand in a message.
fn is_pointer(field: &str) -> bool {
    (field.is_empty() || field.starts_with('/'))
        && field.len() <= MAX_FIELD_BYTES
        && text::one_line(field, MAX_FIELD_BYTES) == field
}

/// Services name their errors in visible ASCII.
fn is_code(code: &str) -> bool {
    !code.is_empty() && code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_graphic())
}

fn json_text(result: String) -> Result<String, StepError> {
    limit(result.len(), MAX_RESULT_BYTES, "a result over 4 MiB")?;
    if depth(&result) > MAX_RESULT_DEPTH {
        return Err(StepError::Malformed("a result that nests too deep"));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&result) {
        Ok(_) => Ok(result),
        Err(_) => Err(StepError::Malformed("a result that is not JSON")),
    }
}

/// How deep brackets nest outside of strings.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn delivery(delivery: types::Delivery) -> Result<Delivery, StepError> {
    if delivery.delay_ms > MAX_DELAY_MS {
        return Err(StepError::Malformed("a delay over 60 s"));
    }
    Ok(Delivery {
        effect: match delivery.effect {
            types::Effect::Read => Effect::Read,
            types::Effect::Write => Effect::Write,
            types::Effect::Destroy => Effect::Destroy,
            types::Effect::Grant => Effect::Grant,
        },
        summary: text::one_line(&delivery.summary, MAX_SUMMARY_CHARS),
        repeatable: delivery.repeatable,
        delay_ms: delivery.delay_ms,
        next: match delivery.then {
            types::Next::Forward => Next::Forward,
            types::Next::ForwardSuccess(state) => Next::ForwardSuccess(kept(state)?),
            types::Next::Resume(state) => Next::Resume(kept(state)?),
        },
    })
}

fn kept(state: String) -> Result<String, StepError> {
    limit(state.len(), MAX_STATE_BYTES, "a state over 1 MiB")?;
    Ok(state)
}

fn request(request: guest::Request) -> Result<RequestParts, StepError> {
    limit(request.method.len(), MAX_METHOD_BYTES, "a method over 16 bytes")?;
    limit(request.path.len(), MAX_SEGMENTS, "too many path segments")?;
    limit(request.path.iter().map(String::len).sum(), MAX_PATH_BYTES, "a path over 4096 bytes")?;
    limit(request.query.len(), MAX_QUERY_PAIRS, "too many query pairs")?;
    limit(sum(&request.query), MAX_QUERY_BYTES, "a query over 16 KiB")?;
    limit(request.headers.len(), MAX_HEADERS, "too many headers")?;
    limit(longest(&request.headers), MAX_HEADER_BYTES, "a header over 4096 bytes")?;
    limit(request.auth.len(), MAX_AUTH, "too many schemes")?;
    limit(request.auth.iter().map(String::len).max().unwrap_or(0), MAX_NAME_BYTES, "a scheme's name over 256 bytes")?;
    Ok(RequestParts {
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: body(request.body)?,
        auth: request.auth,
    })
}

fn body(body: guest::Body) -> Result<Body, StepError> {
    Ok(match body {
        guest::Body::Attachment(name) => Body::Attachment(short(name)?),
        guest::Body::Bytes(bytes) => Body::Bytes { media_type: short(bytes.media_type)?, data: bytes.data },
        guest::Body::Empty => Body::Empty,
        guest::Body::Form(pairs) => {
            limit(pairs.len(), MAX_FORM_PAIRS, "too many pairs in a form")?;
            Body::Form(pairs)
        }
        guest::Body::Json(text) => Body::Json(text),
        guest::Body::Multipart(parts) => {
            limit(parts.len(), MAX_PARTS, "too many parts in a body")?;
            Body::Multipart(parts.into_iter().map(part).collect::<Result<_, _>>()?)
        }
    })
}

fn part(part: guest::Part) -> Result<Part, StepError> {
    Ok(Part {
        name: short(part.name)?,
        filename: part.filename.map(short).transpose()?,
        content: match part.content {
            guest::PartContent::Attachment(name) => PartContent::Attachment(short(name)?),
            guest::PartContent::Bytes(bytes) => {
                PartContent::Bytes { media_type: short(bytes.media_type)?, data: bytes.data }
            }
            guest::PartContent::Text(text) => PartContent::Text(text),
        },
    })
}

fn short(name: String) -> Result<String, StepError> {
    limit(name.len(), MAX_NAME_BYTES, "a name or media type over 256 bytes")?;
    Ok(name)
}

fn sum(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn longest(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len().max(value.len())).max().unwrap_or(0)
}

fn limit(size: usize, most: usize, what: &'static str) -> Result<(), StepError> {
    if size > most { Err(StepError::Malformed(what)) } else { Ok(()) }
}

/// A call as a guest gets it. The guest learns of attachments, and does not get them.
pub(crate) struct CallView<'a> {
    call: &'a Call,
    id: String,
    settings: Vec<(&'a str, &'a str)>,
    attachments: Vec<types::Attachment<'a>>,
}

impl<'a> CallView<'a> {
    pub(crate) fn of(call: &'a Call) -> Self {
        let attachment = |one: &'a kv_model::Attachment| types::Attachment {
            name: &one.name,
            media_type: &one.media_type,
            size: one.data.len() as u64,
        };
        Self {
            call,
            id: call.id.to_string(),
            settings: call.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            attachments: call.attachments.iter().map(attachment).collect(),
        }
    }

    pub(crate) fn lowered(&self) -> types::Call<'_> {
        types::Call {
            id: &self.id,
            operation: self.call.operation.as_str(),
            input: &self.call.input,
            settings: &self.settings,
            now_ms: self.call.now_ms,
            attachments: &self.attachments,
            context: &[],
        }
    }
}

/// A response as a guest gets it.
pub(crate) struct ResponseView<'a> {
    response: &'a HttpResponse,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> ResponseView<'a> {
    pub(crate) fn of(response: &'a HttpResponse) -> Self {
        let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { response, headers }
    }

    pub(crate) fn lowered(&self) -> guest::Response<'_> {
        guest::Response {
            status: self.response.status,
            headers: &self.headers,
            body: match &self.response.body {
                Payload::Bytes(bytes) => guest::Payload::Bytes(bytes),
                Payload::Text(text) => guest::Payload::Text(text),
            },
        }
    }
}

/// A database's answer as a guest gets it.
pub(crate) struct RowsView<'a> {
    response: &'a SqlResponse,
    columns: Vec<guest_sql::Column<'a>>,
    rows: Vec<&'a str>,
}

impl<'a> RowsView<'a> {
    pub(crate) fn of(response: &'a SqlResponse) -> Self {
        let rows = response.as_ref().ok();
        let columns = rows.iter().flat_map(|rows| &rows.columns);
        Self {
            response,
            columns: columns
                .map(|column| guest_sql::Column { name: &column.name, type_name: &column.type_name })
                .collect(),
            rows: rows.iter().flat_map(|rows| &rows.rows).map(String::as_str).collect(),
        }
    }

    pub(crate) fn lowered(&self) -> guest_sql::Response<'_> {
        match self.response {
            Ok(rows) => Ok(guest_sql::Rows {
                columns: &self.columns,
                rows: &self.rows,
                affected: rows.affected,
                truncated: rows.truncated,
            }),
            Err(error) => {
                Err(guest_sql::SqlError { code: &error.code, message: &error.message, position: error.position })
            }
        }
    }
}

/// A command's output as a guest gets it.
pub(crate) fn output_view(output: &CommandOutput) -> guest_ssh::Output<'_> {
    guest_ssh::Output {
        exit: match &output.exit {
            Exit::Code(code) => guest_ssh::Exit::Code(*code),
            Exit::Signal(name) => guest_ssh::Exit::Signal(name),
            Exit::TimedOut => guest_ssh::Exit::TimedOut,
        },
        stdout: &output.stdout,
        stderr: &output.stderr,
        truncated: output.truncated,
    }
}
