//! Connections: the person sets them up, sees what they may do, and takes them away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{Code, ConnectRequest, ConnectionDetail, EditRequest, Edited, RoleFindings, TestResult};
use kv_audit::{Attempt, Decided, Event, Later, Setup};
use kv_model::{
    Connection, ConnectionName, CustomCa, Effect, HostKind, Manifest, Origin, Protocol, SecretName, SecretRef,
    SlotName, Suggestion,
};
use kv_policy::loosens;
use kv_runtime::Provider;
use serde_json::json;

use crate::answer::{self, Answered};
use crate::catalog::{parse_connection, summary};
use crate::claims::Claims;
use crate::clock::now_ms;
use crate::factors;
use crate::fault::Fault;
use crate::gate::Session;
use crate::pipeline::{self, Ask, Reply, What};
use crate::renewal;
use crate::request;
use crate::route::Caller;
use crate::settings;
use crate::shared::Shared;
use crate::worker::Worker;

/// A CA file holds a few certificates of some KiB.
const MAX_CA_BYTES: usize = 256 << 10;
/// As much of a test call's answer as is read.
const MAX_TEST_BYTES: usize = 8 << 20;

pub(crate) async fn connect(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Answered, Fault> {
    let wanted: ConnectRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    let provider = shared.providers.find(&wanted.provider)?.clone();
    let (preview, replace) = (wanted.preview, wanted.replace);
    let connection = plan(&session, &provider, wanted)?;
    if !replace && session.connections().contains_key(&connection.name) {
        return Err(Fault::new(Code::Conflict, format!("there is a connection `{}` already", connection.name))
            .next(format!("kv connection show {}", connection.name))
            .next("add --replace, or --name with another name"));
    }
    if preview {
        return answer::json(&detail(shared, &session, &provider, &connection));
    }
    let before = session.connections().get(&connection.name).cloned();
    if loosens(before.as_deref(), &connection) {
        factors::demand(shared, &session, caller, Attempt::Connect).await?;
    }
    let made = make(shared, &session, connection, before).await?;
    answer::json(&detail(shared, &session, &provider, &made))
}

/// Seals a connection. The event is recorded first: what cannot be recorded does not happen.
pub(crate) async fn make(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    connection: Connection,
    before: Option<Arc<Connection>>,
) -> Result<Arc<Connection>, Fault> {
    let event = Event::ConnectionMade {
        connection: connection.name.clone(),
        provider: connection.provider.clone(),
        provider_digest: connection.provider_digest,
        origin: connection.origin.clone(),
        secrets: bound(&connection),
        uid: shared.uid,
        setup: setup(shared, session, &connection).await?,
    };
    shared.intend(event).await?;
    let session = Arc::clone(session);
    blocking(move || session.put_connection(connection, before.as_ref())).await
}

/// What the trail says of a connection. A setting that holds a value of the vault is a mistake that stays out of it.
async fn setup(shared: &Shared, session: &Session, connection: &Connection) -> Result<Later<Setup>, Fault> {
    let claims = Claims::of(shared, session).await?;
    Ok(Later::Known(Setup::of(connection, |value| claims.claim(value))))
}

/// What a connection would be. Nothing is changed.
pub(crate) fn plan(session: &Session, provider: &Provider, wanted: ConnectRequest) -> Result<Connection, Fault> {
    let manifest = &provider.manifest;
    let origin = match &wanted.origin {
        Some(text) => origin(text, manifest.protocol)?,
        None => manifest
            .origins
            .first()
            .cloned()
            .ok_or_else(|| Fault::usage("the provider has no origin of its own: give one"))?,
    };
    check_private(&origin, wanted.allow_private)?;
    let ca = wanted.ca.map(check_ca).transpose()?;
    let of = settings::Of { name: &wanted.name, has_ca: ca.is_some() };
    let settings = settings::check(&|name| session.connection(name), manifest, &of, wanted.settings)?;
    Ok(Connection {
        name: wanted.name,
        provider: manifest.name.clone(),
        provider_digest: provider.digest,
        // Leave for private addresses goes with an origin of the person's own, not with the provider's.
        allow_private: wanted.allow_private && !manifest.origins.contains(&origin),
        origin,
        ca,
        settings,
        bindings: bind(session, manifest, &wanted.bindings)?,
        accepted: manifest.operations.values().map(|operation| (operation.name.clone(), operation.suggest)).collect(),
        effects: renewal::effects(manifest),
        created_ms: now_ms(),
    })
}

/// An origin of the protocol that the provider speaks.
pub(crate) fn origin(text: &str, protocol: Protocol) -> Result<Origin, Fault> {
    let form = match protocol {
        Protocol::Http => "https://HOST[:PORT]",
        Protocol::Sql => "postgres://HOST[:PORT]",
        Protocol::Ssh => "ssh://HOST[:PORT]",
    };
    let origin = Origin::parse(text).map_err(|error| {
        Fault::usage(format!("`{}` is no origin: {error}", shown(text))).next(format!("write {form}"))
    })?;
    if origin.protocol() != protocol {
        return Err(Fault::usage(format!("`{origin}` is no origin of this provider, which speaks another protocol"))
            .reason("protocol")
            .next(format!("write {form}")));
    }
    Ok(origin)
}

/// A place on this machine or beside it is one that a person has to mean.
pub(crate) fn check_private(origin: &Origin, allow_private: bool) -> Result<(), Fault> {
    if matches!(origin.host_kind(), HostKind::Loopback | HostKind::PrivateIp) && !allow_private {
        return Err(Fault::new(Code::NeedsHuman, format!("`{origin}` is on this machine or in a private network"))
            .reason("private_origin")
            .next("if that is meant, confirm it, or give --yes"));
    }
    Ok(())
}

fn check_ca(pem: String) -> Result<CustomCa, Fault> {
    if pem.len() > MAX_CA_BYTES {
        return Err(Fault::usage(format!("the CA file is over {MAX_CA_BYTES} bytes")));
    }
    let ca = CustomCa(pem);
    kv_egress::check_ca(&ca).map_err(|why| Fault::usage(format!("the CA file is not taken: {why}")))?;
    Ok(ca)
}

/// Binds every slot to a secret: the one that was named, or one with a usual name.
fn bind(
    session: &Session,
    manifest: &Manifest,
    named: &BTreeMap<SlotName, SecretName>,
) -> Result<BTreeMap<SlotName, SecretRef>, Fault> {
    if let Some(unknown) = named.keys().find(|name| !manifest.slots.iter().any(|slot| slot.name == **name)) {
        return Err(Fault::usage(format!("`{}` has no slot `{unknown}`", manifest.name)));
    }
    let mut bindings = BTreeMap::new();
    for slot in &manifest.slots {
        let secret = match named.get(&slot.name) {
            Some(name) => Some(session.vault.secret(name).ok_or_else(|| Fault::no_secret(name))?),
            None => slot
                .usual_names
                .iter()
                .filter_map(|name| SecretName::parse(name).ok())
                .find_map(|name| session.vault.secret(&name)),
        };
        match secret {
            Some(secret) => drop(bindings.insert(slot.name.clone(), SecretRef { id: secret.id, name: secret.name })),
            None if !slot.required => {}
            None => {
                let usual = slot.usual_names.first().map_or("NAME", String::as_str);
                return Err(Fault::new(
                    Code::NotFound,
                    format!("the slot `{}` of `{}` has no secret", slot.name, manifest.name),
                )
                .reason("slot_unfilled")
                .next(format!("kv set {usual}"))
                .next(format!("or bind one that you have: --bind {}=NAME", slot.name)));
            }
        }
    }
    Ok(bindings)
}

pub(crate) fn show(shared: &Shared, name: &str) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let connection = session.connection(&parse_connection(name)?)?;
    let provider = shared.providers.find(&connection.provider)?;
    answer::json(&detail(shared, &session, provider, &connection))
}

