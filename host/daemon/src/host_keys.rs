//! Host keys, shown to a person before they are pinned. Nothing here trusts one: what a server shows proves nothing until
//! a person has compared it with what they know.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{HostKeys, HostKeysRequest, ShownKey};
use kv_audit::Event;
use kv_egress::Enrolment;
use kv_model::{Connection, ConnectionName, HostKey, Origin, Protocol, SettingName};

use crate::answer::{self, Answered};
use crate::clock::now_ms;
use crate::connections;
use crate::fault::Fault;
use crate::request;
use crate::settings::jump_host;
use crate::worker::Worker;

pub(crate) async fn show(worker: &Worker, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: HostKeysRequest = request::json(request).await?;
    // Nobody makes kv knock at doors while its vault is locked.
    worker.shared.gate.session()?.check_live()?;
    let origin = connections::origin(&wanted.origin, Protocol::Ssh)?;
    connections::check_private(&origin, wanted.allow_private)?;
    let asked = Event::HostKeysAsked { origin: origin.clone(), jump: wanted.jump.clone(), uid: worker.shared.uid };
    worker.shared.intend(asked).await?;
    let keys = match &wanted.jump {
        None => kv_egress::host_keys(&worker.shared.egress, &origin, wanted.allow_private)
            .await
            .map_err(|error| Fault::send(&error))?,
        Some(jump) => behind(worker, jump, &origin, wanted.allow_private).await?,
    };
    answer::json(&HostKeys { origin: origin.to_string(), keys: keys.iter().map(shown).collect() })
}

/// Through jump hosts, which are logged in to; the server itself is not.
async fn behind(
    worker: &Worker,
    jump: &ConnectionName,
    origin: &Origin,
    allow_private: bool,
) -> Result<Vec<HostKey>, Fault> {
    let session = worker.shared.gate.session()?;
    let last = session.connection(jump)?;
    let manifest = &worker.shared.providers.of(&last)?.manifest;
    jump_host(&|name| session.connection(name), manifest, jump)?;
    let setting = |name: &str| SettingName::parse(name).map_err(Fault::broken);
    // The one that is being made, as far as there is one: it has the jump host's credential, which is never used for it.
    let mut target = Connection::clone(&last);
    target.name = unused(&session.connections().keys().cloned().collect::<Vec<_>>())?;
    target.origin = origin.clone();
    target.allow_private = allow_private;
    target.settings.insert(setting("jump")?, jump.to_string());
    let (auth, defaults) = (manifest.default_schemes(), manifest.settings_with(&Default::default()));
    let enrolment = Enrolment { auth: &auth, defaults: &defaults, vault: &session.vault, now_ms: now_ms() };
    let jumps = |name: &ConnectionName| session.connection(name).ok();
    worker.egress.host_keys_behind(&Arc::new(target), enrolment, &jumps).await.map_err(|error| Fault::send(&error))
}

/// A name that no connection has: on the way, a name stands once.
fn unused(known: &[ConnectionName]) -> Result<ConnectionName, Fault> {
    let names = (0..=known.len()).map(|number| ConnectionName::parse(&format!("new-{number}")).map_err(Fault::broken));
    for name in names {
        let name = name?;
        if !known.contains(&name) {
            return Ok(name);
        }
    }
    Err(Fault::broken("more names than numbers"))
}

fn shown(key: &HostKey) -> ShownKey {
    ShownKey {
        algorithm: key.algorithm().name().to_owned(),
        fingerprint: key.fingerprint().to_string(),
        line: key.to_string(),
    }
}
