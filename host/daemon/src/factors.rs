//! What a person proves to be there with. The vault judges; this records what was tried and what it came to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{
    BeginTotp, Code, ConfirmTotp, FactorKind, Factors, Hidden, Proof, ProofRequest, RecoveryCodes, Tested,
    TotpEnrolment, TotpInfo,
};
use kv_audit::{Attempt, Event, FactorUsed};
use kv_policy::approval::Level;
use kv_vault::{FactorError, FactorProof, ProofKind};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::clock::now_ms;
use crate::connections::blocking;
use crate::fault::Fault;
use crate::gate::Session;
use crate::request;
use crate::route::Caller;
use crate::shared::Shared;
use crate::vault::{passphrase, ready};

/// As long as a person has to scan a code and type what the app shows.
const ENROLLING: Duration = Duration::from_secs(600);

/// A seed that no code has confirmed yet. It is in no file, and goes with the vault's lock.
#[derive(Default)]
pub(crate) struct Enrolling(Mutex<Option<(Instant, kv_vault::TotpEnrolment)>>);

impl Enrolling {
    fn seed(&self) -> MutexGuard<'_, Option<(Instant, kv_vault::TotpEnrolment)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget(&self) {
        *self.seed() = None;
    }
}

/// The weakest factor that counts: the best that is enrolled.
pub(crate) fn needs(session: &Session) -> Result<FactorKind, Fault> {
    let state = session.vault.factors().map_err(|damage| Fault::factor(&damage.into()))?;
    Ok(if state.totp.is_some() { FactorKind::Totp } else { FactorKind::Passphrase })
}

pub(crate) fn list(shared: &Shared) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let state = session.vault.factors().map_err(|damage| Fault::factor(&damage.into()))?;
    let totp = state.totp.map(|totp| TotpInfo {
        since_ms: totp.since_ms,
        recovery_codes_left: totp.recovery_codes_left,
        failures: totp.failures,
        paused_until_ms: totp.paused_until_ms,
    });
    answer::json(&Factors { totp, needs: needs(&session)? })
}

pub(crate) async fn test(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: ProofRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    let proof = prove(shared, &session, wanted.proof, Attempt::FactorTest).await?;
    let factor = used(&proof);
    shared.event(Event::FactorProved { what: Attempt::FactorTest, factor, uid: shared.uid })?;
    let kind = if factor == FactorUsed::Passphrase { FactorKind::Passphrase } else { FactorKind::Totp };
    answer::json(&Tested { kind, is_recovery_code: factor == FactorUsed::Recovery })
}

pub(crate) async fn begin_totp(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: BeginTotp = request::json(request).await?;
    let session = shared.gate.session()?;
    if needs(&session)? == FactorKind::Totp {
        return Err(Fault::new(Code::Conflict, "an authenticator app is enrolled already")
            .reason("enrolled")
            .next("kv factor remove totp"));
    }
    let proof = prove(shared, &session, Proof::Passphrase(wanted.passphrase), Attempt::FactorAdd).await?;
    shared.event(Event::FactorProved { what: Attempt::FactorAdd, factor: used(&proof), uid: shared.uid })?;
    let enrolment = session.vault.begin_totp().map_err(|error| Fault::factor(&error))?;
    let shown = TotpEnrolment {
        uri: Hidden::new(enrolment.uri(&format!("kv-{}", &session.vault.id().to_string()[..8])).to_string()),
        secret: Hidden::new(enrolment.secret_base32().to_string()),
    };
    session.check_live()?;
    *shared.enrolling.seed() = Some((Instant::now(), enrolment));
    answer::json(&shown)
}

