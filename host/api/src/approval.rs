//! Questions to a person, and what a person proves to be there with. An agent sees of them that they wait and what became
//! of them; the rest exists on the person's socket only.

use kv_model::{ConnectionName, Effect, OperationName};
use serde::{Deserialize, Serialize};

use crate::Hidden;

/// `GET /v1/approvals/{id}/state`, on both sockets; with `?hold_ms=` it waits so long for another answer than `pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalStatus {
    /// Four characters: `7F3K`.
    pub id: String,
    pub state: ApprovalState,
    /// How long it stays so, if it is pending or granted.
    pub remaining_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    Pending,
    /// A person said yes; the same call made again goes through, once.
    Granted,
    Refused,
    Expired,
    Used,
}

/// `GET /v1/approvals`: those that are open and those that ended not long ago, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    pub approvals: Vec<ApprovalDetail>,
}

/// `GET /v1/approvals/{id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalDetail {
    pub id: String,
    pub state: ApprovalState,
    pub remaining_ms: u64,
    pub asked_ms: u64,
    /// What the asker calls itself; `operator` is a command of the person's own.
    pub agent: String,
    pub connection: ConnectionName,
    pub operation: OperationName,
    pub effect: Effect,
    /// One line: what kind of request it is.
    pub endpoint: String,
    /// The request as it will go out, in full, made by the host. Each value is one line and has no character that hides or
    /// moves.
    pub review: Vec<ReviewLine>,
    /// The weakest factor that can grant it now.
    pub needs: FactorKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewLine {
    /// Empty where the value goes on from the line before.
    pub label: String,
    pub value: String,
    /// A provider's or caller's words, which nobody has checked.
    #[serde(default)]
    pub claim: bool,
}

/// What a person proves to be there with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorKind {
    Passphrase,
    /// An authenticator app's six digits, or a recovery code.
    Totp,
}

/// A proof, in the body of everything that wants one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Proof {
    Passphrase(Hidden),
    /// Six digits, or a recovery code.
    Code(Hidden),
}

/// `POST /v1/approvals/{id}/grant`; `/refuse` and `/revoke` take no body. All answer [`ApprovalStatus`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    pub proof: Proof,
    /// The value of the review's line `digest`, as it was shown: a yes is to what was read.
    pub digest: String,
}

/// `GET /v1/factors`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    pub totp: Option<TotpInfo>,
    /// The weakest that an approval takes.
    pub needs: FactorKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpInfo {
    pub since_ms: u64,
    pub recovery_codes_left: usize,
    /// Wrong codes in a row.
    pub failures: u32,
    /// No code is taken before.
    pub paused_until_ms: Option<u64>,
}

/// `POST /v1/factors/totp/begin`: wants the passphrase (nothing else is enrolled then). The seed is kept by the daemon
/// until it is confirmed, ten minutes at most; a later beginning replaces it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginTotp {
    pub passphrase: Hidden,
}

/// For the person's eyes, once.
#[derive(Debug, Serialize, Deserialize)]
pub struct TotpEnrolment {
    /// `otpauth://totp/...`, to be shown as a QR code.
    pub uri: Hidden,
    /// The same seed in base32, to be typed.
    pub secret: Hidden,
}

/// `POST /v1/factors/totp/confirm`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// What the app shows now.
    pub code: Hidden,
}

/// For the person's eyes, once.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecoveryCodes {
    pub codes: Vec<Hidden>,
}

/// `POST /v1/factors/totp/remove` and `POST /v1/factors/test`. The first answers `{"removed": true}`, the second
/// [`Tested`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofRequest {
    pub proof: Proof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    pub kind: FactorKind,
    pub is_recovery_code: bool,
}
