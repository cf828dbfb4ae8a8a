//! A database's connection string that was stored as a secret: the connection that follows from it, or why none does.
//!
//! Only what is not secret leaves the string: origin, role, database, how far the server proves itself. Nothing here
//! repeats any of its text.

use std::collections::BTreeMap;

use kv_api::ConnectRequest;
use kv_model::{
    Connection, ConnectionName, Dsn, Manifest, Protocol, SecretName, SettingName, Slot, SlotKind, SlotName,
};

use crate::fault::Fault;

/// What a value in a database's slot comes to.
pub(crate) enum Reading {
    /// It is a bare password, or the slot takes no connection string.
    Other,
    /// It is a connection string that no connection can be made from.
    Refused { why: String },
    /// A connection, and what of the string has no effect.
    Wanted { request: Box<ConnectRequest>, notes: Vec<String> },
}

/// Reads the value of a secret that is to fill this slot.
pub(crate) fn read(manifest: &Manifest, slot: &Slot, name: &SecretName, value: &[u8]) -> Result<Reading, Fault> {
    if !takes(manifest, slot) || !Dsn::looks_like(value) {
        return Ok(Reading::Other);
    }
    let refused = |why: String| Ok(Reading::Refused { why });
    let dsn = match Dsn::parse(value) {
        Ok(dsn) => dsn,
        Err(error) => return refused(error.to_string()),
    };
    let Some(user) = &dsn.user else { return refused("it names no user".to_owned()) };
    if Dsn::password_of(value).is_none() {
        return refused("it has no password".to_owned());
    }
    let connection = match ConnectionName::parse(manifest.name.as_str()) {
        Ok(connection) => connection,
        Err(error) => return Err(Fault::broken(error)),
    };
    // A database without a name is the one that is called as the role: so do PostgreSQL's own programs have it.
    let database = dsn.database.as_ref().unwrap_or(user);
    let mut settings = BTreeMap::new();
    for (setting, value) in [("user", user.as_str()), ("database", database), ("tls", dsn.tls.as_str())] {
        settings.insert(SettingName::parse(setting).map_err(Fault::broken)?, value.to_owned());
    }
    let request = ConnectRequest {
        provider: manifest.name.clone(),
        name: connection,
        origin: Some(dsn.origin.to_string()),
        ca: None,
        settings,
        bindings: BTreeMap::from([(slot.name.clone(), name.clone())]),
        allow_private: false,
        preview: false,
        replace: false,
    };
    let notes = dsn.left_out.iter().map(|name| format!("`{name}` in it has no effect in kv")).collect();
    Ok(Reading::Wanted { request: Box::new(request), notes })
}

/// Whether a new value belongs to another database than the connection that uses it. Such a one is not sent anywhere, so
/// the person is told now.
pub(crate) fn is_elsewhere(connection: &Connection, manifest: &Manifest, slot: &SlotName, value: &[u8]) -> bool {
    let is_taken = manifest.slots.iter().any(|known| known.name == *slot && takes(manifest, known));
    if !is_taken || !Dsn::looks_like(value) {
        return false;
    }
    let Ok(dsn) = Dsn::parse(value) else { return true };
    let settings = manifest.settings_with(&connection.settings);
    let is_same = |said: &Option<String>, name: &str| {
        let ours = settings.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value);
        said.as_ref().is_none_or(|said| Some(said) == ours)
    };
    dsn.origin != connection.origin || !is_same(&dsn.user, "user") || !is_same(&dsn.database, "database")
}

fn takes(manifest: &Manifest, slot: &Slot) -> bool {
    manifest.protocol == Protocol::Sql && slot.kind == SlotKind::Url
}

#[cfg(test)]
mod tests {
    use kv_model::{Digest, Origin, ProviderName};
    use serde_json::json;

    use super::*;

    fn manifest(protocol: &str) -> Manifest {
        let text = json!({
            "schema": "kv.manifest/1", "name": "postgres", "version": "1.0.0", "protocol": protocol, "origins": [],
            "slots": [{ "name": "password", "kind": "url", "usual-names": ["DATABASE_URL"] }],
            "settings": [{ "name": "user" }, { "name": "database" }, { "name": "tls", "default": "verify-full" }],
            "operations": [{ "name": "status", "effect": "read", "suggest": "allow", "input": { "type": "object" } }]
        });
        Manifest::parse(text.to_string().as_bytes()).unwrap()
    }

