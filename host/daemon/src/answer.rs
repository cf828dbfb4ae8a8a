//! Answers: JSON at once, or the service's own bytes as they stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER};
use hyper::{Response, StatusCode};
use kv_api::wire::{self, ErrorBody};
use kv_api::{ApiError, CommandExit, CommandLine, HiddenBytes};
use kv_egress::CommandChunk;
use kv_model::{CallId, Connection, Exit};
use serde::Serialize;

use crate::fault::Fault;
use crate::ongoing::{Answering, Cut, Source};
use crate::pipeline::{Forwarded, Reply, RunningCommand, how_ended};
use crate::worker::Worker;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, BrokenOff>>>>;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// With what an answer of a service needs, which the worker may take from it at any time. `true`: trailers are taken.
    Ongoing(Answering, bool),
    Stream(Frames),
    Whole(Option<Bytes>),
}

/// Ends a stream without a proper last chunk, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

pub(crate) type Answered = Response<AnswerBody>;

/// A JSON answer.
pub(crate) fn json(value: &impl Serialize) -> Result<Answered, Fault> {
    Ok(whole(wire::OUTCOME_RESULT, StatusCode::OK, serde_json::to_vec(value).map_err(Fault::broken)?))
}

/// An error, whatever it is.
pub(crate) fn error(fault: Fault) -> Answered {
    let error = fault.into_error();
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // An `ApiError` is plain data and always serialises; should that change, the status still tells.
    whole(wire::OUTCOME_ERROR, status, serde_json::to_vec(&ErrorBody::new(error)).unwrap_or_default())
}

/// What a call came to.
pub(crate) fn reply(worker: &Worker, reply: Reply, trailers: bool) -> Result<Answered, Fault> {
    match reply {
        Reply::Result { call, json } => {
            let mut answer = whole(wire::OUTCOME_RESULT, StatusCode::OK, json);
            answer.headers_mut().insert(wire::CALL_HEADER, call_value(call)?);
            Ok(answer)
        }
        Reply::Command(running) => command(worker, *running, trailers),
        Reply::Forwarded(forwarded) => forward(worker, *forwarded, trailers),
    }
}

/// Lines as they come.
pub(crate) fn lines(stream: impl Stream<Item = Bytes> + 'static) -> Answered {
    use futures_util::StreamExt;
    let frames = stream.map(|line| Ok(Frame::data(line)));
    told(AnswerBody::Stream(Box::pin(frames)))
}

/// Lines as they come, ended by a lock of the vault.
pub(crate) fn until_locked(worker: &Worker, source: impl Source + 'static, trailers: bool) -> Answered {
    let mut answer = told(AnswerBody::Ongoing(worker.ongoing.begin(Box::new(source), &worker.shared), trailers));
    name_trailer(&mut answer, trailers);
    answer
}

fn told(body: AnswerBody) -> Answered {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(wire::OUTCOME_HEADER, HeaderValue::from_static(wire::OUTCOME_RESULT));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    answer
}

fn whole(outcome: &'static str, status: StatusCode, body: impl Into<Bytes>) -> Answered {
    let mut answer = Response::new(AnswerBody::Whole(Some(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(wire::OUTCOME_HEADER, HeaderValue::from_static(outcome));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn forward(worker: &Worker, forwarded: Forwarded, trailers: bool) -> Result<Answered, Fault> {
    let (call, status) = (forwarded.call, forwarded.answer.status);
    let headers = serde_json::to_string(&forwarded.answer.headers).map_err(Fault::broken)?;
    let media_type =
        forwarded.answer.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.clone());
    let ongoing = worker.ongoing.begin(Box::new(forwarded), &worker.shared);
    let mut answer = Response::new(AnswerBody::Ongoing(ongoing, trailers));
    let put = |answer: &mut Answered, name: &'static str, value: &str| {
        HeaderValue::from_bytes(value.as_bytes()).map(|value| drop(answer.headers_mut().insert(name, value)))
    };
    put(&mut answer, wire::OUTCOME_HEADER, wire::OUTCOME_FORWARDED).map_err(Fault::broken)?;
    put(&mut answer, wire::STATUS_HEADER, &status.to_string()).map_err(Fault::broken)?;
    put(&mut answer, wire::HEADERS_HEADER, &ascii(&headers)).map_err(Fault::broken)?;
    answer.headers_mut().insert(wire::CALL_HEADER, call_value(call)?);
    name_trailer(&mut answer, trailers);
    if let Some(Ok(media_type)) = media_type.map(|text| HeaderValue::from_str(&text)) {
        answer.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    Ok(answer)
}

/// A command's output: a JSON object on each line, as it comes.
fn command(worker: &Worker, running: RunningCommand, trailers: bool) -> Result<Answered, Fault> {
    let call = call_value(running.call)?;
    let ongoing = worker.ongoing.begin(Box::new(running), &worker.shared);
    let mut answer = Response::new(AnswerBody::Ongoing(ongoing, trailers));
    answer.headers_mut().insert(wire::OUTCOME_HEADER, HeaderValue::from_static(wire::OUTCOME_COMMAND));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    answer.headers_mut().insert(wire::CALL_HEADER, call);
    name_trailer(&mut answer, trailers);
    Ok(answer)
}

fn name_trailer(answer: &mut Answered, trailers: bool) {
    if trailers {
        answer.headers_mut().insert(TRAILER, HeaderValue::from_static(wire::ERROR_TRAILER));
    }
}

/// JSON in ASCII, since it goes into a header.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for unit in json.chars() {
        if unit.is_ascii() {
            out.push(unit);
        } else {
            let mut units = [0; 2];
            for half in unit.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{half:04x}"));
            }
        }
    }
    out
}

