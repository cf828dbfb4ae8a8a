use super::*;
use crate::__private::Described;
use crate::{Failure, Io, Protocol, Reply, Request, Response, SqlError, Statement};

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
    Provider {
        protocol: Protocol::Http { failure },
        auth: &["key"],
        operations: &[<pay as Described>::OPERATION],
        manifest,
        version: "1.2.3",
    }
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

/// Count.
#[kv_sdk::operation(name = "count", effect = Read, suggest = Allow)]
async fn count(io: &Io) -> Result<Reply, Failure> {
    io.forward_success(Statement::read("select count(*) from t")).await
}

#[test]
fn a_database_has_no_endpoints() {
    fn refused(error: &SqlError) -> Failure {
        Failure::internal(error.message.clone())
    }
    const LOGIN: &str = "name = \"db\"\norigins = []\n[auth.login]\ntype = \"login\"\nuser = \"{setting:user}\"\n";
    let database = |operations| Provider {
        protocol: Protocol::Sql { failure: refused },
        auth: &["login"],
        operations,
        manifest: &[LOGIN],
        version: "1.2.3",
    };
    let manifest: Value = serde_json::from_str(&build(&database(&[<count as Described>::OPERATION])).unwrap()).unwrap();
    assert_eq!((&manifest["protocol"], manifest.get("endpoints")), (&json!("sql"), None));
    assert_eq!(manifest["operations"][0]["title"], "Count");
    let problems = build(&database(&[<pay as Described>::OPERATION])).unwrap_err().to_string();
    assert!(problems.contains("bills.pay: it has an endpoint"), "{problems}");
}
