//! A connection whose provider is another build than the one that the person accepted: what the new one changes, and what
//! is left as it was. Pure; the person sees the result before it is sealed.

use std::collections::BTreeMap;

use kv_api::{Graver, ProviderChange};
use kv_model::{Connection, Digest, Effect, Manifest, OperationName, Suggestion};

/// Makes the connection one of this provider. What the person decided stays decided, but not beyond what they knew: an
/// operation that has become graver since is not allowed any more unless they say so anew.
pub(crate) fn renew(connection: &mut Connection, manifest: &Manifest, digest: Digest) -> ProviderChange {
    let mut change = ProviderChange::default();
    connection.provider_digest = digest;
    connection.settings.retain(|name, _| manifest.settings.iter().any(|setting| setting.name == *name));
    connection.accepted.retain(|name, _| {
        let stays = manifest.operations.contains_key(name);
        if !stays {
            change.gone.push(name.clone());
        }
        stays
    });
    for (name, operation) in &manifest.operations {
        let Some(decision) = connection.accepted.get_mut(name) else {
            connection.accepted.insert(name.clone(), operation.suggest);
            change.new.insert(name.clone(), operation.suggest);
            continue;
        };
        let Some(before) = connection.effects.get(name).copied().filter(|before| *before < operation.effect) else {
            continue;
        };
        *decision = (*decision).max(operation.suggest).max(Suggestion::Ask);
        let (operation, now) = (name.clone(), operation.effect);
        change.graver.push(Graver { operation, before, now, decision: *decision });
    }
    connection.effects = effects(manifest);
    change
}

/// What a provider's operations do to the world, by its own word.
pub(crate) fn effects(manifest: &Manifest) -> BTreeMap<OperationName, Effect> {
    manifest.operations.values().map(|operation| (operation.name.clone(), operation.effect)).collect()
}

#[cfg(test)]
mod tests {
    use kv_model::{ConnectionName, Origin, ProviderName};
    use serde_json::{Value, json};

    use super::*;

    fn manifest(operations: &[(&str, &str, &str)]) -> Manifest {
        let endpoints: Vec<Value> = operations
            .iter()
            .map(|(name, ..)| json!({ "method": "POST", "path": format!("/{name}"), "operation": name }))
            .collect();
        let operations: Vec<Value> = operations
            .iter()
            .map(|(name, effect, suggest)| json!({ "name": name, "effect": effect, "suggest": suggest }))
            .collect();
        let text = json!({
            "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http",
            "origins": ["https://api.acme.dev"], "endpoints": endpoints, "operations": operations
        });
        Manifest::parse(text.to_string().as_bytes()).unwrap()
    }

    fn name(text: &str) -> OperationName {
        OperationName::parse(text).unwrap()
    }

    fn connection(manifest: &Manifest, decided: &[(&str, Suggestion)]) -> Connection {
        let mut accepted: BTreeMap<_, _> =
            manifest.operations.values().map(|operation| (operation.name.clone(), operation.suggest)).collect();
        accepted.extend(decided.iter().map(|(operation, decision)| (name(operation), *decision)));
        Connection {
            name: ConnectionName::parse("acme-test").unwrap(),
            provider: ProviderName::parse("acme").unwrap(),
            provider_digest: Digest::of(b"before"),
            origin: Origin::parse("https://acme.test").unwrap(),
            allow_private: true,
            ca: None,
            settings: BTreeMap::new(),
            bindings: BTreeMap::new(),
            accepted,
            effects: effects(manifest),
            created_ms: 7,
        }
    }

    #[test]
    fn decisions_stay_and_what_became_graver_does_not() {
        let before = manifest(&[
            ("a.same", "read", "allow"),
            ("b.refused", "read", "allow"),
            ("c.permitted", "write", "deny"),
            ("d.grows", "read", "allow"),
            ("e.refused", "read", "allow"),
            ("f.shrinks", "destroy", "allow"),
            ("g.gone", "read", "allow"),
        ]);
        let after = manifest(&[
            ("a.same", "read", "deny"),
            ("b.refused", "read", "allow"),
            ("c.permitted", "write", "deny"),
            ("d.grows", "write", "allow"),
            ("e.refused", "grant", "allow"),
            ("f.shrinks", "read", "allow"),
            ("h.new", "write", "ask"),
        ]);
        let decided =
            [("b.refused", Suggestion::Deny), ("c.permitted", Suggestion::Allow), ("e.refused", Suggestion::Deny)];
        let mut renewed = connection(&before, &decided);
        let old = renewed.clone();
        let change = renew(&mut renewed, &after, Digest::of(b"after"));

        assert_eq!(change.new, BTreeMap::from([(name("h.new"), Suggestion::Ask)]));
        assert_eq!(change.gone, [name("g.gone")]);
        let graver: Vec<_> = change.graver.iter().map(|one| (one.operation.as_str(), one.now, one.decision)).collect();
        assert_eq!(
            graver,
            [("d.grows", Effect::Write, Suggestion::Ask), ("e.refused", Effect::Grant, Suggestion::Deny)]
        );
        let decisions: Vec<_> =
            renewed.accepted.iter().map(|(operation, decision)| (operation.as_str(), *decision)).collect();
        assert_eq!(
            decisions,
            [
                ("a.same", Suggestion::Allow),
                ("b.refused", Suggestion::Deny),
                ("c.permitted", Suggestion::Allow),
                ("d.grows", Suggestion::Ask),
                ("e.refused", Suggestion::Deny),
                ("f.shrinks", Suggestion::Allow),
                ("h.new", Suggestion::Ask),
            ]
        );
        assert_eq!((&renewed.origin, renewed.allow_private, renewed.created_ms), (&old.origin, true, 7));
        // Once more changes nothing.
        let again = renew(&mut renewed.clone(), &after, Digest::of(b"after"));
        assert_eq!(again, ProviderChange::default());
    }

    #[test]
    fn a_connection_without_effects_learns_them() {
        let manifest = manifest(&[("a.read", "read", "allow")]);
        let mut old = Connection { effects: BTreeMap::new(), ..connection(&manifest, &[]) };
        assert_eq!(renew(&mut old, &manifest, Digest::of(b"after")), ProviderChange::default());
        assert_eq!(old.effects, BTreeMap::from([(name("a.read"), Effect::Read)]));
    }
}
