//! Lists that are read to their end, within bounds.

use kv_provider_stripe::PROVIDER;
use kv_sdk::test::{Harness, Run};
use kv_sdk::{FailureKind, Value, json};

fn call(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).call(operation, input)
}

fn page(from: usize, count: usize, has_more: bool) -> Value {
    let data: Vec<_> =
        (from..from + count).map(|n| json!({ "id": format!("cus_{n}"), "object": "customer" })).collect();
    json!({ "object": "list", "data": data, "has_more": has_more, "url": "/v1/customers" })
}

#[test]
fn a_list_is_read_up_to_the_bound_and_says_where_it_goes_on() {
    let mut run = call("customers.list", json!({ "auto_paginate": true, "max_items": 150 }));
    assert_eq!(run.expect_send().wire().target, "/v1/customers?limit=100");
    run.respond(200, [], page(0, 100, true));
    assert_eq!(run.expect_send().wire().target, "/v1/customers?limit=50&starting_after=cus_99");
    run.respond(200, [], page(100, 50, true));
    let done = run.expect_done();
    assert_eq!(done["data"].as_array().map(Vec::len), Some(150));
    assert_eq!((&done["has_more"], &done["starting_after"]), (&json!(true), &json!("cus_149")));
    assert_eq!(done["data"][149], json!({ "id": "cus_149", "object": "customer" }));
}

#[test]
fn a_list_ends_where_it_ends() {
    let mut run = call("customers.list", json!({ "auto_paginate": true, "starting_after": "cus_x" }));
    assert_eq!(run.expect_send().wire().target, "/v1/customers?starting_after=cus_x&limit=100");
    run.respond(200, [], page(0, 2, false));
    assert_eq!(run.expect_done()["has_more"], json!(false));
    assert_eq!(run.expect_done().get("starting_after"), None);
}

#[test]
fn an_error_in_between_is_a_failure() {
    let mut run = call("customers.list", json!({ "auto_paginate": true, "max_items": 300 }));
    run.respond(200, [], page(0, 100, true));
    run.respond(
        429,
        [("retry-after", "1")],
        json!({ "error": { "type": "invalid_request_error", "code": "rate_limit", "message": "slow" } }),
    );
    assert_eq!(
        (run.expect_failure().kind, run.expect_failure().retry_after_ms),
        (FailureKind::RateLimited, Some(1000))
    );
}

#[test]
fn bounds_and_directions_are_checked_before_anything_is_sent() {
    for (input, field) in [
        (json!({ "auto_paginate": true, "max_items": 1001 }), "/max_items"),
        (json!({ "auto_paginate": true, "max_items": 0 }), "/max_items"),
        (json!({ "max_items": 5 }), "/max_items"),
        (json!({ "auto_paginate": true, "ending_before": "cus_1" }), "/ending_before"),
        (json!({ "limit": "3" }), "/limit"),
    ] {
        let run = call("customers.list", input.clone());
        assert_eq!(run.expect_failure().kind, FailureKind::InvalidInput, "{input}");
        assert_eq!(run.expect_failure().field.as_deref(), Some(field), "{input}");
    }
}

#[test]
fn a_name_is_one_step_of_the_way() {
    for (input, field) in [
        (
            json!({ "transfer_data[amount]": 1, "amount": 1, "currency": "eur", "destination": "acct_1" }),
            "/transfer_data[amount]",
        ),
        (
            json!({ "amount": 1, "currency": "eur", "destination": "acct_1", "metadata": { "a][b": "c" } }),
            "/metadata/a][b",
        ),
        (json!({ "amount": 1, "currency": "eur", "destination": "acct_1", " amount": 9 }), "/ amount"),
        (json!({ "amount": 1, "currency": "eur", "destination": "acct_1", "x": [{ "": 1 }] }), "/x/0/"),
    ] {
        let run = call("transfers.create", input.clone());
        assert_eq!(run.expect_failure().field.as_deref(), Some(field), "{input}");
    }
}

#[test]
fn people_are_told_what_they_approve() {
    for (operation, input, summary) in [
        ("payouts.create", json!({ "amount": 7550, "currency": "eur" }), "pay out 75.50 EUR to the default account"),
        ("refunds.create", json!({ "charge": "ch_1", "amount": 500 }), "refund 500 (smallest unit) of charge ch_1"),
        ("refunds.create", json!({ "payment_intent": "pi_1" }), "refund all that is left of payment pi_1"),
        (
            "transfers.create",
            json!({ "amount": 5, "currency": "jpy", "destination": "acct_1" }),
            "transfer 5 JPY to account acct_1",
        ),
        ("customers.delete", json!({ "id": "cus_1" }), "delete customer cus_1 and cancel its subscriptions"),
    ] {
        assert_eq!(call(operation, input).expect_send().summary(), summary);
    }
}
