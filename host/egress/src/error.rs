//! What can go wrong on the way out and back: whose fault it is, whether anything was sent, and never a word of what was.
//!
//! No variant holds text that came from a service: a service could write the secret into it. Nor does any hold the cause
//! as another library words it, for the same reason; the cause is sorted into our variants instead.

use std::time::Duration;

use kv_model::{SettingName, SlotName};

use crate::postgres::DatabaseError;
use crate::ssh::SshProblem;

/// Whether the request has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    No,
    /// Some of it may have: the service may have acted on it.
    Unknown,
    Yes,
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Caller,
    Network,
    Operator,
    Service,
    Us,
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("all {limit} places for calls with this credential were taken for {} s", .waited.as_secs())]
    Busy { limit: usize, waited: Duration },
    #[error("no address of the service accepts a connection")]
    Connect,
    #[error("the connection's own certificates are not PEM text of certificates")]
    CustomCa,
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the service's name does not resolve")]
    Dns,
    #[error("the answer is encoded in a way that cannot be searched for secrets")]
    Encoding,
    /// `sent` as far as the call had come.
    #[error("the vault was locked meanwhile")]
    Locked { sent: Sent },
    /// A mistake of ours: each protocol has its own way out.
    #[error("the permit is for a request of another protocol than this way out speaks")]
    OtherProtocol,
    #[error("the service's name resolves to an address that is not public")]
    PrivateAddress,
    #[error("the answer is not HTTP as kv accepts it")]
    Protocol { sent: Sent },
    /// A request that was parsed can always be written, so this is a mistake of ours.
    #[error("the request cannot be written as HTTP")]
    Request,
    #[error("the service closed the connection before it answered")]
    Reset,
    #[error("`SSL_CERT_FILE` or `SSL_CERT_DIR` is set and would choose whom to trust")]
    RootsFromEnvironment,
    #[error("this machine's root certificates cannot be read")]
    RootsMissing,
    #[error("a value of the vault is in the request itself: whoever wrote the request knows it")]
    SecretInRequest,
    #[error("slot `{slot}` has no secret in this connection")]
    SecretMissing { slot: SlotName },
    /// `None`: it is what the schemes make of it that does not fit.
    #[error("{} cannot go onto a request: {why}", .slot.as_ref().map_or("the credential".to_owned(), |slot| format!("the secret in slot `{slot}`")))]
    SecretUnfit { slot: Option<SlotName>, why: Unfit },
    #[error("setting `{setting}` has no value in this connection, or one that cannot go onto a request")]
    Setting { setting: SettingName },
    #[error(transparent)]
    Ssh(SshProblem),
    #[error("no connection within {} s", .0.as_secs())]
    TimeoutConnect(Duration),
    #[error("no answer within {} s", .0.as_secs())]
    TimeoutFirstByte(Duration),
    #[error("{0}")]
    Tls(TlsProblem),
    #[error("the head of the answer is over {bytes} bytes or {headers} headers")]
    TooLarge { bytes: usize, headers: usize },
    #[error("the vault cannot open the secret in slot `{slot}`")]
    Vault { slot: SlotName },
    #[error("the vault cannot open all values that answers must be cleaned of")]
    VaultPatterns,
}

/// Why a secret cannot go onto a request. It says nothing about where in the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it is a user name with a colon in it, where the password would begin")]
    Colon,
    #[error("it has a control character in it, perhaps a line's end")]
    Control,
    #[error("it begins or ends with a blank")]
    Edge,
    #[error("it is empty")]
    Empty,
    #[error("it is a private key that a passphrase protects, and none is bound")]
    Encrypted,
    #[error("it has characters beyond ASCII")]
    NonAscii,
    #[error("it is not a certificate for a user's key")]
    NotCertificate,
    #[error("it is not a private key of a kind that kv can use")]
    NotKey,
    #[error("it is not text")]
    NotText,
    #[error("it is a certificate for another key than the one that is bound")]
    OtherKey,
    #[error("the passphrase that is bound does not open it")]
    Passphrase,
    #[error("it makes the request longer than services accept")]
    TooLong,
}

/// Why a service was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    #[error("the service's certificate is not one, or uses what is no longer safe")]
    BadCertificate,
    #[error("the service closed the connection or sent no TLS")]
    Broken,
    #[error("the service's certificate has expired")]
    Expired,
    #[error("the service's certificate is not valid yet")]
    NotYetValid,
    #[error("the service and kv have no TLS version or cipher in common")]
    NothingInCommon,
    #[error("the service refused the handshake")]
    Refused,
    #[error("the service's certificate is revoked")]
    Revoked,
    #[error("the service's certificate is from an authority that is not trusted here")]
    UnknownIssuer,
    #[error("the service's certificate is for another name")]
    WrongName,
    #[error("the service's certificate is not for servers")]
    WrongPurpose,
}

