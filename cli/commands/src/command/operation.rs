//! `kv operation list|show`

use kv_api::{OperationDetail, OperationSummary};

use super::{Context, connection};
use crate::arguments::Operation;
use crate::client::Request;
use crate::output::{inert, table};
use crate::problem::Problem;

pub(super) async fn run(context: &Context, verb: Operation) -> Result<(), Problem> {
    let mut client = context.agent().await?;
    match verb {
        Operation::List { connection } => {
            let target = match connection {
                Some(name) => format!("/v1/operations?connection={}", connection::parse(&name)?),
                None => "/v1/operations".to_owned(),
            };
            let operations: Vec<OperationSummary> = client.ask(Request::get(target)).await?;
            context.output.show(&operations, |operations| list(operations))
        }
        Operation::Show { operation } => {
            let (connection, operation) = split(&operation)?;
            let detail: OperationDetail =
                client.ask(Request::get(format!("/v1/operations/{connection}/{operation}"))).await?;
            context.output.show(&detail, show)
        }
        Operation::Call { .. } => Err(Problem::failed("a call is made elsewhere")),
    }
}

/// `CONNECTION/OPERATION`
pub(super) fn split(text: &str) -> Result<(kv_model::ConnectionName, kv_model::OperationName), Problem> {
    let (connection, operation) =
        text.split_once('/').ok_or_else(|| Problem::usage("write CONNECTION/OPERATION").next("kv operation list"))?;
    let operation = kv_model::OperationName::parse(operation).map_err(|error| Problem::usage(error.to_string()))?;
    Ok((self::connection::parse(connection)?, operation))
}

fn list(operations: &[OperationSummary]) -> String {
    if operations.is_empty() {
        return "no connections yet\nNext: kv set OPENAI_API_KEY".to_owned();
    }
    let rows: Vec<_> = operations
        .iter()
        .map(|operation| {
            vec![
                format!("{}/{}", operation.connection, operation.name),
                operation.effect.to_string(),
                operation.decision.to_string(),
                if operation.typed { "input".to_owned() } else { "raw".to_owned() },
                operation.endpoints.first().cloned().unwrap_or_default(),
            ]
        })
        .collect();
    table(&["operation", "effect", "decision", "call", "endpoint"], &rows)
}

fn show(detail: &OperationDetail) -> String {
    let summary = &detail.summary;
    let mut text = format!("{}/{}   {}\n", summary.connection, summary.name, inert(&summary.title));
    text.push_str(&format!("effect     {}\ndecision   {}\n", summary.effect, summary.decision));
    for endpoint in &summary.endpoints {
        text.push_str(&format!("endpoint   {endpoint}\n"));
    }
    if !detail.description.is_empty() {
        text.push_str(&format!("\n{}\n", inert(&detail.description)));
    }
    match &detail.input {
        Some(schema) => {
            text.push_str(&format!("\ninput\n{}\n", inert(&serde_json::to_string_pretty(schema).unwrap_or_default())))
        }
        None => text.push_str("\nno typed input: kv api CONNECTION METHOD PATH\n"),
    }
    text
}
