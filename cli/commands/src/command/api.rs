//! `kv api` and `kv call`: calls through a connection, their answers streamed to standard output.

use std::io::{IsTerminal, Read, Write};

use bytes::{Bytes, BytesMut};
use kv_api::{ApiBody, AttachmentHead, CallRequest, Code, HiddenBytes, RawCallRequest};
use kv_model::{ConnectionName, Effect, OperationName};
use serde_json::Value;

use super::{Context, connection, operation};
use crate::arguments::{Api, Call, CallOptions};
use crate::client::{Answer, Outcome, Request, full};
use crate::inert::Inert;
use crate::input;
use crate::output::{inert, write_out};
use crate::problem::Problem;

pub(super) async fn api(context: &Context, arguments: Api) -> Result<(), Problem> {
    let mut headers = arguments.headers;
    let body = match (&arguments.data, &arguments.data_raw) {
        (Some(data), _) => ApiBody::Json(input::json(data)?),
        (None, Some(raw)) => {
            let at = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            let media_type = at.map_or("application/octet-stream".to_owned(), |at| headers.remove(at).1);
            ApiBody::Bytes { media_type, data: HiddenBytes::new(input::bytes(raw)?) }
        }
        (None, None) => ApiBody::None,
    };
    let call = RawCallRequest {
        connection: connection::parse(&arguments.connection)?,
        method: arguments.method.to_ascii_uppercase(),
        path: arguments.path,
        query: arguments.query,
        headers,
        body,
        most: Effect::Grant,
        hold_ms: arguments.hold.ms(),
    };
    let mut client = context.agent().await?;
    let answer = client.send(Request::post("/v1/api", &call)?.agent(&arguments.agent)).await?;
    show(answer, arguments.include).await
}

pub(super) async fn call(context: &Context, arguments: Call) -> Result<(), Problem> {
    let operation = OperationName::parse(&arguments.operation).map_err(|error| Problem::usage(error.to_string()))?;
    carry_out(context, connection::parse(&arguments.connection)?, operation, arguments.input, arguments.call).await
}

/// `kv operation call CONNECTION/OPERATION`
pub(super) async fn call_operation(
    context: &Context,
    name: &str,
    input: Option<String>,
    options: CallOptions,
) -> Result<(), Problem> {
    let (connection, operation) = operation::split(name)?;
    carry_out(context, connection, operation, input, options).await
}

async fn carry_out(
    context: &Context,
    connection: ConnectionName,
    operation: OperationName,
    input: Option<String>,
    options: CallOptions,
) -> Result<(), Problem> {
    let input = match input {
        Some(text) => input::json(&text)?,
        None => Value::Object(Default::default()),
    };
    let (heads, data) = attachments(&options.attach)?;
    let hold_ms = options.hold.ms();
    let call = CallRequest { connection, operation, input, most: Effect::Grant, hold_ms, attachments: heads };
    let request = with_attachments(&call, data)?.agent(&options.agent);
    let mut client = context.agent().await?;
    let answer = client.send(request).await?;
    show(answer, options.include).await
}

/// The call as JSON, the attachments after it.
pub(super) fn with_attachments(call: &CallRequest, attachments: Vec<Bytes>) -> Result<Request, Problem> {
    let head = serde_json::to_vec(call).map_err(|error| Problem::failed(error.to_string()))?;
    let mut body = BytesMut::from(head.as_slice());
    attachments.iter().for_each(|data| body.extend_from_slice(data));
    Ok(Request { method: "POST", body: full(body.freeze()), head_length: Some(head.len()), ..Request::get("/v1/call") })
}

fn attachments(given: &[(String, String)]) -> Result<(Vec<AttachmentHead>, Vec<Bytes>), Problem> {
    let mut heads = Vec::new();
    let mut contents = Vec::new();
    for (name, path) in given {
        let (head, data) = attachment(name, path)?;
        heads.push(head);
        contents.push(data);
    }
    Ok((heads, contents))
}

