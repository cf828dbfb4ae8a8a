//! Operations as tools of their own, for `--tools all` or a list.
//!
//! Their names and texts come from providers, as the person installed them. They are shortened and made inert, and what a
//! session has once seen of a tool stays as it was: a description that changes under a name that was trusted is an attack.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kv_api::{OperationDetail, OperationSummary};
use kv_model::{ConnectionName, Digest, Effect, OperationName, Suggestion};
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::Value;

use super::link::Link;
use super::tools::{Selection, answer_schema, object};
use crate::output::inert;
use crate::problem::Problem;

/// As many as are made into tools. A client that shows a model more than this helps nobody.
const MAX_TOOLS: usize = 256;
/// As long as a description may be.
const MAX_DESCRIPTION: usize = 1000;
/// As large as an input schema may be.
const MAX_SCHEMA: usize = 64 << 10;
/// As long as a name may be: what every client takes.
const MAX_NAME: usize = 40;

/// An operation that has a tool of its own.
#[derive(Debug, Clone)]
pub(super) struct OwnTool {
    pub(super) connection: ConnectionName,
    pub(super) operation: OperationName,
    pub(super) effect: Effect,
    tool: Tool,
}

/// Those that this session has seen.
#[derive(Default)]
pub(super) struct OwnTools {
    seen: Mutex<BTreeMap<String, OwnTool>>,
}

impl OwnTools {
    /// Asks the daemon which there are now. What was seen before keeps its definition.
    pub(super) async fn list(&self, selection: &Selection, link: &Arc<Link>) -> Result<Vec<Tool>, Problem> {
        let mut wanted = match selection {
            Selection::Core => return Ok(Vec::new()),
            Selection::List { operations, .. } if operations.is_empty() => return Ok(Vec::new()),
            Selection::List { operations, .. } => operations.clone(),
            Selection::All => {
                let all: Vec<OperationSummary> = link.ask("/v1/operations").await?;
                let allowed = all.into_iter().filter(|found| found.typed && found.decision == Suggestion::Allow);
                allowed.map(|found| (found.connection, found.name)).collect()
            }
        };
        wanted.sort();
        wanted.truncate(MAX_TOOLS);
        let mut tools = Vec::new();
        for (connection, operation) in wanted {
            let known =
                self.lock().values().find(|own| own.connection == connection && own.operation == operation).cloned();
            let own = match known {
                Some(own) => own,
                None => match self.learn(link, connection, operation).await? {
                    Some(own) => own,
                    None => continue,
                },
            };
            tools.push(own.tool);
        }
        Ok(tools)
    }

    async fn learn(
        &self,
        link: &Arc<Link>,
        connection: ConnectionName,
        operation: OperationName,
    ) -> Result<Option<OwnTool>, Problem> {
        let found: Result<OperationDetail, Problem> =
            link.ask(format!("/v1/operations/{connection}/{operation}")).await;
        let detail = match found {
            Ok(detail) => detail,
            // A list may name what is not there yet.
            Err(problem) if problem.code() == kv_api::Code::NotFound => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let Some(Value::Object(input)) = detail.input.clone() else { return Ok(None) };
        if Value::Object(input.clone()).to_string().len() > MAX_SCHEMA {
            return Ok(None);
        }
        let mut seen = self.lock();
        let mut name = plain_name(&connection, &operation);
        if seen.contains_key(&name) {
            name = hashed_name(&connection, &operation);
        }
        let tool = definition(&name, &detail, input);
        let own = OwnTool { connection, operation, effect: detail.summary.effect, tool };
        seen.insert(name, own.clone());
        Ok(Some(own))
    }

    /// The operation behind a tool's name.
    pub(super) async fn find(
        &self,
        name: &str,
        selection: &Selection,
        link: &Arc<Link>,
    ) -> Result<Option<OwnTool>, Problem> {
        if let Some(own) = self.lock().get(name) {
            return Ok(Some(own.clone()));
        }
        // A client may call what it knows from an earlier session.
        self.list(selection, link).await?;
        Ok(self.lock().get(name).cloned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, OwnTool>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn definition(name: &str, detail: &OperationDetail, input: rmcp::model::JsonObject) -> Tool {
    let summary = &detail.summary;
    let description = format!(
        "{} (connection {}, effect {})",
        first(&detail.description, MAX_DESCRIPTION),
        summary.connection,
        summary.effect
    );
    let read = summary.effect == Effect::Read;
    let hints = ToolAnnotations::new().read_only(read).destructive(!read).idempotent(read).open_world(true);
    Tool::new(name.to_owned(), description, Arc::new(input))
        .with_title(first(&summary.title, 100))
        .with_raw_output_schema(Arc::new(object(answer_schema())))
        .with_annotations(hints)
}

fn first(text: &str, most: usize) -> String {
    inert(&text.chars().take(most).collect::<String>())
}

/// `openai/chat.completions.create` as `openai_chat_completions_create`.
pub(super) fn plain_name(connection: &ConnectionName, operation: &OperationName) -> String {
    let name = spelled(connection, operation);
    if name.len() > MAX_NAME { hashed_name(connection, operation) } else { name }
}

/// A name that is cut, and told apart by eight digits of a digest.
pub(super) fn hashed_name(connection: &ConnectionName, operation: &OperationName) -> String {
    let digest = Digest::of(format!("{connection}/{operation}").as_bytes());
    let digits: String = digest.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut name = spelled(connection, operation);
    name.truncate(MAX_NAME - 1 - digits.len());
    format!("{}_{digits}", name.trim_end_matches('_'))
}

fn spelled(connection: &ConnectionName, operation: &OperationName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("{connection}_{operation}").chars().map(plain).collect()
}
