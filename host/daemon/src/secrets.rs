//! Secrets by name: what there is, new values in, old ones out. No verb here gives a value back.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{Code, ConnectRequest, HiddenBytes, RenameRequest, SecretInfo, SetRequest, SetResult, ValueRequest};
use kv_audit::Event;
use kv_model::{ConnectionName, Manifest, Protocol, SecretId, SecretName, Slot, SlotKind};
use kv_runtime::Provider;
use kv_vault::{DocumentKind, SecretMeta, SecretValue, Unlocked, WriteError};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::clock::now_ms;
use crate::connection_string::{self, Reading};
use crate::connections::{self, blocking};
use crate::fault::Fault;
use crate::gate::Session;
use crate::providers::label;
use crate::request;
use crate::settings;
use crate::shared::Shared;

/// Shorter than this, a value occurs by chance in answers, and masking it would be noise; see `docs/SECURITY.md`.
const LEAST_REDACTABLE: usize = 12;

pub(crate) fn list(shared: &Shared) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let secrets: Vec<_> = session.vault.secrets().into_iter().map(|meta| info(&session, meta)).collect();
    answer::json(&secrets)
}

pub(crate) fn show(shared: &Shared, name: &str) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let name = parse(name)?;
    let meta = session.vault.secret(&name).ok_or_else(|| Fault::no_secret(&name))?;
    answer::json(&info(&session, meta))
}

pub(crate) async fn set(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let SetRequest { name, value, allow_private, alone } = request::json(request).await?;
    let session = shared.gate.session()?;
    if session.vault.secret(&name).is_some() {
        return Err(Fault::new(Code::Conflict, format!("there is a secret `{name}` already"))
            .next(format!("kv secret rotate {name}")));
    }
    let known = shared.providers.recognise(name.as_str());
    let mut warnings = warnings(&value, known);
    let note = known.and_then(|(_, slot)| label(slot, value.reveal()));
    let usual = match known {
        Some((provider, slot)) if !alone => Usual::read(&session, provider, slot, &name, &value, allow_private)?,
        Some(_) | None => Usual::None,
    };
    shared.intend(Event::SecretSet { secret: name.clone(), version: 1, uid: shared.uid }).await?;
    let meta =
        store(&session, note, move |session| session.vault.put_secret(&name, SecretValue::new(value.take()), now_ms()))
            .await?;
    let connection = match (known, usual) {
        (Some((provider, _)), Usual::Wanted { request, notes }) => {
            let made = connect_usual(shared, &session, provider, *request).await?;
            warnings.extend(made.is_some().then_some(notes).into_iter().flatten());
            made
        }
        (_, Usual::Refused { why }) => {
            warnings.push(why);
            None
        }
        (_, Usual::None | Usual::Wanted { .. }) => None,
    };
    answer::json(&SetResult { secret: info(&session, meta), connection, warnings })
}

/// The connection that a secret of a known name asks for.
enum Usual {
    None,
    Refused { why: String },
    Wanted { request: Box<ConnectRequest>, notes: Vec<String> },
}

impl Usual {
    /// Nothing is stored yet, and nothing will be if a person has to confirm something first.
    fn read(
        session: &Session,
        provider: &Provider,
        slot: &Slot,
        secret: &SecretName,
        value: &HiddenBytes,
        allow_private: bool,
    ) -> Result<Self, Fault> {
        let manifest = &provider.manifest;
        let Ok(name) = ConnectionName::parse(manifest.name.as_str()) else { return Ok(Usual::None) };
        if session.connections().contains_key(&name) {
            return Ok(Usual::None);
        }
        Ok(match connection_string::read(manifest, slot, secret, value.reveal())? {
            Reading::Refused { why } => Usual::Refused {
                why: format!(
                    "it looks like a connection string, and no connection was made from it: {why}; write it anew with \
                     `kv secret rotate {secret}`, or keep the bare password and `kv connect {} HOST --bind {}={secret}`",
                    manifest.name, slot.name
                ),
            },
            Reading::Wanted { mut request, notes } => {
                let origin = request.origin.as_deref().unwrap_or_default();
                connections::check_private(&connections::origin(origin, manifest.protocol)?, allow_private)?;
                request.allow_private = allow_private;
                // A certificate authority, say, cannot be had from the string.
                match settings::check(
                    &|name| session.connection(name),
                    manifest,
                    &settings::Of { name: &name, has_ca: false },
                    request.settings,
                ) {
                    Ok(settings) => {
                        request.settings = settings;
                        Usual::Wanted { request, notes }
                    }
                    Err(fault) => Usual::Refused {
                        why: format!(
                            "no connection was made from it: {}; kv connect {} postgres://USER@HOST/DATABASE --bind {}={secret}",
                            fault.error().message,
                            manifest.name,
                            slot.name
                        ),
                    },
                }
            }
            Reading::Other => Usual::Wanted { request: Box::new(usual(manifest, name)), notes: Vec::new() },
        })
    }
}

