//! What a client sees: who this is, which tools there are, what a call of one comes to.
//!
//! The first message is answered, and the core tools are listed, without a word to the daemon.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kv_api::{AuditState, ConnectionSummary, OperationDetail, OperationSummary, Status, VaultState};
use kv_model::{ConnectionName, Effect, Suggestion};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CustomRequest, CustomResult, ErrorCode, ErrorData,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};

use super::arguments::{
    Api, ApiGet, Call, List, More, Nothing, ReadOperation, Search, Wait, Wanted, WriteOperation, own_tool, read,
};
use super::link::Link;
use super::operations::OwnTools;
use super::progress::Progress;
use super::servers::{Query, SqlExec, Ssh};
use super::store::Store;
use super::tools::{Core, INSTRUCTIONS, Selection};
use super::{arguments, fault};
use super::{command, reply, rows, wait};
use crate::client::Outcome;
use crate::command::connection;
use crate::problem::Problem;

pub(super) struct Server {
    link: Arc<Link>,
    selection: Selection,
    own: OwnTools,
    store: Store,
}

/// A call that is no call of anything.
enum Wrong {
    Problem(Problem),
    UnknownTool,
}

impl Server {
    pub(super) fn new(link: Arc<Link>, selection: Selection) -> Self {
        Self { link, selection, own: OwnTools::default(), store: Store::default() }
    }

    async fn tools(&self) -> Vec<Tool> {
        let mut tools: Vec<Tool> = self.selection.core().into_iter().map(Core::definition).collect();
        // While the daemon is away, or locked, there are no operations; the core says why.
        if let Ok(own) = self.own.list(&self.selection, &self.link).await {
            tools.extend(own);
        }
        tools
    }

    async fn run(&self, name: &str, arguments: JsonObject, progress: &mut Progress) -> Result<CallToolResult, Wrong> {
        let Some(tool) = Core::parse(name).filter(|tool| self.selection.core().contains(tool)) else {
            let own = self.own.find(name, &self.selection, &self.link).await?.ok_or(Wrong::UnknownTool)?;
            let call = own_tool(own.connection, own.operation, arguments, own.effect)?;
            return Ok(self.carry_out(call, progress).await?);
        };
        let call = match tool {
            Core::List => return Ok(self.list(read(name, arguments)?).await?),
            Core::More => {
                let More { cursor } = read(name, arguments)?;
                return Ok(reply::more(self.store.page(&cursor, reply::MAX_TEXT)?));
            }
            Core::Search => return Ok(self.search(read(name, arguments)?).await?),
            Core::Status => {
                let Nothing {} = read(name, arguments)?;
                return Ok(self.status().await?);
            }
            Core::Wait => {
                let said = wait::wait(&self.link, read::<Wait>(name, arguments)?).await?;
                return Ok(reply::own(said, &self.store)?);
            }
            Core::Api => read::<Api>(name, arguments)?.call()?,
            Core::ApiGet => read::<ApiGet>(name, arguments)?.call()?,
            Core::Query => read::<Query>(name, arguments)?.call()?,
            Core::SqlExec => read::<SqlExec>(name, arguments)?.call()?,
            Core::Ssh => read::<Ssh>(name, arguments)?.call()?,
            Core::Read => read::<ReadOperation>(name, arguments)?.call()?,
            Core::Write => write_call(read(name, arguments)?).await?,
        };
        Ok(self.carry_out(call, progress).await?)
    }

    async fn carry_out(&self, call: Call, progress: &mut Progress) -> Result<CallToolResult, Problem> {
        let Call { from, draft, wanted } = call;
        let leased = match self.link.send(&draft).await {
            Ok(leased) => leased,
            Err(problem) => return Err(self.told(problem, &from, &wanted).await),
        };
        if leased.answer.outcome == Outcome::Command {
            let ran = command::collect(leased, &from, &self.store, progress).await?;
            return Ok(command::result(&from, ran));
        }
        let collected = reply::collect(leased, &from, &self.store, progress).await?;
        match wanted {
            Wanted::Rows { done, .. } => rows::result(&from, collected, done, &self.store),
            Wanted::Anything | Wanted::Command => reply::result(&from, collected, &self.store),
        }
    }

    /// A refusal in the terms of the tool that was used. Only where something is wrong already is there a second look at
    /// what the connection is; that may fail, and then the first word stands.
    async fn told(&self, problem: Problem, from: &str, wanted: &Wanted) -> Problem {
        if wanted.may_be_elsewhere(&problem) {
            let known: Vec<ConnectionSummary> = self.link.ask("/v1/connections").await.unwrap_or_default();
            if let Some(elsewhere) = wanted.elsewhere(from, &known) {
                return elsewhere;
            }
        }
        wanted.explained(problem)
    }

    /// An answer even where there is no daemon: that is what is asked.
    async fn status(&self) -> Result<CallToolResult, Problem> {
        let status = match self.link.ask("/v1/status").await {
            Ok(status) => seen(&status),
            Err(problem) if problem.error().reason.as_deref() == Some("not_running") => {
                json!({ "running": false, "vault": "unknown", "next": ["ask the person to run: kv unlock"] })
            }
            Err(problem) => return Err(problem),
        };
        reply::own(status, &self.store)
    }

    async fn list(&self, arguments: List) -> Result<CallToolResult, Problem> {
        let value = match arguments.connection {
            None => {
                let connections: Vec<ConnectionSummary> = self.link.ask("/v1/connections").await?;
                let next = if connections.is_empty() {
                    vec!["ask the person to run: kv set OPENAI_API_KEY, or kv connect PROVIDER"]
                } else {
                    vec![]
                };
                json!({ "connections": connections, "next": next })
            }
            Some(name) => {
                let name = connection::parse(&name)?;
                let operations: Vec<OperationSummary> =
                    self.link.ask(format!("/v1/operations?connection={name}")).await?;
                by_tool(&name, &operations)
            }
        };
        reply::own(value, &self.store)
    }

