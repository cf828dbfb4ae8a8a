//! What the tools are given, read strictly: a field that is not known is refused, and named.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_api::{ApiBody, CallRequest, RawCallRequest};
use kv_model::Effect;
use rmcp::model::JsonObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::link::Draft;
use super::servers::Done;
use crate::command::{api, connection, operation};
use crate::problem::Problem;

/// How long a call waits for a person. Clients give a tool a minute.
pub(super) const HOLD_MS: u64 = 45_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) connection: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    pub(super) query: String,
    pub(super) limit: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct More {
    pub(super) cursor: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    pub(super) id: String,
    pub(super) hold_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadOperation {
    operation: String,
    #[serde(default)]
    input: JsonObject,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteOperation {
    operation: String,
    #[serde(default)]
    input: JsonObject,
    #[serde(default)]
    attachments: Vec<AttachedFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachedFile {
    name: String,
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiGet {
    provider: String,
    path: String,
    method: Option<String>,
    #[serde(default)]
    query: JsonObject,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    provider: String,
    path: String,
    method: String,
    body: Option<Value>,
    #[serde(default)]
    query: JsonObject,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// A call that is ready to be made.
pub(super) struct Call {
    /// The connection, for what comes back.
    pub(super) from: String,
    pub(super) draft: Draft,
    pub(super) wanted: Wanted,
}

/// What its tool is made for.
pub(super) enum Wanted {
    Anything,
    Command,
    Rows { sql: String, done: Done },
}

pub(super) fn read<T: DeserializeOwned>(tool: &str, arguments: JsonObject) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Problem::usage(format!("the arguments of {tool} are not understood: {error}")))
}

impl ReadOperation {
    pub(super) fn call(self) -> Result<Call, Problem> {
        typed(&self.operation, self.input, Effect::Read, Vec::new())
    }
}

impl WriteOperation {
    /// Reads the attachments, so it may take a while.
    pub(super) fn call(self) -> Result<Call, Problem> {
        typed(&self.operation, self.input, Effect::Grant, self.attachments)
    }
}

fn typed(name: &str, input: JsonObject, most: Effect, files: Vec<AttachedFile>) -> Result<Call, Problem> {
    let (connection, operation) = operation::split(name)?;
    let (mut attachments, mut contents, mut total) = (Vec::new(), Vec::new(), 0);
    for AttachedFile { name, path } in files {
        // A pipe would be waited for without end, a device read without end.
        if !std::fs::metadata(&path).map_err(|error| Problem::usage(format!("{path}: {error}")))?.is_file() {
            return Err(Problem::usage(format!("{path} is no file")));
        }
        let (head, data) = api::attachment(&name, &path)?;
        total += data.len();
        if total > kv_model::MAX_BODY_BYTES {
            return Err(Problem::usage(format!(
                "the attachments are over {} bytes together",
                kv_model::MAX_BODY_BYTES
            )));
        }
        attachments.push(head);
        contents.push(data);
    }
    let from = connection.to_string();
    let call = CallRequest { connection, operation, input: Value::Object(input), most, hold_ms: HOLD_MS, attachments };
    let contents: Vec<Bytes> = contents;
    let draft = Draft::post("/v1/call", &call, most == Effect::Read)?.followed_by(&contents);
    Ok(Call { from, draft, wanted: Wanted::Anything })
}

/// A typed call of an operation that has a tool of its own.
pub(super) fn own_tool(
    connection: kv_model::ConnectionName,
    operation: kv_model::OperationName,
    input: JsonObject,
    most: Effect,
) -> Result<Call, Problem> {
    let from = connection.to_string();
    let call = CallRequest {
        connection,
        operation,
        input: Value::Object(input),
        most,
        hold_ms: HOLD_MS,
        attachments: Vec::new(),
    };
    let draft = Draft::post("/v1/call", &call, most == Effect::Read)?;
    Ok(Call { from, draft, wanted: Wanted::Anything })
}

impl ApiGet {
    pub(super) fn call(self) -> Result<Call, Problem> {
        let method = self.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        if method != "GET" && method != "HEAD" {
            return Err(Problem::usage("kv_api_get takes GET and HEAD").next("use kv_api for other methods"));
        }
        raw(self.provider, self.path, method, self.query, self.headers, None, Effect::Read)
    }
}

impl Api {
    pub(super) fn call(self) -> Result<Call, Problem> {
        raw(
            self.provider,
            self.path,
            self.method.to_ascii_uppercase(),
            self.query,
            self.headers,
            self.body,
            Effect::Grant,
        )
    }
}

fn raw(
    provider: String,
    path: String,
    method: String,
    query: JsonObject,
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    most: Effect,
) -> Result<Call, Problem> {
    let body = match body {
        None => ApiBody::None,
        Some(body @ (Value::Object(_) | Value::Array(_))) => ApiBody::Json(body),
        Some(_) => return Err(Problem::usage("`body` is a JSON object, not text that holds one")),
    };
    let connection = connection::parse(&provider)?;
    let call = RawCallRequest {
        connection,
        method,
        path,
        query: pairs(query)?,
        headers: headers.into_iter().collect(),
        body,
        most,
        hold_ms: HOLD_MS,
    };
    let draft = Draft::post("/v1/api", &call, most == Effect::Read)?;
    Ok(Call { from: provider, draft, wanted: Wanted::Anything })
}

/// Query parameters: a list gives its name several times.
fn pairs(query: Map<String, Value>) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for (name, value) in query {
        let values = match value {
            Value::Array(values) => values,
            single => vec![single],
        };
        for value in values {
            let text = match value {
                Value::Bool(value) => value.to_string(),
                Value::Number(value) => value.to_string(),
                Value::String(value) => value,
                Value::Array(_) | Value::Null | Value::Object(_) => {
                    return Err(Problem::usage(format!(
                        "query parameter `{name}` is neither text, a number, true or false, nor a list of them"
                    )));
                }
            };
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}
