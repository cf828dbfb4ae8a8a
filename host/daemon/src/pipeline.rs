//! One call, from the asking to the answer.
//!
//! ```text
//! build     a typed call: the provider's `start` makes the request; a raw one: the manifest's endpoints say what it is
//! decide    policy gives a permit, which owns the request, or a denial, or says that a person has to be asked
//! ask       the call waits; a yes, bound to what the person saw, makes the permit
//! record    the audit log takes the intent; durable first, unless it only reads
//! send      egress opens the value, injects, sends, and cleans what comes back
//! answer    straight to the caller, or to the provider's `resume`, and round again
//! record    the outcome, however the call ended
//! ```

mod outcome;
mod reply;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kv_audit::{Claim, Code, Event, Recorded};
use kv_egress::SendError;
use kv_model::{
    Attachment, Call, CallId, Command, Connection, ConnectionName, Delivery, Effect, HttpRequest, Next, OperationName,
    Parts, Principal, Protocol, RawRequest, Request, Response, Statement, Step,
};
use kv_policy::approval::{ApprovalId, AskError, Asked, Redeemed, State};
use kv_policy::{Decision, Denial, Held, Permit, Question, Reason};
use kv_runtime::{Budget, Provider};
use serde_json::Value;
use tokio::sync::watch;

use crate::claims::Claims;
use crate::clock::now_ms;
use crate::desk::{self, MAX_HOLD};
use crate::fault::Fault;
use crate::gate::Session;
use crate::shared::Shared;
use crate::worker::Worker;

pub(crate) use self::outcome::OutcomeGuard;
use self::reply::Brought;
pub(crate) use self::reply::{Forwarded, Reply, Running as RunningCommand, how_ended};

/// What a caller asks for.
pub(crate) struct Ask {
    pub(crate) principal: Principal,
    pub(crate) connection: ConnectionName,
    /// The gravest effect that it wants to have.
    pub(crate) most: Effect,
    /// How long it waits for a person, where one has to be asked.
    pub(crate) hold: Duration,
    pub(crate) what: What,
}

pub(crate) enum What {
    Raw(RawRequest),
    Typed { operation: OperationName, input: Value, attachments: Vec<Attachment> },
}

/// As many requests as one call may send: a bounded listing of 1,000 items by pages of 100 takes ten.
const MAX_SENDS: u32 = 100;
/// As long as a provider may make one call wait, all waits together.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// As long as egress may take to stop when the vault is locked: it has nothing to wait for.
const EGRESS_STOPS: Duration = Duration::from_millis(250);

/// A call under way.
struct Running<'a> {
    worker: &'a Worker,
    session: Arc<Session>,
    provider: Provider,
    connection: Arc<Connection>,
    asked: Wanted,
    call: Call,
    progress: &'a Progress,
    sends: u32,
    delayed: Duration,
}

/// What policy is asked about, whatever requests it takes.
struct Wanted {
    principal: Principal,
    most: Effect,
    operation: OperationName,
    declared: Effect,
    hold: Duration,
}

/// How far a call has come, for whoever stops it and has to say whether anything was sent.
#[derive(Default)]
struct Progress(Cell<Stage>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing has been given to egress.
    #[default]
    Before,
    /// Egress has a request, and knows better than this how much of it has left.
    Sending,
    /// A service has answered; another request may follow.
    Answered,
}

/// Carries out one call. However it ends, the trail has it: as a refusal, or as intents with their outcomes.
pub(crate) async fn call(worker: &Worker, ask: Ask) -> Result<Reply, Fault> {
    let id = new_call_id()?;
    let refused = Refused::of(&ask);
    match until_locked(worker, id, ask).await {
        Err(fault) if !fault.is_recorded() => {
            let claims = Claims::at_best(&worker.shared).await;
            worker.shared.event(refused.event(id, &fault, &claims))?;
            Err(fault.of_call(id).recorded())
        }
        other => other.map_err(|fault| fault.of_call(id)),
    }
}

