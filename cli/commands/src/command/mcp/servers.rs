//! The tools for databases and for other machines: what they are given, which operation that is, and what is said when
//! the connection is of another kind, or the database refuses.

use kv_api::{ApiError, Code, ConnectionSummary};
use kv_model::{Effect, OperationName, Origin, Protocol};
use rmcp::model::JsonObject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::statement::{changing, is_uncounted};
use super::arguments::{Call, Wanted, own_tool};
use crate::command::connection;
use crate::command::statement::Typed;
use crate::problem::Problem;

/// Integers beyond it come out of a JSON reader as another number.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    connection: String,
    sql: String,
    params: Option<Vec<Value>>,
    max_rows: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlExec {
    connection: String,
    sql: String,
    params: Option<Vec<Value>>,
    max_changes: Option<u64>,
    #[serde(default)]
    preview: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ssh {
    connection: String,
    argv: Option<Vec<String>>,
    shell: Option<String>,
    stdin: Option<String>,
    timeout_seconds: Option<u32>,
}

/// What has become of a database when its rows are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Changed { counted: bool },
    Read,
    Tried { counted: bool },
}

impl Done {
    pub(super) fn notes(self, affected: u64) -> Vec<String> {
        let rows = if affected == 1 { "1 row".to_owned() } else { format!("{affected} rows") };
        match self {
            Done::Changed { counted: true } => vec![format!("It is done, and changed {rows}.")],
            Done::Changed { counted: false } => vec!["It is done; rows that it took away are not counted.".to_owned()],
            Done::Read => Vec::new(),
            Done::Tried { counted: true } => vec![format!("It was tried and rolled back: it would change {rows}.")],
            Done::Tried { counted: false } => {
                vec!["It was tried and rolled back; rows that it would take away are not counted.".to_owned()]
            }
        }
    }
}

impl Query {
    pub(super) fn call(self) -> Result<Call, Problem> {
        let mut input = statement(&self.sql, self.params)?;
        input.extend(self.max_rows.map(|most| ("max_rows".to_owned(), most.into())));
        let wanted = Wanted::Rows { sql: self.sql, done: Done::Read };
        call(&self.connection, "query", input, Effect::Read, wanted)
    }
}

impl SqlExec {
    pub(super) fn call(self) -> Result<Call, Problem> {
        let mut input = statement(&self.sql, self.params)?;
        let counted = !is_uncounted(&self.sql);
        let (operation, done) = match (self.preview, self.max_changes) {
            (true, Some(_)) => {
                return Err(Problem::usage(
                    "`max_changes` is for a change that is to stay, and none does with `preview`",
                ));
            }
            (true, None) => ("preview", Done::Tried { counted }),
            (false, most) => {
                input.extend(most.map(|most| ("max_changes".to_owned(), most.into())));
                (changing(&self.sql), Done::Changed { counted })
            }
        };
        call(&self.connection, operation, input, Effect::Grant, Wanted::Rows { sql: self.sql, done })
    }
}

impl Ssh {
    pub(super) fn call(self) -> Result<Call, Problem> {
        let mut input = JsonObject::new();
        let operation = match (self.argv, self.shell) {
            (Some(argv), None) => {
                input.insert("argv".to_owned(), argv.into());
                "run"
            }
            (None, Some(text)) => {
                input.insert("text".to_owned(), text.into());
                "shell"
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(Problem::usage("kv_ssh takes either `argv` or `shell`")
                    .next("give `argv` as a list, such as [\"uptime\"]; `shell` is for text with pipes and the like"));
            }
        };
        input.extend(self.stdin.map(|text| ("stdin".to_owned(), text.into())));
        input.extend(self.timeout_seconds.map(|seconds| ("timeout_seconds".to_owned(), seconds.into())));
        call(&self.connection, operation, input, Effect::Grant, Wanted::Command)
    }
}

fn call(name: &str, operation: &str, input: JsonObject, most: Effect, wanted: Wanted) -> Result<Call, Problem> {
    let name = connection::parse(name)?;
    let operation = OperationName::parse(operation).map_err(|error| Problem::usage(error.to_string()))?;
    Ok(Call { wanted, ..own_tool(name, operation, input, most)? })
}

fn statement(sql: &str, params: Option<Vec<Value>>) -> Result<JsonObject, Problem> {
    let mut input = JsonObject::from_iter([("sql".to_owned(), sql.into())]);
    if let Some(params) = params {
        // What it was before it was read here, nobody knows any more.
        let lossy = |value: &Value| value.is_f64() && value.as_f64().is_some_and(|number| number.abs() > EXACT);
        if let Some(at) = params.iter().position(lossy) {
            return Err(Problem::usage(format!(
                "parameter ${} is a number that JSON readers do not keep exactly: give it as text, in quotes",
                at + 1
            )));
        }
        input.insert("params".to_owned(), params.into());
    }
    Ok(input)
}

impl Wanted {
    fn protocol(&self) -> Option<Protocol> {
        match self {
            Wanted::Anything => None,
            Wanted::Command => Some(Protocol::Ssh),
            Wanted::Rows { .. } => Some(Protocol::Sql),
        }
    }

    /// Whether a refusal may only mean that the connection is of another kind.
    pub(super) fn may_be_elsewhere(&self, problem: &Problem) -> bool {
        self.protocol().is_some()
            && matches!(problem.code(), Code::NotFound | Code::Usage)
            && problem.error().sent == kv_api::Sent::No
    }

    /// The problem where the connection is of another kind than the tool is for.
    pub(super) fn elsewhere(&self, from: &str, known: &[ConnectionSummary]) -> Option<Problem> {
        let summary = known.iter().find(|summary| summary.name.to_string() == from)?;
        let found = Origin::parse(&summary.origin).ok()?.protocol();
        if self.protocol()? == found {
            return None;
        }
        let (kind, tools) = match found {
            Protocol::Http => ("an HTTP service", "kv_api, kv_read or kv_write"),
            Protocol::Sql => ("a database", "kv_query or kv_sql_exec"),
            Protocol::Ssh => ("a machine reached by SSH", "kv_ssh"),
        };
        let error = ApiError::new(Code::Usage, format!("connection `{from}` is {kind}"))
            .reason("protocol")
            .next(format!("use {tools} for it; kv_list shows the connections"))
            .details(json!({ "connection": from, "origin": summary.origin }));
        Some(error.into())
    }

    /// A database's refusal with its SQLSTATE, and the place in the statement where it has one.
    pub(super) fn explained(&self, problem: Problem) -> Problem {
        match self {
            Wanted::Anything | Wanted::Command => problem,
            Wanted::Rows { sql, .. } => Typed { sql: sql.clone(), params: Vec::new() }.explained(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_what_was_written_is_refused() {
        let params = |text: &str| statement("select $1", serde_json::from_str(text).unwrap());
        for fine in ["[1]", "[9007199254740993]", "[-9223372036854775808]", "[0.1]", "[\"1e400\"]", "[null]"] {
            assert!(params(fine).is_ok(), "{fine}");
        }
        for lossy in ["[1, 123456789012345678901234567890]", "[1, 1e300]"] {
            let problem = params(lossy).unwrap_err();
            assert!(problem.error().message.contains("parameter $2"), "{lossy}");
        }
    }
}