/// A connection with all that is the provider's own.
fn usual(manifest: &Manifest, name: ConnectionName) -> ConnectRequest {
    ConnectRequest {
        provider: manifest.name.clone(),
        name,
        origin: None,
        ca: None,
        settings: Default::default(),
        bindings: Default::default(),
        allow_private: false,
        preview: false,
        replace: false,
    }
}

/// Makes the connection that has the provider's own name, unless another slot is still unfilled.
async fn connect_usual(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    provider: &Provider,
    wanted: ConnectRequest,
) -> Result<Option<kv_api::ConnectionDetail>, Fault> {
    match connections::plan(session, provider, wanted) {
        Ok(connection) => {
            let made = connections::make(shared, session, connection, None).await?;
            Ok(Some(connections::detail(shared, session, provider, &made)))
        }
        // A provider with a second slot or a needed setting is connected by hand.
        Err(fault) if matches!(fault.error().code, Code::NotFound | Code::Usage) => Ok(None),
        Err(fault) => Err(fault),
    }
}

pub(crate) async fn rotate(shared: &Arc<Shared>, name: &str, request: Request<Incoming>) -> Result<Answered, Fault> {
    let name = parse(name)?;
    let ValueRequest { value } = request::json(request).await?;
    let session = shared.gate.session()?;
    let before = session.vault.secret(&name).ok_or_else(|| Fault::no_secret(&name))?;
    let known = shared.providers.recognise(name.as_str());
    let mut warnings = warnings(&value, known);
    warnings.extend(elsewhere(shared, &session, before.id, &value));
    let note = known.and_then(|(_, slot)| label(slot, value.reveal()));
    shared
        .intend(Event::SecretRotated {
            secret: name.clone(),
            version: before.version.saturating_add(1),
            uid: shared.uid,
        })
        .await?;
    let meta = store(&session, note, move |session| {
        session.vault.rotate_secret(&name, SecretValue::new(value.take()), now_ms())
    })
    .await?;
    answer::json(&SetResult { secret: info(&session, meta), connection: None, warnings })
}

/// The connections that a new connection string does not belong to, a warning each.
fn elsewhere(shared: &Shared, session: &Session, id: SecretId, value: &HiddenBytes) -> Vec<String> {
    let mut warnings = Vec::new();
    for connection in session.connections().values() {
        // One whose provider has changed is refused anyway.
        let Ok(provider) = shared.providers.of(connection) else { continue };
        let slots = connection.bindings.iter().filter(|(_, bound)| bound.id == id).map(|(slot, _)| slot);
        for slot in slots {
            if connection_string::is_elsewhere(connection, &provider.manifest, slot, value.reveal()) {
                warnings.push(format!(
                    "it is a connection string of another server, user or database than connection `{}`, which will \
                     refuse it",
                    connection.name
                ));
            }
        }
    }
    warnings
}

pub(crate) async fn rename(shared: &Arc<Shared>, name: &str, request: Request<Incoming>) -> Result<Answered, Fault> {
    let name = parse(name)?;
    let RenameRequest { to } = request::json(request).await?;
    let session = shared.gate.session()?;
    session.vault.secret(&name).ok_or_else(|| Fault::no_secret(&name))?;
    shared.intend(Event::SecretRenamed { secret: name.clone(), to: to.clone(), uid: shared.uid }).await?;
    let vault = Arc::clone(&session.vault);
    let meta = blocking(move || vault.rename_secret(&name, &to).map_err(Fault::write)).await?;
    answer::json(&info(&session, meta))
}

pub(crate) async fn remove(shared: &Arc<Shared>, name: &str) -> Result<Answered, Fault> {
    let name = parse(name)?;
    let session = shared.gate.session()?;
    let meta = session.vault.secret(&name).ok_or_else(|| Fault::no_secret(&name))?;
    let bound = bound_to(&session, meta.id);
    if !bound.is_empty() {
        let names: Vec<_> = bound.iter().map(ConnectionName::as_str).collect();
        return Err(Fault::new(Code::Conflict, format!("`{name}` is bound to {}", names.join(", ")))
            .next(format!("kv connection remove {}", names.join(" "))));
    }
    shared.intend(Event::SecretRemoved { secret: name.clone(), uid: shared.uid }).await?;
    let vault = Arc::clone(&session.vault);
    let removed = name.clone();
    blocking(move || remove_with_label(&vault, &name, now_ms()).map_err(Fault::write)).await?;
    answer::json(&json!({ "removed": removed }))
}

