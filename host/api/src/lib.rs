//! What is said over the two sockets: one HTTP/1.1 JSON API, its types, its errors, and where its files are.
//!
//! The daemon answers with these types and every client reads them; neither has its own. No I/O is done here. Begin with
//! [`CallRequest`] and [`ApiError`]; [`wire`] says how an answer is framed.

mod approval;
mod audit;
mod call;
mod catalog;
mod error;
mod hidden;
pub mod home;
mod manage;
pub mod wire;

pub use approval::{
    ApprovalDetail, ApprovalState, ApprovalStatus, Approvals, BeginTotp, ConfirmTotp, FactorKind, Factors,
    GrantRequest, Proof, ProofRequest, RecoveryCodes, ReviewLine, Tested, TotpEnrolment, TotpInfo,
};
pub use audit::{AuditQuery, VerifyReport};
pub use call::{ApiBody, AttachmentHead, CallRequest, CommandExit, CommandLine, RawCallRequest};
pub use catalog::{
    ConnectionDetail, ConnectionSummary, Counts, OperationDetail, OperationSummary, ProviderSummary, SettingSummary,
    SlotSummary,
};
pub use error::{ApiError, Code, Sent};
pub use hidden::{Hidden, HiddenBytes};
pub use manage::{
    AuditState, Check, Checks, ConnectRequest, EditRequest, Edited, Graver, HostKeys, HostKeysRequest, InitRequest,
    InitResult, PassphraseRequest, ProviderChange, RenameRequest, RoleFindings, RunEnd, RunRequest, RunStart,
    SecretInfo, SetRequest, SetResult, ShownKey, Status, Stopping, SuggestedPassphrase, TestResult, UnlockRequest,
    ValueRequest, VaultState,
};

/// The version of this API. A client says it in [`wire::VERSION_HEADER`]; a daemon of another one refuses by name.
pub const API_VERSION: u32 = 1;