/// An answer that began and did not end well. The request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the answer unfolds to more than {ratio} times what was sent")]
    Bomb { ratio: u64 },
    #[error("the service broke off in the middle of the answer")]
    Cut,
    #[error("the answer is not in the encoding that it claims")]
    Encoding,
    #[error("the command ended, and the server did not say how")]
    ExitMissing,
    #[error("the vault was locked while the answer came in")]
    Locked,
    #[error("too much output of commands waits for its readers; the command was ended")]
    MemoryFull,
    #[error("nothing came for {} s in the middle of the answer", .0.as_secs())]
    TimeoutIdle(Duration),
    #[error("the answer did not end within {} s", .0.as_secs())]
    TimeoutTotal(Duration),
    #[error("the answer is over {limit} bytes")]
    TooLarge { limit: u64 },
}

impl SendError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            SendError::Busy { .. } => "egress.busy",
            SendError::Connect => "egress.connect",
            SendError::CustomCa => "egress.custom_ca",
            SendError::Database(error) => error.code(),
            SendError::Dns => "egress.dns",
            SendError::Encoding => "egress.encoding",
            SendError::Locked { .. } => "egress.locked",
            SendError::OtherProtocol => "egress.other_protocol",
            SendError::PrivateAddress => "egress.private_address",
            SendError::Protocol { .. } => "egress.protocol",
            SendError::Request => "egress.request",
            SendError::Reset => "egress.reset",
            SendError::RootsFromEnvironment | SendError::RootsMissing => "egress.roots",
            SendError::SecretInRequest => "egress.secret_in_request",
            SendError::SecretMissing { .. } => "egress.secret_missing",
            SendError::SecretUnfit { .. } => "egress.secret_unfit",
            SendError::Setting { .. } => "egress.setting",
            SendError::Ssh(problem) => problem.code(),
            SendError::TimeoutConnect(_) => "egress.timeout.connect",
            SendError::TimeoutFirstByte(_) => "egress.timeout.first_byte",
            SendError::Tls(_) => "egress.tls",
            SendError::TooLarge { .. } => "egress.too_large",
            SendError::Vault { .. } | SendError::VaultPatterns => "egress.vault",
        }
    }

    pub fn sent(&self) -> Sent {
        match self {
            SendError::Busy { .. }
            | SendError::Connect
            | SendError::CustomCa
            | SendError::Dns
            | SendError::OtherProtocol
            | SendError::PrivateAddress
            | SendError::Request
            | SendError::RootsFromEnvironment
            | SendError::RootsMissing
            | SendError::SecretInRequest
            | SendError::SecretMissing { .. }
            | SendError::SecretUnfit { .. }
            | SendError::Setting { .. }
            | SendError::TimeoutConnect(_)
            | SendError::Tls(_)
            | SendError::Vault { .. }
            | SendError::VaultPatterns => Sent::No,
            SendError::Reset | SendError::TimeoutFirstByte(_) => Sent::Unknown,
            SendError::Encoding | SendError::TooLarge { .. } => Sent::Yes,
            SendError::Database(error) => error.sent(),
            SendError::Ssh(problem) => problem.sent(),
            SendError::Locked { sent } | SendError::Protocol { sent } => *sent,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            SendError::Database(error) => error.fault(),
            SendError::Ssh(problem) => problem.fault(),
            SendError::SecretInRequest => Fault::Caller,
            SendError::Connect | SendError::Dns | SendError::TimeoutConnect(_) => Fault::Network,
            SendError::CustomCa
            | SendError::Locked { .. }
            | SendError::PrivateAddress
            | SendError::RootsMissing
            | SendError::SecretMissing { .. }
            | SendError::SecretUnfit { .. }
            | SendError::Setting { .. } => Fault::Operator,
            SendError::Encoding
            | SendError::Protocol { .. }
            | SendError::Reset
            | SendError::TimeoutFirstByte(_)
            | SendError::Tls(_)
            | SendError::TooLarge { .. } => Fault::Service,
            SendError::Busy { .. }
            | SendError::OtherProtocol
            | SendError::Request
            | SendError::RootsFromEnvironment
            | SendError::Vault { .. }
            | SendError::VaultPatterns => Fault::Us,
        }
    }
}

impl BodyError {
    /// A stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            BodyError::Bomb { .. } => "egress.bomb",
            BodyError::Cut => "egress.reset",
            BodyError::Encoding => "egress.encoding",
            BodyError::ExitMissing => "egress.ssh.exit_missing",
            BodyError::Locked => "egress.locked",
            BodyError::MemoryFull => "egress.memory_full",
            BodyError::TimeoutIdle(_) => "egress.timeout.idle",
            BodyError::TimeoutTotal(_) => "egress.timeout.total",
            BodyError::TooLarge { .. } => "egress.too_large",
        }
    }

    pub fn fault(self) -> Fault {
        match self {
            BodyError::Locked | BodyError::MemoryFull => Fault::Operator,
            BodyError::Bomb { .. }
            | BodyError::Cut
            | BodyError::Encoding
            | BodyError::ExitMissing
            | BodyError::TimeoutIdle(_)
            | BodyError::TimeoutTotal(_)
            | BodyError::TooLarge { .. } => Fault::Service,
        }
    }
}
