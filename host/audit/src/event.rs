//! What happens beside calls: the daemon's and the person's doings, one variant each.
//!
//! The enum is closed and its fields are typed. There is no variant with a free text or a map, so no caller can put in
//! what nobody thought of; a name is a name, and the one thing that strangers word is a [`Claim`].

use kv_model::{
    CallId, ConnectionName, Digest, Effect, OperationName, Origin, Principal, ProviderName, SecretName, VaultId,
};
use kv_policy::approval::ApprovalId;

use crate::field::{Cursor, Field, Later, words};
use crate::setup::{Decided, Setup};
use crate::text::{Claim, Code};

words! {
    /// Why the vault was locked.
    LockCause {
        Asked = "asked",
        Shutdown = "shutdown",
        TimeLimit = "time_limit",
    }

    /// What a person answered to a question.
    Answer {
        Granted = "granted",
        /// The answer before this one came after another, or too late: it does not count.
        Late = "late",
        Refused = "refused",
        /// A yes was taken back, or the question, before it was used.
        Revoked = "revoked",
    }

    /// What a person proved to be there with.
    FactorUsed {
        Passphrase = "passphrase",
        Recovery = "recovery",
        Totp = "totp",
    }

    /// What a person set about. Its result is an entry of its own; without one, it failed.
    Attempt {
        Approve = "approve",
        /// To make or to loosen a connection.
        Connect = "connect",
        FactorAdd = "factor_add",
        FactorRemove = "factor_remove",
        FactorTest = "factor_test",
        Init = "init",
        Passwd = "passwd",
        /// To hand out values to a command.
        Run = "run",
        Unlock = "unlock",
    }

    /// Why the daemon stopped.
    StopCause {
        Asked = "asked",
        Idle = "idle",
        Signal = "signal",
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        /// One thing that happened. `uid` is always that of the person on the other side of the socket.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $variant { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl Event {
            /// Every kind with its fields, in the order of the line.
            pub const KINDS: &[(&str, &[&str])] = &[$(($kind, &[$(stringify!($field)),*])),*];

            /// The entry's `kind`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Event::$variant { .. } => $kind,)*
                }
            }

            pub(crate) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Event::$variant { $($field,)* } => {
                        $(Field::write_member($field, concat!(",\"", stringify!($field), "\":"), out);)*
                    })*
                }
            }

            pub(crate) fn read(kind: &str, from: &mut Cursor<'_>) -> Option<Self> {
                match kind {
                    $($kind => {
                        $(let $field = Field::read_member(concat!(",\"", stringify!($field), "\":"), from)?;)*
                        Some(Event::$variant { $($field,)* })
                    })*
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// A person answered a question. `digest` is what the answer is bound to.
    ApprovalAnswered = "approval_answered" {
        approval: ApprovalId,
        digest: Digest,
        answer: Answer,
        /// What a yes was proved with.
        factor: Option<FactorUsed>,
        uid: u32,
    }
    /// A call waits for a person.
    ApprovalAsked = "approval_asked" {
        approval: ApprovalId,
        digest: Digest,
        call: CallId,
        principal: Principal,
        connection: ConnectionName,
        operation: OperationName,
        effect: Effect,
        endpoint: Claim,
    }
    /// The time of a question, or of a yes, was over before it was answered or used.
    ApprovalExpired = "approval_expired" { approval: ApprovalId, }
    /// A passphrase or code was given, and is about to be used.
    Attempted = "attempted" { what: Attempt, uid: u32, }
    ConnectionEdited = "connection_edited" {
        connection: ConnectionName,
        provider: ProviderName,
        origin: Origin,
        secrets: Vec<SecretName>,
        uid: u32,
        setup: Later<Setup>,
        decided: Later<Decided>,
    }
    ConnectionMade = "connection_made" {
        connection: ConnectionName,
        provider: ProviderName,
        provider_digest: Digest,
        origin: Origin,
        /// The secrets that its slots are bound to.
        secrets: Vec<SecretName>,
        uid: u32,
        setup: Later<Setup>,
    }
    ConnectionRemoved = "connection_removed" { connection: ConnectionName, uid: u32, }
    DaemonStarted = "daemon_started" { version: Claim, pid: u32, uid: u32, }
    DaemonStopped = "daemon_stopped" { cause: StopCause, }
    FactorAdded = "factor_added" { factor: FactorUsed, uid: u32, }
    /// A proof that did not count.
    FactorFailed = "factor_failed" {
        what: Attempt,
        reason: Code,
        /// How long the next has to wait.
        wait_ms: u64,
        uid: u32,
    }
    /// A proof that counted, where it is no part of another entry.
    FactorProved = "factor_proved" { what: Attempt, factor: FactorUsed, uid: u32, }
    FactorRemoved = "factor_removed" { factor: FactorUsed, uid: u32, }
    /// A person wants to see an SSH server's keys. The jump host is logged in to; the server is not.
    HostKeysAsked = "host_keys_asked" { origin: Origin, jump: Option<ConnectionName>, uid: u32, }
    Locked = "locked" { cause: LockCause, }
    PassphraseChanged = "passphrase_changed" { uid: u32, }
    /// What came in by the agents' socket and was no call: a verb of the person's, a path that there is not, no JSON.
    /// Nothing of what it said is here.
    Refusal = "refusal" {
        principal: Principal,
        reason: Code,
        /// How many there were since the entry before and have none of their own.
        more: u64,
    }
    /// A call that came to nothing before there was anything to decide: an unknown connection, a locked vault, an input
    /// that does not fit. What the caller named is its claim.
    Refused = "refused" {
        call: Option<CallId>,
        principal: Principal,
        connection: Option<Claim>,
        operation: Option<Claim>,
        code: Code,
    }
    /// kv is about to log in to a database and to ask what its role may do.
    RoleExamined = "role_examined" { connection: ConnectionName, uid: u32, }
    RunEnded = "run_ended" {
        run: CallId,
        /// Absent when a signal ended it.
        exit_code: Option<i32>,
        signal: Option<i32>,
        /// How many times its output was masked.
        redactions: u64,
    }
    RunStarted = "run_started" {
        run: CallId,
        /// The program, without its arguments.
        command: Claim,
        secrets: Vec<SecretName>,
        uid: u32,
    }
    SecretRemoved = "secret_removed" { secret: SecretName, uid: u32, }
    SecretRenamed = "secret_renamed" { secret: SecretName, to: SecretName, uid: u32, }
    SecretRotated = "secret_rotated" { secret: SecretName, version: u32, uid: u32, }
    SecretSet = "secret_set" { secret: SecretName, version: u32, uid: u32, }
    UnlockFailed = "unlock_failed" {
        /// In a row, this one included.
        failures: u32,
        /// How long the next attempt has to wait.
        wait_ms: u64,
        uid: u32,
    }
    Unlocked = "unlocked" {
        /// Absent without a time limit.
        until_ms: Option<u64>,
        uid: u32,
    }
    VaultCreated = "vault_created" { vault: VaultId, uid: u32, }
}