pub(crate) fn detail(
    shared: &Shared,
    session: &Session,
    provider: &Provider,
    connection: &Connection,
) -> ConnectionDetail {
    let manifest = &provider.manifest;
    let schemes = manifest.default_auth.iter().filter_map(|name| manifest.auth.get(name));
    // A renamed secret keeps its binding: the id decides, and the name shown is today's.
    let bound = |secret: &SecretRef| {
        session.vault.secret_by_id(secret.id).map_or_else(|| secret.name.clone(), |secret| secret.name)
    };
    ConnectionDetail {
        summary: summary(shared, session, connection),
        provider_version: manifest.version.to_string(),
        provider_digest: connection.provider_digest.to_string(),
        schemes: schemes.map(|scheme| scheme.describe()).collect(),
        private: connection.allow_private,
        custom_ca: connection.ca.is_some(),
        settings: manifest.settings_with(&connection.settings).into_iter().collect(),
        bindings: connection.bindings.iter().map(|(slot, secret)| (slot.clone(), bound(secret))).collect(),
        created_ms: connection.created_ms,
        accepted: connection.accepted.clone(),
    }
}

pub(crate) async fn edit(
    shared: &Arc<Shared>,
    caller: &Caller,
    name: &str,
    request: Request<Incoming>,
) -> Result<Answered, Fault> {
    let name = parse_connection(name)?;
    let change: EditRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    let before = session.connection(&name)?;
    let provider = match change.accept_provider {
        true => shared.providers.find(&before.provider)?.clone(),
        false => shared.providers.of(&before)?.clone(),
    };
    let manifest = &provider.manifest;
    let mut connection = Connection::clone(&before);
    let provider_change = change.accept_provider.then(|| renewal::renew(&mut connection, manifest, provider.digest));
    if let Some(pem) = change.ca {
        connection.ca = Some(check_ca(pem)?);
    }
    let mut given = connection.settings;
    given.extend(change.settings);
    let of = settings::Of { name: &name, has_ca: connection.ca.is_some() };
    connection.settings = settings::check(&|name| session.connection(name), manifest, &of, given)?;
    if change.accept_provider {
        let mut named = names_of(&session, &connection);
        named.retain(|name, _| manifest.slots.iter().any(|slot| slot.name == *name));
        named.extend(change.bindings.clone());
        connection.bindings = bind(&session, manifest, &named)?;
    }
    for (slot, secret) in change.bindings {
        if !manifest.slots.iter().any(|known| known.name == slot) {
            return Err(Fault::usage(format!("`{}` has no slot `{slot}`", manifest.name)));
        }
        let secret = session.vault.secret(&secret).ok_or_else(|| Fault::no_secret(&secret))?;
        connection.bindings.insert(slot, SecretRef { id: secret.id, name: secret.name });
    }
    for (operation, decision) in change.decisions {
        if !manifest.operations.contains_key(&operation) {
            return Err(Fault::no_operation(&name, &operation, &manifest.nearest_operations(operation.as_str(), 3)));
        }
        connection.accepted.insert(operation, decision);
    }
    if change.preview {
        let connection = detail(shared, &session, &provider, &connection);
        return answer::json(&Edited { connection, provider_change });
    }
    if loosens(Some(&before), &connection) {
        factors::demand(shared, &session, caller, Attempt::Connect).await?;
    }
    let event = Event::ConnectionEdited {
        connection: connection.name.clone(),
        provider: connection.provider.clone(),
        origin: connection.origin.clone(),
        secrets: bound(&connection),
        uid: shared.uid,
        setup: setup(shared, &session, &connection).await?,
        decided: Later::Known(Decided::between(&before, &connection)),
    };
    shared.intend(event).await?;
    let connection = match change.accept_provider {
        // Recorded as made anew too: that entry names the component which was accepted.
        true => make(shared, &session, connection, Some(before)).await?,
        false => {
            let sealed = Arc::clone(&session);
            blocking(move || sealed.put_connection(connection, Some(&before))).await?
        }
    };
    answer::json(&Edited { connection: detail(shared, &session, &provider, &connection), provider_change })
}

