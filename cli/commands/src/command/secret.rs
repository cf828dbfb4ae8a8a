//! `kv secret list|show|rotate|rename|remove`

use kv_api::{RenameRequest, SecretInfo, SetResult, ValueRequest};
use kv_model::SecretName;
use serde_json::Value;

use super::{Context, set};
use crate::arguments::Secret;
use crate::client::Request;
use crate::input::{ValueSource, value};
use crate::output::table;
use crate::problem::Problem;
use crate::time::{ago, stamp};

pub(super) async fn run(context: &Context, verb: Secret) -> Result<(), Problem> {
    let mut client = context.person().await?;
    match verb {
        Secret::List => {
            let secrets: Vec<SecretInfo> = client.ask(Request::get("/v1/secrets")).await?;
            context.output.show(&secrets, |secrets| list(secrets))
        }
        Secret::Show { name } => {
            let secret: SecretInfo = client.ask(Request::get(format!("/v1/secrets/{}", parse(&name)?))).await?;
            context.output.show(&secret, show)
        }
        Secret::Rotate { name, stdin, stdin_raw } => {
            let name = parse(&name)?;
            set::open(context, &mut client).await?;
            let value = value(context.asking, ValueSource::new(stdin, stdin_raw), name.as_str())?;
            let stored: SetResult =
                client.ask(Request::post(format!("/v1/secrets/{name}/rotate"), &ValueRequest { value })?).await?;
            context.output.show(&stored, |stored| {
                format!("{}The old value stays masked in answers for 24 hours.", set::text(stored))
            })
        }
        Secret::Rename { from, to } => {
            let (from, to) = (parse(&from)?, parse(&to)?);
            let secret: SecretInfo =
                client.ask(Request::post(format!("/v1/secrets/{from}/rename"), &RenameRequest { to })?).await?;
            context.output.show(&secret, |secret| format!("renamed    {from} to {}", secret.name))
        }
        Secret::Remove { name, yes } => {
            let name = parse(&name)?;
            if !yes && !context.asking.confirm(&format!("Remove {name}? It cannot be brought back."))? {
                return Err(Problem::failed("nothing was removed"));
            }
            let removed: Value = client.ask(Request::delete(format!("/v1/secrets/{name}"))).await?;
            context.output.show(&removed, |_| format!("removed    {name}"))
        }
    }
}

fn list(secrets: &[SecretInfo]) -> String {
    if secrets.is_empty() {
        return "no secrets yet\nNext: kv set OPENAI_API_KEY".to_owned();
    }
    let rows: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let connections: Vec<_> = secret.connections.iter().map(ToString::to_string).collect();
            vec![
                secret.name.to_string(),
                secret.label.clone().unwrap_or_default(),
                format!("v{}", secret.version),
                ago(secret.changed_ms),
                connections.join(", "),
            ]
        })
        .collect();
    table(&["name", "kind", "version", "changed", "connections"], &rows)
}

fn show(secret: &SecretInfo) -> String {
    let connections: Vec<_> = secret.connections.iter().map(ToString::to_string).collect();
    format!(
        "name         {}\nkind         {}\nversion      {}\nlength       {} bytes\ncreated      {}\nchanged      {}\nconnections  {}",
        secret.name,
        secret.label.as_deref().unwrap_or("-"),
        secret.version,
        secret.length,
        stamp(secret.created_ms),
        stamp(secret.changed_ms),
        if connections.is_empty() { "-".to_owned() } else { connections.join(", ") },
    )
}

/// What is no name may be a value in a name's place, so it is not repeated.
pub(super) fn parse(name: &str) -> Result<SecretName, Problem> {
    SecretName::parse(name).map_err(|error| {
        Problem::usage(format!("what was given is no {}: {}", error.kind, error.rule))
            .next("if it was a real value, replace it at its service: other programs could read it")
    })
}