pub(crate) async fn confirm_totp(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: ConfirmTotp = request::json(request).await?;
    let session = shared.gate.session()?;
    let begun = shared.enrolling.seed().take().filter(|(since, _)| since.elapsed() < ENROLLING);
    let Some((since, enrolment)) = begun else {
        return Err(Fault::new(Code::NotFound, "nothing is being enrolled, or it was begun too long ago")
            .reason("not_begun")
            .next("kv factor add totp"));
    };
    attempt(shared, Attempt::FactorAdd).await?;
    let vault = Arc::clone(&session.vault);
    let confirmed = blocking(move || Ok(vault.confirm_totp(enrolment, wanted.code.reveal(), now_ms()))).await?;
    match confirmed {
        Ok(codes) => {
            // It is enrolled: nothing may end this before the codes are shown, but a trail that takes nothing.
            shared.event(Event::FactorAdded { factor: FactorUsed::Totp, uid: shared.uid })?;
            let codes = codes.iter().map(|code| Hidden::new(code.to_owned())).collect();
            answer::json(&RecoveryCodes { codes })
        }
        Err((error, enrolment)) => {
            // A mistyped code is no reason to scan again.
            *shared.enrolling.seed() = enrolment.map(|enrolment| (since, enrolment));
            Err(failed(shared, Attempt::FactorAdd, &error)?)
        }
    }
}

pub(crate) async fn remove_totp(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: ProofRequest = request::json(request).await?;
    let session = shared.gate.session()?;
    let proof = prove(shared, &session, wanted.proof, Attempt::FactorRemove).await?;
    let vault = Arc::clone(&session.vault);
    blocking(move || vault.remove_totp(&proof).map_err(|error| Fault::factor(&error))).await?;
    shared.event(Event::FactorRemoved { factor: FactorUsed::Totp, uid: shared.uid })?;
    answer::json(&json!({ "removed": true }))
}

/// Judges a proof of the factor that is wanted now, the try recorded before it is judged.
pub(crate) async fn prove(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    proof: Proof,
    what: Attempt,
) -> Result<FactorProof, Fault> {
    ready()?;
    attempt(shared, what).await?;
    let vault = Arc::clone(&session.vault);
    let judged = match (proof, needs(session)?) {
        (Proof::Passphrase(_), FactorKind::Totp) => Err(FactorError::Weaker),
        (Proof::Passphrase(text), FactorKind::Passphrase) => {
            let passphrase = passphrase(&text)?;
            blocking(move || Ok(vault.verify_passphrase_factor(&passphrase, now_ms()))).await?
        }
        (Proof::Code(code), _) => blocking(move || Ok(vault.verify_factor(code.reveal(), now_ms()))).await?,
    };
    session.check_live()?;
    match judged {
        Ok(proof) => Ok(proof),
        Err(error) => Err(failed(shared, what, &error)?),
    }
}

/// Wants a code with what gives more than there was, where an authenticator app is enrolled. Where none is, the person's
/// socket is as good as its user, which `kv doctor` says.
pub(crate) async fn demand(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    caller: &Caller,
    what: Attempt,
) -> Result<(), Fault> {
    if needs(session)? == FactorKind::Passphrase {
        return Ok(());
    }
    let Some(code) = &caller.code else {
        return Err(Fault::new(Code::NeedsHuman, "a code of the authenticator app is needed for this")
            .reason("factor_required")
            .next("repeat the command at a terminal, which asks for it"));
    };
    let proof = prove(shared, session, Proof::Code(Hidden::new(code.reveal().to_owned())), what).await?;
    shared.event(Event::FactorProved { what, factor: used(&proof), uid: shared.uid })
}

async fn attempt(shared: &Shared, what: Attempt) -> Result<(), Fault> {
    shared.intend(Event::Attempted { what, uid: shared.uid }).await
}

/// The error of a proof that did not count, recorded.
fn failed(shared: &Shared, what: Attempt, error: &FactorError) -> Result<Fault, Fault> {
    let (reason, wait_ms) = (kv_audit::Code::new(error.code()), error.retry_after_ms());
    shared.event(Event::FactorFailed { what, reason, wait_ms, uid: shared.uid })?;
    Ok(Fault::factor(error))
}

pub(crate) fn used(proof: &FactorProof) -> FactorUsed {
    match proof.kind() {
        ProofKind::Passphrase => FactorUsed::Passphrase,
        ProofKind::Recovery => FactorUsed::Recovery,
        ProofKind::Totp => FactorUsed::Totp,
    }
}

pub(crate) fn level(proof: &FactorProof) -> Level {
    match proof.kind() {
        ProofKind::Passphrase => Level::Passphrase,
        ProofKind::Recovery | ProofKind::Totp => Level::Totp,
    }
}
