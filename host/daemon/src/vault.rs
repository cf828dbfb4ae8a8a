//! The vault as a whole: made, unlocked, locked, its passphrase changed.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{Hidden, InitRequest, InitResult, PassphraseRequest, SuggestedPassphrase, UnlockRequest, VaultState};
use kv_audit::{Attempt, Event, LockCause};
use kv_vault::{KdfParams, Passphrase, generate_passphrase, passphrase_strength};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::clock::now_ms;
use crate::connections::blocking;
use crate::fault::{FailedUnlock, Fault};
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
    attempt(shared, Attempt::Init).await?;
    let gate = Arc::clone(shared);
    let session = blocking(move || gate.gate.create(&passphrase, params, lasts)).await?;
    shared
        .event(Event::VaultCreated { vault: session.vault.id(), uid: shared.uid })
        .and_then(|()| shared.event(Event::Unlocked { until_ms: Some(session.until_ms()), uid: shared.uid }))
        .inspect_err(|_| drop(shared.end_session()))?;
    shared.anchor(&session)?;
    answer::json(&InitResult {
        path: shared.home.data.join("vault.db").display().to_string(),
        until_ms: session.until_ms(),
    })
}

/// A passphrase out of the system's randomness. Nothing is changed by it, and nothing recorded.
pub(crate) fn suggest() -> Result<Answered, Fault> {
    ready()?;
    let made = generate_passphrase()
        .map_err(|error| Fault::new(kv_api::Code::Failed, format!("no passphrase was made: {error}")))?;
    answer::json(&SuggestedPassphrase { passphrase: Hidden::new(made.to_string()) })
}

pub(crate) async fn unlock(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: UnlockRequest = request::json(request).await?;
    ready()?;
    let passphrase = passphrase(&wanted.passphrase)?;
    let lasts = Duration::from_millis(wanted.for_ms);
    attempt(shared, Attempt::Unlock).await?;
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

/// The one thing that is done before it is recorded: keys must go though the disk is full, and without waiting for it.
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
    attempt(shared, Attempt::Passwd).await?;
    let vault = Arc::clone(&session.vault);
    let changing = move || vault.change_passphrase(&old, &new, KdfParams::default(), now_ms()).map_err(Fault::change);
    if let Err(fault) = blocking(changing).await {
        unlock_failed(shared, &fault)?;
        return Err(fault);
    }
    shared.event(Event::PassphraseChanged { uid: shared.uid })?;
    answer::json(&json!({ "changed": true }))
}

/// Records that a passphrase is about to be tried or set, and returns when that is durable: the file keeps count of
/// tries, and the trail must know of each.
async fn attempt(shared: &Shared, what: Attempt) -> Result<(), Fault> {
    shared.intend(Event::Attempted { what, uid: shared.uid }).await
}

/// Records a wrong passphrase, or one that came too soon; nothing, where it was neither.
pub(crate) fn unlock_failed(shared: &Shared, fault: &Fault) -> Result<(), Fault> {
    match fault.failed_unlock() {
        Some(FailedUnlock { failures, wait_ms }) => {
            shared.event(Event::UnlockFailed { failures, wait_ms, uid: shared.uid })
        }
        None => Ok(()),
    }
}

/// No passphrase is taken by a process whose memory others can read.
pub(crate) fn ready() -> Result<(), Fault> {
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
