//! `kv set NAME`

use kv_api::{Code, SetRequest, SetResult, VaultState};
use kv_model::SecretName;

use super::{Context, proof, secret, unlock};
use crate::arguments::Set;
use crate::client::{Client, Request};
use crate::input::{ValueSource, value};
use crate::output::inert;
use crate::problem::Problem;

pub(super) async fn run(context: &Context, arguments: Set) -> Result<(), Problem> {
    if !arguments.value.is_empty() {
        let name = SecretName::parse(&arguments.name).map_or("NAME".to_owned(), |name| name.to_string());
        return Err(Problem::usage(
            "values on the command line can be read by other programs and stay in the shell's history",
        )
        .next(format!("kv set {name}                     asks without echo"))
        .next(format!("kv set {name} --stdin < FILE"))
        .next("if that was a real value, replace it at its service"));
    }
    let name = secret::parse(&arguments.name)?;
    let mut client = context.person().await?;
    open(context, &mut client).await?;
    let value = value(context.asking, ValueSource::new(arguments.stdin, arguments.stdin_raw), name.as_str())?;
    let mut request = SetRequest { name, value, allow_private: arguments.yes, alone: false };
    let stored: SetResult = match proof::send(context, &mut client, "/v1/secrets", &request).await {
        // A connection string, whose host is a neighbour. Nothing was stored.
        Err(problem) if problem.error().reason.as_deref() == Some("private_origin") => {
            if !context.asking.confirm(&format!("{}. Is that meant?", problem.error().message))? {
                return Err(Problem::failed("nothing was stored"));
            }
            request.allow_private = true;
            proof::send(context, &mut client, "/v1/secrets", &request).await?
        }
        other => other?,
    };
    context.output.show(&stored, text)
}

/// Stores a value in passing, for a connection that is being made. Nothing follows from its name.
pub(super) async fn store(
    context: &Context,
    client: &mut Client,
    name: SecretName,
    value: kv_api::HiddenBytes,
) -> Result<(), Problem> {
    let request = SetRequest { name, value, allow_private: false, alone: true };
    let stored: SetResult = client.ask(Request::post("/v1/secrets", &request)?).await?;
    context.output.note(&format!("stored     {} ({} bytes)", stored.secret.name, stored.secret.length));
    stored.warnings.iter().for_each(|warning| context.output.note(&format!("warning    {}", inert(warning))));
    Ok(())
}

/// A locked vault is opened first, when somebody is there to open it.
pub(super) async fn open(context: &Context, client: &mut Client) -> Result<(), Problem> {
    let status: kv_api::Status = client.ask(Request::get("/v1/status")).await?;
    match status.vault {
        VaultState::Unlocked { .. } => Ok(()),
        VaultState::Absent => Err(Problem::new(Code::Locked, "there is no vault yet").next("kv init")),
        VaultState::Locked if context.asking.possible() => unlock::ask_and_unlock(context, client).await,
        VaultState::Locked => Err(Problem::new(Code::Locked, "the vault is locked").next("kv unlock")),
    }
}

pub(super) fn text(stored: &SetResult) -> String {
    let secret = &stored.secret;
    let label = secret.label.as_ref().map_or(String::new(), |label| format!(", {label}"));
    let mut text = format!("stored     {} ({} bytes{label})\n", secret.name, secret.length);
    for warning in &stored.warnings {
        text.push_str(&format!("warning    {}\n", inert(warning)));
    }
    match &stored.connection {
        Some(connection) => {
            text.push_str(&super::connection::made(connection));
            text.push_str(&super::connect::untested(connection));
        }
        None if secret.connections.is_empty() => {
            text.push_str("Next: kv connect PROVIDER --bind SLOT=NAME, or kv run --secret NAME -- COMMAND\n")
        }
        None => {}
    }
    text
}
