//! How requests and answers are framed.
//!
//! A connection may rest between two requests for as long as the daemon runs. A head that has begun is waited for ten seconds, a
//! body sixty as a whole and ten for each next piece of it, and a reader that takes nothing of its answer sixty. A caller
//! that has closed its half of the connection after a request still gets the answer.
//!
//! Every request carries [`VERSION_HEADER`]. An agent's carries [`AGENT_HEADER`]. A body is JSON, except that a call with
//! attachments is the JSON head, whose length [`HEAD_LENGTH_HEADER`] gives, followed by the attachments' bytes in order.
//!
//! An answer carries [`OUTCOME_HEADER`]:
//!
//! | outcome | body |
//! |---|---|
//! | `result` | JSON: the result of a call, or the answer to a question about kv |
//! | `forwarded` | what the service answered, byte for byte but for redaction, as it streams; [`STATUS_HEADER`] has the service's status, [`HEADERS_HEADER`] its headers as a JSON array of pairs |
//! | `command` | what a command on another machine writes, as it comes: a [`CommandLine`](crate::CommandLine) on each line, the last of them its end |
//! | `error` | JSON: `{"v":1,"error":{..}}` |
//!
//! A forwarded body that breaks off ends with the trailer [`ERROR_TRAILER`] (JSON of the error) where the client asked
//! for trailers with `te: trailers`, and in any case without a proper last chunk or with too few bytes.

use serde::{Deserialize, Serialize};

use crate::ApiError;

pub const VERSION_HEADER: &str = "kv-api";
pub const AGENT_HEADER: &str = "kv-agent";
/// A code of the person's authenticator app, or a recovery code, with what gives more than there was: a connection made,
/// an operation allowed, a value handed out. Where a factor is enrolled, those are refused without it (`factor_required`).
pub const CODE_HEADER: &str = "kv-code";
pub const HEAD_LENGTH_HEADER: &str = "kv-head-length";
pub const OUTCOME_HEADER: &str = "kv-outcome";
pub const STATUS_HEADER: &str = "kv-status";
pub const HEADERS_HEADER: &str = "kv-headers";
pub const CALL_HEADER: &str = "kv-call";
pub const ERROR_TRAILER: &str = "kv-error";

pub const OUTCOME_RESULT: &str = "result";
pub const OUTCOME_FORWARDED: &str = "forwarded";
pub const OUTCOME_COMMAND: &str = "command";
pub const OUTCOME_ERROR: &str = "error";

/// As large as the JSON of a request may be: inputs are prompts, not files, and files go as attachments.
pub const MAX_JSON_BYTES: usize = 8 << 20;
/// As large as a request may be with its attachments.
pub const MAX_REQUEST_BYTES: usize = MAX_JSON_BYTES + kv_model::MAX_BODY_BYTES;

/// The body of an `error` answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    pub v: u32,
    pub error: ApiError,
}

impl ErrorBody {
    pub fn new(error: ApiError) -> Self {
        Self { v: crate::API_VERSION, error }
    }
}