/// What fills a connection's slots, by today's names.
fn names_of(session: &Session, connection: &Connection) -> BTreeMap<SlotName, SecretName> {
    let named = connection.bindings.iter();
    named.filter_map(|(slot, secret)| Some((slot.clone(), session.vault.secret_by_id(secret.id)?.name))).collect()
}

pub(crate) async fn remove(shared: &Arc<Shared>, name: &str) -> Result<Answered, Fault> {
    let name = parse_connection(name)?;
    let session = shared.gate.session()?;
    let connection = session.connection(&name)?;
    shared.intend(Event::ConnectionRemoved { connection: name.clone(), uid: shared.uid }).await?;
    blocking(move || session.remove_connection(&name)).await?;
    answer::json(&json!({ "removed": connection.name }))
}

/// Calls the operation that the provider names for this, through the whole pipeline.
pub(crate) async fn test(worker: &Worker, caller: Caller, name: &str) -> Result<Answered, Fault> {
    let name = parse_connection(name)?;
    let result = test_call(worker, caller, name).await?;
    answer::json(&result)
}

async fn test_call(worker: &Worker, caller: Caller, name: ConnectionName) -> Result<TestResult, Fault> {
    let session = worker.shared.gate.session()?;
    let connection = session.connection(&name)?;
    let manifest = &worker.shared.providers.of(&connection)?.manifest;
    let operation = manifest
        .test
        .clone()
        .ok_or_else(|| Fault::usage(format!("provider `{}` names no operation to test with", manifest.name)))?;
    if connection.accepted.get(&operation) != Some(&Suggestion::Allow) {
        return Err(Fault::new(Code::PolicyDenied, format!("the test would call `{operation}`, which is not allowed")));
    }
    let started = Instant::now();
    let what = What::Typed { operation: operation.clone(), input: json!({}), attachments: Vec::new() };
    let reply = pipeline::call(
        worker,
        Ask { principal: caller.principal, connection: name, most: Effect::Read, hold: Duration::ZERO, what },
    )
    .await?;
    let status = match reply {
        Reply::Result { .. } => 200,
        Reply::Command(mut running) => {
            let read = worker.shared.budgets.of_answer().collect_command(&mut running.answer).await;
            running.outcome.command(&running.answer, read.as_ref().ok().map(|output| &output.exit));
            running.outcome.finish(match &read {
                Ok(output) => pipeline::how_ended(&output.exit, output.truncated),
                Err(error) => Some(error.code()),
            });
            let output = read.map_err(|error| error.fault())?;
            if output.exit == kv_model::Exit::Code(0) { 200 } else { 500 }
        }
        Reply::Forwarded(mut forwarded) => {
            let status = forwarded.answer.status;
            let read = forwarded.answer.body.collect(MAX_TEST_BYTES).await;
            forwarded.outcome.progress(&forwarded.answer.body);
            forwarded.outcome.finish(read.as_ref().err().map(|error| error.code()));
            read.map_err(|error| Fault::body(&error))?;
            status
        }
    };
    let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let ok = (200..300).contains(&status);
    let role = match manifest.protocol {
        Protocol::Sql if ok => Some(examine(worker, &session, &connection, manifest).await?),
        Protocol::Http | Protocol::Sql | Protocol::Ssh => None,
    };
    Ok(TestResult { operation, status, ok, duration_us, role })
}

