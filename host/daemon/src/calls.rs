//! The two verbs that call a service.

use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use kv_api::{ApiBody, AttachmentHead, CallRequest, RawCallRequest};
use kv_model::{Attachment, RawBody, RawRequest};

use crate::answer::{self, Answered};
use crate::fault::Fault;
use crate::pipeline::{self, Ask, What};
use crate::request;
use crate::route::Caller;
use crate::worker::Worker;

/// As many attachments as one call carries; no listed operation takes more than 16.
const MAX_ATTACHMENTS: usize = 16;

pub(crate) async fn typed(worker: &Worker, caller: Caller, request: Request<Incoming>) -> Result<Answered, Fault> {
    let (call, rest): (CallRequest, Bytes) = request::json_and_rest(request).await?;
    if !call.input.is_object() {
        return Err(Fault::usage("the input of a call is a JSON object").reason("schema"));
    }
    let attachments = attachments(call.attachments, rest)?;
    let what = What::Typed { operation: call.operation, input: call.input, attachments };
    let hold = Duration::from_millis(call.hold_ms);
    let ask = Ask { principal: caller.principal, connection: call.connection, most: call.most, hold, what };
    answer::reply(worker, pipeline::call(worker, ask).await?, caller.trailers)
}

pub(crate) async fn raw(worker: &Worker, caller: Caller, request: Request<Incoming>) -> Result<Answered, Fault> {
    let call: RawCallRequest = request::json(request).await?;
    let body = match call.body {
        ApiBody::None => RawBody::Empty,
        ApiBody::Json(value) => RawBody::Json(value),
        ApiBody::Bytes { media_type, data } => RawBody::Bytes { media_type, data: data.take().into() },
    };
    let raw = RawRequest { method: call.method, path: call.path, query: call.query, headers: call.headers, body };
    let (hold, what) = (Duration::from_millis(call.hold_ms), What::Raw(raw));
    let ask = Ask { principal: caller.principal, connection: call.connection, most: call.most, hold, what };
    answer::reply(worker, pipeline::call(worker, ask).await?, caller.trailers)
}

/// Cuts the attachments out of what follows the head. All of it must be accounted for.
fn attachments(heads: Vec<AttachmentHead>, mut rest: Bytes) -> Result<Vec<Attachment>, Fault> {
    if heads.len() > MAX_ATTACHMENTS {
        return Err(Fault::usage(format!("a call carries at most {MAX_ATTACHMENTS} attachments")));
    }
    let mut attachments: Vec<Attachment> = Vec::with_capacity(heads.len());
    for head in heads {
        let size = usize::try_from(head.size).unwrap_or(usize::MAX);
        if size > rest.len() {
            return Err(Fault::usage("the attachments are shorter than their heads say"));
        }
        if attachments.iter().any(|known| known.name == head.name) {
            return Err(Fault::usage("two attachments have the same name"));
        }
        attachments.push(Attachment { name: head.name, media_type: head.media_type, data: rest.split_to(size) });
    }
    if rest.is_empty() { Ok(attachments) } else { Err(Fault::usage("the body goes on after the last attachment")) }
}
