//! What callers, providers and commands word themselves, before it is written down: no value of the vault among it.
//!
//! A caller that has a value can put it into a path or a name. Egress refuses such a request, but the trail comes before
//! egress, and what is in the trail stays there.

use std::sync::Arc;

use kv_audit::Claim;
use kv_model::{Principal, PrincipalName};
use kv_redact::Patterns;

use crate::clock::now_ms;
use crate::fault::Fault;
use crate::gate::Session;
use crate::shared::Shared;

/// The values to look for. While the vault is locked there are none to be had.
pub(crate) struct Claims(Option<Arc<Patterns>>);

impl Claims {
    pub(crate) async fn of(shared: &Shared, session: &Session) -> Result<Self, Fault> {
        let patterns = shared.egress.patterns(&session.vault, now_ms()).await.map_err(|error| Fault::send(&error))?;
        Ok(Self(Some(patterns)))
    }

    /// With what there is: for an entry that has to be written in any case.
    pub(crate) async fn at_best(shared: &Shared) -> Self {
        match shared.gate.session() {
            Ok(session) => Self::of(shared, &session).await.unwrap_or(Self(None)),
            Err(_) => Self(None),
        }
    }

    /// The agent calls itself after a value.
    pub(crate) fn are_an_agents_name(&self, principal: &Principal) -> bool {
        match (principal, &self.0) {
            (Principal::Agent { name, .. }, Some(patterns)) => patterns.find_any(name.as_str().as_bytes()),
            _ => false,
        }
    }

    pub(crate) fn masked(&self, text: &str) -> String {
        match &self.0 {
            Some(patterns) => kv_redact::mask(patterns, text).into_owned(),
            None => text.to_owned(),
        }
    }

    pub(crate) fn claim(&self, text: &str) -> Claim {
        Claim::cut(&self.masked(text))
    }

    /// A name cannot hold the usual marker, so one that would be masked becomes another name.
    pub(crate) fn principal(&self, principal: Principal) -> Principal {
        match principal {
            Principal::Agent { name, uid }
                if self.are_an_agents_name(&Principal::Agent { name: name.clone(), uid }) =>
            {
                Principal::Agent { name: PrincipalName::parse("masked").unwrap_or(name), uid }
            }
            other => other,
        }
    }
}
