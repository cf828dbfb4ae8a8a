//! Generated types in, our types on, generated types out: what the worlds share. Each world's own are in a file of its
//! name.

pub mod http;
pub mod sql;
pub mod ssh;

use super::bindings::http::kv::provider::types;
use crate::delivery::Delivery;
use crate::engine::Then;
use crate::{Attachment, Call, Effect, Failure, FailureKind};

fn call_in(call: types::Call) -> Call {
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

fn delivery_out(
    delivery: Delivery,
    effect: Effect,
    summary: String,
    repeatable: bool,
    then: Then,
    state: Option<String>,
) -> types::Delivery {
    let state = state.unwrap_or_default();
    types::Delivery {
        effect: effect_out(effect),
        summary,
        repeatable,
        delay_ms: delivery.delay_ms,
        then: match then {
            Then::Forward => types::Next::Forward,
            Then::ForwardSuccess => types::Next::ForwardSuccess(state),
            Then::Resume => types::Next::Resume(state),
        },
        options: delivery.options,
    }
}

fn effect_out(effect: Effect) -> types::Effect {
    match effect {
        Effect::Read => types::Effect::Read,
        Effect::Write => types::Effect::Write,
        Effect::Destroy => types::Effect::Destroy,
        Effect::Grant => types::Effect::Grant,
    }
}

fn failure_out(failure: Failure) -> types::Failure {
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
    types::Failure {
        kind,
        message: failure.message,
        field: failure.field,
        code: failure.code,
        retry_after_ms: failure.retry_after_ms,
    }
}
