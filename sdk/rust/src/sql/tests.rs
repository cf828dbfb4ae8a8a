use proptest::prelude::*;

use super::*;
use crate::json;

fn error(statement: &str, position: u32) -> SqlError {
    SqlError::new("42703", "no", Some(position)).about(statement.into())
}

#[test]
fn an_excerpt_shows_the_line_and_the_place() {
    let statement = "select id,\n\tnäme\nfrom users";
    assert_eq!(error(statement, 13).excerpt().unwrap().to_string(), " näme\n ^");
    let found = error(statement, 8).excerpt().unwrap();
    assert_eq!((found.line, found.column, found.to_string().as_str()), (1, 8, "select id,\n       ^"));
    // Behind the last character: the statement ends too early.
    assert_eq!(error("select", 7).excerpt().unwrap().to_string(), "select\n      ^");
    for (statement, position) in [("", 9), ("select", 0), ("select", 8)] {
        assert_eq!(error(statement, position).excerpt(), None, "{statement} {position}");
    }
    assert_eq!(SqlError::new("57014", "cancelled", None).excerpt(), None);
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let statement = format!("select {}, nmae, {}", "a".repeat(300), "b".repeat(300));
    let found = error(&statement, 310).excerpt().unwrap();
    assert_eq!((found.text.chars().count(), found.indent), (EXCERPT_CHARS, EXCERPT_CHARS / 2));
    assert!(found.text[found.indent..].starts_with("nmae, "));
}

#[test]
fn rows_are_read_as_values_and_written_as_results() {
    #[kv_sdk::data]
    #[derive(Debug, PartialEq)]
    struct User {
        id: i64,
        name: Option<String>,
    }
    let row = |text: &str| RawValue::from_string(text.into()).unwrap();
    let rows = Rows {
        columns: vec![Column { name: "id".into(), type_name: "int8".into() }],
        rows: vec![row("[1,\"a\"]"), row("[9223372036854775807,null]")],
        ..Rows::default()
    };
    let users: Vec<User> = rows.read().unwrap();
    assert_eq!(users[0], User { id: 1, name: Some("a".into()) });
    assert_eq!(rows.first::<(i64, Value)>().unwrap().unwrap().0, 1);
    assert_eq!(rows.read::<(String, String)>().unwrap_err().kind, FailureKind::Upstream);
    let written = serde_json::to_string(&rows).unwrap();
    assert_eq!(
        written,
        "{\"columns\":[{\"name\":\"id\",\"type\":\"int8\"}],\"rows\":[[1,\"a\"],[9223372036854775807,null]],\
         \"row_count\":2,\"affected\":0,\"truncated\":false}"
    );
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Rows>(&written).unwrap()).unwrap(), written);
}

#[test]
fn parameters_go_as_they_are_written() {
    let written: Vec<Box<RawValue>> = serde_json::from_str("[123456789012345678901234567890, \"x\"]").unwrap();
    let statement = Statement::read("select $1, $2, $3").params(&written).param(json!({"a": 1})).max_rows(7);
    assert_eq!(statement.params, ["123456789012345678901234567890", "\"x\"", "{\"a\":1}"]);
    let statement = Statement::write("delete from t").max_changes(3).preview();
    assert_eq!(statement.delivery.options, [("max-changes".into(), "3".into()), ("preview".into(), "true".into())]);
}

proptest! {
    /// Read as PostgreSQL's scanner reads it, it is one identifier, and the very name.
    #[test]
    fn an_identifier_is_one_whatever_is_in_it(name in "[^\0]{1,40}") {
        let quoted = identifier(&name).unwrap();
        let inside = quoted.strip_prefix('"').unwrap();
        let mut read = String::new();
        let mut chars = inside.chars();
        loop {
            match chars.next() {
                Some('"') if chars.clone().next() == Some('"') => { chars.next(); read.push('"') }
                Some('"') => break,
                Some(c) => read.push(c),
                None => prop_assert!(false, "it does not end"),
            }
        }
        prop_assert_eq!(chars.next(), None);
        prop_assert_eq!(read, name);
    }

    #[test]
    fn an_excerpt_never_fails(statement in any::<String>(), position in any::<u32>()) {
        if let Some(found) = error(&statement, position).excerpt() {
            prop_assert!(found.indent <= found.text.chars().count() + EXCERPT_CHARS);
        }
    }
}
