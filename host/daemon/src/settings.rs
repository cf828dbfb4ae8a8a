//! Settings of a connection: known to the manifest, bounded, and, where the host itself reads them, right before anything
//! is connected. A person who mistypes one hears of it here, not from a login that fails.
//!
//! What is checked here is checked again by egress, which trusts no record; this is for the person.

use std::collections::BTreeMap;
use std::sync::Arc;

use kv_model::{Connection, ConnectionName, Manifest, PinnedKeys, Protocol, SettingName};

use crate::fault::Fault;

/// Who knows connections by name.
pub(crate) type Known<'a> = &'a dyn Fn(&ConnectionName) -> Result<Arc<Connection>, Fault>;

/// What belongs to the connection beside its settings.
pub(crate) struct Of<'a> {
    pub(crate) name: &'a ConnectionName,
    /// It trusts certificates of its own.
    pub(crate) has_ca: bool,
}

/// The setting that holds the keys of an SSH server, one a line.
pub(crate) const HOST_KEYS: &str = "host-keys";
const JUMP: &str = "jump";

const MAX_SETTING_BYTES: usize = 1024;
/// 32 keys, a few of them of RSA with 16,384 bits.
const MAX_HOST_KEYS_BYTES: usize = 16 << 10;

/// Settings of a database that have a closed set of values, as egress knows them.
const SQL_VALUES: [(&str, &[&str]); 2] =
    [("password-auth", &["scram", "scram-unbound", "md5", "cleartext"]), ("tls", &["verify-full", "verify-ca", "off"])];

/// The settings as given, if all of them are good, and none is missing.
pub(crate) fn check(
    known: Known<'_>,
    manifest: &Manifest,
    of: &Of<'_>,
    given: BTreeMap<SettingName, String>,
) -> Result<BTreeMap<SettingName, String>, Fault> {
    for (name, value) in &given {
        if !manifest.settings.iter().any(|setting| setting.name == *name) {
            let known: Vec<_> = manifest.settings.iter().map(|setting| setting.name.as_str()).collect();
            return Err(Fault::usage(format!(
                "`{}` has no setting `{name}`; it has: {}",
                manifest.name,
                known.join(", ")
            )));
        }
        form(manifest.protocol, name, value)?;
    }
    for setting in manifest.settings.iter().filter(|setting| setting.required) {
        let is_empty = given.get(&setting.name).is_none_or(|value| value.trim().is_empty());
        if setting.default.is_none() && is_empty {
            return Err(missing(setting.name.as_str()));
        }
    }
    let all = manifest.settings_with(&given);
    let value = |name: &str| {
        all.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    match manifest.protocol {
        Protocol::Http => {}
        Protocol::Sql => database(&value, of)?,
        Protocol::Ssh => server(&value, known, manifest, of)?,
    }
    Ok(given)
}

/// Length and characters. Host keys stand one a line; nothing else has lines.
fn form(protocol: Protocol, name: &SettingName, value: &str) -> Result<(), Fault> {
    let has_lines = protocol == Protocol::Ssh && name.as_str() == HOST_KEYS;
    let limit = if has_lines { MAX_HOST_KEYS_BYTES } else { MAX_SETTING_BYTES };
    if value.len() > limit {
        return Err(Fault::usage(format!("the setting `{name}` is over {limit} bytes")));
    }
    if value.chars().any(|c| c.is_control() && !(has_lines && matches!(c, '\n' | '\r' | '\t'))) {
        return Err(Fault::usage(format!("the setting `{name}` has control characters")));
    }
    Ok(())
}

fn database<'a>(value: &dyn Fn(&str) -> &'a str, of: &Of<'_>) -> Result<(), Fault> {
    if value("user").is_empty() {
        return Err(missing("user"));
    }
    for (name, values) in SQL_VALUES {
        // Empty stands for the manifest's own choice, which is the strictest.
        if !value(name).is_empty() && !values.contains(&value(name)) {
            return Err(Fault::usage(format!("the setting `{name}` is one of: {}", values.join(", "))));
        }
    }
    // Any certificate of a public authority would do for any name: that is no check at all.
    if value("tls") == "verify-ca" && !of.has_ca {
        return Err(Fault::usage("`tls=verify-ca` takes the certificate of an authority of your own")
            .next("add --ca FILE, or use verify-full"));
    }
    Ok(())
}

fn server<'a>(
    value: &dyn Fn(&str) -> &'a str,
    known: Known<'_>,
    manifest: &Manifest,
    of: &Of<'_>,
) -> Result<(), Fault> {
    if value("user").is_empty() {
        return Err(missing("user"));
    }
    PinnedKeys::parse(value(HOST_KEYS)).map_err(|error| {
        Fault::usage(format!("the setting `{HOST_KEYS}` pins no server: {error}"))
            .reason("host_keys")
            .next("kv connect ssh USER@HOST   shows the host's keys and asks whether they are right")
    })?;
    let jump = value(JUMP).trim();
    if jump.is_empty() {
        return Ok(());
    }
    let jump = ConnectionName::parse(jump).map_err(|error| Fault::usage(format!("the setting `{JUMP}`: {error}")))?;
    if jump == *of.name {
        return Err(Fault::usage("a connection cannot be its own jump host"));
    }
    jump_host(known, manifest, &jump).map(|_| ())
}

