//! Questions, as a person sees and answers them. An agent's socket reaches [`state`] alone.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use kv_api::{ApprovalDetail, ApprovalState, ApprovalStatus, Approvals, Code, FactorKind, GrantRequest, ReviewLine};
use kv_audit::{Answer as Given, Attempt, Event};
use kv_policy::approval::{Answer, AnswerError, Approval, ApprovalId, Now, State};

use crate::answer::{self, Answered};
use crate::desk::MAX_HOLD;
use crate::factors;
use crate::fault::Fault;
use crate::request;
use crate::route::parameters;
use crate::shared::Shared;

pub(crate) fn list(shared: &Shared) -> Result<Answered, Fault> {
    let needs = factors::needs(&*shared.gate.session()?)?;
    let now = shared.desk.now();
    let approvals = shared.desk.approvals().list(now).into_iter().map(|one| detail(one, needs, now)).collect();
    answer::json(&Approvals { approvals })
}

pub(crate) fn show(shared: &Shared, id: &str) -> Result<Answered, Fault> {
    let needs = factors::needs(&*shared.gate.session()?)?;
    let (id, now) = (parse(id)?, shared.desk.now());
    let detail = shared.desk.approvals().get(id, now).map(|one| detail(one, needs, now));
    answer::json(&detail.ok_or_else(|| unknown(id))?)
}

/// What became of a question; waits for an answer as long as it is asked to.
pub(crate) async fn state(shared: &Shared, id: &str, query: Option<&str>) -> Result<Answered, Fault> {
    shared.gate.session()?;
    let id = parse(id)?;
    let hold = match parameters(query)?.get("hold_ms").map(|hold| hold.as_str().and_then(|text| text.parse().ok())) {
        None => Duration::ZERO,
        Some(Some(ms)) => Duration::from_millis(ms).min(MAX_HOLD),
        Some(None) => return Err(Fault::usage("`hold_ms` is a number of milliseconds")),
    };
    let until = tokio::time::Instant::now() + hold;
    let mut bell = shared.desk.bell();
    loop {
        let found = status(shared, id)?;
        if found.state != ApprovalState::Pending || tokio::time::timeout_at(until, bell.changed()).await.is_err() {
            return answer::json(&found);
        }
    }
}

/// A yes: to what was shown, proved with the factor that is wanted, recorded before it counts.
pub(crate) async fn grant(shared: &Arc<Shared>, id: &str, request: Request<Incoming>) -> Result<Answered, Fault> {
    let wanted: GrantRequest = request::json(request).await?;
    let (session, id) = (shared.gate.session()?, parse(id)?);
    let digest = {
        let now = shared.desk.now();
        let mut approvals = shared.desk.approvals();
        let approval = approvals.get(id, now).ok_or_else(|| unknown(id))?;
        if approval.state != State::Pending {
            return Err(settled(id, approval.state));
        }
        if approval.shown_digest() != wanted.digest {
            return Err(Fault::new(
                Code::Conflict,
                format!("approval {id} is another request than the one that was shown"),
            )
            .reason("another_request")
            .next(format!("kv approve {id}")));
        }
        approval.digest
    };
    let proved = factors::prove(shared, &session, wanted.proof, Attempt::Approve).await?;
    let answered = |answer, factor| Event::ApprovalAnswered { approval: id, digest, answer, factor, uid: shared.uid };
    shared.intend(answered(Given::Granted, Some(factors::used(&proved)))).await?;
    session.check_live()?;
    let outcome =
        shared.desk.approvals().settle(id, Answer::Grant(factors::level(&proved)), shared.desk.now()).map(|_| ());
    if let Err(error) = outcome {
        // Somebody was faster, or the time is over: the entry before this one does not stand.
        shared.event(answered(Given::Late, None))?;
        return Err(late(id, error));
    }
    shared.desk.ring();
    answer::json(&status(shared, id)?)
}

