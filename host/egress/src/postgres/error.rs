//! What can go wrong with a database, beyond what can go wrong with any service. No variant holds the server's words:
//! only the five characters of its SQLSTATE, which are checked to be that.

use std::fmt;
use std::time::Duration;

use super::count::Blind;
use crate::error::{Fault, Sent};

/// There is no answer from the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    #[error("the answer to a statement that writes is over {limit} bytes; it was rolled back and nothing has changed")]
    AnswerTooLarge { limit: usize },
    #[error(
        "the server asks for {asked}, which `password-auth` does not allow in this connection; no password was sent"
    )]
    Auth { asked: AuthRequest },
    /// The name is the caller's own word.
    #[error(
        "it calls `{name}`, which is of an extension or in a language that no read-only transaction holds back, and does not promise to change nothing; so it is not one that only reads"
    )]
    BeyondReading { name: String },
    #[error("the client certificate and its key are not PEM text of a pair")]
    ClientCertificate,
    #[error("the statement moves data through the connection with `copy`, which kv does not carry")]
    Copy,
    #[error(
        "the secret in slot `password` is a connection string of another server, user or database than the connection's"
    )]
    DsnElsewhere,
    #[error(
        "the secret in slot `password` looks like a connection string, and is none that can be read or has no password"
    )]
    DsnUnreadable,
    #[error("the statement ended its own transaction, which none may")]
    EndedTransaction,
    /// `sent` says whether it matters: a transaction that was not told to commit is gone.
    #[error("the connection to the database was lost")]
    Lost { sent: Sent },
    #[error("the server refuses the login (SQLSTATE {code})")]
    LoginRefused { code: String },
    #[error("the server offers no TLS, and this connection demands it")]
    NoTls,
    #[error("the server asks for a password, and no secret is in slot `password`")]
    PasswordMissing,
    #[error("the password has a NUL in it, which the protocol cannot carry")]
    PasswordUnfit,
    #[error("the server does not speak PostgreSQL's protocol as kv accepts it")]
    Protocol { sent: Sent },
    #[error(
        "the server's certificate is an authority's own, signed by itself, and not one that this connection was given: if it is the right one, give that very certificate with `kv connect ... --ca FILE`"
    )]
    OwnAuthority,
    #[error("a row of the answer is over {limit} bytes; ask for less of it; nothing has changed")]
    RowTooLarge { limit: usize },
    #[error("the server did not prove that it knows the password: it may be another one")]
    ServerUnproven,
    #[error("the server refuses a session (SQLSTATE {code})")]
    SessionRefused { code: String },
    #[error("the statement was cancelled after {} s; nothing of it stands", .0.as_secs())]
    Timeout(Duration),
    #[error("`tls` is `off` in this connection, and the server's address is a public one")]
    TlsOff,
    #[error(
        "the statement changed {changed} rows, with triggers and cascades, over its limit of {limit}; it was rolled back and nothing has changed"
    )]
    TooManyChanges { changed: u64, limit: u64 },
    #[error(
        "{why}, so its limit of {limit} rows cannot be held; the statement was rolled back and nothing has changed"
    )]
    Uncounted { why: Blind, limit: u64 },
    #[error(
        "without TLS, the server asks for the password's proof in {rounds} rounds, which lets whoever plays the server try passwords quickly; {least} is the least that kv gives it for"
    )]
    WeakProof { rounds: u32, least: u32 },
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blind::Foreign => {
                "the statement writes to a foreign table, whose rows are another server's and not counted"
            }
            Blind::Off => "the server counts no changes (its `track_counts` is off)",
        })
    }
}

/// How a server wants a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthRequest {
    Cleartext,
    Md5,
    /// Kerberos and the like.
    Other,
    /// SCRAM that is not bound to the TLS session, over TLS.
    Unbound,
}

impl fmt::Display for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthRequest::Cleartext => "the password in clear text",
            AuthRequest::Md5 => "an md5 hash of the password",
            AuthRequest::Other => "a login that kv does not know",
            AuthRequest::Unbound => "a login without channel binding",
        })
    }
}