/// Takes a secret out of use, and what was noted about it away.
fn remove_with_label(vault: &Unlocked, name: &SecretName, now_ms: u64) -> Result<(), WriteError> {
    let meta = vault.remove_secret(name, now_ms)?;
    vault.remove_document(DocumentKind::SecretLabel, &meta.id.to_string()).map(|_| ())
}

/// Writes a secret and its label.
async fn store(
    session: &Arc<Session>,
    note: Option<String>,
    write: impl FnOnce(&Session) -> Result<SecretMeta, WriteError> + Send + 'static,
) -> Result<SecretMeta, Fault> {
    let session = Arc::clone(session);
    blocking(move || {
        let meta = write(&session).map_err(Fault::write)?;
        let note = note.unwrap_or_default();
        session
            .vault
            .put_document(DocumentKind::SecretLabel, &meta.id.to_string(), note.as_bytes())
            .map_err(Fault::write)?;
        Ok(meta)
    })
    .await
}

/// What a value is, as noted when it was stored: "test key".
pub(crate) fn label_of(session: &Session, id: SecretId) -> Option<String> {
    let note = session.vault.document(DocumentKind::SecretLabel, &id.to_string()).ok()??;
    String::from_utf8(note.to_vec()).ok().filter(|label| !label.is_empty())
}

fn info(session: &Session, meta: SecretMeta) -> SecretInfo {
    SecretInfo {
        connections: bound_to(session, meta.id),
        label: label_of(session, meta.id),
        name: meta.name,
        version: meta.version,
        created_ms: meta.created_ms,
        changed_ms: meta.changed_ms,
        length: meta.length,
    }
}

fn bound_to(session: &Session, id: SecretId) -> Vec<ConnectionName> {
    let connections = session.connections();
    let bound = connections.values().filter(|connection| connection.bindings.values().any(|secret| secret.id == id));
    bound.map(|connection| connection.name.clone()).collect()
}

/// What is odd about a value. It is stored all the same: the person may know better.
fn warnings(value: &HiddenBytes, known: Option<(&Provider, &Slot)>) -> Vec<String> {
    let bytes = value.reveal();
    let mut warnings = Vec::new();
    if bytes.len() < LEAST_REDACTABLE {
        warnings.push(format!("it is shorter than {LEAST_REDACTABLE} bytes: kv cannot promise to find it in answers"));
    }
    let unfit = |b: &u8| !(0x20..0x7f).contains(b);
    let is_http = known.is_some_and(|(provider, _)| provider.manifest.protocol == Protocol::Http);
    if is_http && (bytes.iter().any(unfit) || bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ')) {
        warnings.push("it has characters that no HTTP header takes: check how it was copied".to_owned());
    }
    if let Some((provider, slot)) = known
        && !slot.prefixes.is_empty()
        && matches!(slot.kind, SlotKind::PrivateKey | SlotKind::Token)
        && label(slot, bytes).is_none()
    {
        warnings.push(format!("it does not begin as keys of {} do", provider.manifest.title));
    }
    warnings
}

fn parse(name: &str) -> Result<SecretName, Fault> {
    SecretName::parse(name).map_err(|error| Fault::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use kv_vault::{KdfParams, Passphrase, Vault};

    use super::*;

    #[test]
    fn a_removed_secret_leaves_no_label() {
        let home = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("four unrelated words here".to_owned()).unwrap();
        let vault = Vault::create(&home.path().join("vault"), &passphrase, KdfParams::FLOOR, 1).unwrap();
        let name = SecretName::parse("STRIPE_API_KEY").unwrap();
        let meta = vault.put_secret(&name, SecretValue::new(b"sk_test_x".to_vec()), 1).unwrap();
        let label = |vault: &Unlocked| vault.document(DocumentKind::SecretLabel, &meta.id.to_string()).unwrap();
        vault.put_document(DocumentKind::SecretLabel, &meta.id.to_string(), b"test key").unwrap();
        assert!(label(&vault).is_some());
        remove_with_label(&vault, &name, 2).unwrap();
        assert!(vault.secret(&name).is_none() && label(&vault).is_none());
        // One without a label goes as well.
        vault.put_secret(&name, SecretValue::new(b"sk_test_y".to_vec()), 3).unwrap();
        remove_with_label(&vault, &name, 4).unwrap();
    }
}
