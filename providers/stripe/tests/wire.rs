//! What goes on the wire is what Stripe's own library for Python puts there, for the same input.
//!
//! `wire/stripe.json` and `wire/more.json` hold requests that the library sent, user agent and credential left out. The
//! host adds `stripe-version`; it is not compared here.

use kv_provider_stripe::PROVIDER;
use kv_sdk::test::{Harness, Run, Sent};
use kv_sdk::{Value, json};

const GIVEN: &str = include_str!("wire/stripe.json");
const MORE: &str = include_str!("wire/more.json");

fn operations(text: &str) -> kv_sdk::Map<String, Value> {
    let mut document: Value = kv_sdk::serde_json::from_str(text).expect("the recording is JSON");
    match document["operations"].take() {
        Value::Object(operations) => operations,
        _ => panic!("the recording has no operations"),
    }
}

fn call(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).call_id("9b2ce447-37bb-a256-0f16-eece33d69190").call(operation, input)
}

/// Everything but the credential and what the host adds.
fn check(operation: &str, sent: Sent<'_>, recorded: &Value) {
    let wire = sent.wire();
    assert_eq!(wire.method, recorded["method"], "{operation}");
    assert_eq!(wire.target, recorded["path"], "{operation}");
    assert_eq!(wire.text(), recorded["body"], "{operation}");
    assert_eq!(wire.content_type.as_deref(), recorded["headers"]["content-type"].as_str(), "{operation}");
    let keyed = sent.header("idempotency-key").is_some();
    assert_eq!(keyed, wire.method == "POST", "{operation}: a key is for every POST");
    // The library sends one with DELETE in its second version of the API only, and never with GET.
    assert_eq!(keyed, recorded["headers"]["idempotency-key"].is_string(), "{operation}");
    assert_eq!(sent.auth(), ["bearer"], "{operation}");
}

/// The inputs that the first recording was made with.
fn given_input(operation: &str) -> Value {
    match operation {
        "balance.retrieve" => json!({}),
        "customers.create" => json!({
            "email": "a+b@example.com", "name": "Zoë & Co", "metadata": { "k": "v", "k2": "a=b" },
            "address": { "line1": "1 St", "city": "X" },
        }),
        "customers.list" => json!({ "limit": 3, "created": { "gte": 1, "lt": 9 }, "email": "a+b@example.com" }),
        "customers.search" => json!({ "query": "email:'a@b.c' AND metadata['k']:'v'" }),
        "customers.update" => json!({ "id": "cus_1", "description": "", "metadata": { "k": "" } }),
        "invoices.list" => json!({ "customer": "cus_1", "starting_after": "in_0", "limit": 100 }),
        "payment_intents.confirm" => json!({ "id": "pi_1", "payment_method": "pm_card_visa" }),
        "payment_intents.create" => json!({
            "amount": 2000, "currency": "eur", "payment_method_types": ["card", "sepa_debit"],
            "automatic_payment_methods": { "enabled": true }, "expand": ["latest_charge", "customer.default_source"],
        }),
        "products.list" => json!({ "active": true, "ids": ["prod_1", "prod_2"] }),
        "refunds.create" => json!({ "charge": "ch_1", "amount": 500, "reason": "requested_by_customer" }),
        "subscriptions.create" => json!({
            "customer": "cus_1", "items": [{ "price": "price_1", "quantity": 2 }, { "price": "price_2" }], "trial_period_days": 7,
        }),
        other => panic!("no input is known for `{other}`"),
    }
}

#[test]
fn the_given_recording() {
    let operations = operations(GIVEN);
    assert!(operations.len() >= 11);
    for (operation, requests) in operations {
        let run = call(&operation, given_input(&operation));
        check(&operation, run.expect_forward_success(), &requests[0]);
    }
}

#[test]
fn a_recording_of_the_other_operations() {
    for (name, entry) in operations(MORE) {
        let (operation, _) = name.split_once('#').unwrap_or((&name, ""));
        let requests = entry["requests"].as_array().expect("requests");
        let mut run = call(operation, entry["input"].clone());
        let last = requests.len() - 1;
        for (index, recorded) in requests.iter().enumerate() {
            check(&name, run.expect_send(), recorded);
            if index < last {
                // The answers that the library was given, so that it asked for its second page.
                let page =
                    json!({ "data": [{ "id": "cus_1" }, { "id": "cus_2" }], "has_more": true, "next_page": "p 2" });
                run.respond(200, [], page);
            }
        }
    }
}

/// Each operation with a function is in one of the recordings.
#[test]
fn nothing_is_left_out() {
    let recorded: Vec<String> = operations(GIVEN)
        .into_iter()
        .chain(operations(MORE))
        .map(|(name, _)| name.split('#').next().unwrap_or_default().to_owned())
        .collect();
    for operation in PROVIDER.operations {
        assert!(recorded.iter().any(|name| name == operation.name), "{}", operation.name);
    }
}
