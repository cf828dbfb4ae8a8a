//! The operations as functions: an input goes in, a statement comes out.

use kv_provider_postgres::{PROVIDER, manifest};
use kv_sdk::test::{Harness, Run, rows};
use kv_sdk::{Effect, FailureKind, Rows, SqlError, Value, json};

fn call(operation: &str, input: Value) -> Run {
    Harness::new(&PROVIDER).setting("user", "app").setting("database", "shop").call(operation, input)
}

/// Everything that the host gets of a statement, one line each.
fn shown(run: &Run) -> Vec<String> {
    let sent = run.expect_send();
    let statement = sent.statement();
    let mut shown =
        vec![statement.text().to_owned(), statement.param_texts().join(" "), format!("{} rows", statement.row_limit())];
    shown.push(format!("{:?}{}", sent.effect(), if sent.repeatable() { ", repeatable" } else { "" }));
    shown.extend(sent.options().iter().map(|(name, value)| format!("{name}={value}")));
    shown
}

#[test]
fn the_callers_statement_goes_as_it_is() {
    for (operation, input, wanted) in [
        (
            "query",
            json!({"sql": "select * from t where a = $1", "params": [1], "max_rows": 5}),
            &["select * from t where a = $1", "1", "5 rows", "Read, repeatable"][..],
        ),
        ("query", json!({"sql": "select 1;"}), &["select 1;", "", "1000 rows", "Read, repeatable"]),
        (
            "execute",
            json!({"sql": "delete from t", "params": [null, "x'\"", {"a": [true]}], "max_changes": 3}),
            &["delete from t", r#"null "x'\"" {"a":[true]}"#, "1000 rows", "Write", "max-changes=3"],
        ),
        ("execute", json!({"sql": "update t set a = 1"}), &["update t set a = 1", "", "1000 rows", "Write"]),
        (
            "destroy",
            json!({"sql": "delete from t", "max_changes": 5}),
            &["delete from t", "", "1000 rows", "Write", "max-changes=5"],
        ),
        ("destroy", json!({"sql": "truncate t"}), &["truncate t", "", "1000 rows", "Write"]),
        ("administer", json!({"sql": "grant all on t to a"}), &["grant all on t to a", "", "1000 rows", "Write"]),
        ("preview", json!({"sql": "delete from t"}), &["delete from t", "", "1000 rows", "Write", "preview=true"]),
        (
            "explain",
            json!({"sql": "select $1", "params": ["a"]}),
            &["explain (costs on)\nselect $1", "\"a\"", "2000 rows", "Read, repeatable"],
        ),
        (
            "explain",
            json!({"sql": "select 1", "analyze": true}),
            &["explain (analyze, buffers)\nselect 1", "", "2000 rows", "Read, repeatable"],
        ),
        (
            "sample",
            json!({"table": "public.we\"ird; drop table x"}),
            &["select * from \"public\".\"we\"\"ird; drop table x\" limit 10", "", "10 rows", "Read, repeatable"],
        ),
        (
            "sample",
            json!({"table": "a.b", "schema": "S", "limit": 3}),
            &["select * from \"S\".\"a.b\" limit 3", "", "3 rows", "Read, repeatable"],
        ),
    ] {
        assert_eq!(shown(&call(operation, input.clone())), wanted, "{operation} {input}");
    }
}

#[test]
fn names_and_patterns_are_parameters() {
    for (operation, input, params) in [
        ("schemas", json!({}), ""),
        ("tables", json!({}), "null null"),
        ("tables", json!({"schema": "a'b", "like": "%x%"}), "\"a'b\" \"%x%\""),
        ("describe", json!({"table": "public.users"}), "\"users\" \"public\""),
        ("describe", json!({"table": "'; --"}), "\"'; --\" null"),
        ("status", json!({}), ""),
    ] {
        let shown = shown(&call(operation, input.clone()));
        assert_eq!((shown[1].as_str(), shown[3].as_str()), (params, "Read, repeatable"), "{operation} {input}");
    }
}

#[test]
fn a_summary_says_what_and_how_much() {
    let run = call("execute", json!({"sql": "update\n  users set a = 1", "max_changes": 2}));
    assert_eq!(run.expect_forward_success().summary(), "update users set a = 1, up to 2 rows");
    let run = call("preview", json!({"sql": format!("delete from t where {}", "é".repeat(100))}));
    assert!(run.expect_forward_success().summary().starts_with("try and roll back: delete from t where é"));
    assert!(run.expect_forward_success().summary().ends_with('…'));
}

#[test]
fn what_the_server_says_is_shown_at_its_place() {
    let mut run = call("query", json!({"sql": "select id,\n  nmae from users"}));
    run.expect_forward_success();
    run.respond_error(SqlError::new("42703", "column \"nmae\" does not exist", Some(14)));
    let failure = run.expect_failure();
    assert_eq!(
        failure.message,
        "column \"nmae\" does not exist (line 2, character 3)\n  nmae from users\n  ^\n`describe` lists a table's columns"
    );
    assert_eq!(
        (failure.kind, failure.code.as_deref(), failure.field.as_deref()),
        (FailureKind::InvalidInput, Some("42703"), Some("/sql"))
    );

    // The line that `explain` puts in front is not the caller's.
    let mut run = call("explain", json!({"sql": "selct 1"}));
    run.respond_error(SqlError::new("42601", "syntax error", Some(20)));
    assert_eq!(run.expect_failure().message, "syntax error (line 1, character 1)\nselct 1\n^");

    let mut run = call("execute", json!({"sql": "insert into t values (1)"}));
    run.respond_error(SqlError::new("23505", "duplicate key", None));
    assert_eq!((run.expect_failure().kind, &*run.expect_failure().message), (FailureKind::Conflict, "duplicate key"));
    assert_eq!(run.expect_failure().field, None);
}

#[test]
fn a_plan_is_one_text() {
    let mut run = call("explain", json!({"sql": "select 1"}));
    run.respond_rows(rows(&[("QUERY PLAN", "text")], [json!(["Result"]), json!(["  Output: 1"])]));
    assert_eq!(run.expect_done(), json!({"plan": "Result\n  Output: 1"}));
}

fn described(schema: &str, visible: bool) -> Value {
    json!([schema, visible, {"schema": schema, "name": "t"}, [{"name": "id"}], null, null, [{"name": "t_pkey"}]])
}

fn tables_named(found: &[(&str, bool)]) -> Rows {
    rows(&[("", "")], found.iter().map(|(schema, visible)| described(schema, *visible)))
}

#[test]
fn a_table_is_described() {
    for (input, found, schema) in [
        (json!({"table": "t"}), &[("public", true), ("a", false)][..], "public"),
        (json!({"table": "t"}), &[("a", false)], "a"),
        (json!({"table": "b.t"}), &[("b", false)], "b"),
    ] {
        let mut run = call("describe", input);
        run.respond_rows(tables_named(found));
        assert_eq!(
            run.expect_done(),
            json!({
                "schema": schema, "name": "t", "columns": [{"name": "id"}], "constraints": [], "referenced_by": [],
                "indexes": [{"name": "t_pkey"}],
            })
        );
    }
}

#[test]
fn a_table_that_is_not_there_or_twice_is_said_so() {
    let mut run = call("describe", json!({"table": "s.t"}));
    run.respond_rows(tables_named(&[]));
    let failure = run.expect_failure();
    assert_eq!((failure.kind, failure.field.as_deref()), (FailureKind::NotFound, Some("/table")));
    assert!(failure.message.contains("`t` in the schema `s`"), "{}", failure.message);

    let mut run = call("describe", json!({"table": "t"}));
    run.respond_rows(tables_named(&[("a", false), ("b", false)]));
    assert_eq!(run.expect_failure().message, "`t` is in several schemas: a, b; say which");
}

#[test]
fn a_status() {
    let mut run = call("status", json!({}));
    run.respond_rows(rows(
        &[("version", "text"), ("user", "name"), ("database", "name"), ("standby", "bool")],
        [json!(["PostgreSQL 15.14", "app", "shop", false])],
    ));
    assert_eq!(
        run.expect_done(),
        json!({"version": "PostgreSQL 15.14", "user": "app", "database": "shop", "standby": false})
    );
    let mut run = call("status", json!({}));
    run.respond_rows(Rows::default());
    assert_eq!(run.expect_failure().kind, FailureKind::Upstream);
}

#[test]
fn names_that_are_none_are_refused_before_anything_is_sent() {
    for (operation, input) in [
        ("sample", json!({"table": ""})),
        ("sample", json!({"table": "x".repeat(64)})),
        ("describe", json!({"table": "a\u{0}"})),
    ] {
        assert_eq!(call(operation, input).expect_failure().field.as_deref(), Some("/table"), "{operation}");
    }
}

/// What people are shown, to be looked through when it changes.
#[test]
fn the_operations_are_those_of_the_list() {
    let manifest: Value = kv_sdk::serde_json::from_str(&manifest()).unwrap();
    let lines: Vec<_> = manifest["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| {
            let word = |name: &str| operation[name].as_str().unwrap().to_owned();
            let members: Vec<_> = operation["input"]["properties"]
                .as_object()
                .map(|properties| properties.keys().cloned().collect())
                .unwrap_or_default();
            format!("{:<11}{:<8}{:<6}{}", word("name"), word("effect"), word("suggest"), members.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect();
    assert_eq!(lines.join("\n"), include_str!("operations.txt").trim_end());
    assert_eq!((&manifest["protocol"], &manifest["origins"]), (&json!("sql"), &json!([])));
    assert!(manifest.get("endpoints").is_none());
    let params = &manifest["operations"][6]["input"]["properties"];
    assert_eq!(params["params"]["type"], "array", "{params}");
}

#[test]
fn effects_of_the_operations_are_those_of_their_statements() {
    for (operation, effect) in [
        ("administer", Effect::Grant),
        ("destroy", Effect::Destroy),
        ("execute", Effect::Write),
        ("preview", Effect::Write),
        ("query", Effect::Read),
    ] {
        assert_eq!(PROVIDER.operation(operation).unwrap().effect, effect);
    }
}