async fn until_locked(worker: &Worker, id: CallId, ask: Ask) -> Result<Reply, Fault> {
    let counted = InFlight::count(&worker.shared);
    let session = worker.shared.gate.session()?;
    let progress = Progress::default();
    let carrying = carry_out(worker, session.clone(), id, ask, &progress);
    let mut reply = unless_ended(session.ended(), &progress, carrying).await?;
    reply.count(counted);
    Ok(reply)
}

/// Stops a call where the vault is locked. Egress stops by itself then and says how much of a request had left, so it is
/// waited for a moment; everything else is dropped where it is.
async fn unless_ended<T>(
    mut ended: watch::Receiver<bool>,
    progress: &Progress,
    carrying: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut carrying = pin!(carrying);
    tokio::select! {
        biased;
        _ = ended.wait_for(|ended| *ended) => {}
        reply = &mut carrying => return reply,
    }
    if progress.0.get() == Stage::Sending
        && let Ok(Err(fault)) = tokio::time::timeout(EGRESS_STOPS, carrying).await
    {
        return Err(fault);
    }
    Err(progress.locked())
}

impl Progress {
    /// The error of a call that a lock has stopped here. What has begun to be sent is in the trail with its outcome.
    fn locked(&self) -> Fault {
        let sent = |fault: Fault, sent| fault.map(|error| error.sent(sent));
        match self.0.get() {
            Stage::Before => Fault::locked(),
            Stage::Sending => sent(Fault::locked().recorded(), kv_api::Sent::Unknown),
            Stage::Answered => sent(Fault::locked().recorded(), kv_api::Sent::Yes),
        }
    }
}

async fn carry_out(
    worker: &Worker,
    session: Arc<Session>,
    id: CallId,
    ask: Ask,
    progress: &Progress,
) -> Result<Reply, Fault> {
    let connection = session.connection(&ask.connection)?;
    let provider = worker.shared.providers.of(&connection)?.clone();
    let settings = provider.manifest.settings_with(&connection.settings);
    let (raw, operation, declared, input, attachments) = match ask.what {
        What::Raw(raw) => {
            let request = HttpRequest::from_caller(raw, &provider.manifest, id, &settings)
                .map_err(|error| Fault::request(&connection.name, error))?;
            let (operation, effect) = (request.operation().clone(), request.effect());
            (Some(request), operation, effect, String::new(), Vec::new())
        }
        What::Typed { operation, input, attachments } => {
            let declared = check_input(&provider, &connection, &operation, &input)?;
            (None, operation, declared, input.to_string(), attachments)
        }
    };
    let call = Call { id, operation: operation.clone(), input, settings, now_ms: now_ms(), attachments };
    let asked = Wanted { principal: ask.principal, most: ask.most, operation, declared, hold: ask.hold.min(MAX_HOLD) };
    let delayed = Duration::ZERO;
    let mut running = Running { worker, session, provider, connection, asked, call, progress, sends: 0, delayed };
    match raw {
        Some(request) => running.forward_raw(request).await,
        None => running.converse().await,
    }
}

fn check_input(
    provider: &Provider,
    connection: &Connection,
    operation: &OperationName,
    input: &Value,
) -> Result<Effect, Fault> {
    let manifest = &provider.manifest;
    let found = manifest.operations.get(operation).ok_or_else(|| {
        Fault::no_operation(&connection.name, operation, &manifest.nearest_operations(operation.as_str(), 3))
    })?;
    let Some(schema) = &found.input else {
        let endpoints: Vec<_> = manifest
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.operation == *operation)
            .map(ToString::to_string)
            .collect();
        return Err(Fault::raw_only(&connection.name, operation, &endpoints));
    };
    schema.check(input).map_err(Fault::schema)?;
    Ok(manifest.effect_of(found))
}

