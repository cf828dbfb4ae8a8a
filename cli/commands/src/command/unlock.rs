//! `kv unlock` and `kv lock`

use std::path::Path;
use std::time::Duration;

use kv_api::{UnlockRequest, VaultState};
use serde_json::Value;

use super::Context;
use crate::arguments::Unlock;
use crate::client::{Client, Request};
use crate::problem::Problem;
use crate::time::left;

/// A working day.
const USUAL: Duration = Duration::from_secs(12 * 3600);

pub(super) async fn run(context: &Context, arguments: Unlock) -> Result<(), Problem> {
    let mut client = context.person().await?;
    let state = unlock(context, &mut client, arguments.lasts, arguments.passphrase.passphrase_file.as_deref()).await?;
    context.output.show(&state, |state| match state {
        VaultState::Unlocked { until_ms } => format!("unlocked for {}", left(*until_ms)),
        VaultState::Locked | VaultState::Absent => "locked".to_owned(),
    })
}

/// Unlocks in passing, for another command.
pub(super) async fn ask_and_unlock(context: &Context, client: &mut Client) -> Result<(), Problem> {
    context.output.note("The vault is locked.");
    unlock(context, client, USUAL, None).await.map(|_| ())
}

async fn unlock(
    context: &Context,
    client: &mut Client,
    lasts: Duration,
    file: Option<&Path>,
) -> Result<VaultState, Problem> {
    let passphrase = context.asking.passphrase("Passphrase:", file)?;
    let for_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    client.ask(Request::post("/v1/vault/unlock", &UnlockRequest { passphrase, for_ms })?).await
}

pub(super) async fn lock(context: &Context) -> Result<(), Problem> {
    let mut client = match context.running().await {
        // Without a daemon no key is in any memory.
        Err(problem) if problem.error().reason.as_deref() == Some("not_running") => {
            return context
                .output
                .show(&serde_json::json!({ "was_open": false }), |_| "locked (the daemon is not running)".to_owned());
        }
        other => other?,
    };
    let result: Value = client.ask(Request::post("/v1/vault/lock", &Value::Null)?).await?;
    context.output.show(&result, |_| "locked".to_owned())
}