/// A no. It counts even where it cannot be recorded.
pub(crate) fn refuse(shared: &Shared, id: &str) -> Result<Answered, Fault> {
    let id = parse(id)?;
    let now = shared.desk.now();
    let digest = match shared.desk.approvals().settle(id, Answer::Refuse, now) {
        Ok(approval) => approval.digest,
        Err(error) => return Err(late(id, error)),
    };
    taken_back(shared, id, digest, Given::Refused)
}

/// Takes back a yes that is not used yet, or the question.
pub(crate) fn revoke(shared: &Shared, id: &str) -> Result<Answered, Fault> {
    let id = parse(id)?;
    let now = shared.desk.now();
    let digest = {
        let mut approvals = shared.desk.approvals();
        let (digest, state) = approvals.get(id, now).map(|one| (one.digest, one.state)).ok_or_else(|| unknown(id))?;
        if !approvals.revoke(id, now) {
            return Err(settled(id, state));
        }
        digest
    };
    taken_back(shared, id, digest, Given::Revoked)
}

fn taken_back(
    shared: &Shared,
    approval: ApprovalId,
    digest: kv_model::Digest,
    answer: Given,
) -> Result<Answered, Fault> {
    shared.desk.ring();
    shared.event(Event::ApprovalAnswered { approval, digest, answer, factor: None, uid: shared.uid })?;
    answer::json(&status(shared, approval)?)
}

/// Writes down whose time is over, and wakes those who wait. What cannot be recorded has ended all the same, and the log
/// says of itself that it takes nothing.
pub(crate) fn expire(shared: &Shared) {
    let expired = shared.desk.approvals().expired(shared.desk.now());
    for approval in &expired {
        let _ = shared.event(Event::ApprovalExpired { approval: *approval });
    }
    if !expired.is_empty() {
        shared.desk.ring();
    }
}

fn status(shared: &Shared, id: ApprovalId) -> Result<ApprovalStatus, Fault> {
    let now = shared.desk.now();
    let mut approvals = shared.desk.approvals();
    let approval = approvals.get(id, now).ok_or_else(|| unknown(id))?;
    Ok(ApprovalStatus { id: id.to_string(), state: state_of(approval.state), remaining_ms: approval.remaining_ms(now) })
}

fn detail(approval: &Approval, needs: FactorKind, now: Now) -> ApprovalDetail {
    let line = |line: &kv_policy::approval::Line| ReviewLine {
        label: line.label.clone(),
        value: line.value.clone(),
        claim: line.is_claim,
    };
    ApprovalDetail {
        id: approval.id.to_string(),
        state: state_of(approval.state),
        remaining_ms: approval.remaining_ms(now),
        asked_ms: approval.asked.wall_ms,
        agent: approval.principal.name().to_owned(),
        connection: approval.connection.clone(),
        operation: approval.operation.clone(),
        effect: approval.effect,
        endpoint: approval.endpoint.clone(),
        review: approval.review.lines().iter().map(line).collect(),
        needs,
    }
}

fn state_of(state: State) -> ApprovalState {
    match state {
        State::Pending => ApprovalState::Pending,
        State::Granted => ApprovalState::Granted,
        State::Refused => ApprovalState::Refused,
        State::Expired => ApprovalState::Expired,
        State::Used => ApprovalState::Used,
    }
}

fn parse(id: &str) -> Result<ApprovalId, Fault> {
    ApprovalId::parse(id).ok_or_else(|| {
        Fault::usage("an approval's id is four of 0-9 and A-Z, without I, L, O and U").next("kv approval list")
    })
}

fn unknown(id: ApprovalId) -> Fault {
    Fault::new(Code::NotFound, format!("there is no approval {id}: it ended long ago, or the vault was locked since"))
        .next("kv approval list")
}

fn settled(id: ApprovalId, state: State) -> Fault {
    Fault::new(Code::Conflict, format!("approval {id} is {} already", state.as_str())).reason("settled")
}

fn late(id: ApprovalId, error: AnswerError) -> Fault {
    match error {
        AnswerError::Unknown => unknown(id),
        AnswerError::Settled(state) => settled(id, state),
    }
}
