//! Of the world `http-provider`.

use super::{call_in, delivery_out, failure_out};
use crate::asked::{Answered, Asked, other_protocol};
use crate::engine::{self, Outgoing, Sending, Step};
use crate::export::bindings::http::exports::kv::provider::http as wire;
use crate::{Body, Failure, Part, PartContent, Payload, Provider, Response};

pub fn start(provider: &'static Provider, call: wire::Call) -> Result<wire::Step, wire::Failure> {
    engine::start(provider, call_in(call)).and_then(step_out).map_err(failure_out)
}

pub fn resume(
    provider: &'static Provider,
    call: wire::Call,
    state: &str,
    response: wire::Response,
) -> Result<wire::Step, wire::Failure> {
    let answered = Answered::Http(response_in(response));
    engine::resume(provider, call_in(call), state, answered).and_then(step_out).map_err(failure_out)
}

fn response_in(response: wire::Response) -> Response {
    let body = match response.body {
        wire::Payload::Text(text) => Payload::Text(text),
        wire::Payload::Bytes(bytes) => Payload::Bytes(bytes),
    };
    Response::new(response.status, response.headers, body)
}

fn step_out(step: Step) -> Result<wire::Step, Failure> {
    match step {
        Step::Done(text) => Ok(wire::Step::Done(text)),
        Step::Send(sending) => send_out(*sending).map(wire::Step::Send),
    }
}

fn send_out(Sending { outgoing, state }: Sending) -> Result<wire::Send, Failure> {
    let Outgoing { asked: Asked::Http(request), auth, effect, summary, repeatable, then, digest: _ } = outgoing else {
        return Err(other_protocol());
    };
    Ok(wire::Send {
        delivery: delivery_out(request.delivery, effect, summary, repeatable, then, state),
        request: wire::Request {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: body_out(request.body),
            auth,
        },
    })
}

fn body_out(body: Body) -> wire::Body {
    match body {
        Body::Attachment(name) => wire::Body::Attachment(name),
        Body::Bytes { media_type, data } => wire::Body::Bytes(wire::BytesBody { media_type, data }),
        Body::Empty => wire::Body::Empty,
        Body::Form(form) => wire::Body::Form(form.into_iter().collect()),
        Body::Json(text) => wire::Body::Json(text),
        Body::Multipart(multipart) => wire::Body::Multipart(multipart.into_parts().into_iter().map(part_out).collect()),
    }
}

fn part_out(part: Part) -> wire::Part {
    let content = match part.content {
        PartContent::Attachment(name) => wire::PartContent::Attachment(name),
        PartContent::Bytes { media_type, data } => wire::PartContent::Bytes(wire::BytesBody { media_type, data }),
        PartContent::Text(text) => wire::PartContent::Text(text),
    };
    wire::Part { name: part.name, filename: part.filename, content }
}
