//! The table of operations and endpoints, as a whole.

use std::collections::{BTreeMap, BTreeSet};

use kv_provider_stripe::{PROVIDER, manifest};
use kv_sdk::{Value, serde_json};

/// A POST that changes nothing.
const READING_POSTS: [&str; 1] = ["invoices.create_preview"];
/// A GET that hands out what must not be handed out.
const GRANTING_GETS: [&str; 2] = ["apps.secrets.find", "apps.secrets.list"];

struct Table {
    operations: BTreeMap<String, Value>,
    endpoints: Vec<(String, String, String)>,
}

fn table() -> Table {
    let manifest: Value = serde_json::from_str(&manifest()).expect("the manifest is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let operations = manifest["operations"].as_array().expect("operations");
    let endpoints = manifest["endpoints"].as_array().expect("endpoints");
    Table {
        operations: operations.iter().map(|operation| (text(&operation["name"]), operation.clone())).collect(),
        endpoints: endpoints.iter().map(|e| (text(&e["method"]), text(&e["path"]), text(&e["operation"]))).collect(),
    }
}

impl Table {
    fn says(&self, name: &str) -> (&str, &str) {
        let operation = &self.operations[name];
        (operation["effect"].as_str().expect("an effect"), operation["suggest"].as_str().expect("a suggestion"))
    }
}

#[test]
fn each_endpoint_is_one_operations_and_each_operation_has_one() {
    let table = table();
    let mut shapes = BTreeSet::new();
    let mut served = BTreeSet::new();
    for (method, path, operation) in &table.endpoints {
        let shape: Vec<_> = path.split('/').map(|piece| if piece.starts_with('{') { "{}" } else { piece }).collect();
        assert!(shapes.insert((method.clone(), shape.join("/"))), "{method} {path} is listed twice");
        assert!(table.operations.contains_key(operation), "{operation}");
        served.insert(operation.clone());
    }
    assert_eq!(served.len(), table.operations.len(), "an operation has no endpoint");
    assert!(table.endpoints.len() > 640, "{}", table.endpoints.len());
}

#[test]
fn methods_and_effects_agree() {
    let table = table();
    for (method, path, operation) in &table.endpoints {
        let (effect, suggest) = table.says(operation);
        match method.as_str() {
            "GET" => assert_eq!(effect == "read", !GRANTING_GETS.contains(&operation.as_str()), "{operation}"),
            "POST" => assert_eq!(effect == "read", READING_POSTS.contains(&operation.as_str()), "{operation}"),
            "DELETE" => assert_eq!((effect, suggest == "allow"), ("destroy", false), "{operation}"),
            other => panic!("{other} {path}"),
        }
        if effect == "grant" || effect == "destroy" {
            assert_ne!(suggest, "allow", "{operation}");
        }
    }
}

/// Stripe's second API takes JSON, the first forms: the host encodes a raw body as the endpoint says.
#[test]
fn the_second_api_is_sent_json() {
    let manifest: Value = serde_json::from_str(&manifest()).expect("the manifest is JSON");
    assert_eq!(manifest["body"], "form");
    let endpoints = manifest["endpoints"].as_array().expect("endpoints");
    let posts = endpoints.iter().filter(|endpoint| endpoint["method"] == "POST");
    let (second, first): (Vec<_>, Vec<_>) =
        posts.partition(|endpoint| endpoint["path"].as_str().expect("a path").starts_with("/v2/"));
    assert!(second.len() > 20 && second.iter().all(|endpoint| endpoint["body"] == "json"));
    assert!(first.iter().all(|endpoint| endpoint.get("body").is_none()));
}

/// What moves money out, hands out access or cannot be undone is never offered as `allow`.
#[test]
fn what_is_offered() {
    let table = table();
    for (name, says) in [
        ("accounts.delete", ("destroy", "deny")),
        ("apps.secrets.create", ("grant", "deny")),
        ("apps.secrets.find", ("grant", "deny")),
        ("balance.retrieve", ("read", "allow")),
        ("charges.create", ("write", "allow")),
        ("checkout.sessions.create", ("write", "allow")),
        ("customers.create", ("write", "allow")),
        ("customers.delete", ("destroy", "ask")),
        ("disputes.close", ("destroy", "ask")),
        ("ephemeral_keys.create", ("grant", "deny")),
        ("invoices.create", ("write", "allow")),
        ("invoices.pay", ("write", "ask")),
        ("payment_intents.create", ("write", "allow")),
        ("payouts.create", ("write", "ask")),
        ("refunds.create", ("write", "ask")),
        ("topups.create", ("write", "ask")),
        ("transfers.create", ("write", "ask")),
        ("transfers.reversals.create", ("write", "ask")),
        ("webhook_endpoints.create", ("grant", "ask")),
    ] {
        assert_eq!(table.says(name), says, "{name}");
    }
    for name in table.operations.keys() {
        let (effect, suggest) = table.says(name);
        let money_out =
            ["payouts.", "transfers.", "refunds.", "topups.", "treasury.", "issuing.", "v2.money_management.out"];
        if effect != "read" && money_out.iter().any(|start| name.starts_with(start)) {
            assert_ne!(suggest, "allow", "{name}");
        }
    }
}

#[test]
fn policy_gets_amounts() {
    let table = table();
    for name in [
        "payment_intents.create",
        "charges.create",
        "payouts.create",
        "transfers.create",
        "refunds.create",
        "topups.create",
    ] {
        assert_eq!(table.operations[name]["facts"]["amount"], "/amount", "{name}");
        assert_eq!(table.operations[name]["facts"]["currency"], "/currency", "{name}");
    }
}

/// Agents read schemas and titles, so they stay short, and each says something.
#[test]
fn operations_are_described() {
    let table = table();
    for (name, operation) in &table.operations {
        assert!(!operation["title"].as_str().unwrap_or_default().is_empty(), "{name}");
        if let Some(schema) = operation.get("input") {
            let text = schema.to_string();
            assert!(text.len() < 5_000, "{name}: {} bytes", text.len());
            assert!(!text.contains("$ref") && !text.contains("\"format\""), "{name}: {text}");
        }
    }
    assert!(PROVIDER.operations.len() >= 25);
}
