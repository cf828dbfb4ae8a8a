use super::*;
use crate::__private::Described;
use crate::{Failure, Io, Reply, Request, Response};

#[kv_sdk::input]
#[allow(dead_code, reason = "only its schema is of interest")]
struct Pay {
    /// In cents.
    amount: u64,
}

/// Pay.
///
/// Takes what is owed.
#[kv_sdk::operation(
    name = "bills.pay", effect = Write, suggest = Ask, facts(amount = "/amount"), repeatable,
    endpoint = "POST /bills/{bill}/pay", headers("x-beta" = "1"),
)]
async fn pay(io: &Io, _input: Pay) -> Result<Reply, Failure> {
    io.forward(Request::post(["bills", "1", "pay"])).await
}

const HEAD: &str = "name = \"bills\"\norigins = [\"https://b.example\"]\n[auth.key]\ntype = \"query\"\nname = \"key\"\nvalue = \"{key}\"\n";

fn failure(response: &Response) -> Failure {
    Failure::of_status(response, "no")
}

fn provider(manifest: &'static [&'static str]) -> Provider {
    Provider { auth: &["key"], failure, operations: &[<pay as Described>::OPERATION], manifest, version: "1.2.3" }
}

#[test]
fn functions_and_files_become_one() {
    let list = "[operations]\n\"bills.list\" = { endpoint = [\"GET /bills\", \"HEAD /bills\"], effect = \"read\", suggest = \"allow\" }";
    let provider = Provider { manifest: Box::leak(Box::new([HEAD, list])), ..provider(&[]) };
    let manifest: Value = serde_json::from_str(&build(&provider).unwrap()).unwrap();
    assert_eq!(
        manifest,
        json!({
            "schema": "kv.manifest/1", "name": "bills", "version": "1.2.3", "protocol": "http",
            "origins": ["https://b.example"], "default-auth": ["key"],
            "auth": { "key": { "type": "query", "name": "key", "value": "{key}" } },
            "endpoints": [
                { "method": "GET", "path": "/bills", "operation": "bills.list" },
                { "method": "HEAD", "path": "/bills", "operation": "bills.list" },
                {
                    "method": "POST", "path": "/bills/{bill}/pay", "operation": "bills.pay",
                    "headers": [{ "name": "x-beta", "from": "fixed", "value": "1" }],
                },
            ],
            "operations": [
                { "name": "bills.list", "title": "", "effect": "read", "suggest": "allow" },
                {
                    "name": "bills.pay", "title": "Pay", "description": "Takes what is owed.", "effect": "write", "suggest": "ask",
                    "repeatable": true, "facts": { "amount": "/amount" },
                    "input": {
                        "type": "object", "additionalProperties": false, "required": ["amount"],
                        "properties": { "amount": { "type": "integer", "minimum": 0, "description": "In cents." } },
                    },
                },
            ],
        })
    );
}

#[test]
fn every_problem_is_named() {
    let problems = |text: &'static str| build(&provider(Box::leak(Box::new([text])))).unwrap_err().to_string();
    assert!(problems("name = ").contains("TOML"));
    let told = problems(
        "colour = 1\n[operations]\n\"a\" = { endpoint = \"/x\", effect = \"read\", suggest = \"ask\" }\n\
         \"b\" = { endpoint = [], effect = \"read\", suggest = \"ask\" }\n\
         \"c\" = { effect = \"read\", suggest = \"ask\" }\n\
         \"bills.pay\" = { endpoint = \"GET /y\", effect = \"read\", suggest = \"ask\" }",
    );
    for part in [
        "`colour`",
        "`/x` is no endpoint",
        "operations.b: it has no endpoint",
        "operations.c: missing",
        "bills.pay: it is listed twice",
        "name `key`",
        "`name` is missing",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn a_fact_points_at_something() {
    let schema = json!({ "properties": { "a": { "properties": { "b": {} }, "additionalProperties": false }, "o": { "type": "object" } } });
    for (pointer, fine) in
        [("/a", true), ("/a/b", true), ("/a/c", false), ("/x", false), ("/o/any", true), ("a", false)]
    {
        assert_eq!(points_into(&schema, pointer), fine, "{pointer}");
    }
}
