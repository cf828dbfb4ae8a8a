//! The vault as a whole: made, unlocked, locked, its passphrase changed.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{Hidden, InitRequest, InitResult, PassphraseRequest, UnlockRequest, VaultState};
use kv_audit::{Event, LockCause};
use kv_vault::{KdfParams, Passphrase, passphrase_strength};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::clock::now_ms;
use crate::connections::blocking;
use crate::fault::Fault;
use crate::request;
use crate::shared::Shared;

/// zxcvbn's score from which a passphrase is taken without a word: "safely unguessable", over 10^8 guesses, each of
/// which costs an attacker the key derivation.
const LEAST_SCORE: u8 = 3;

pub(crate) async fn init(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: InitRequest = request::json(request).await?;
    ready()?;
    let passphrase = new_passphrase(&wanted.passphrase, wanted.accept_weak || wanted.throw_away)?;
    let params = if wanted.throw_away { KdfParams::FLOOR } else { KdfParams::default() };
    let lasts = Duration::from_millis(wanted.for_ms);
    let gate = Arc::clone(shared);
    let session = blocking(move || gate.gate.create(&passphrase, params, lasts)).await?;
    shared.event(Event::VaultCreated { vault: session.vault.id(), uid: shared.uid })?;
    shared.event(Event::Unlocked { until_ms: Some(session.until_ms()), uid: shared.uid })?;
    shared.anchor(&session)?;
    answer::json(&InitResult {
        path: shared.home.data.join("vault.db").display().to_string(),
        until_ms: session.until_ms(),
    })
}

pub(crate) async fn unlock(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: UnlockRequest = request::json(request).await?;
    ready()?;
    let passphrase = passphrase(&wanted.passphrase)?;
    let lasts = Duration::from_millis(wanted.for_ms);
    let gate = Arc::clone(shared);
    match blocking(move || gate.gate.unlock(&passphrase, lasts)).await {
        Ok(session) => {
            if let Err(fault) = shared.event(Event::Unlocked { until_ms: Some(session.until_ms()), uid: shared.uid }) {
                // An unlock that cannot be recorded does not stand.
                drop(shared.end_session());
                return Err(fault);
            }
            crate::trail::check_anchor(shared, &session)?;
            blocking({
                let session = Arc::clone(&session);
                move || session.vault.prune(now_ms()).map_err(Fault::write)
            })
            .await?;
            answer::json(&VaultState::Unlocked { until_ms: session.until_ms() })
        }
        Err(fault) => {
            unlock_failed(shared, &fault)?;
            Err(fault)
        }
    }
}

pub(crate) async fn lock(shared: &Arc<Shared>) -> Result<Answered, Fault> {
    let locked = shared.end_session();
    let settling = Arc::clone(shared);
    let was_open = blocking(move || settling.settle(locked, LockCause::Asked)).await?;
    answer::json(&json!({ "was_open": was_open }))
}

pub(crate) async fn passwd(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: PassphraseRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    let old = passphrase(&wanted.old)?;
    let new = new_passphrase(&wanted.new, wanted.accept_weak)?;
    let vault = Arc::clone(&session.vault);
    blocking(move || vault.change_passphrase(&old, &new, KdfParams::default(), now_ms()).map_err(Fault::change))
        .await?;
    shared.event(Event::PassphraseChanged { uid: shared.uid })?;
    answer::json(&json!({ "changed": true }))
}

/// Records a wrong passphrase, or one that came too soon.
pub(crate) fn unlock_failed(shared: &Shared, fault: &Fault) -> Result<(), Fault> {
    let error = fault.error();
    let number = |name: &str| error.details.as_ref().and_then(|details| details[name].as_u64());
    shared.event(Event::UnlockFailed {
        failures: number("failures").and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        wait_ms: error.retry_after_ms.unwrap_or_default(),
        uid: shared.uid,
    })
}

/// No passphrase is taken by a process whose memory others can read.
fn ready() -> Result<(), Fault> {
    kv_harden::still_hardened().map_err(|why| {
        Fault::new(kv_api::Code::Integrity, format!("no passphrase is taken: {why}")).next("kv daemon restart")
    })
}

pub(crate) fn passphrase(text: &Hidden) -> Result<Passphrase, Fault> {
    Passphrase::new(text.reveal().to_owned()).map_err(Fault::passphrase)
}

fn new_passphrase(text: &Hidden, accept_weak: bool) -> Result<Passphrase, Fault> {
    let passphrase = passphrase(text)?;
    let strength = passphrase_strength(&passphrase);
    if strength.score >= LEAST_SCORE || accept_weak {
        return Ok(passphrase);
    }
    let why = strength.warning.map_or(String::new(), |why| format!(": {why}"));
    Err(Fault::usage(format!("the passphrase is too easy to guess{why}"))
        .reason("weak_passphrase")
        .next("take four or more unrelated words")
        .next("--accept-weak takes it all the same"))
}