impl DatabaseError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            DatabaseError::AnswerTooLarge { .. } | DatabaseError::RowTooLarge { .. } => "egress.too_large",
            DatabaseError::Auth { .. } | DatabaseError::WeakProof { .. } => "egress.auth",
            DatabaseError::BeyondReading { .. } => "egress.function",
            DatabaseError::ClientCertificate => "egress.client_certificate",
            DatabaseError::Copy => "egress.copy",
            DatabaseError::DsnElsewhere | DatabaseError::DsnUnreadable => "egress.dsn",
            DatabaseError::EndedTransaction => "egress.ended_transaction",
            DatabaseError::LoginRefused { .. } => "egress.login_refused",
            DatabaseError::Lost { .. } => "egress.reset",
            DatabaseError::NoTls | DatabaseError::OwnAuthority | DatabaseError::TlsOff => "egress.tls",
            DatabaseError::PasswordMissing => "egress.secret_missing",
            DatabaseError::PasswordUnfit => "egress.secret_unfit",
            DatabaseError::Protocol { .. } => "egress.protocol",
            DatabaseError::ServerUnproven => "egress.server_unproven",
            DatabaseError::SessionRefused { .. } => "egress.session_refused",
            DatabaseError::Timeout(_) => "egress.timeout.statement",
            DatabaseError::TooManyChanges { .. } => "egress.too_many_changes",
            DatabaseError::Uncounted { .. } => "egress.uncounted",
        }
    }

    pub fn sent(&self) -> Sent {
        match self {
            DatabaseError::Auth { .. }
            | DatabaseError::BeyondReading { .. }
            | DatabaseError::ClientCertificate
            | DatabaseError::DsnElsewhere
            | DatabaseError::DsnUnreadable
            | DatabaseError::LoginRefused { .. }
            | DatabaseError::NoTls
            | DatabaseError::OwnAuthority
            | DatabaseError::PasswordMissing
            | DatabaseError::PasswordUnfit
            | DatabaseError::ServerUnproven
            | DatabaseError::SessionRefused { .. }
            | DatabaseError::TlsOff
            | DatabaseError::WeakProof { .. } => Sent::No,
            DatabaseError::AnswerTooLarge { .. }
            | DatabaseError::Copy
            | DatabaseError::EndedTransaction
            | DatabaseError::RowTooLarge { .. }
            | DatabaseError::Timeout(_)
            | DatabaseError::TooManyChanges { .. }
            | DatabaseError::Uncounted { .. } => Sent::Yes,
            DatabaseError::Lost { sent } | DatabaseError::Protocol { sent } => *sent,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            DatabaseError::AnswerTooLarge { .. }
            | DatabaseError::BeyondReading { .. }
            | DatabaseError::Copy
            | DatabaseError::EndedTransaction
            | DatabaseError::RowTooLarge { .. }
            | DatabaseError::TooManyChanges { .. }
            | DatabaseError::Uncounted { why: Blind::Foreign, .. } => Fault::Caller,
            DatabaseError::Lost { .. } => Fault::Network,
            DatabaseError::Auth { .. }
            | DatabaseError::ClientCertificate
            | DatabaseError::DsnElsewhere
            | DatabaseError::DsnUnreadable
            | DatabaseError::LoginRefused { .. }
            | DatabaseError::NoTls
            | DatabaseError::OwnAuthority
            | DatabaseError::PasswordMissing
            | DatabaseError::PasswordUnfit
            | DatabaseError::TlsOff
            | DatabaseError::Uncounted { why: Blind::Off, .. }
            | DatabaseError::WeakProof { .. } => Fault::Operator,
            DatabaseError::Protocol { .. }
            | DatabaseError::ServerUnproven
            | DatabaseError::SessionRefused { .. }
            | DatabaseError::Timeout(_) => Fault::Service,
        }
    }
}
