use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Method, Segments};

fn document() -> Value {
    json!({
        "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http",
        "origins": ["https://api.acme.dev"],
        "slots": [{"name": "key", "kind": "token", "usual-names": ["ACME_KEY"]}],
        "settings": [{"name": "org"}],
        "auth": {"bearer": {"type": "header", "name": "Authorization", "value": "Bearer {key}"}},
        "default-auth": ["bearer"],
        "headers": [{"name": "acme-org", "from": "setting", "setting": "org"}],
        "endpoints": [
            {"method": "GET", "path": "/v1/things/{id}", "operation": "things.get"},
            {"method": "GET", "path": "/v1/things/search", "operation": "things.search"},
            {"method": "DELETE", "path": "/v1/things/{id}", "operation": "things.get"}
        ],
        "operations": [
            {"name": "things.get", "effect": "read", "suggest": "allow"},
            {"name": "things.search", "effect": "read", "suggest": "allow", "input": {"type": "object"}}
        ]
    })
}

fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut document = document();
    change(&mut document);
    match Manifest::parse(document.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_closest_endpoint_counts_and_a_delete_is_no_read() {
    let manifest = Manifest::parse(document().to_string().as_bytes()).unwrap();
    let operation = |method, path| {
        let matched = manifest.endpoint(method, &Segments::parse(path).unwrap())?;
        Some((matched.operation.name.to_string(), matched.effect))
    };
    assert_eq!(operation(Method::Get, "/v1/things/search"), Some(("things.search".into(), Effect::Read)));
    assert_eq!(operation(Method::Get, "/v1/things/x"), Some(("things.get".into(), Effect::Read)));
    assert_eq!(operation(Method::Delete, "/v1/things/x"), Some(("things.get".into(), Effect::Destroy)));
    assert_eq!(operation(Method::Post, "/v1/things/x"), None);
    assert_eq!(operation(Method::Get, "/v1/things/x/y"), None);
    assert_eq!(manifest.nearest(Method::Get, "/v1/thing/7", 1)[0].path.to_string(), "/v1/things/{id}");
}

#[test]
fn an_endpoint_may_have_an_encoding_of_its_own_and_keeps_it_when_written() {
    let mut document = document();
    document["endpoints"][1]["body"] = json!("form");
    let manifest = Manifest::parse(document.to_string().as_bytes()).unwrap();
    let bodies: Vec<_> = manifest.endpoints.iter().map(|endpoint| endpoint.body).collect();
    assert_eq!((manifest.body, bodies), (BodyEncoding::Json, vec![None, Some(BodyEncoding::Form), None]));
    let written = serde_json::to_value(&manifest.endpoints).unwrap();
    assert_eq!((&written[0].get("body"), &written[1]["body"]), (&None, &json!("form")));
}

/// A key that the component's author names is a key that no person has compared.
#[test]
fn whom_to_trust_has_no_default() {
    let machine = |setting: Value| {
        problems(|d| {
            d["protocol"] = json!("ssh");
            d["origins"] = json!([]);
            d["endpoints"] = json!([]);
            d["headers"] = json!([]);
            d["auth"] = json!({"login": {"type": "login", "user": "{setting:user}", "key": "{key}"}});
            d["default-auth"] = json!(["login"]);
            d["settings"] = json!([{"name": "user"}, setting]);
        })
    };
    for name in ["host-keys", "jump"] {
        assert_eq!(machine(json!({"name": name})), Vec::<String>::new());
        let found = machine(json!({"name": name, "default": "x"}));
        assert!(found.len() == 1 && found[0].starts_with("settings[1].default: "), "{found:?}");
    }
    assert_eq!(machine(json!({"name": "shell", "default": "x"})), Vec::<String>::new());
}

#[test]
fn says_what_is_wrong() {
    for (change, wanted) in [
        (
            Box::new(|d: &mut Value| d["schema"] = json!("kv.manifest/9")) as Box<dyn FnOnce(&mut Value)>,
            "kv.manifest/1",
        ),
        (Box::new(|d| d["requires"] = json!(["telepathy"])), "newer kv"),
        (Box::new(|d| d["origins"] = json!(["https://api.acme.dev."])), "origins[0]"),
        (Box::new(|d| d["origins"] = json!(["https://API.acme.dev"])), "write it"),
        (Box::new(|d| d["origins"] = json!(["https://*.acme.dev"])), "origins[0]"),
        (Box::new(|d| d["origins"] = json!(["http://acme.dev"])), "loopback"),
        (Box::new(|d| d["auth"]["bearer"]["value"] = json!("Bearer {other}")), "no slot"),
        (Box::new(|d| d["auth"]["bearer"]["name"] = json!("Host")), "routes"),
        (Box::new(|d| d["auth"]["bearer"]["type"] = json!("sign-anything")), "does not know"),
        (Box::new(|d| d["default-auth"] = json!(["nope"])), "no scheme"),
        (Box::new(|d| d["headers"][0]["name"] = json!("authorization")), "no provider may set"),
        (Box::new(|d| d["headers"][0]["name"] = json!("transfer-encoding")), "no provider may set"),
        (Box::new(|d| d["allowed-headers"] = json!(["cookie"])), "may set this header"),
        (Box::new(|d| d["endpoints"][0]["operation"] = json!("none")), "no operation"),
        (Box::new(|d| d["endpoints"][0]["body"] = json!("xml")), "xml"),
        (Box::new(|d| d["endpoints"][1]["path"] = json!("/v1/things/{other}")), "listed twice"),
        (Box::new(|d| d["operations"][1]["name"] = json!("things.get")), "another operation"),
        (Box::new(|d| d["title"] = json!("a\u{202e}b")), "invisible"),
        (Box::new(|d| d["description"] = json!("x".repeat(3000))), "over the limit"),
        (Box::new(|d| drop(d["operations"][0].as_object_mut().unwrap().remove("effect"))), "effect"),
        (Box::new(|d| d["name"] = json!("Acme")), "provider name"),
    ] {
        let found = problems(change);
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{wanted}: {found:?}");
    }
    let many = problems(|d| {
        d["origins"] = json!(["x"]);
        d["default-auth"] = json!(["nope"]);
    });
    assert_eq!(many.len(), 2);
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }
}
