//! Generated types in, our types on, generated types out.

use super::bindings::exports::kv::provider::http as wire;
use super::bindings::kv::provider::types;
use crate::engine::{self, Outgoing, Sending, Step, Then};
use crate::{Attachment, Body, Call, Effect, Failure, FailureKind, Part, PartContent, Payload, Provider, Response};

#[doc(hidden)]
pub fn guest_start(provider: &'static Provider, call: wire::Call) -> Result<wire::Step, wire::Failure> {
    engine::start(provider, call_in(call)).map(step_out).map_err(failure_out)
}

#[doc(hidden)]
pub fn guest_resume(
    provider: &'static Provider,
    call: wire::Call,
    state: String,
    response: wire::Response,
) -> Result<wire::Step, wire::Failure> {
    engine::resume(provider, call_in(call), &state, response_in(response)).map(step_out).map_err(failure_out)
}

fn call_in(call: wire::Call) -> Call {
    let attachment = |a: types::Attachment| Attachment { name: a.name, media_type: a.media_type, size: a.size };
    Call {
        id: call.id,
        operation: call.operation,
        input: call.input,
        settings: call.settings,
        now_ms: call.now_ms,
        attachments: call.attachments.into_iter().map(attachment).collect(),
        context: call.context,
    }
}

fn response_in(response: wire::Response) -> Response {
    let body = match response.body {
        wire::Payload::Text(text) => Payload::Text(text),
        wire::Payload::Bytes(bytes) => Payload::Bytes(bytes),
    };
    Response::new(response.status, response.headers, body)
}

fn step_out(step: Step) -> wire::Step {
    match step {
        Step::Done(text) => wire::Step::Done(text),
        Step::Send(sending) => wire::Step::Send(send_out(*sending)),
    }
}

fn send_out(Sending { outgoing, state }: Sending) -> wire::Send {
    let Outgoing { request, auth, effect, summary, repeatable, then, digest: _ } = outgoing;
    let state = state.unwrap_or_default();
    wire::Send {
        request: wire::Request {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: body_out(request.body),
            auth,
        },
        delivery: types::Delivery {
            effect: effect_out(effect),
            summary,
            repeatable,
            delay_ms: request.delay_ms,
            then: match then {
                Then::Forward => types::Next::Forward,
                Then::ForwardSuccess => types::Next::ForwardSuccess(state),
                Then::Resume => types::Next::Resume(state),
            },
            options: request.options,
        },
    }
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

fn effect_out(effect: Effect) -> types::Effect {
    match effect {
        Effect::Read => types::Effect::Read,
        Effect::Write => types::Effect::Write,
        Effect::Destroy => types::Effect::Destroy,
        Effect::Grant => types::Effect::Grant,
    }
}

fn failure_out(failure: Failure) -> wire::Failure {
    let kind = match failure.kind {
        FailureKind::Conflict => types::FailureKind::Conflict,
        FailureKind::Forbidden => types::FailureKind::Forbidden,
        FailureKind::Internal => types::FailureKind::Internal,
        FailureKind::InvalidInput => types::FailureKind::InvalidInput,
        FailureKind::NotFound => types::FailureKind::NotFound,
        FailureKind::RateLimited => types::FailureKind::RateLimited,
        FailureKind::Unauthorized => types::FailureKind::Unauthorized,
        FailureKind::Unavailable => types::FailureKind::Unavailable,
        FailureKind::Upstream => types::FailureKind::Upstream,
    };
    wire::Failure {
        kind,
        message: failure.message,
        field: failure.field,
        code: failure.code,
        retry_after_ms: failure.retry_after_ms,
    }
}
