//! What a person decided about a connection, as the log keeps it: where its secrets may go, how, and for what.
//!
//! Nothing here is a secret's value. Settings are not secret, but a person can mistake one for a slot, so their values
//! come in as a [`Claim`] that whoever records has masked.

use std::collections::BTreeMap;

use kv_model::{Connection, Digest, OperationName, SecretName, SettingName, SlotName, Suggestion};

use crate::field::objects;
use crate::text::Claim;

/// As many operations as one entry names. Those of the largest provider would not fit into a line, and a person who
/// changes more than this at once reads the connection, not the log.
pub const MAX_NAMED: usize = 64;

objects! {
    /// A connection as it is from now on, beside its origin and its provider.
    Setup {
        /// The origin may be on this machine or in a private network.
        private: bool,
        /// The SHA-256 of the certificates' PEM text, where the connection has its own.
        ca: Option<Digest>,
        settings: BTreeMap<SettingName, Claim>,
        bindings: BTreeMap<SlotName, SecretName>,
    }

    /// The operations whose decision was changed, by what is decided from now on.
    Decided {
        allow: Vec<OperationName>,
        ask: Vec<OperationName>,
        deny: Vec<OperationName>,
        /// How many more were changed than the [`MAX_NAMED`] that are named.
        more: u64,
    }
}

impl Setup {
    /// `mask` makes a setting's value fit to be written down.
    pub fn of(connection: &Connection, mask: impl Fn(&str) -> Claim) -> Self {
        let settings = connection.settings.iter().map(|(name, value)| (name.clone(), mask(value)));
        let bindings = connection.bindings.iter().map(|(slot, secret)| (slot.clone(), secret.name.clone()));
        Self {
            private: connection.allow_private,
            ca: connection.ca.as_ref().map(|ca| Digest::of(ca.0.as_bytes())),
            settings: settings.collect(),
            bindings: bindings.collect(),
        }
    }
}

impl Decided {
    /// What differs between two connections' decisions. An operation that lost its decision counts as denied.
    pub fn between(before: &Connection, after: &Connection) -> Self {
        let (before, after) = (&before.accepted, &after.accepted);
        let lost = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, Suggestion::Deny));
        let changed = after.iter().filter(|(name, now)| before.get(*name) != Some(now)).map(|(name, now)| (name, *now));
        let mut decided = Self { allow: Vec::new(), ask: Vec::new(), deny: Vec::new(), more: 0 };
        // What was allowed is named first: where something is left out, it is not that.
        let mut all: Vec<_> = changed.chain(lost).collect();
        all.sort_by_key(|(_, now)| *now);
        decided.more = all.len().saturating_sub(MAX_NAMED) as u64;
        for (name, now) in all.into_iter().take(MAX_NAMED) {
            let list = match now {
                Suggestion::Allow => &mut decided.allow,
                Suggestion::Ask => &mut decided.ask,
                Suggestion::Deny => &mut decided.deny,
            };
            list.push(name.clone());
        }
        decided
    }
}
