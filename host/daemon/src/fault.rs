//! Every error of the crates below, in the words of the API: one mapping for each, here.
//!
//! An agent sees enough to act: what failed, whether anything was sent, what to do. Paths and causes on this machine go
//! to the person's socket only, and the messages below hold none that an agent's call can bring about.

use std::fmt;
use std::time::Duration;

use kv_api::{ApiError, Code, Sent};
use kv_model::{
    CallId, CommandError, Connection, ConnectionName, Manifest, Operation, OperationName, Protocol, ProviderName,
    RequestError, SchemaError, SecretName, SqlError, StatementError,
};
use kv_policy::approval::{ApprovalId, AskError, MAX_REVIEW_BYTES, TooLarge};
use serde_json::json;

/// An [`ApiError`] on its way out. Boxed: it is large, rare, and in the result of nearly everything here.
#[derive(Debug)]
pub(crate) struct Fault {
    error: Box<ApiError>,
    /// The trail has it already, as a denial or as an intent with its outcome.
    recorded: bool,
    /// It is a passphrase that did not open the vault.
    failed_unlock: Option<FailedUnlock>,
}

/// How an attempt to unlock failed, for the trail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FailedUnlock {
    /// In a row; 0 where it came too soon to be tried.
    pub(crate) failures: u32,
    pub(crate) wait_ms: u64,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { error: Box::new(ApiError::new(code, message)), recorded: false, failed_unlock: None }
    }

    pub(crate) fn into_error(self) -> ApiError {
        *self.error
    }

    pub(crate) fn error(&self) -> &ApiError {
        &self.error
    }

    pub(crate) fn map(self, change: impl FnOnce(ApiError) -> ApiError) -> Self {
        Self { error: Box::new(change(*self.error)), ..self }
    }

    pub(crate) fn failed_unlock(&self) -> Option<FailedUnlock> {
        self.failed_unlock
    }

    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        self.map(|error| error.next(next))
    }

    pub(crate) fn reason(self, reason: &'static str) -> Self {
        self.map(|error| error.reason(reason))
    }

    pub(crate) fn of_call(mut self, call: CallId) -> Self {
        self.error.call = Some(call);
        self
    }

    pub(crate) fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// The finest code there is for it.
    pub(crate) fn stable_code(&self) -> &'static str {
        match &self.error.reason {
            Some(std::borrow::Cow::Borrowed(reason)) => reason,
            _ => self.error.code.as_str(),
        }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// One of ours is broken; the cause is for the person who mends it.
    pub(crate) fn broken(cause: impl fmt::Display) -> Self {
        Self::new(Code::Failed, format!("kv failed: {cause}")).reason("internal")
    }

    // The vault.

    pub(crate) fn locked() -> Self {
        Self::new(Code::Locked, "the vault is locked").next("kv unlock")
    }

    pub(crate) fn no_vault() -> Self {
        Self::new(Code::Locked, "there is no vault yet").reason("no_vault").next("kv init")
    }

    pub(crate) fn vault_exists() -> Self {
        Self::new(Code::Conflict, "there is a vault already, and it is kept as it is").next("kv unlock")
    }

    pub(crate) fn create(error: kv_vault::CreateError) -> Self {
        Self::new(Code::Failed, format!("the vault was not made: {}", chain(&error)))
    }

    pub(crate) fn open(error: kv_vault::OpenError) -> Self {
        Self::new(Code::Integrity, format!("the vault does not open: {}", chain(&error)))
    }

    pub(crate) fn unlock(error: kv_vault::UnlockError) -> Self {
        let failed_unlock = match &error {
            kv_vault::UnlockError::WrongPassphrase { attempts } => {
                Some(FailedUnlock { failures: *attempts, wait_ms: 0 })
            }
            kv_vault::UnlockError::TooSoon { retry_after_ms } => {
                Some(FailedUnlock { failures: 0, wait_ms: *retry_after_ms })
            }
            _ => None,
        };
        let fault = match error {
            kv_vault::UnlockError::WrongPassphrase { attempts } => Self::new(Code::Locked, "the passphrase is wrong")
                .reason("wrong_passphrase")
                .map(|error| error.details(json!({ "failures": attempts }))),
            kv_vault::UnlockError::TooSoon { retry_after_ms } => {
                let wait = Duration::from_millis(retry_after_ms).as_secs_f64().ceil();
                Self::new(Code::Locked, format!("too many wrong passphrases: wait {wait} s"))
                    .reason("too_soon")
                    .map(|error| error.retry_after(retry_after_ms))
            }
            damaged @ kv_vault::UnlockError::Damaged(_) => {
                Self::new(Code::Integrity, format!("the vault does not unlock: {}", chain(&damaged)))
            }
            other => Self::new(Code::Failed, format!("the vault does not unlock: {}", chain(&other))),
        };
        Self { failed_unlock, ..fault }
    }

    pub(crate) fn write(error: kv_vault::WriteError) -> Self {
        let code = match &error {
            kv_vault::WriteError::NameTaken(_) | kv_vault::WriteError::Superseded => Code::Conflict,
            kv_vault::WriteError::NoSuchSecret(_) => Code::NotFound,
            kv_vault::WriteError::DocumentName { .. }
            | kv_vault::WriteError::DocumentTooLong { .. }
            | kv_vault::WriteError::EmptyValue
            | kv_vault::WriteError::Full
            | kv_vault::WriteError::ValueTooLong { .. } => Code::Usage,
            kv_vault::WriteError::Damaged(_) => Code::Integrity,
            kv_vault::WriteError::Seal(_)
            | kv_vault::WriteError::Storage(_)
            | kv_vault::WriteError::TooManyVersions => Code::Failed,
        };
        Self::new(code, format!("the vault was not changed: {}", chain(&error)))
    }

    pub(crate) fn read(error: kv_vault::ReadError) -> Self {
        Self::new(Code::Integrity, format!("a record of the vault does not open: {}", chain(&error)))
    }

    pub(crate) fn damaged(damage: kv_vault::Damage) -> Self {
        Self::new(Code::Integrity, format!("the vault is damaged: {}", chain(&damage)))
    }

    pub(crate) fn passphrase(error: kv_vault::PassphraseError) -> Self {
        Self::usage(format!("the passphrase is not taken: {error}"))
    }

    pub(crate) fn change(error: kv_vault::PassphraseChangeError) -> Self {
        match error {
            kv_vault::PassphraseChangeError::Old(error) => Self::unlock(error),
            other => Self::new(Code::Failed, format!("the passphrase was not changed: {}", chain(&other))),
        }
    }

    pub(crate) fn no_secret(name: &SecretName) -> Self {
        Self::new(Code::NotFound, format!("there is no secret `{name}`")).next("kv secret list")
    }

    // What there is.

    pub(crate) fn no_connection<'a>(name: &ConnectionName, known: impl Iterator<Item = &'a ConnectionName>) -> Self {
        Self::new(Code::NotFound, format!("there is no connection `{name}`{}", listed(known)))
            .next(format!("ask the person to run: kv connect PROVIDER --name {name}"))
    }

    pub(crate) fn no_provider<'a>(name: &ProviderName, known: impl Iterator<Item = &'a ProviderName>) -> Self {
        Self::new(Code::NotFound, format!("there is no provider `{name}`{}", listed(known)))
    }

    pub(crate) fn no_operation(connection: &ConnectionName, name: &OperationName, nearest: &[&OperationName]) -> Self {
        let error = Self::new(Code::NotFound, format!("`{connection}` has no operation `{name}`"));
        let error =
            nearest.iter().fold(error, |error, near| error.next(format!("kv operation show {connection}/{near}")));
        error.map(|error| error.details(json!({ "nearest": nearest })))
    }

    pub(crate) fn raw_only(connection: &ConnectionName, name: &OperationName, endpoints: &[String]) -> Self {
        let error = Self::usage(format!("`{connection}/{name}` has no typed input; it is reached as a raw call"));
        endpoints
            .iter()
            .fold(error.reason("raw_only"), |error, endpoint| error.next(format!("kv api {connection} {endpoint}")))
    }

    pub(crate) fn provider_changed(connection: &Connection) -> Self {
        let (name, provider) = (&connection.name, &connection.provider);
        Self::new(
            Code::PolicyDenied,
            format!("provider `{provider}` is another than the one that was accepted for connection `{name}`"),
        )
        .reason("provider_changed")
        .next(format!("ask the person to run: kv connection edit {name} --accept-provider"))
    }

    // Requests.

    pub(crate) fn schema(error: SchemaError) -> Self {
        match error {
            SchemaError::Input(violations) => {
                let first = violations.first();
                let place = first.map_or("", |violation| &violation.pointer);
                let what = first.map_or("", |violation| &violation.message);
                let place = if place.is_empty() { "the input" } else { place };
                let list: Vec<_> =
                    violations.iter().map(|v| json!({ "pointer": v.pointer, "message": v.message })).collect();
                Self::usage(format!("the input does not fit the operation's schema: {place}: {what}"))
                    .reason("schema")
                    .map(|error| error.details(json!({ "violations": list })))
            }
            broken @ SchemaError::Schema(_) => Self::new(Code::Upstream, broken.to_string()).reason("provider"),
        }
    }

    /// A caller's raw request that cannot go out.
    pub(crate) fn request(connection: &ConnectionName, error: RequestError) -> Self {
        let code = match &error {
            RequestError::Unlisted { .. } => Code::PolicyDenied,
            _ => Code::Usage,
        };
        let fault = Self::new(code, error.to_string()).reason(error.code());
        match error {
            RequestError::Unlisted { nearest, .. } => nearest
                .iter()
                .fold(fault, |fault, near| fault.next(format!("listed is: kv api {connection} {near}")))
                .map(|error| error.details(json!({ "nearest": nearest }))),
            _ => fault,
        }
    }

    /// A provider's request that cannot go out: its author has to mend it.
    pub(crate) fn provider_request(provider: &ProviderName, error: RequestError) -> Self {
        let reason = error.code();
        Self::new(Code::Upstream, format!("provider `{provider}` built a request that cannot go out: {error}"))
            .reason(reason)
    }

    /// A statement that cannot go out. Its text is usually the caller's own.
    pub(crate) fn statement(connection: &ConnectionName, error: &StatementError) -> Self {
        let fault = Self::usage(error.to_string()).reason(error.code());
        match error {
            StatementError::Unreadable(kv_model::Unreadable::NotARead { .. }) => {
                fault.next(format!("a statement that writes: kv sql {connection} 'STATEMENT'"))
            }
            _ => fault,
        }
    }

    /// A command that cannot go out.
    pub(crate) fn command(error: &CommandError) -> Self {
        Self::usage(error.to_string()).reason(error.code())
    }

    /// A statement that the database took and refused.
    pub(crate) fn database(error: &SqlError) -> Self {
        Self::new(Code::Upstream, error.message.clone())
            .reason("sql.refused")
            .recorded()
            .map(|wire| wire.sent(Sent::Yes).details(json!({ "code": error.code, "position": error.position })))
    }

    /// `manifest` is the provider's, for what else there is.
    pub(crate) fn denied(denial: &kv_policy::Denial, manifest: &Manifest) -> Self {
        use kv_policy::Reason;
        let connection = &denial.connection.name;
        let code = match denial.reason {
            Reason::Refused | Reason::Unanswered => Code::ApprovalDenied,
            _ => Code::PolicyDenied,
        };
        let fault = Self::new(code, denial.to_string()).reason(denial.reason.code()).recorded();
        match denial.reason {
            Reason::Deny | Reason::NotAccepted | Reason::TooLarge => fault
                .next(format!("the person can allow it: kv connection edit {connection} --allow {}", denial.operation)),
            Reason::MoreThanAsked { .. } => fault.next("use a tool or command that may write"),
            Reason::Unanswered => fault.next("make the same call again, and tell the person that it waits for them"),
            // Where the caller writes what is done, as in a statement, another operation may be the one for it.
            Reason::Graver { .. } if manifest.protocol == Protocol::Sql => {
                let of_that_effect = |operation: &&Operation| manifest.effect_of(operation) == denial.effect;
                manifest.operations.values().filter(of_that_effect).fold(fault, |fault, operation| {
                    let name = &operation.name;
                    let fault = fault.next(format!("a statement that does this is the operation `{name}`"));
                    match denial.connection.accepted.get(name) {
                        Some(kv_model::Suggestion::Allow) => fault,
                        _ => fault
                            .next(format!("the person can allow it: kv connection edit {connection} --allow {name}")),
                    }
                })
            }
            Reason::Graver { .. } | Reason::NotAsked | Reason::Refused => fault,
        }
    }

    /// A factor that did not count, or could not be judged.
    pub(crate) fn factor(error: &kv_vault::FactorError) -> Self {
        use kv_vault::FactorError;
        let fault = |code| Self::new(code, chain(error)).reason(error.code());
        match error {
            FactorError::Weaker => fault(Code::Locked).next("kv approve, and type a code of the authenticator app"),
            FactorError::NotEnrolled => fault(Code::NotFound).next("kv factor add totp"),
            FactorError::AlreadyEnrolled => fault(Code::Conflict).next("kv factor remove totp"),
            FactorError::NotACode => fault(Code::Usage),
            FactorError::Wrong { .. }
            | FactorError::Used
            | FactorError::Paused { .. }
            | FactorError::Passphrase(
                kv_vault::UnlockError::WrongPassphrase { .. } | kv_vault::UnlockError::TooSoon { .. },
            ) => match error.retry_after_ms() {
                0 => fault(Code::Locked),
                wait => fault(Code::Locked).map(|error| error.retry_after(wait)),
            },
            _ => fault(Code::Failed),
        }
    }

    /// A person was asked and has not answered by the time that the caller would wait.
    pub(crate) fn approval_pending(held: &kv_policy::Held, id: ApprovalId) -> Self {
        let (connection, operation) = (&held.connection().name, held.operation());
        Self::new(
            Code::ApprovalPending,
            format!("`{connection}/{operation}` waits for the person: approval {id} is open"),
        )
        .reason("approval_required")
        .next(format!("ask the person to run: kv approve {id}"))
        .next("then make the same call again")
        .map(|error| error.details(json!({ "approval": id.to_string() })))
        .recorded()
    }

    /// Adds why the person was not asked.
    pub(crate) fn not_asked(self, error: &AskError) -> Self {
        match *error {
            AskError::Delayed { retry_after_ms } => self
                .map(|wire| wire.retry_after(retry_after_ms))
                .next(format!("the person has said no: wait {} s", retry_after_ms.div_ceil(1000))),
            AskError::TooMany { open } => {
                self.next(format!("{open} questions of this agent are open: wait until the person has answered some"))
            }
            AskError::TooLarge(TooLarge { bytes }) => {
                self.next(format!("it is {bytes} bytes, and a person is shown at most {MAX_REVIEW_BYTES}"))
            }
        }
    }

    pub(crate) fn step(provider: &ProviderName, error: kv_runtime::StepError) -> Self {
        match error {
            kv_runtime::StepError::Failure(failure) => Self::failure(failure),
            other => Self::new(Code::Upstream, format!("provider `{provider}` failed: {other}")).reason(other.code()),
        }
    }

    /// A provider's own answer that it could not.
    fn failure(failure: kv_model::Failure) -> Self {
        use kv_model::FailureKind;
        let (code, reason) = match failure.kind {
            FailureKind::Conflict => (Code::Upstream, "upstream.conflict"),
            FailureKind::Forbidden => (Code::Upstream, "upstream.forbidden"),
            FailureKind::Internal => (Code::Upstream, "provider"),
            FailureKind::InvalidInput => (Code::Usage, "upstream.invalid_input"),
            FailureKind::NotFound => (Code::Upstream, "upstream.not_found"),
            FailureKind::RateLimited => (Code::Upstream, "upstream.rate_limited"),
            FailureKind::Unauthorized => (Code::Upstream, "upstream.unauthorized"),
            FailureKind::Unavailable => (Code::Upstream, "upstream.unavailable"),
            FailureKind::Upstream => (Code::Upstream, "upstream"),
        };
        Self::new(code, failure.message).reason(reason).map(|mut error| {
            error.retry_after_ms = failure.retry_after_ms;
            error.details(json!({ "kind": failure.kind, "field": failure.field, "code": failure.code }))
        })
    }

    pub(crate) fn audit(error: kv_audit::AuditError) -> Self {
        Self::new(Code::Failed, format!("the call could not be recorded, so it was refused: {error}"))
            .reason("audit.unavailable")
            .next("kv doctor")
    }

    /// What egress refused before there was an intent.
    pub(crate) fn unsent(error: &kv_egress::SendError) -> Self {
        let mut fault = Self::send(error);
        fault.recorded = false;
        fault
    }

    pub(crate) fn send(error: &kv_egress::SendError) -> Self {
        let sent = match error.sent() {
            kv_egress::Sent::No => Sent::No,
            kv_egress::Sent::Unknown => Sent::Unknown,
            kv_egress::Sent::Yes => Sent::Yes,
        };
        let code = match error {
            kv_egress::SendError::Locked { .. } => Code::Locked,
            _ => match error.fault() {
                kv_egress::Fault::Caller => match error {
                    kv_egress::SendError::Database(_) => Code::Usage,
                    _ => Code::PolicyDenied,
                },
                kv_egress::Fault::Operator => Code::Failed,
                kv_egress::Fault::Network | kv_egress::Fault::Service => Code::Upstream,
                kv_egress::Fault::Us => Code::Failed,
            },
        };
        let fault = Self::new(code, error.to_string()).recorded().map(|wire| wire.reason(error.code()).sent(sent));
        match error {
            kv_egress::SendError::Database(kv_egress::DatabaseError::TooManyChanges { changed, .. }) => {
                fault.next(format!("if so many are meant, give it a limit of {changed}"))
            }
            _ => fault,
        }
    }

    pub(crate) fn body(error: &kv_egress::BodyError) -> Self {
        let code = if *error == kv_egress::BodyError::Locked { Code::Locked } else { Code::Upstream };
        Self::new(code, error.to_string()).recorded().map(|wire| wire.reason(error.code()).sent(Sent::Yes))
    }
}

/// `; there are: a, b`, or nothing.
fn listed<T: fmt::Display>(known: impl Iterator<Item = T>) -> String {
    let names: Vec<_> = known.take(12).map(|name| name.to_string()).collect();
    if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
