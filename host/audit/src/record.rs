//! What entries hold: the records of a call's life, those of the log about itself, and [`Event`]s.

use kv_model::{
    CallId, ConnectionName, Digest, Effect, Method, OperationName, Origin, Principal, ProviderName, Scheme, SecretName,
};
use kv_policy::approval::{ApprovalId, Approved};
use kv_policy::{Denial, Permit, Reason};

use crate::event::Event;
use crate::field::{Cursor, Field, Later, words};
use crate::text::{Claim, Code};

/// Everything that an entry can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Denied(Denied),
    Event(Event),
    Intent(Intent),
    Outcome(OutcomeOf),
    Repair(Repair),
    Segment(SegmentStart),
}

words! {
    /// Did anything of the request reach the service?
    Sent {
        No = "no",
        Unknown = "unknown",
        Yes = "yes",
    }

    /// Why a segment begins.
    SegmentReason {
        /// The log's first.
        Created = "created",
        /// The last line of the one before is whole and yet no entry; it was left as it is.
        Damaged = "damaged",
        /// The one before was full.
        Rotated = "rotated",
        /// A sync of the one before failed; entries after `durable` may be lost.
        SyncFailed = "sync_failed",
        /// A write to the one before failed and may have left a torn line.
        WriteFailed = "write_failed",
    }
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// The entry's `kind`.
            pub const KIND: &str = $kind;
            /// Its fields, in the order of the line.
            pub const FIELDS: &[&str] = &[$(stringify!($field)),*];

            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write_member(concat!(",\"", stringify!($field), "\":"), out);)*
            }

            fn read(from: &mut Cursor<'_>) -> Option<Self> {
                $(let $field = Field::read_member(concat!(",\"", stringify!($field), "\":"), from)?;)*
                Some(Self { $($field,)* })
            }
        }
    )*};
}

records! {
    /// A request was refused.
    Denied = "denied" {
        call: CallId,
        step: u32,
        principal: Principal,
        connection: ConnectionName,
        provider: ProviderName,
        operation: OperationName,
        effect: Effect,
        endpoint: Claim,
        reason: Code,
        /// The effect that would have been within bounds, where that was the reason.
        most: Option<Effect>,
    }

    /// A request is about to go out. Path and digest tell which; body and query are not here.
    Intent = "intent" {
        call: CallId,
        step: u32,
        principal: Principal,
        connection: ConnectionName,
        provider: ProviderName,
        provider_digest: Digest,
        origin: Origin,
        /// What the caller asked for.
        operation: OperationName,
        /// What the request is, by its endpoint.
        sends: OperationName,
        effect: Effect,
        /// Of an HTTP request.
        method: Option<Method>,
        endpoint: Claim,
        path: Claim,
        /// Of the whole request but the credential.
        request: Digest,
        /// The secrets that go onto it, by name.
        secrets: Vec<SecretName>,
        /// The provider's words.
        summary: Claim,
        /// The person's answer that it came by, which is used up with it.
        approval: Later<Option<ApprovalId>>,
    }

    /// What became of an intent.
    OutcomeOf = "outcome" {
        /// The intent's seq.
        intent: u64,
        call: CallId,
        step: u32,
        sent: Sent,
        status: Option<u16>,
        bytes_in: u64,
        bytes_out: u64,
        duration_us: u64,
        redactions: u64,
        error: Option<Code>,
    }

    /// At its start the daemon removed the torn end of a line.
    Repair = "repair" {
        segment: u32,
        bytes: u64,
    }

    /// The first entry of a segment. Its `prev` is the last hash of the segment before.
    SegmentStart = "segment" {
        format: u32,
        segment: u32,
        reason: SegmentReason,
        /// The last seq that was known to be durable then.
        durable: u64,
    }
}

/// What the daemon says about the end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub sent: Sent,
    /// Absent when no answer came.
    pub status: Option<u16>,
    /// From the service.
    pub bytes_in: u64,
    /// To the service.
    pub bytes_out: u64,
    pub duration_us: u64,
    /// How many times something was removed from the answer.
    pub redactions: u64,
    pub error_code: Option<&'static str>,
}

impl Record {
    /// The entry's `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Record::Denied(_) => Denied::KIND,
            Record::Event(event) => event.kind(),
            Record::Intent(_) => Intent::KIND,
            Record::Outcome(_) => OutcomeOf::KIND,
            Record::Repair(_) => Repair::KIND,
            Record::Segment(_) => SegmentStart::KIND,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Record::Denied(record) => record.write(out),
            Record::Event(event) => event.write(out),
            Record::Intent(record) => record.write(out),
            Record::Outcome(record) => record.write(out),
            Record::Repair(record) => record.write(out),
            Record::Segment(record) => record.write(out),
        }
    }

    pub(crate) fn read(kind: &str, from: &mut Cursor<'_>) -> Option<Self> {
        Some(match kind {
            Denied::KIND => Record::Denied(Denied::read(from)?),
            Intent::KIND => Record::Intent(Intent::read(from)?),
            OutcomeOf::KIND => Record::Outcome(OutcomeOf::read(from)?),
            Repair::KIND => Record::Repair(Repair::read(from)?),
            SegmentStart::KIND => Record::Segment(SegmentStart::read(from)?),
            other => Record::Event(Event::read(other, from)?),
        })
    }
}

impl Intent {
    pub(crate) fn of(permit: &Permit) -> Self {
        let (connection, request) = (permit.connection(), permit.request());
        Self {
            call: permit.call(),
            step: permit.step(),
            principal: permit.principal().clone(),
            connection: connection.name.clone(),
            provider: connection.provider.clone(),
            provider_digest: connection.provider_digest,
            origin: connection.origin.clone(),
            operation: permit.operation().clone(),
            sends: request.operation().clone(),
            effect: permit.effect(),
            method: request.method(),
            endpoint: Claim::cut(request.endpoint()),
            path: Claim::cut(&request.path()),
            request: request.digest(),
            secrets: secrets(permit),
            summary: Claim::cut(permit.summary()),
            approval: Later::Known(permit.approval().map(Approved::id)),
        }
    }
}

/// The names of the secrets that the request's schemes place on it, each once.
fn secrets(permit: &Permit) -> Vec<SecretName> {
    let mut names = Vec::new();
    for slot in permit.request().auth().iter().flat_map(|(_, scheme)| Scheme::slots(scheme)) {
        if let Some(secret) = permit.connection().bindings.get(slot)
            && !names.contains(&secret.name)
        {
            names.push(secret.name.clone());
        }
    }
    names
}

impl Denied {
    pub(crate) fn of(denial: &Denial) -> Self {
        let most = match denial.reason {
            Reason::Graver { declared } => Some(declared),
            Reason::MoreThanAsked { most } => Some(most),
            Reason::Deny
            | Reason::NotAccepted
            | Reason::NotAsked
            | Reason::Refused
            | Reason::TooLarge
            | Reason::Unanswered => None,
        };
        Self {
            call: denial.call,
            step: denial.step,
            principal: denial.principal.clone(),
            connection: denial.connection.name.clone(),
            provider: denial.connection.provider.clone(),
            operation: denial.operation.clone(),
            effect: denial.effect,
            endpoint: Claim::cut(&denial.endpoint),
            reason: Code::new(denial.reason.code()),
            most,
        }
    }
}
