//! `kv approve`, `kv deny`, `kv revoke`, `kv approval list|show`: the person's side of a question.
//!
//! What is shown was made by the daemon from the request itself; here it is laid out so that no part of it can be taken for
//! another ([`review`]). A yes is never more than a proof on its way to the daemon, which judges it ([`answer`]).

mod answer;
mod review;

use kv_api::{ApprovalDetail, ApprovalState, ApprovalStatus, Approvals};
use serde_json::Value;

pub(super) use self::answer::approve;
use super::Context;
use crate::arguments::Approval;
use crate::client::Request;
use crate::input::columns;
use crate::output::{inert, table};
use crate::problem::Problem;
use crate::time::{ago, span};

pub(super) async fn run(context: &Context, verb: Approval) -> Result<(), Problem> {
    match verb {
        Approval::List => context.output.show(&all(context).await?, list),
        Approval::Show { id } => {
            context.output.show(&one(context, &id).await?, |detail| review::text(detail, columns()))
        }
    }
}

pub(super) async fn deny(context: &Context, id: &str) -> Result<(), Problem> {
    let status = settle(context, id, "refuse").await?;
    context.output.show(&status, said)
}

pub(super) async fn revoke(context: &Context, id: &str) -> Result<(), Problem> {
    let status = settle(context, id, "revoke").await?;
    context.output.show(&status, |status| format!("taken back {}: what it was for does not go through", status.id))
}

async fn settle(context: &Context, id: &str, verb: &str) -> Result<ApprovalStatus, Problem> {
    let id = parse(id)?;
    context.person().await?.ask(Request::post(format!("/v1/approvals/{id}/{verb}"), &Value::Null)?).await
}

/// An id as it is written in a path. Which characters it may have is the daemon's to say; what is no word is not sent.
pub(super) fn parse(id: &str) -> Result<String, Problem> {
    if id.len() == 4 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(id.to_ascii_uppercase());
    }
    Err(Problem::usage("an approval's id is four characters, such as 7F3K").next("kv approval list"))
}

async fn all(context: &Context) -> Result<Approvals, Problem> {
    context.person().await?.ask(Request::get("/v1/approvals")).await
}

async fn one(context: &Context, id: &str) -> Result<ApprovalDetail, Problem> {
    let id = parse(id)?;
    context.person().await?.ask(Request::get(format!("/v1/approvals/{id}"))).await
}

/// Those that wait for the person, for another command's output. One that cannot be asked for is not worth an error there.
pub(super) async fn waiting(context: &Context) -> Vec<ApprovalDetail> {
    let Ok(mut client) = context.running().await else { return Vec::new() };
    let all = client.ask::<Approvals>(Request::get("/v1/approvals")).await;
    all.map(open).unwrap_or_default()
}

fn open(all: Approvals) -> Vec<ApprovalDetail> {
    all.approvals.into_iter().filter(|one| one.state == ApprovalState::Pending).collect()
}

/// A line each, with the command that answers it.
pub(super) fn lines(waiting: &[ApprovalDetail]) -> String {
    let line = |one: &ApprovalDetail| {
        let (id, agent) = (inert(&one.id), inert(&one.agent));
        format!("\n  {id}  {agent}  {} {}   {}   kv approve {id}", one.connection, one.operation, ago(one.asked_ms))
    };
    waiting.iter().map(line).collect()
}

/// `1 approval waits`
pub(super) fn count(waiting: usize) -> String {
    if waiting == 1 { "1 approval waits for you".to_owned() } else { format!("{waiting} approvals wait for you") }
}

fn list(all: &Approvals) -> String {
    if all.approvals.is_empty() {
        return "no questions".to_owned();
    }
    let rows: Vec<_> = all
        .approvals
        .iter()
        .map(|one| {
            let left = matches!(one.state, ApprovalState::Granted | ApprovalState::Pending);
            vec![
                one.id.clone(),
                state(one.state).to_owned(),
                one.agent.clone(),
                one.connection.to_string(),
                one.operation.to_string(),
                one.effect.to_string(),
                one.endpoint.clone(),
                if left { span(one.remaining_ms) } else { String::new() },
            ]
        })
        .collect();
    table(&["id", "state", "agent", "connection", "operation", "effect", "endpoint", "left"], &rows)
}

fn state(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Expired => "expired",
        ApprovalState::Granted => "granted",
        ApprovalState::Pending => "pending",
        ApprovalState::Refused => "refused",
        ApprovalState::Used => "used",
    }
}

/// What an answer has come to.
fn said(status: &ApprovalStatus) -> String {
    let id = inert(&status.id);
    match status.state {
        ApprovalState::Granted => {
            format!("granted    {id}: that request goes through once, within {}", span(status.remaining_ms))
        }
        ApprovalState::Used => format!("granted    {id}: that request has gone through"),
        ApprovalState::Refused => format!("refused    {id}: nothing is sent"),
        ApprovalState::Expired | ApprovalState::Pending => format!("{:<10} {id}", state(status.state)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert_eq!(parse("7f3k").unwrap(), "7F3K");
        for bad in ["", "7F3", "7F3KX", "../x", "a/bc", "7F 3", "é12"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
