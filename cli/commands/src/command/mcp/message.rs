//! What one line of input may be, and what it is answered when it is something else.
//!
//! The protocol's library would drop a line that is no JSON without a word, take a key twice, and mix up two calls with
//! one id. So each line is read here first, by the reader that the daemon uses too.

use std::collections::{HashSet, VecDeque};

use kv_model::json;
use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorCode, ErrorData, GetMeta, JsonRpcMessage, ProtocolVersion, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde::Deserialize;
use serde_json::{Map, Value};

/// As long as a line may be: the largest JSON that the daemon takes in one call, and room for the envelope around it.
pub(super) const MAX_LINE: usize = kv_api::wire::MAX_JSON_BYTES + (64 << 10);
/// As many values as a message may hold. Each takes up to 80 bytes in memory, whatever it takes on the line, so 8 MiB of
/// `[0,0,..]` would otherwise become 300 MiB.
const MAX_VALUES: usize = 1 << 18;
/// As many requests as may be under way. Agents run a handful at once.
const MAX_CALLS: usize = 64;
/// As many cancelled ids as are remembered: none of them may come again while its call might still be ending.
const MAX_CANCELLED: usize = 1024;
/// As long as an id may be. Clients count, or use a UUID.
const MAX_ID: usize = 256;

/// What becomes of a line.
pub(super) enum Admitted {
    Message(Box<RxJsonRpcMessage<RoleServer>>),
    Nothing,
    /// The line that answers it.
    Refused(Vec<u8>),
}

/// What is known of a session from its lines.
#[derive(Default)]
pub(super) struct Session {
    /// The client has said which era it speaks. The library gives the session up if anything but a request comes earlier.
    open: bool,
    initialized: bool,
    under_way: HashSet<RequestId>,
    cancelled: VecDeque<RequestId>,
}

impl Session {
    pub(super) fn admit(&mut self, line: &[u8]) -> Admitted {
        if values(line) > MAX_VALUES {
            return refused(None, ErrorCode::INVALID_REQUEST, format!("the message holds over {MAX_VALUES} values"));
        }
        let value = match json::parse(line, MAX_LINE) {
            Ok(value) => value,
            Err(error) => return refused(None, ErrorCode::PARSE_ERROR, error.to_string()),
        };
        let Value::Object(object) = value else {
            return refused(None, ErrorCode::INVALID_REQUEST, "a message is one JSON object; batches are not taken");
        };
        if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return refused(None, ErrorCode::INVALID_REQUEST, "the message does not say `\"jsonrpc\":\"2.0\"`");
        }
        let Some(method) = object.get("method") else {
            // kv asks the client nothing, so an answer belongs to nothing.
            return match object.contains_key("result") || object.contains_key("error") {
                true => Admitted::Nothing,
                false => refused(None, ErrorCode::INVALID_REQUEST, "the message has no method"),
            };
        };
        let Some(method) = method.as_str().map(str::to_owned) else {
            return refused(None, ErrorCode::INVALID_REQUEST, "the method is no string");
        };
        match object.get("id") {
            None => self.notification(object),
            Some(id) => match RequestId::deserialize(id).ok().filter(short) {
                Some(id) => self.request(id, &method, object),
                None => refused(None, ErrorCode::INVALID_REQUEST, "the id is neither an integer nor a short string"),
            },
        }
    }

    pub(super) fn too_long(&self) -> Admitted {
        refused(
            None,
            ErrorCode::INVALID_REQUEST,
            format!("the message is over {MAX_LINE} bytes; send files as attachments of kv_write"),
        )
    }

    fn request(&mut self, id: RequestId, method: &str, object: Map<String, Value>) -> Admitted {
        if self.under_way.contains(&id) || self.cancelled.contains(&id) {
            // Without the id: with it, this would be taken for the answer to the call that has it.
            return refused(None, ErrorCode::INVALID_REQUEST, format!("the id {id} is in use"));
        }
        if self.under_way.len() >= MAX_CALLS {
            return refused(
                Some(id),
                ErrorCode(-32000),
                format!("{MAX_CALLS} requests are under way; wait for one of them"),
            );
        }
        let Ok(message) = serde_json::from_value::<RxJsonRpcMessage<RoleServer>>(Value::Object(object)) else {
            return refused(
                Some(id),
                ErrorCode::INVALID_PARAMS,
                format!("the parameters of `{}` are not understood", shown(method)),
            );
        };
        let JsonRpcMessage::Request(request) = &message else {
            return refused(Some(id), ErrorCode::INVALID_REQUEST, "the message is no request");
        };
        match &request.request {
            ClientRequest::InitializeRequest(_) if self.initialized => {
                return refused(Some(id), ErrorCode::INVALID_REQUEST, "the session is initialized already");
            }
            ClientRequest::InitializeRequest(_) => (self.initialized, self.open) = (true, true),
            ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_) => {}
            other => self.open |= other.get_meta().missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty(),
        }
        self.under_way.insert(id);
        Admitted::Message(Box::new(message))
    }

    fn notification(&mut self, object: Map<String, Value>) -> Admitted {
        // A notification has no answer, so a strange one is passed over.
        let Ok(message) = serde_json::from_value::<RxJsonRpcMessage<RoleServer>>(Value::Object(object)) else {
            return Admitted::Nothing;
        };
        let JsonRpcMessage::Notification(notification) = &message else { return Admitted::Nothing };
        if !self.open {
            return Admitted::Nothing;
        }
        if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(id) = &cancelled.params.request_id
            && self.under_way.remove(id)
        {
            if self.cancelled.len() >= MAX_CANCELLED {
                self.cancelled.pop_front();
            }
            self.cancelled.push_back(id.clone());
        }
        Admitted::Message(Box::new(message))
    }

    /// Takes note of an answer on its way out.
    pub(super) fn answered(&mut self, message: &TxJsonRpcMessage<RoleServer>) {
        let id = match message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        if let Some(id) = id {
            self.under_way.remove(id);
        }
    }
}

fn refused(id: Option<RequestId>, code: ErrorCode, message: impl Into<String>) -> Admitted {
    let error = ServerJsonRpcMessage::error(ErrorData::new(code, message.into(), None), id);
    match serde_json::to_vec(&error) {
        Ok(line) => Admitted::Refused(line),
        Err(_) => Admitted::Nothing,
    }
}

fn short(id: &RequestId) -> bool {
    match id {
        RequestId::Number(_) => true,
        RequestId::String(text) => text.len() <= MAX_ID,
    }
}

fn shown(method: &str) -> String {
    crate::output::inert(&method.chars().take(80).collect::<String>())
}

/// How many values a line can hold, from its punctuation.
fn values(line: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}