/// What a database's role could do if nobody held it to reading.
async fn examine(
    worker: &Worker,
    session: &Session,
    connection: &Arc<Connection>,
    manifest: &Manifest,
) -> Result<RoleFindings, Fault> {
    // It logs in, so it stands in the trail: a question of kv's own, which is why it is no call.
    let event = Event::RoleExamined { connection: connection.name.clone(), uid: worker.shared.uid };
    worker.shared.intend(event).await?;
    let (auth, defaults) = (manifest.default_schemes(), manifest.settings_with(&Default::default()));
    let report = worker
        .egress
        .examine(connection, &auth, &defaults, &session.vault, now_ms())
        .await
        .map_err(|error| Fault::send(&error))?
        .map_err(|error| Fault::database(&error))?;
    Ok(RoleFindings {
        role: report.role,
        database: report.database,
        server_version: report.server_version,
        tls: report.tls.map(str::to_owned),
        auth: report.auth.to_owned(),
        can_write: report.can_write,
        reads_by_default: report.reads_by_default,
        safe_role: report.safe_role,
    })
}

/// The secrets of a connection, by name.
fn bound(connection: &Connection) -> Vec<SecretName> {
    connection.bindings.values().map(|secret| secret.name.clone()).collect()
}

/// Runs what waits for the disk or derives keys on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::broken)?
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
