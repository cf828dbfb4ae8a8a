//! W20, W22, W24, W27, W28: providers as the daemon has them. Hostile components are played in `kv-runtime`.

use serde_json::json;

use crate::harness::{Door, Kv, Refusal, Typed};

#[test]
fn the_built_in_ones_load() {
    let kv = Kv::unlocked();
    kv.openai();
    kv.stripe();
    let providers = kv.run(["provider", "list", "--json"]).ok().json();
    let names: Vec<_> =
        providers.as_array().unwrap().iter().map(|provider| provider["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["openai", "postgres", "ssh", "stripe"]);
    for provider in providers.as_array().unwrap() {
        assert_eq!(provider["digest"].as_str().map(str::len), Some(64), "{}", provider["name"]);
        for origin in provider["origins"].as_array().unwrap() {
            let origin = origin.as_str().unwrap();
            assert!(origin.starts_with("https://") && origin.is_ascii() && !origin.contains('*'), "{origin}");
        }
    }
    // What the host holds to be grave is not let through without a question, whatever it is called.
    let operations = kv.ask(Door::Agent, "GET", "/v1/operations", b"").json();
    let operations = operations.as_array().unwrap();
    assert!(operations.len() > 300, "{}", operations.len());
    for operation in operations {
        let grave = ["destroy", "grant"].contains(&operation["effect"].as_str().unwrap());
        assert!(!(grave && operation["decision"] == "allow"), "{operation}");
        let deletes = operation["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .any(|endpoint| endpoint.as_str().unwrap().starts_with("DELETE "));
        assert!(!(deletes && operation["effect"] == "read"), "{operation}");
    }
}

/// W27: a connection's slots are filled with its own secrets; a provider cannot name another's.
#[test]
fn a_connection_has_its_own_secrets() {
    let kv = Kv::unlocked();
    let (openai, stripe) = (kv.openai(), kv.stripe());
    kv.get("openai", "/v1/models").forwarded(200);
    kv.post("stripe", "/v1/customers", &json!({})).forwarded(200);
    // An operation of the one by way of the other is none.
    kv.refuses("an operation of another's", &openai, &Refusal::new("not_found", ""), || {
        kv.call(Typed { connection: "openai", operation: "payment_intents.create", input: json!({}) })
    });
    kv.refuses("an endpoint of another's", &stripe, &Refusal::new("policy_denied", "unlisted"), || {
        kv.post("stripe", "/v1/chat/completions", &json!({}))
    });
    let bound = |body: &serde_json::Value| kv.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes());
    let slot = bound(&json!({ "provider": "openai", "name": "x", "bindings": { "other": "KEY_OF_STRIPE" } }));
    assert_eq!(slot.outcome, "error", "{}", slot.gist());
}

/// W24: a provider's name is no path.
#[test]
fn names_of_providers_are_no_paths() {
    let kv = Kv::unlocked();
    for name in ["../openai", "/etc/passwd", "openai/..", "open_ai", "OPENAI", "openai\0", "opena1", "", "\u{43e}penai"]
    {
        let ran = kv.ask(
            Door::Human,
            "POST",
            "/v1/connections",
            json!({ "provider": name, "name": "x" }).to_string().as_bytes(),
        );
        assert!(["usage", "not_found"].contains(&ran.fault("code")), "{name:?}: {}", ran.gist());
    }
}