/// The connection that another one goes through: one of the same provider, whose login it shares the form of.
pub(crate) fn jump_host(
    known: Known<'_>,
    manifest: &Manifest,
    name: &ConnectionName,
) -> Result<Arc<Connection>, Fault> {
    let jump = known(name)?;
    if jump.origin.protocol() != Protocol::Ssh || jump.provider != manifest.name {
        return Err(Fault::usage(format!("`{name}` is no jump host: it is a connection of `{}`", jump.provider)));
    }
    Ok(jump)
}

fn missing(name: &str) -> Fault {
    Fault::usage(format!("the setting `{name}` is needed: --setting {name}=VALUE"))
}

#[cfg(test)]
mod tests {
    use kv_model::{Digest, Origin, ProviderName};
    use serde_json::json;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn manifest(protocol: &str, name: &str, settings: serde_json::Value) -> Manifest {
        let text = json!({
            "schema": "kv.manifest/1", "name": name, "version": "1.0.0", "protocol": protocol,
            "origins": [], "settings": settings,
            "operations": [{ "name": "status", "effect": "read", "suggest": "allow", "input": { "type": "object" } }]
        });
        Manifest::parse(text.to_string().as_bytes()).unwrap()
    }

    fn checked(manifest: &Manifest, given: &[(&str, &str)], has_ca: bool) -> Result<(), String> {
        let given =
            given.iter().map(|(name, value)| (SettingName::parse(name).unwrap(), (*value).to_owned())).collect();
        let name = ConnectionName::parse("mine").unwrap();
        let known = |name: &ConnectionName| match name.as_str() {
            "gate" => Ok(Arc::new(connection("gate", "ssh", "ssh://gate.test"))),
            "shop" => Ok(Arc::new(connection("shop", "postgres", "postgres://db.test"))),
            _ => Err(Fault::no_connection(name, std::iter::empty())),
        };
        check(&known, manifest, &Of { name: &name, has_ca }, given)
            .map(drop)
            .map_err(|fault| fault.error().message.clone())
    }

    fn connection(name: &str, provider: &str, origin: &str) -> Connection {
        Connection {
            name: ConnectionName::parse(name).unwrap(),
            provider: ProviderName::parse(provider).unwrap(),
            provider_digest: Digest::of(b"x"),
            origin: Origin::parse(origin).unwrap(),
            allow_private: false,
            ca: None,
            settings: BTreeMap::new(),
            bindings: BTreeMap::new(),
            accepted: BTreeMap::new(),
            effects: BTreeMap::new(),
            created_ms: 1,
        }
    }

    #[test]
    fn of_a_database() {
        let manifest = manifest(
            "sql",
            "postgres",
            json!([{ "name": "user", "required": true }, { "name": "tls", "default": "verify-full" },
                   { "name": "password-auth", "default": "scram" }]),
        );
        assert_eq!(checked(&manifest, &[("user", "app")], false), Ok(()));
        assert_eq!(checked(&manifest, &[("user", "app"), ("tls", "verify-ca")], true), Ok(()));
        for (given, part) in [
            (&[][..], "`user` is needed"),
            (&[("user", " ")], "`user` is needed"),
            (&[("user", "app"), ("tls", "prefer")], "one of: verify-full"),
            (&[("user", "app"), ("tls", "verify-ca")], "authority of your own"),
            (&[("user", "app"), ("password-auth", "plain")], "one of: scram"),
            (&[("user", "a\nb")], "control characters"),
            (&[("user", "app"), ("options", "-c x")], "no setting `options`"),
        ] {
            let why = checked(&manifest, given, false).unwrap_err();
            assert!(why.contains(part), "{given:?}: {why}");
        }
    }

    #[test]
    fn of_a_machine() {
        let manifest = manifest(
            "ssh",
            "ssh",
            json!([{ "name": "user", "required": true }, { "name": "host-keys" }, { "name": "jump" }]),
        );
        let two = format!("{KEY}\n@cert-authority {KEY}\n");
        for given in [
            &[("user", "a"), ("host-keys", KEY)][..],
            &[("user", "a"), ("host-keys", &two), ("jump", "")],
            &[("user", "a"), ("host-keys", KEY), ("jump", "gate")],
        ] {
            assert_eq!(checked(&manifest, given, false), Ok(()), "{given:?}");
        }
        let long = format!("{KEY}\n").repeat(MAX_HOST_KEYS_BYTES / KEY.len() + 1);
        for (given, part) in [
            (&[("host-keys", KEY)][..], "`user` is needed"),
            (&[("user", "a")], "no host key is pinned"),
            (&[("user", "a"), ("host-keys", "")], "no host key is pinned"),
            (&[("user", "a"), ("host-keys", "ssh-dss AAAA")], "not supported"),
            (&[("user", "a"), ("host-keys", &long)], "over 16384 bytes"),
            (&[("user", "a\nb"), ("host-keys", KEY)], "control characters"),
            (&[("user", "a"), ("host-keys", KEY), ("jump", "mine")], "its own jump host"),
            (&[("user", "a"), ("host-keys", KEY), ("jump", "shop")], "no jump host"),
            (&[("user", "a"), ("host-keys", KEY), ("jump", "nowhere")], "no connection `nowhere`"),
        ] {
            let why = checked(&manifest, given, false).unwrap_err();
            assert!(why.contains(part), "{given:?}: {why}");
        }
    }
}