/// A file as an attachment; its type by its name.
pub(super) fn attachment(name: &str, path: &str) -> Result<(AttachmentHead, Bytes), Problem> {
    let error = |error: std::io::Error| Problem::usage(format!("{path}: {error}"));
    let limit = kv_model::MAX_BODY_BYTES as u64;
    let mut data = Vec::new();
    // Bounded by what is read, not by what the file says of itself: a device says nothing.
    std::fs::File::open(path).map_err(error)?.take(limit + 1).read_to_end(&mut data).map_err(error)?;
    if data.len() as u64 > limit {
        return Err(Problem::usage(format!("{path} is over {limit} bytes, more than one call carries")));
    }
    let data = Bytes::from(data);
    let head =
        AttachmentHead { name: name.to_owned(), media_type: media_type(path).to_owned(), size: data.len() as u64 };
    Ok((head, data))
}

fn media_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase());
    match extension.as_str() {
        "csv" => "text/csv",
        "flac" => "audio/flac",
        "gif" => "image/gif",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "jsonl" => "application/jsonl",
        "m4a" => "audio/mp4",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "ogg" => "audio/ogg",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" => "text/plain",
        "wav" => "audio/wav",
        "webm" => "audio/webm",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}

/// Prints the answer as it comes. A status from 400 on ends in an error, after the body. A pipe or a file gets the bytes as
/// they are; on a terminal they steer nothing.
async fn show(mut answer: Answer, include: bool) -> Result<(), Problem> {
    let (status, is_json) = match &answer.outcome {
        Outcome::Forwarded { status, headers } => {
            if include {
                let mut text = format!("HTTP {status}\n");
                headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {}\n", inert(value))));
                text.push('\n');
                write(text.as_bytes())?;
            }
            (*status, is_json(headers))
        }
        Outcome::Command | Outcome::Result => (200, true),
    };
    let mut screen = std::io::stdout().is_terminal().then(|| Screen::new(is_json));
    while let Some(chunk) = answer.next().await? {
        match &mut screen {
            Some(screen) => write(screen.take(&chunk).as_bytes())?,
            None => write(&chunk)?,
        }
    }
    if let Some(screen) = screen {
        write(screen.end().as_bytes())?;
    }
    if status < 400 {
        return Ok(());
    }
    Err(kv_api::ApiError::new(Code::Upstream, format!("the service answered {status}")).sent(kv_api::Sent::Yes).into())
}

fn is_json(headers: &[(String, String)]) -> bool {
    let media_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    media_type.is_some_and(|(_, value)| {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(essence.as_str(), "application/json" | "application/x-ndjson" | "application/jsonl")
            || essence.ends_with("+json")
    })
}

/// What a service sent on its way to a terminal, whose next prompt begins a line.
struct Screen {
    inert: Inert,
    is_open: bool,
}

impl Screen {
    fn new(is_json: bool) -> Self {
        Self { inert: if is_json { Inert::json() } else { Inert::default() }, is_open: false }
    }

    fn take(&mut self, chunk: &[u8]) -> String {
        let text = self.inert.take(chunk);
        self.note(&text);
        text
    }

    fn end(mut self) -> String {
        let mut text = self.inert.end();
        self.note(&text);
        if self.is_open {
            text.push('\n');
        }
        text
    }

    fn note(&mut self, text: &str) {
        if !text.is_empty() {
            self.is_open = !text.ends_with('\n');
        }
    }
}

fn write(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    write_out(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

#[cfg(test)]
mod tests {
    use super::{Screen, is_json};

    #[test]
    fn a_service_cannot_steer_the_terminal() {
        let mut screen = Screen::new(false);
        let shown = screen.take("a\u{1b}[2J\u{9b}2J\u{202e}\r\n\té\u{200b}".as_bytes()) + &screen.end();
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}2J\u{fffd}\n\té\u{fffd}\n");
        let mut screen = Screen::new(true);
        let json = "{\"a\":\"\u{9b}2J\u{202e}\"}\n";
        let (first, rest) = json.as_bytes().split_at(7);
        assert_eq!(screen.take(first) + &screen.take(rest) + &screen.end(), "{\"a\":\"\\u009b2J\\u202e\"}\n");
    }

    #[test]
    fn what_is_json() {
        let of = |value: &str| is_json(&[("Content-Type".to_owned(), value.to_owned())]);
        assert!(of("application/json") && of("Application/Problem+JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("audio/mpeg") && !is_json(&[]));
    }
}