/// A forwarded answer: its chunks, then the outcome.
impl Source for Forwarded {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let next = ready!(self.answer.body.poll_next(cx));
        self.outcome.progress(&self.answer.body);
        Poll::Ready(match next {
            Some(Ok(chunk)) => Some(Ok(chunk)),
            Some(Err(error)) => {
                self.outcome.finish(Some(error.code()));
                Some(Err(Fault::body(&error)))
            }
            None => {
                self.outcome.finish(None);
                None
            }
        })
    }

    fn cut(&mut self, cut: Cut) {
        self.outcome.progress(&self.answer.body);
        self.outcome.finish(Some(cut.code()));
    }

    fn connection(&self) -> Option<&Arc<Connection>> {
        Some(&self.connection)
    }
}

/// A command: its output, then how it ended.
impl Source for RunningCommand {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let next = ready!(self.answer.poll_next(cx));
        self.outcome.command(&self.answer, None);
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                if let CommandChunk::End { exit, truncated } = &chunk {
                    self.outcome.command(&self.answer, Some(exit));
                    self.outcome.finish(how_ended(exit, *truncated));
                }
                Some(line(&chunk))
            }
            Some(Err(error)) => {
                self.outcome.finish(Some(error.code()));
                Some(Err(Fault::body(&error)))
            }
            None => None,
        })
    }

    fn cut(&mut self, cut: Cut) {
        self.outcome.command(&self.answer, None);
        self.outcome.finish(Some(cut.code()));
    }

    fn connection(&self) -> Option<&Arc<Connection>> {
        Some(&self.connection)
    }

    fn jumps(&self) -> &[Arc<Connection>] {
        self.answer.jumps()
    }
}

fn line(chunk: &CommandChunk) -> Result<Bytes, Fault> {
    let line = match chunk {
        CommandChunk::Stdout(bytes) => CommandLine::Stdout { data: HiddenBytes::new(bytes.to_vec()) },
        CommandChunk::Stderr(bytes) => CommandLine::Stderr { data: HiddenBytes::new(bytes.to_vec()) },
        CommandChunk::End { exit, truncated } => CommandLine::End {
            exit: match exit {
                Exit::Code(code) => CommandExit::Code(*code),
                Exit::Signal(name) => CommandExit::Signal(name.clone()),
                Exit::TimedOut => CommandExit::TimedOut,
            },
            truncated: *truncated,
        },
    };
    let mut text = serde_json::to_vec(&line).map_err(Fault::broken)?;
    text.push(b'\n');
    Ok(text.into())
}

/// The last frame of an answer that does not end well: a trailer that says why, or an abort.
fn broken_off(error: &ApiError, trailers: bool) -> Result<Frame<Bytes>, BrokenOff> {
    if !trailers {
        return Err(BrokenOff);
    }
    let text = serde_json::to_string(error).unwrap_or_default();
    let mut map = HeaderMap::new();
    let value = HeaderValue::from_str(&ascii(&text)).map_err(|_| BrokenOff)?;
    map.insert(HeaderName::from_static(wire::ERROR_TRAILER), value);
    Ok(Frame::trailers(map))
}

impl AnswerBody {
    /// Its reader is not worth waiting for: what the answer holds is freed, and its outcome recorded.
    pub(crate) fn give_up(&self) {
        if let AnswerBody::Ongoing(ongoing, _) = self {
            ongoing.give_up();
        }
    }
}

fn call_value(call: CallId) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(&call.to_string()).map_err(Fault::broken)
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut *self {
            AnswerBody::Ongoing(ongoing, trailers) => {
                let next = ready!(ongoing.poll_next(context));
                Poll::Ready(next.map(|next| match next {
                    Ok(chunk) => Ok(Frame::data(chunk)),
                    Err(fault) => broken_off(fault.error(), *trailers),
                }))
            }
            AnswerBody::Stream(stream) => stream.as_mut().poll_next(context),
            AnswerBody::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Ongoing(..) | AnswerBody::Stream(_) => SizeHint::default(),
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, AnswerBody::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }
}
