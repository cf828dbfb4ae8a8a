//! `kv status`, and `kv` alone

use kv_api::{ApprovalDetail, AuditState, ConnectionSummary, Status, VaultState};

use super::{Context, approval};
use crate::client::Request;
use crate::output::inert;
use crate::problem::Problem;
use crate::time::left;

pub(super) async fn run(context: &Context) -> Result<(), Problem> {
    let mut client = context.agent().await?;
    let status: Status = client.ask(Request::get("/v1/status")).await?;
    let waiting = waiting(context, &status).await;
    context.output.show(&status, |status| text(status, &waiting))
}

/// The questions behind the number that the status has. They are the person's to see: on their socket, not the agents'.
async fn waiting(context: &Context, status: &Status) -> Vec<ApprovalDetail> {
    match status.approvals_waiting {
        0 => Vec::new(),
        _ => approval::waiting(context).await,
    }
}

fn text(status: &Status, waiting: &[ApprovalDetail]) -> String {
    let mut text =
        format!("daemon     {} (pid {}), {} calls under way\n", status.version, status.pid, status.calls_in_flight);
    text.push_str(&format!("vault      {}\n", vault(&status.vault)));
    if let (Some(connections), Some(secrets)) = (status.connections, status.secrets) {
        text.push_str(&format!("holds      {secrets} secrets, {connections} connections\n"));
    }
    if status.approvals_waiting > 0 {
        let (count, lines) = (approval::count(status.approvals_waiting), approval::lines(waiting));
        text.push_str(&format!("approvals  {count}{lines}\n"));
    }
    match &status.audit {
        AuditState::Healthy { entries } => text.push_str(&format!("trail      {entries} entries\n")),
        AuditState::Unavailable { why } => {
            text.push_str(&format!("trail      UNAVAILABLE, so nothing is sent: {}\n", inert(why)))
        }
    }
    for warning in &status.warnings {
        text.push_str(&format!("warning    {}\n", inert(warning)));
    }
    text
}

fn vault(state: &VaultState) -> String {
    match state {
        VaultState::Absent => "none yet: kv init".to_owned(),
        VaultState::Locked => "locked: kv unlock".to_owned(),
        VaultState::Unlocked { until_ms } => format!("unlocked for {}", left(*until_ms)),
    }
}

/// What is pending, locked or broken, and the next step.
pub(super) async fn overview(context: &Context) -> Result<(), Problem> {
    let mut client = match context.agent().await {
        Err(problem) if problem.error().reason.as_deref() == Some("not_running") => {
            return context.output.show(&serde_json::json!({ "running": false, "next": "kv unlock" }), |_| {
                "kv's daemon is not running\nNext: kv unlock, or kv init if you have no vault yet\nhelp: kv --help"
                    .to_owned()
            });
        }
        other => other?,
    };
    let status: Status = client.ask(Request::get("/v1/status")).await?;
    let connections: Vec<ConnectionSummary> = match status.vault {
        VaultState::Unlocked { .. } => client.ask(Request::get("/v1/connections")).await?,
        VaultState::Absent | VaultState::Locked => Vec::new(),
    };
    let waiting = waiting(context, &status).await;
    context.output.show(&status, |status| {
        let mut text = vault(&status.vault);
        if status.approvals_waiting > 0 {
            text.push_str(&format!(" · {}{}", approval::count(status.approvals_waiting), approval::lines(&waiting)));
        }
        if let AuditState::Unavailable { why } = &status.audit {
            text.push_str(&format!(
                "\nthe trail takes no entries, so nothing is sent: {}\nNext: kv doctor",
                inert(why)
            ));
        }
        for connection in &connections {
            text.push_str(&format!(
                "\n  {}  {}  {} allowed",
                connection.name, connection.origin, connection.operations.allow
            ));
        }
        if matches!(status.vault, VaultState::Unlocked { .. }) && connections.is_empty() {
            text.push_str("\nNext: kv set OPENAI_API_KEY");
        }
        text
    })
}