    fn read_as(value: &str) -> Reading {
        let manifest = manifest("sql");
        read(&manifest, &manifest.slots[0], &SecretName::parse("DATABASE_URL").unwrap(), value.as_bytes()).unwrap()
    }

    #[test]
    fn a_connection_follows_from_a_string() {
        let Reading::Wanted { request, notes } =
            read_as("postgres://app:kvcanary1@db.test:6000/shop?sslmode=disable&connect_timeout=3")
        else {
            panic!("it is one")
        };
        assert_eq!(request.origin.as_deref(), Some("postgres://db.test:6000"));
        let settings: Vec<_> = request.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(settings, [("database", "shop"), ("tls", "off"), ("user", "app")]);
        assert_eq!(notes.len(), 1);
        assert!(!format!("{request:?}{notes:?}").contains("kvcanary"), "nothing of the password");
        let Reading::Wanted { request, .. } = read_as("postgres://app:kvcanary1@db.test") else { panic!("it is one") };
        assert_eq!(request.settings.get(&SettingName::parse("database").unwrap()).map(String::as_str), Some("app"));
    }

    #[test]
    fn others_are_refused_by_name_or_taken_for_passwords() {
        for (value, part) in [
            ("postgres://app@db.test/shop", "no password"),
            ("postgres://:kvcanary1@db.test/shop", "no user"),
            ("postgres://app:kvcanary1@a.test,b.test/shop", "several hosts"),
            ("postgres://app:kvcanary1@/shop?host=/tmp", "otherwise"),
            ("host=db.test user=app password=kvcanary1 options=-cx", "options"),
        ] {
            let Reading::Refused { why } = read_as(value) else { panic!("{value}") };
            assert!(why.contains(part) && !why.contains("kvcanary"), "{value}: {why}");
        }
        assert!(matches!(read_as("kvcanary1"), Reading::Other));
        let http = manifest_of_http();
        let name = SecretName::parse("DATABASE_URL").unwrap();
        assert!(matches!(read(&http, &http.slots[0], &name, b"postgres://a:b@c"), Ok(Reading::Other)));
    }

    fn manifest_of_http() -> Manifest {
        let text = json!({
            "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http",
            "origins": ["https://api.acme.dev"], "slots": [{ "name": "key", "kind": "url" }],
            "endpoints": [{ "method": "GET", "path": "/v1/a", "operation": "a.read" }],
            "operations": [{ "name": "a.read", "effect": "read", "suggest": "allow" }]
        });
        Manifest::parse(text.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_new_value_may_be_of_another_database() {
        let manifest = manifest("sql");
        let setting = |name: &str| SettingName::parse(name).unwrap();
        let connection = Connection {
            name: ConnectionName::parse("shop").unwrap(),
            provider: ProviderName::parse("postgres").unwrap(),
            provider_digest: Digest::of(b"x"),
            origin: Origin::parse("postgres://db.test").unwrap(),
            allow_private: false,
            ca: None,
            settings: BTreeMap::from([(setting("user"), "app".to_owned()), (setting("database"), "shop".to_owned())]),
            bindings: BTreeMap::new(),
            accepted: BTreeMap::new(),
            effects: BTreeMap::new(),
            created_ms: 1,
        };
        let slot = SlotName::parse("password").unwrap();
        for (value, elsewhere) in [
            ("kvcanary1", false),
            ("postgres://app:kvcanary1@db.test/shop", false),
            ("postgres://app:kvcanary1@db.test", false),
            ("postgres://app:kvcanary1@db2.test/shop", true),
            ("postgres://root:kvcanary1@db.test/shop", true),
            ("postgres://app:kvcanary1@db.test/other", true),
            ("postgres://app:kvcanary1@a,b/shop", true),
        ] {
            assert_eq!(is_elsewhere(&connection, &manifest, &slot, value.as_bytes()), elsewhere, "{value}");
        }
    }
}
