//! A connection: a provider, set up by a person with an origin, settings and secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ConnectionName, Digest, Effect, OperationName, Origin, PrincipalName, ProviderName, SecretId, SecretName,
    SettingName, Sha256, SlotName, Suggestion,
};

/// What a person set up, as it is kept (sealed) in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    pub name: ConnectionName,
    pub provider: ProviderName,
    /// The component that the person saw. Another digest is another provider, to be accepted anew.
    pub provider_digest: Digest,
    /// The only place that its secrets go to.
    pub origin: Origin,
    /// The person said that the origin may resolve to a loopback or private address.
    pub allow_private: bool,
    /// Roots to trust for this connection instead of the platform's.
    pub ca: Option<CustomCa>,
    pub settings: BTreeMap<SettingName, String>,
    pub bindings: BTreeMap<SlotName, SecretRef>,
    /// What the person accepted at connecting, operation by operation. An operation that is not here was never accepted.
    pub accepted: BTreeMap<OperationName, Suggestion>,
    /// What those operations did to the world when they were accepted. A provider that was accepted anew is compared with
    /// this. Empty in a connection that was made before it was kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<OperationName, Effect>,
    pub created_ms: u64,
}

impl Connection {
    /// Of everything that a person set up here. A connection that was edited has another.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.part(b"kv.connection/1");
        hash.part(self.name.as_str().as_bytes());
        hash.part(self.provider.as_str().as_bytes());
        hash.part(self.provider_digest.as_bytes());
        hash.part(self.origin.to_string().as_bytes());
        hash.part(&[u8::from(self.allow_private)]);
        hash.part(&[u8::from(self.ca.is_some())]);
        hash.part(self.ca.as_ref().map_or("", |ca| &ca.0).as_bytes());
        let count = |hash: &mut Sha256, count: usize| hash.part(&(count as u64).to_be_bytes());
        count(&mut hash, self.settings.len());
        for (name, value) in &self.settings {
            hash.part(name.as_str().as_bytes());
            hash.part(value.as_bytes());
        }
        count(&mut hash, self.bindings.len());
        for (slot, secret) in &self.bindings {
            hash.part(slot.as_str().as_bytes());
            hash.part(secret.id.as_bytes());
        }
        count(&mut hash, self.accepted.len());
        for (operation, suggestion) in &self.accepted {
            hash.part(operation.as_str().as_bytes());
            hash.part(suggestion.as_str().as_bytes());
        }
        hash.part(&self.created_ms.to_be_bytes());
        hash.finish()
    }
}

/// Which secret fills a slot. The id decides; the name is for people and follows a rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    pub id: SecretId,
    pub name: SecretName,
}

/// PEM text of one or more certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomCa(pub String);

/// Who asks, after authentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Principal {
    /// Came in through the agents' socket. The name is what it calls itself: until agents have tokens, a claim.
    Agent { name: PrincipalName, uid: u32 },
    /// Came in through the person's socket.
    Operator { uid: u32 },
}

impl Principal {
    pub fn name(&self) -> &str {
        match self {
            Principal::Agent { name, .. } => name.as_str(),
            Principal::Operator { .. } => "operator",
        }
    }
}
