//! What the person does: vault, secrets, connections, runs, checks. These verbs exist on the person's socket only.

use std::collections::BTreeMap;

use kv_model::{ConnectionName, Effect, OperationName, ProviderName, SecretName, SettingName, SlotName, Suggestion};
use serde::{Deserialize, Serialize};

use crate::{ConnectionDetail, Hidden, HiddenBytes};

/// `GET /v1/status`, on both sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub uptime_ms: u64,
    pub vault: VaultState,
    /// `None` while the vault is locked: their names are sealed too.
    pub connections: Option<usize>,
    pub secrets: Option<usize>,
    pub calls_in_flight: usize,
    /// Questions that wait for a person.
    #[serde(default)]
    pub approvals_waiting: usize,
    pub audit: AuditState,
    /// What the daemon could not do for its own safety, in words.
    pub warnings: Vec<String>,
    /// A service manager holds the daemon's sockets, and starts another daemon when somebody connects after its end.
    #[serde(default)]
    pub socket_activated: bool,
}

/// The daemon's last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    pub pid: u32,
    /// As in [`Status`]: connecting would start another.
    pub socket_activated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum VaultState {
    Absent,
    Locked,
    Unlocked { until_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum AuditState {
    Healthy {
        entries: u64,
    },
    /// Nothing can be recorded, so nothing is sent.
    Unavailable {
        why: String,
    },
}

/// `POST /v1/vault/init`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {
    pub passphrase: Hidden,
    pub for_ms: u64,
    /// Take a passphrase that is easily guessed.
    #[serde(default)]
    pub accept_weak: bool,
    /// Use the least key derivation that is allowed. For demonstrations and tests, whose vaults hold nothing.
    #[serde(default)]
    pub throw_away: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitResult {
    pub path: String,
    pub until_ms: u64,
}

/// `POST /v1/vault/suggest`: a passphrase nobody has used yet, for a person to write down. It is made anew each time and
/// kept nowhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct SuggestedPassphrase {
    pub passphrase: Hidden,
}

/// `POST /v1/vault/unlock`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    pub passphrase: Hidden,
    /// How long it stays open, at most 12 hours.
    pub for_ms: u64,
}

/// `POST /v1/vault/passwd`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassphraseRequest {
    pub old: Hidden,
    pub new: Hidden,
    #[serde(default)]
    pub accept_weak: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretInfo {
    pub name: SecretName,
    pub version: u32,
    pub created_ms: u64,
    pub changed_ms: u64,
    /// In bytes.
    pub length: usize,
    /// The connections that it is bound to.
    pub connections: Vec<ConnectionName>,
    /// "test key", as far as its beginning tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// `POST /v1/secrets`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    pub name: SecretName,
    pub value: HiddenBytes,
    /// The person accepts that a connection string leads to this machine or into a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Store it and make no connection of it, whatever its name.
    #[serde(default)]
    pub alone: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetResult {
    pub secret: SecretInfo,
    /// The connection that was made, where the name is one that a provider knows.
    pub connection: Option<ConnectionDetail>,
    pub warnings: Vec<String>,
}

/// `POST /v1/secrets/NAME/rotate`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRequest {
    pub value: HiddenBytes,
}

/// `POST /v1/secrets/NAME/rename`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    pub to: SecretName,
}

/// `POST /v1/connections`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectRequest {
    pub provider: ProviderName,
    pub name: ConnectionName,
    /// The provider's own, when there is none here.
    #[serde(default)]
    pub origin: Option<String>,
    /// PEM.
    #[serde(default)]
    pub ca: Option<String>,
    #[serde(default)]
    pub settings: BTreeMap<SettingName, String>,
    /// Slots that are left out are bound to a secret with one of their usual names.
    #[serde(default)]
    pub bindings: BTreeMap<SlotName, SecretName>,
    /// The person accepts an origin on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Say what would be made, and make nothing.
    #[serde(default)]
    pub preview: bool,
    /// Put it in the place of the connection that has this name.
    #[serde(default)]
    pub replace: bool,
}

/// `POST /v1/connections/NAME/edit`: what is given replaces what is there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    #[serde(default)]
    pub settings: BTreeMap<SettingName, String>,
    #[serde(default)]
    pub bindings: BTreeMap<SlotName, SecretName>,
    #[serde(default)]
    pub ca: Option<String>,
    /// What is decided for single operations from now on.
    #[serde(default)]
    pub decisions: BTreeMap<OperationName, Suggestion>,
    /// Take the provider as it is now. Origin, trust, settings, bindings and decisions stay.
    #[serde(default)]
    pub accept_provider: bool,
    /// Say what would be changed, and change nothing.
    #[serde(default)]
    pub preview: bool,
}

/// What an edit came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    #[serde(flatten)]
    pub connection: ConnectionDetail,
    /// How the provider differs from the one that was accepted before, where it was accepted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_change: Option<ProviderChange>,
}

/// What another build of a provider changes for a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderChange {
    /// Operations that there were not: as the provider suggests, unless an edit says otherwise.
    pub new: BTreeMap<OperationName, Suggestion>,
    /// Operations that there are no more.
    pub gone: Vec<OperationName>,
    /// Operations that do graver things than when they were decided. None of them stays allowed by itself.
    pub graver: Vec<Graver>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graver {
    pub operation: OperationName,
    pub before: Effect,
    pub now: Effect,
    pub decision: Suggestion,
}

/// `POST /v1/connections/NAME/test`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    pub operation: OperationName,
    pub status: u16,
    pub ok: bool,
    pub duration_us: u64,
    /// Of a database: what its role may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleFindings>,
}

/// What a database's role may do, whoever asks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleFindings {
    pub role: String,
    pub database: String,
    pub server_version: String,
    /// The version of TLS. `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// How kv showed that it is the role.
    pub auth: String,
    /// In what ways the role can change something, a clause each. Empty: it can only read.
    pub can_write: Vec<String>,
    /// Its sessions are read-only unless they say otherwise.
    pub reads_by_default: bool,
    /// SQL that makes a role which can only read, for a person to look through and run.
    pub safe_role: String,
}

/// `POST /v1/host-keys`: the keys that an SSH server shows, for a person to compare. Nothing is authenticated but the jump
/// hosts on the way, and what is found proves nothing yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostKeysRequest {
    /// `ssh://HOST[:PORT]`
    pub origin: String,
    /// The connection to go through.
    #[serde(default)]
    pub jump: Option<ConnectionName>,
    #[serde(default)]
    pub allow_private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKeys {
    /// In its one form.
    pub origin: String,
    pub keys: Vec<ShownKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownKey {
    pub algorithm: String,
    /// `SHA256:...`
    pub fingerprint: String,
    /// `ALGORITHM BASE64`, as the setting `host-keys` takes it.
    pub line: String,
}

/// `POST /v1/run`: starts a run of a command with secrets, or without any.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The command's name, for the trail. Never its arguments.
    pub program: String,
    pub secrets: Vec<SecretName>,
    /// Asked for again: handing out a value takes a person. Left out when no secret is wanted.
    #[serde(default)]
    pub passphrase: Option<Hidden>,
    /// The environment that the command would get; the daemon says which of it holds a known secret.
    pub environment: Vec<(String, HiddenBytes)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RunStart {
    pub run: String,
    pub values: Vec<(SecretName, HiddenBytes)>,
    /// Variables that hold a known secret: take them away.
    pub strip: Vec<String>,
}

/// `POST /v1/run/ID/end`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// Absent when a signal ended it.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// `GET /v1/doctor`: what the daemon knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}
