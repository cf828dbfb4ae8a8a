//! `kv connection list|show|test|edit|remove`

use kv_api::{Code, ConnectionDetail, ConnectionSummary, EditRequest, Edited, TestResult};
use kv_model::{ConnectionName, OperationName, PinnedKey, PinnedKeys, Suggestion};
use serde_json::Value;

use super::{Context, connect, proof, set};
use crate::arguments::Connection;
use crate::client::Request;
use crate::output::{inert, table};
use crate::problem::Problem;
use crate::time::stamp;

/// As many operations as are named in one line.
const NAMED: usize = 6;

pub(super) async fn run(context: &Context, verb: Connection) -> Result<(), Problem> {
    let mut client = context.person().await?;
    match verb {
        Connection::List => {
            let connections: Vec<ConnectionSummary> = client.ask(Request::get("/v1/connections")).await?;
            context.output.show(&connections, |connections| list(connections))
        }
        Connection::Show { name } => {
            let detail: ConnectionDetail =
                client.ask(Request::get(format!("/v1/connections/{}", parse(&name)?))).await?;
            context.output.show(&detail, show)
        }
        Connection::Test { name } => {
            set::open(context, &mut client).await?;
            let result: TestResult =
                client.ask(Request::post(format!("/v1/connections/{}/test", parse(&name)?), &Value::Null)?).await?;
            context.output.show(&result, tested)?;
            is_good(&result)
        }
        Connection::Edit { name, settings, bindings, ca, allow, ask, deny, accept_provider, yes } => {
            let mut change = EditRequest {
                settings: connect::parsed(&settings)?,
                bindings: connect::parsed(&bindings)?,
                accept_provider,
                ..Default::default()
            };
            if let Some(path) = ca {
                let pem = std::fs::read_to_string(&path)
                    .map_err(|error| Problem::usage(format!("{}: {error}", path.display())))?;
                change.ca = Some(pem);
            }
            for (names, decision) in [(allow, Suggestion::Allow), (ask, Suggestion::Ask), (deny, Suggestion::Deny)] {
                for name in names {
                    let name = OperationName::parse(&name).map_err(|error| Problem::usage(error.to_string()))?;
                    change.decisions.insert(name, decision);
                }
            }
            set::open(context, &mut client).await?;
            let target = format!("/v1/connections/{}/edit", parse(&name)?);
            if accept_provider && !yes {
                change.preview = true;
                let would: Edited = client.ask(Request::post(target.clone(), &change)?).await?;
                context.output.note(&differs(&would));
                if !context.asking.confirm("Accept this provider?")? {
                    return Err(Problem::failed("nothing was changed"));
                }
                change.preview = false;
            }
            let edited: Edited = proof::send(context, &mut client, &target, &change).await?;
            context.output.show(&edited, |edited| match yes {
                true => differs(edited) + &show(&edited.connection),
                false => show(&edited.connection),
            })
        }
        Connection::Remove { name, yes } => {
            let name = parse(&name)?;
            if !yes && !context.asking.confirm(&format!("Remove connection {name}? Its secrets stay."))? {
                return Err(Problem::failed("nothing was removed"));
            }
            let removed: Value = client.ask(Request::delete(format!("/v1/connections/{name}"))).await?;
            context.output.show(&removed, |_| format!("removed    {name}"))
        }
    }
}

/// What a test found.
pub(super) fn tested(result: &TestResult) -> String {
    let time = result.duration_us as f64 / 1000.0;
    let mut text = format!("{}  answered {} in {time:.1} ms\n", result.operation, result.status);
    let Some(role) = &result.role else { return text };
    let tls = role.tls.as_deref().unwrap_or("without TLS");
    text.push_str(&format!(
        "server     PostgreSQL {}, {}, {}\n",
        inert(&role.server_version),
        inert(tls),
        inert(&role.auth)
    ));
    text.push_str(&format!("role       {} in database {}\n", inert(&role.role), inert(&role.database)));
    if role.can_write.is_empty() {
        let usually = if role.reads_by_default { ", and its sessions are read-only by default" } else { "" };
        text.push_str(&format!("           this role can only read{usually}\n"));
        return text;
    }
    text.push_str("           this role can write anyway:\n");
    for way in &role.can_write {
        text.push_str(&format!("           - {}\n", inert(way)));
    }
    text.push_str("           kv runs reads in read-only transactions; a role that cannot write is safer still:\n\n");
    text.push_str(&inert(role.safe_role.trim_end()));
    text.push('\n');
    text
}

pub(super) fn is_good(result: &TestResult) -> Result<(), Problem> {
    if result.ok {
        return Ok(());
    }
    Err(Problem::new(Code::Upstream, format!("the service answered {}", result.status)))
}

