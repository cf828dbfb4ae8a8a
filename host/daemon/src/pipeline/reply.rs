//! What egress brings back, and what becomes of it: a stream for the caller, or a whole answer for the provider.

use std::sync::Arc;

use kv_egress::{Answer, CommandAnswer, Queried};
use kv_model::{CallId, Connection, Exit, HttpResponse, Payload, Response, Rows};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{InFlight, OutcomeGuard};
use crate::budget::Account;
use crate::fault::Fault;

/// As much of an answer as is handed to a provider. A larger one fails the call: what a provider reads it reads whole.
const MAX_RESUME_BYTES: usize = 8 << 20;

/// What a caller gets.
pub(crate) enum Reply {
    /// A command's output, as it comes.
    Command(Box<Running>),
    /// The service's answer, as it streams. The outcome is recorded when it ends or is dropped.
    Forwarded(Box<Forwarded>),
    /// The provider's result, as JSON.
    Result { call: CallId, json: String },
}

pub(crate) struct Forwarded {
    pub(crate) call: CallId,
    pub(crate) connection: Arc<Connection>,
    pub(crate) answer: Answer,
    pub(crate) outcome: OutcomeGuard,
    counted: Option<InFlight>,
}

pub(crate) struct Running {
    pub(crate) call: CallId,
    pub(crate) connection: Arc<Connection>,
    pub(crate) answer: Box<CommandAnswer>,
    pub(crate) outcome: OutcomeGuard,
    counted: Option<InFlight>,
}

/// What a request brought, by its protocol.
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub(super) enum Brought {
    Http(Answer),
    Sql(Queried),
    Ssh(Box<CommandAnswer>),
}

impl Reply {
    /// The call counts as under way for as long as its answer streams.
    pub(super) fn count(&mut self, counted: InFlight) {
        match self {
            Reply::Command(running) => running.counted = Some(counted),
            Reply::Forwarded(forwarded) => forwarded.counted = Some(counted),
            Reply::Result { .. } => {}
        }
    }
}

impl Brought {
    /// Whether the service did what it was asked, as far as its answer has begun to say. How a command ends is not known
    /// when it begins to answer, so a command is never a success yet.
    pub(super) fn is_success(&self) -> bool {
        match self {
            Brought::Http(answer) => (200..300).contains(&answer.status),
            Brought::Sql(queried) => queried.response.is_ok(),
            Brought::Ssh(_) => false,
        }
    }

    /// Straight to the caller. Rows have been read whole, within their limits, so they go as one result.
    pub(super) fn forward(
        self,
        call: CallId,
        connection: &Arc<Connection>,
        mut outcome: OutcomeGuard,
    ) -> Result<Reply, Fault> {
        let connection = Arc::clone(connection);
        match self {
            Brought::Http(answer) => {
                Ok(Reply::Forwarded(Box::new(Forwarded { call, connection, answer, outcome, counted: None })))
            }
            Brought::Ssh(answer) => {
                Ok(Reply::Command(Box::new(Running { call, connection, answer, outcome, counted: None })))
            }
            Brought::Sql(queried) => match queried.response {
                Ok(rows) => {
                    outcome.finish(None);
                    Ok(Reply::Result { call, json: rendered(&rows)? })
                }
                Err(error) => {
                    outcome.finish(Some(REFUSED_STATEMENT));
                    Err(Fault::database(&error))
                }
            },
        }
    }

    /// Whole, for a provider to read.
    pub(super) async fn read_whole(self, mut outcome: OutcomeGuard, memory: &Account) -> Result<Response, Fault> {
        match self {
            Brought::Http(answer) => http(answer, outcome, memory).await.map(Response::Http),
            Brought::Sql(queried) => {
                outcome.finish(queried.response.is_err().then_some(REFUSED_STATEMENT));
                Ok(Response::Sql(queried.response))
            }
            Brought::Ssh(answer) => command(answer, outcome, memory).await,
        }
    }
}

/// For the trail: the database said no, and its own code is in the answer.
const REFUSED_STATEMENT: &str = "sql.refused";

async fn http(answer: Answer, mut outcome: OutcomeGuard, memory: &Account) -> Result<HttpResponse, Fault> {
    let Answer { status, headers, mut body } = answer;
    let read = memory.collect(&mut body, MAX_RESUME_BYTES).await;
    outcome.progress(&body);
    match read {
        Ok(data) => {
            outcome.finish(None);
            let body = match String::from_utf8(data.into()) {
                Ok(text) => Payload::Text(text),
                Err(error) => Payload::Bytes(error.into_bytes()),
            };
            Ok(HttpResponse { status, headers, body })
        }
        Err(error) => {
            outcome.finish(Some(error.code()));
            Err(error.fault())
        }
    }
}

/// A command's output has a limit of its own, under what a provider may be handed.
async fn command(
    mut answer: Box<CommandAnswer>,
    mut outcome: OutcomeGuard,
    memory: &Account,
) -> Result<Response, Fault> {
    let read = memory.collect_command(&mut answer).await;
    outcome.command(&answer, read.as_ref().ok().map(|output| &output.exit));
    match read {
        Ok(output) => {
            outcome.finish(how_ended(&output.exit, output.truncated));
            Ok(Response::Ssh(output))
        }
        Err(error) => {
            outcome.finish(Some(error.code()));
            Err(error.fault())
        }
    }
}

/// For the trail: what ended a command, unless it did by itself. A signal's name is another machine's word.
pub(crate) fn how_ended(exit: &Exit, truncated: bool) -> Option<&'static str> {
    match exit {
        Exit::TimedOut => Some("command.timeout"),
        Exit::Code(_) | Exit::Signal(_) if truncated => Some("command.output_limit"),
        Exit::Signal(_) => Some("command.signal"),
        Exit::Code(_) => None,
    }
}

/// Rows as a result, in the form that the bundled provider gives them.
fn rendered(rows: &Rows) -> Result<String, Fault> {
    let columns: Vec<Value> =
        rows.columns.iter().map(|column| json!({ "name": column.name, "type": column.type_name })).collect();
    let values: Vec<&RawValue> =
        rows.rows.iter().map(|row| serde_json::from_str(row)).collect::<Result<_, _>>().map_err(Fault::broken)?;
    #[derive(serde::Serialize)]
    struct Rendered<'a> {
        columns: Vec<Value>,
        rows: Vec<&'a RawValue>,
        row_count: usize,
        affected: u64,
        truncated: bool,
    }
    let rendered =
        Rendered { columns, row_count: values.len(), rows: values, affected: rows.affected, truncated: rows.truncated };
    serde_json::to_string(&rendered).map_err(Fault::broken)
}