impl Running<'_> {
    /// A caller's own request: no provider has a say in it.
    async fn forward_raw(&mut self, request: HttpRequest) -> Result<Reply, Fault> {
        let effect = request.effect();
        let delivery = Delivery { effect, summary: String::new(), repeatable: false, delay_ms: 0, next: Next::Forward };
        let (brought, outcome) = self.send(Request::Http(request), &delivery).await?;
        self.forward(brought, outcome)
    }

    /// The provider's steps, until there is an answer. Once something was sent, no error says that nothing was.
    async fn converse(&mut self) -> Result<Reply, Fault> {
        let reply = self.steps().await;
        let answered = self.progress.0.get() == Stage::Answered;
        reply.map_err(|fault| match fault.error().sent {
            kv_api::Sent::No if answered => fault.map(|error| error.sent(kv_api::Sent::Yes)),
            _ => fault,
        })
    }

    async fn steps(&mut self) -> Result<Reply, Fault> {
        let mut step = self.step(None).await?;
        loop {
            let (request, delivery) = match step {
                Step::Done(json) => return Ok(Reply::Result { call: self.call.id, json }),
                Step::Send { request, delivery } => (request, delivery),
            };
            let request = self.request(request, delivery.effect)?;
            let (brought, outcome) = self.send(request, &delivery).await?;
            let state = match delivery.next {
                Next::Forward => return self.forward(brought, outcome),
                Next::ForwardSuccess(_) if brought.is_success() => return self.forward(brought, outcome),
                Next::ForwardSuccess(state) | Next::Resume(state) => state,
            };
            // Held until the provider has read it.
            let memory = self.worker.shared.budgets.of_answer();
            let response = brought.read_whole(outcome, &memory).await?;
            // What the provider makes of an answer comes after a request that was recorded with its outcome.
            step = self.step(Some((state, response))).await.map_err(Fault::recorded)?;
        }
    }

    /// What a provider asks for, checked; from here on it is one value.
    fn request(&self, parts: Parts, claimed: Effect) -> Result<Request, Fault> {
        let (call, manifest) = (&self.call, &*self.provider.manifest);
        match parts {
            Parts::Http(parts) => {
                HttpRequest::from_provider(parts, manifest, call.id, &call.settings, &call.attachments)
                    .map(Request::Http)
                    .map_err(|error| Fault::provider_request(&manifest.name, error))
            }
            Parts::Sql(parts) => Statement::from_provider(parts, claimed, manifest, &call.operation)
                .map(Request::Sql)
                .map_err(|error| Fault::statement(&self.connection.name, &error)),
            Parts::Ssh(parts) => Command::from_provider(parts, claimed, manifest, &call.operation)
                .map(Request::Ssh)
                .map_err(|error| Fault::command(&error)),
        }
    }

    /// Decide, record, send.
    async fn send(&mut self, request: Request, delivery: &Delivery) -> Result<(Brought, OutcomeGuard), Fault> {
        if self.sends >= MAX_SENDS {
            return Err(Fault::new(
                kv_api::Code::Upstream,
                format!("the provider wanted to send more than {MAX_SENDS} requests"),
            )
            .reason("provider"));
        }
        self.wait(delivery.delay_ms).await?;
        self.check_unchanged()?;
        // Before anything of the request is written down: a path can hold a secret too.
        let egress = &self.worker.egress;
        egress.check(&request, &self.session.vault, now_ms()).await.map_err(|error| Fault::unsent(&error))?;
        let claims = Claims::of(&self.worker.shared, &self.session).await?;
        if claims.are_an_agents_name(&self.asked.principal) {
            return Err(Fault::unsent(&kv_egress::SendError::SecretInRequest));
        }
        let question = Question {
            principal: self.asked.principal.clone(),
            call: self.call.id,
            step: self.sends,
            connection: Arc::clone(&self.connection),
            asked: self.asked.operation.clone(),
            declared: self.asked.declared,
            effect: request.effect().graver(delivery.effect),
            most: self.asked.most,
            summary: claims.masked(&delivery.summary),
            request,
        };
        self.sends += 1;
        let (protocol, sent_bytes) = (question.request.protocol(), question.request.size());
        let permit = self.decide(question).await?;
        let audit = &self.worker.shared.audit;
        let recorded = audit.record_intent(permit, now_ms()).await.map_err(Fault::audit)?;
        let (recorded, pending) = recorded;
        let mut outcome = OutcomeGuard::new(Arc::clone(audit), pending, sent_bytes);
        let before = self.progress.0.replace(Stage::Sending);
        match self.carry(protocol, recorded).await {
            Ok(brought) => {
                self.progress.0.set(Stage::Answered);
                outcome.answered(&brought);
                Ok((brought, outcome))
            }
            Err(error) => {
                self.progress.0.set(before);
                outcome.failed(&error);
                Err(Fault::send(&error))
            }
        }
    }

    /// The way out of the request's protocol.
    async fn carry(&self, protocol: Protocol, permit: Recorded<Permit>) -> Result<Brought, SendError> {
        let (egress, settings, vault) = (&self.worker.egress, &self.call.settings, &self.session.vault);
        match protocol {
            Protocol::Http => egress.send(permit, settings, vault, now_ms()).await.map(Brought::Http),
            Protocol::Sql => egress.query(permit, settings, vault, now_ms()).await.map(Brought::Sql),
            Protocol::Ssh => {
                let session = &self.session;
                let jumps = |name: &ConnectionName| session.connection(name).ok();
                // The target's settings are not its jump hosts': what one of those does not have, the manifest says.
                let defaults = self.provider.manifest.settings_with(&std::collections::BTreeMap::new());
                egress
                    .run(permit, &defaults, vault, &jumps, now_ms())
                    .await
                    .map(|answer| Brought::Ssh(Box::new(answer)))
            }
        }
    }

    async fn decide(&mut self, question: Question) -> Result<Permit, Fault> {
        match kv_policy::decide(question) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Ask(held) => self.ask(held).await,
            Decision::Deny(denial) => Err(self.denied(&denial)?),
        }
    }

    /// Puts the request before a person and waits for as long as the caller does. What goes out then is what the person
    /// saw, and the connection and its credentials are still those that it was to go out with.
    async fn ask(&mut self, held: Held) -> Result<Permit, Fault> {
        let (shared, session) = (Arc::clone(&self.worker.shared), Arc::clone(&self.session));
        let desk = &shared.desk;
        let credentials = |held: &Held| desk::credentials(&session, held.connection(), held.request());
        let mut bell = desk.bell();
        let seed = getrandom::u32().map_err(Fault::broken)?;
        let asked = desk.approvals().ask(&held, &credentials(&held), seed, desk.now());
        let id = match asked {
            Ok(Asked::New(id)) => {
                // A question that cannot be recorded is not put.
                self.record_question(id, &held).inspect_err(|_| {
                    desk.approvals().revoke(id, desk.now());
                })?;
                desk.ring();
                id
            }
            Ok(Asked::Joined(id)) => id,
            Err(error) => return Err(self.not_asked(held, &error)?),
        };
        let until = tokio::time::Instant::now() + self.asked.hold;
        let mut held = held;
        loop {
            self.check_unchanged()?;
            let credentials = credentials(&held);
            let redeemed = desk.approvals().redeem(held, &credentials, desk.now());
            let state = match redeemed {
                Redeemed::Permit(permit) => {
                    desk.ring();
                    return Ok(*permit);
                }
                Redeemed::Not(again, state) => {
                    held = *again;
                    state
                }
            };
            match state {
                Some(State::Pending) if tokio::time::timeout_at(until, bell.changed()).await.is_ok() => {}
                Some(State::Pending) => {
                    let fault = Fault::approval_pending(&held, id);
                    self.denied(&held.refuse(Reason::Unanswered))?;
                    return Err(fault);
                }
                Some(State::Refused) => return Err(self.denied(&held.refuse(Reason::Refused))?),
                // Granted is what redeems, so that another of the same calls was faster.
                Some(State::Expired | State::Used | State::Granted) | None => {
                    return Err(self.denied(&held.refuse(Reason::Unanswered))?);
                }
            }
        }
    }

    fn record_question(&self, id: ApprovalId, held: &Held) -> Result<(), Fault> {
        let credentials = desk::credentials(&self.session, held.connection(), held.request());
        self.worker.shared.event(Event::ApprovalAsked {
            approval: id,
            digest: held.digest(&credentials),
            call: self.call.id,
            principal: held.principal().clone(),
            connection: held.connection().name.clone(),
            operation: held.operation().clone(),
            effect: held.effect(),
            endpoint: Claim::cut(held.request().endpoint()),
        })
    }

    /// Why no question was put, recorded.
    fn not_asked(&self, held: Held, error: &AskError) -> Result<Fault, Fault> {
        let reason = match error {
            AskError::TooLarge(_) => Reason::TooLarge,
            AskError::Delayed { .. } | AskError::TooMany { .. } => Reason::NotAsked,
        };
        Ok(self.denied(&held.refuse(reason))?.not_asked(error))
    }

    /// The refusal, recorded.
    fn denied(&self, denial: &Denial) -> Result<Fault, Fault> {
        self.worker.shared.audit.record_denial(denial, now_ms()).map_err(Fault::audit)?;
        Ok(Fault::denied(denial, &self.provider.manifest))
    }

    /// What the person has taken back since the call began counts from here on.
    fn check_unchanged(&self) -> Result<(), Fault> {
        self.session.check_live()?;
        let now = self.session.connection(&self.connection.name)?;
        if Arc::ptr_eq(&now, &self.connection) {
            return Ok(());
        }
        Err(Fault::new(kv_api::Code::PolicyDenied, format!("connection `{}` was changed meanwhile", now.name))
            .reason("connection_changed"))
    }

    async fn wait(&mut self, delay_ms: u32) -> Result<(), Fault> {
        let delay = Duration::from_millis(delay_ms.into());
        self.delayed += delay;
        if self.delayed > MAX_DELAY {
            return Err(Fault::new(kv_api::Code::Upstream, "the provider wanted to wait for more than ten minutes")
                .reason("provider"));
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    fn forward(&self, brought: Brought, outcome: OutcomeGuard) -> Result<Reply, Fault> {
        brought.forward(self.call.id, &self.connection, outcome)
    }

    /// One step of the provider: here, if it is quick, and otherwise once more on a thread of its own. A step is a pure
    /// function, so beginning it anew changes nothing.
    async fn step(&self, answer: Option<(String, Response)>) -> Result<Step, Fault> {
        let run = |provider: &Provider, call: &Call, answer: &Option<(String, Response)>, budget: Budget| match answer {
            None => provider.start(call, budget),
            Some((state, response)) => provider.resume(call, state, response, budget),
        };
        let name = &self.provider.manifest.name;
        match run(&self.provider, &self.call, &answer, Budget::Inline) {
            Err(error) if error.wants_full_budget() => {}
            done => return done.map_err(|error| Fault::step(name, error)),
        }
        let (provider, call) = (self.provider.clone(), self.call.clone());
        tokio::task::spawn_blocking(move || run(&provider, &call, &answer, Budget::Full))
            .await
            .map_err(Fault::broken)?
            .map_err(|error| Fault::step(name, error))
    }
}

/// Counts a call while it runs.
pub(crate) struct InFlight(Arc<Shared>);

impl InFlight {
    fn count(shared: &Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a call that comes to nothing leaves in the trail: what the caller named, as its claim.
struct Refused {
    principal: Principal,
    connection: String,
    operation: Option<String>,
}

impl Refused {
    fn of(ask: &Ask) -> Self {
        let operation = match &ask.what {
            What::Raw(_) => None,
            What::Typed { operation, .. } => Some(operation.to_string()),
        };
        Self { principal: ask.principal.clone(), connection: ask.connection.to_string(), operation }
    }

    fn event(self, id: CallId, fault: &Fault, claims: &Claims) -> Event {
        Event::Refused {
            call: Some(id),
            principal: claims.principal(self.principal),
            connection: Some(claims.claim(&self.connection)),
            operation: self.operation.as_deref().map(|operation| claims.claim(operation)),
            code: Code::new(fault.stable_code()),
        }
    }
}

pub(crate) fn new_call_id() -> Result<CallId, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Fault::broken)?;
    Ok(CallId::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