    async fn search(&self, arguments: Search) -> Result<CallToolResult, Problem> {
        let limit = arguments.limit.unwrap_or(3);
        if !(1..=20).contains(&limit) {
            return Err(Problem::usage("`limit` is a number from 1 to 20"));
        }
        let words = encoded(&arguments.query.chars().take(MAX_QUERY).collect::<String>());
        let found: Vec<OperationDetail> = self.link.ask(format!("/v1/search?q={words}&limit={limit}")).await?;
        let mut rows = Vec::new();
        for detail in &found {
            let mut row = row(&detail.summary);
            row["description"] = detail.description.as_str().into();
            if let Some(input) = &detail.input {
                row["input"] = input.clone();
            }
            rows.push(row);
        }
        reply::own(json!({ "operations": rows }), &self.store)
    }
}

/// As many characters of a search as count.
const MAX_QUERY: usize = 500;

/// Reading files may block, so it is done aside.
async fn write_call(arguments: WriteOperation) -> Result<arguments::Call, Problem> {
    tokio::task::spawn_blocking(|| arguments.call())
        .await
        .map_err(|error| Problem::failed(format!("the attachments were not read: {error}")))?
}

/// The status as an agent needs it.
fn seen(status: &Status) -> Value {
    let (vault, next) = match status.vault {
        VaultState::Absent => ("absent", vec!["ask the person to run: kv init"]),
        VaultState::Locked => ("locked", vec!["ask the person to run: kv unlock"]),
        VaultState::Unlocked { .. } if status.approvals_waiting > 0 => {
            ("unlocked", vec!["ask the person to run: kv approve"])
        }
        VaultState::Unlocked { .. } => ("unlocked", vec![]),
    };
    let mut value = json!({ "running": true, "version": status.version, "vault": vault });
    if let VaultState::Unlocked { until_ms } = status.vault {
        value["until_ms"] = until_ms.into();
    }
    if let Some(connections) = status.connections {
        value["connections"] = connections.into();
    }
    if status.approvals_waiting > 0 {
        value["approvals_waiting"] = status.approvals_waiting.into();
    }
    if let AuditState::Unavailable { .. } = status.audit {
        value["audit"] = "unavailable: every call is refused until a person runs kv doctor".into();
    }
    if !next.is_empty() {
        value["next"] = json!(next);
    }
    value
}

/// A connection's operations in as few words as there are: a service has hundreds. Those that are allowed stand under the
/// tool that runs them, by name or, where they have no typed input, by endpoint.
fn by_tool(connection: &ConnectionName, operations: &[OperationSummary]) -> Value {
    let mut allowed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let (mut ask, mut refused) = (Vec::new(), Vec::new());
    for operation in operations {
        match operation.decision {
            Suggestion::Allow => {
                let row = allowed.entry(tool(operation).name()).or_default();
                match operation.typed {
                    true => row.push(operation.name.as_str()),
                    false => row.extend(operation.endpoints.iter().map(String::as_str)),
                }
            }
            Suggestion::Ask => ask.push(operation.name.as_str()),
            Suggestion::Deny => refused.push(operation.name.as_str()),
        }
    }
    json!({ "connection": connection, "allowed": allowed, "ask_the_person": ask, "refused": refused })
}

/// The tool that runs an operation.
fn tool(operation: &OperationSummary) -> Core {
    match (operation.typed, operation.effect) {
        (true, Effect::Read) => Core::Read,
        (true, _) => Core::Write,
        (false, Effect::Read) => Core::ApiGet,
        (false, _) => Core::Api,
    }
}

/// One operation, and the tool that runs it.
fn row(operation: &OperationSummary) -> Value {
    json!({
        "operation": format!("{}/{}", operation.connection, operation.name),
        "title": operation.title,
        "effect": operation.effect,
        "decision": operation.decision,
        "tool": tool(operation).name(),
        "endpoints": operation.endpoints,
    })
}

/// A value in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Wrong::Problem(problem)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("kv", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    /// Every revision since tools have structured content, with the handshake and without.
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28])
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools().await))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut progress = Progress::of(&context);
        let work = self.run(&request.name, request.arguments.unwrap_or_default(), &mut progress);
        // A panic has gone to standard error; the client must not wait for ever.
        let work = AssertUnwindSafe(work).catch_unwind();
        let result = tokio::select! {
            // Dropping the work closes its connection to the daemon, and that the daemon's to the service.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
            result = work => result,
        };
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(Wrong::Problem(problem))) => fault::result(problem),
            Ok(Err(Wrong::UnknownTool)) => {
                let name: String = request.name.chars().take(80).collect();
                return Err(ErrorData::invalid_params(
                    format!("there is no tool `{}`", crate::output::inert(&name)),
                    None,
                ));
            }
            Err(_) => return Err(ErrorData::internal_error("kv failed in a way it should not", None)),
        };
        Ok(result.into())
    }

    /// The library takes a known method with strange parameters for an unknown one.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = crate::output::inert(&request.method.chars().take(80).collect::<String>());
        Err(match request.method.as_str() {
            "initialize" | "ping" | "server/discover" | "tools/call" | "tools/list" => {
                ErrorData::invalid_params(format!("the parameters of `{method}` are not understood"), None)
            }
            _ => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("there is no method `{method}`"), None),
        })
    }
}