fn list(connections: &[ConnectionSummary]) -> String {
    if connections.is_empty() {
        return "no connections yet\nNext: kv set OPENAI_API_KEY".to_owned();
    }
    let rows: Vec<_> = connections
        .iter()
        .map(|connection| {
            let counts = &connection.operations;
            vec![
                connection.name.to_string(),
                connection.provider.to_string(),
                connection.origin.clone(),
                connection.key_label.clone().unwrap_or_default(),
                format!("{} allowed, {} ask, {} refused", counts.allow, counts.ask, counts.deny),
            ]
        })
        .collect();
    table(&["name", "provider", "origin", "key", "operations"], &rows)
}

/// What was made, in the words that a person decides by.
pub(super) fn made(connection: &ConnectionDetail) -> String {
    let summary = &connection.summary;
    let counts = &summary.operations;
    let mut text = format!(
        "connection {} -> {}, {}   (provider {}@{})\n",
        summary.name,
        summary.origin,
        inert(&connection.schemes.join(", ")),
        summary.provider,
        connection.provider_version
    );
    if let Some(label) = &summary.key_label {
        text.push_str(&format!("           with a {}\n", inert(label)));
    }
    text.push_str(&format!(
        "           {} operations allowed, {} that ask you first, {} refused: kv operation list {}\n",
        counts.allow, counts.ask, counts.deny, summary.name
    ));
    text
}

/// How a provider differs from the one that was accepted before: whatever of it matters for a decision, whole.
fn differs(edited: &Edited) -> String {
    let Some(change) = &edited.provider_change else { return String::new() };
    let detail = &edited.connection;
    let mut text =
        format!("provider   {}@{} ({})\n", detail.summary.provider, detail.provider_version, detail.provider_digest);
    // As decided in the end: the same edit may have said otherwise.
    let decided = |operation: &OperationName, decision: Suggestion| {
        word(detail.accepted.get(operation).copied().unwrap_or(decision))
    };
    for one in &change.graver {
        let decided = decided(&one.operation, one.decision);
        text.push_str(&format!(
            "graver     {}: it was `{}` and is `{}`; {decided} from now on\n",
            one.operation, one.before, one.now
        ));
    }
    for (operation, decision) in &change.new {
        text.push_str(&format!("new        {operation}: {}\n", decided(operation, *decision)));
    }
    for operation in &change.gone {
        text.push_str(&format!("gone       {operation}\n"));
    }
    if change.graver.is_empty() && change.new.is_empty() && change.gone.is_empty() {
        text.push_str("operations the same as before\n");
    }
    text
}

fn word(decision: Suggestion) -> &'static str {
    match decision {
        Suggestion::Allow => "allowed",
        Suggestion::Ask => "asks you first",
        Suggestion::Deny => "refused",
    }
}

fn show(detail: &ConnectionDetail) -> String {
    let mut text = made(detail);
    for (slot, secret) in &detail.bindings {
        text.push_str(&format!("secret     {slot}: {secret}\n"));
    }
    for (name, value) in &detail.settings {
        match (name.as_str(), PinnedKeys::parse(value)) {
            ("host-keys", Ok(keys)) => keys.iter().for_each(|pinned| text.push_str(&pinned_line(pinned))),
            _ => text.push_str(&format!("setting    {name}: {}\n", inert(value))),
        }
    }
    text.push_str(&format!("created    {}\n", stamp(detail.created_ms)));
    if detail.private {
        text.push_str("private    its origin may be on this machine or in a private network\n");
    }
    if detail.custom_ca {
        text.push_str("trust      a CA file of its own\n");
    }
    for (word, decision) in [("allowed", Suggestion::Allow), ("ask", Suggestion::Ask), ("refused", Suggestion::Deny)] {
        let names: Vec<_> =
            detail.accepted.iter().filter(|(_, given)| **given == decision).map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = if names.len() > NAMED { format!(", and {} more", names.len() - NAMED) } else { String::new() };
            text.push_str(&format!("{word:<10} {shown}{more}\n"));
        }
    }
    text
}

/// A key that a server has to prove, as people compare it.
pub(super) fn pinned_line(pinned: &PinnedKey) -> String {
    let key = pinned.key();
    let whose = match pinned {
        PinnedKey::Authority(_) => "authority",
        PinnedKey::Host(_) => "host key",
        PinnedKey::Revoked(_) => "revoked",
    };
    format!("{whose:<10} {} {}\n", key.algorithm().name(), key.fingerprint())
}

pub(super) fn parse(name: &str) -> Result<ConnectionName, Problem> {
    ConnectionName::parse(name).map_err(|error| Problem::usage(error.to_string()))
}
