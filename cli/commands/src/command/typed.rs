//! A typed call by a command that is made for one protocol: `kv query`, `kv sql`, `kv ssh`. It goes by the agents' door,
//! like `kv call`: what may be done is decided there, whoever asks.

use kv_api::{ApiError, CallRequest, Code, ConnectionSummary, OperationDetail};
use kv_model::{ConnectionName, Effect, OperationName, Origin, Protocol, Suggestion};
use serde_json::Value;

use super::Context;
use crate::client::{Answer, Request};
use crate::problem::Problem;

/// Who calls what.
pub(super) struct Target<'a> {
    pub(super) connection: &'a ConnectionName,
    pub(super) protocol: Protocol,
    pub(super) agent: &'a str,
    /// How long it waits for a person.
    pub(super) hold_ms: u64,
}

/// Calls an operation. A connection of another protocol is said to be one, instead of to lack the operation.
pub(super) async fn call(
    context: &Context,
    target: &Target<'_>,
    operation: &str,
    input: Value,
    most: Effect,
) -> Result<Answer, Problem> {
    let operation = OperationName::parse(operation).map_err(|error| Problem::usage(error.to_string()))?;
    let call = CallRequest {
        connection: target.connection.clone(),
        operation,
        input,
        most,
        hold_ms: target.hold_ms,
        attachments: Vec::new(),
    };
    let mut client = context.agent().await?;
    match client.send(Request::post("/v1/call", &call)?.agent(target.agent)).await {
        Err(problem) if matches!(problem.code(), Code::NotFound | Code::Usage) => {
            // A second look, only where something is wrong already. It may fail, and then the first word stands.
            let known = client.ask(Request::get("/v1/connections").agent(target.agent)).await;
            Err(other_protocol(known.unwrap_or_default(), target).unwrap_or(problem))
        }
        other => other,
    }
}

/// Whether an operation asks the person first. What cannot be found out is left to the call itself.
pub(super) async fn asks(context: &Context, target: &Target<'_>, operation: &str) -> bool {
    let Ok(mut client) = context.agent().await else { return false };
    let request = Request::get(format!("/v1/operations/{}/{operation}", target.connection)).agent(target.agent);
    let detail = client.ask::<OperationDetail>(request).await;
    detail.is_ok_and(|detail| detail.summary.decision == Suggestion::Ask)
}

fn other_protocol(known: Vec<ConnectionSummary>, target: &Target<'_>) -> Option<Problem> {
    let summary = known.into_iter().find(|summary| summary.name == *target.connection)?;
    let protocol = Origin::parse(&summary.origin).ok()?.protocol();
    if protocol == target.protocol {
        return None;
    }
    let name = target.connection;
    let error =
        ApiError::new(Code::Usage, format!("`{name}` is a connection of {}", word(protocol))).reason("protocol");
    Some(
        match protocol {
            Protocol::Http => {
                error.next(format!("kv api {name} METHOD PATH")).next(format!("kv operation list {name}"))
            }
            Protocol::Sql => error.next(format!("kv query {name} 'select ...'")),
            Protocol::Ssh => error.next(format!("kv ssh {name} -- COMMAND")),
        }
        .into(),
    )
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Sql => "postgres",
        Protocol::Ssh => "ssh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_protocol_is_named() {
        let summary = |origin: &str| -> Vec<ConnectionSummary> {
            vec![
                serde_json::from_value(serde_json::json!({
                    "name": "x", "provider": "p", "title": "", "origin": origin,
                    "operations": {"allow": 0, "ask": 0, "deny": 0}
                }))
                .unwrap(),
            ]
        };
        let name = ConnectionName::parse("x").unwrap();
        let target = Target { connection: &name, protocol: Protocol::Ssh, agent: "shell", hold_ms: 0 };
        let problem = other_protocol(summary("https://api.stripe.com"), &target).unwrap();
        assert_eq!((problem.code(), problem.error().message.as_str()), (Code::Usage, "`x` is a connection of http"));
        assert!(other_protocol(summary("ssh://web.test"), &target).is_none());
        assert!(other_protocol(Vec::new(), &target).is_none());
    }
}
