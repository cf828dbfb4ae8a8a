//! What can go wrong between kv and an SSH server before a command runs, sorted into our own words.

use kv_model::{ConnectionName, Fingerprint, HostKeyError};

use crate::error::{Fault, SendError, Sent};

/// Why there is no login, or no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshProblem {
    #[error("the server and kv have no safe algorithm in common")]
    Algorithms,
    #[error("the server closed the connection before the login was done, or speaks no SSH")]
    Broken,
    #[error("the server's certificate was refused: {0}")]
    Certificate(CertificateProblem),
    /// The command was sent, and the server answered that it does not run it.
    #[error("the server took the login but refuses to run commands")]
    Command,
    #[error("the server sent more before the login than a login takes")]
    Flood,
    #[error("the server's host key is {offered}; pinned {}", pinned_text(.pinned))]
    HostKey { offered: Fingerprint, pinned: Vec<Fingerprint> },
    #[error("the server's host key {offered} is revoked")]
    HostKeyRevoked { offered: Fingerprint },
    #[error("the setting `host-keys` cannot be used: {0}")]
    HostKeys(HostKeyError),
    #[error("the jump host `{name}`: {why}")]
    Jump { name: ConnectionName, why: Box<JumpProblem> },
    #[error("the server refused the login")]
    Login,
    #[error("the server refused the login: of the ways that it takes, none is enrolled here")]
    LoginKind,
    #[error("no key and no password is bound to this connection")]
    NoCredential,
    #[error("the server would have to order its key exchange strictly for the cipher that it chose, and does not")]
    NotStrict,
    #[error("the server takes no further command over this login")]
    Sessions,
    #[error("the server signs with SHA-1, which can be forged")]
    Sha1,
    #[error("the server could not prove that it holds its host key")]
    Signature,
}

/// Why a host certificate does not vouch for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    #[error("its authority is not among those that are pinned")]
    Authority,
    #[error("it has an option that kv does not know and must not ignore")]
    CriticalOption,
    #[error("it has expired")]
    Expired,
    #[error("it is not for this host")]
    Name,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("its key, or its authority's, is revoked")]
    Revoked,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is not for hosts")]
    Type,
    #[error("it is signed with or for a key that is too weak")]
    Weak,
}

/// Why a jump host is no way to the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JumpProblem {
    #[error("{0}")]
    Connection(SendError),
    #[error("there are more than {limit} jump hosts one after another")]
    Depth { limit: usize },
    #[error("it is the way to itself")]
    Loop,
    #[error("there is no such connection")]
    Missing,
    #[error("it is a connection of another provider")]
    Provider,
    #[error("it does not connect to the target")]
    Target,
}

impl SshProblem {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            SshProblem::Algorithms => "egress.ssh.algorithms",
            SshProblem::Broken => "egress.ssh.broken",
            SshProblem::Certificate(_) => "egress.ssh.host_certificate",
            SshProblem::Command => "egress.ssh.command_refused",
            SshProblem::Flood => "egress.ssh.flood",
            SshProblem::HostKey { .. } => "egress.ssh.host_key",
            SshProblem::HostKeyRevoked { .. } => "egress.ssh.host_key_revoked",
            SshProblem::HostKeys(HostKeyError::Missing) => "egress.ssh.host_key_missing",
            SshProblem::HostKeys(_) => "egress.setting",
            SshProblem::Jump { .. } => "egress.ssh.jump",
            SshProblem::Login => "egress.ssh.login",
            SshProblem::LoginKind => "egress.ssh.login_kind",
            SshProblem::NoCredential => "egress.secret_missing",
            SshProblem::NotStrict => "egress.ssh.not_strict",
            SshProblem::Sessions => "egress.ssh.sessions",
            SshProblem::Sha1 => "egress.ssh.sha1",
            SshProblem::Signature => "egress.ssh.signature",
        }
    }

    pub fn sent(&self) -> Sent {
        match self {
            SshProblem::Command => Sent::Yes,
            SshProblem::Algorithms
            | SshProblem::Broken
            | SshProblem::Certificate(_)
            | SshProblem::Flood
            | SshProblem::HostKey { .. }
            | SshProblem::HostKeyRevoked { .. }
            | SshProblem::HostKeys(_)
            | SshProblem::Jump { .. }
            | SshProblem::Login
            | SshProblem::LoginKind
            | SshProblem::NoCredential
            | SshProblem::NotStrict
            | SshProblem::Sessions
            | SshProblem::Sha1
            | SshProblem::Signature => Sent::No,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            // A changed key is the server's doing or an attacker's; only a person can tell.
            SshProblem::HostKey { .. }
            | SshProblem::HostKeyRevoked { .. }
            | SshProblem::HostKeys(_)
            | SshProblem::Login
            | SshProblem::LoginKind
            | SshProblem::NoCredential => Fault::Operator,
            SshProblem::Jump { why, .. } => match &**why {
                JumpProblem::Connection(error) => error.fault(),
                JumpProblem::Depth { .. } | JumpProblem::Loop | JumpProblem::Missing | JumpProblem::Provider => {
                    Fault::Operator
                }
                JumpProblem::Target => Fault::Network,
            },
            SshProblem::Algorithms
            | SshProblem::Broken
            | SshProblem::Certificate(_)
            | SshProblem::Command
            | SshProblem::Flood
            | SshProblem::NotStrict
            | SshProblem::Sessions
            | SshProblem::Sha1
            | SshProblem::Signature => Fault::Service,
        }
    }
}

impl From<CertificateProblem> for SendError {
    fn from(why: CertificateProblem) -> Self {
        SendError::Ssh(SshProblem::Certificate(why))
    }
}

/// How russh's handshake ended. Its own words are left out: they may hold what the server sent.
pub(super) fn sort(error: &russh::Error) -> SendError {
    SendError::Ssh(match error {
        russh::Error::NoCommonAlgo { .. } | russh::Error::UnknownAlgo => SshProblem::Algorithms,
        russh::Error::WrongServerSig => SshProblem::Signature,
        _ => SshProblem::Broken,
    })
}

fn pinned_text(pinned: &[Fingerprint]) -> String {
    match pinned {
        [] => "are authorities only".to_owned(),
        [one] => format!("is {one}"),
        more => format!("are {}", more.iter().map(Fingerprint::to_string).collect::<Vec<_>>().join(", ")),
    }
}
