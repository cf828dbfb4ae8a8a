//! A statement as typed: its text, its parameters, and what a database has to say against it.

use std::path::Path;

use kv_model::{Effect, Reading, json};
use serde_json::{Map, Value};

use crate::arguments::Statement;
use crate::input;
use crate::problem::Problem;

/// As large as one parameter may be.
const MAX_PARAM: usize = 4 << 20;
/// Integers beyond it lose digits in programs that read every number as a double.
const EXACT: u64 = 1 << 53;
/// As much of a line as is shown under a mistake, on either side of it.
const AROUND: usize = 60;

/// Text and parameters.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) sql: String,
    pub(super) params: Vec<Value>,
}

impl Typed {
    pub(super) fn new(given: Statement) -> Result<Self, Problem> {
        let Statement { sql, values, params, file } = given;
        let (sql, values) = match (file, sql) {
            // With a file every word is a parameter.
            (Some(file), first) => (from_file(&file)?, first.into_iter().chain(values).collect()),
            (None, Some(sql)) if sql == "-" => (text(input::bytes("-")?, "standard input")?, values),
            (None, Some(sql)) => (sql, values),
            (None, None) => {
                return Err(Problem::usage("there is no statement")
                    .next("write it after the connection's name, or give --file FILE, or - for standard input"));
            }
        };
        if !values.is_empty() && !params.is_empty() {
            return Err(Problem::usage("parameters stand behind the statement, or behind --param each, not both"));
        }
        let params = values.iter().chain(&params).map(|value| parameter(value)).collect();
        Ok(Self { sql, params })
    }

    /// The operation that carries it out, by the same reading that the daemon goes by. It only saves a person and an agent the
    /// choosing: the daemon reads the text itself, and refuses what is graver than the operation that was chosen here.
    pub(super) fn operation(&self) -> &'static str {
        changing(&self.sql)
    }

    /// A number of changed rows in words, where the server counts them.
    pub(super) fn counted(&self, rows: u64) -> String {
        match (is_uncounted(&self.sql), rows) {
            (true, _) => "what it names, of which no rows are counted".to_owned(),
            (false, 1) => "1 row".to_owned(),
            (false, rows) => format!("{rows} rows"),
        }
    }

    /// It changes or removes every row of a table.
    pub(super) fn is_of_everything(&self) -> bool {
        Reading::of_any(&self.sql).is_ok_and(|reading| reading.everything)
    }

    /// The input of an operation that takes a statement.
    pub(super) fn input(&self) -> Map<String, Value> {
        let mut input = Map::from_iter([("sql".to_owned(), self.sql.as_str().into())]);
        if !self.params.is_empty() {
            input.insert("params".to_owned(), self.params.clone().into());
        }
        input
    }

    /// What a database said against the statement, with its code and, unless the text has it already, the place.
    pub(super) fn explained(&self, problem: Problem) -> Problem {
        let mut error = problem.into_error();
        let details = error.details.clone().unwrap_or_default();
        if let Some(code) = details["code"].as_str().filter(|code| is_sqlstate(code)) {
            let (first, rest) = match error.message.split_once('\n') {
                Some((first, rest)) => (first, format!("\n{rest}")),
                None => (error.message.as_str(), String::new()),
            };
            error.message = format!("{first} (SQLSTATE {code}){rest}");
        }
        if let Some(position) = details["position"].as_u64() {
            error.message.push_str(&excerpt(&self.sql, usize::try_from(position).unwrap_or(usize::MAX)));
        }
        error.into()
    }
}

/// Rows that a statement takes away and no server counts: 0 would be told of them.
pub(super) fn is_uncounted(sql: &str) -> bool {
    Reading::of_any(sql).is_ok_and(|reading| reading.uncounted().is_some())
}

/// The least grave operation that a statement which may write can be. One that is not understood is refused by any.
pub(super) fn changing(sql: &str) -> &'static str {
    match Reading::of_any(sql).map(|reading| reading.effect) {
        Ok(Effect::Grant) => "administer",
        Ok(Effect::Destroy) => "destroy",
        Ok(Effect::Read | Effect::Write) | Err(_) => "execute",
    }
}

fn is_sqlstate(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn from_file(path: &Path) -> Result<String, Problem> {
    let shown = path.display().to_string();
    text(input::bytes(&format!("@{shown}"))?, &shown)
}

fn text(bytes: Vec<u8>, what: &str) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| Problem::usage(format!("{what} is no text in UTF-8")))
}

/// JSON if it is JSON, and otherwise text. A number that would not survive as one goes as text, digit by digit: the
/// database reads it as what the statement wants.
fn parameter(given: &str) -> Value {
    match json::parse(given.as_bytes(), MAX_PARAM) {
        Ok(Value::Number(number)) => {
            let is_exact = match (number.as_u64(), number.as_i64()) {
                (Some(whole), _) => whole <= EXACT,
                (None, Some(whole)) => whole.unsigned_abs() <= EXACT,
                (None, None) => true,
            };
            if is_exact && number.to_string() == given.trim() {
                Value::Number(number)
            } else {
                Value::String(given.trim().to_owned())
            }
        }
        Ok(value) => value,
        Err(_) => Value::String(given.to_owned()),
    }
}

/// The line of the statement that a position is in, and a caret under it. Positions count characters from 1.
fn excerpt(sql: &str, position: usize) -> String {
    let Some(before) = position.checked_sub(1).filter(|before| *before <= sql.chars().count()) else {
        return String::new();
    };
    let lead: Vec<char> = sql.chars().take(before).collect();
    let column = lead.iter().rev().take_while(|c| **c != '\n').count();
    let line = lead.iter().filter(|c| **c == '\n').count() + 1;
    let text: Vec<char> = sql.chars().skip(before - column).take_while(|c| *c != '\n').collect();
    let from = column.saturating_sub(AROUND);
    let shown: String =
        text.iter().skip(from).take(2 * AROUND).map(|c| if c.is_control() { ' ' } else { *c }).collect();
    format!("\nline {line}: {shown}\n{}^", " ".repeat(format!("line {line}: ").len() + column - from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_json_or_text() {
        for (given, value) in [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("1.5", json!(1.5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("\"5\"", json!("5")),
            ("[1,2]", json!([1, 2])),
            ("{\"a\":1}", json!({"a": 1})),
            ("Berlin", json!("Berlin")),
            ("2026-01-31", json!("2026-01-31")),
            ("", json!("")),
            ("007", json!("007")),
            ("NaN", json!("NaN")),
            // No digit is lost.
            ("9007199254740993", json!("9007199254740993")),
            ("0.10", json!("0.10")),
            ("1e3", json!("1e3")),
            ("3.14159265358979323846", json!("3.14159265358979323846")),
            ("1e999", json!("1e999")),
        ] {
            assert_eq!(parameter(given), value, "{given}");
        }
    }

    #[test]
    fn each_statement_has_its_operation() {
        for (sql, operation) in [
            ("insert into t values (1)", "execute"),
            ("update t set a = 1", "execute"),
            ("create table t (a int)", "execute"),
            ("select nextval('s')", "execute"),
            ("delete from t where id = $1", "destroy"),
            ("with gone as (delete from t where id = 1 returning *) insert into u select * from gone", "destroy"),
            ("truncate t", "destroy"),
            ("drop table t", "destroy"),
            ("alter table t drop column a", "destroy"),
            ("grant select on t to someone", "administer"),
            ("alter role someone superuser", "administer"),
            ("not a statement", "execute"),
        ] {
            assert_eq!(changing(sql), operation, "{sql}");
        }
    }

    #[test]
    fn where_a_statement_comes_from() {
        let given = |sql: Option<&str>, values: &[&str], params: &[&str], file| Statement {
            sql: sql.map(str::to_owned),
            values: values.iter().map(|text| (*text).to_owned()).collect(),
            params: params.iter().map(|text| (*text).to_owned()).collect(),
            file,
        };
        let typed = Typed::new(given(Some("select $1"), &["5"], &[], None)).unwrap();
        assert_eq!(Value::from(typed.input()), json!({"sql": "select $1", "params": [5]}));
        assert!(Typed::new(given(Some("select $1"), &["5"], &["6"], None)).is_err());
        assert!(Typed::new(given(None, &[], &["6"], None)).is_err());
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.sql");
        std::fs::write(&file, "select $1, $2").unwrap();
        let typed = Typed::new(given(Some("a"), &["b"], &[], Some(file))).unwrap();
        assert_eq!((typed.sql.as_str(), typed.params), ("select $1, $2", vec![json!("a"), json!("b")]));
    }

    #[test]
    fn a_caret_points_at_the_character() {
        assert_eq!(excerpt("select é x\nfrom y", 8), "\nline 1: select é x\n               ^");
        assert_eq!(excerpt("select 1\nfrom y", 15), "\nline 2: from y\n             ^");
        for position in [0, 100, usize::MAX] {
            assert_eq!(excerpt("select", position), "");
        }
        let long = format!("select '{}' x", "a".repeat(500));
        assert!(excerpt(&long, 510).lines().all(|line| line.chars().count() < 140));
    }

    #[test]
    fn a_database_says_its_code() {
        let typed = Typed { sql: "selec 1".to_owned(), params: Vec::new() };
        let error = kv_api::ApiError::new(kv_api::Code::Upstream, "syntax error")
            .details(json!({"code": "42601", "position": 1}));
        let told = typed.explained(error.into()).into_error().message;
        assert_eq!(told, "syntax error (SQLSTATE 42601)\nline 1: selec 1\n        ^");
        let error = kv_api::ApiError::new(kv_api::Code::Upstream, "no\nhint").details(json!({"code": "42601"}));
        assert_eq!(typed.explained(error.into()).into_error().message, "no (SQLSTATE 42601)\nhint");
        let error = kv_api::ApiError::new(kv_api::Code::Locked, "the vault is locked");
        assert_eq!(typed.explained(error.into()).into_error().message, "the vault is locked");
    }
}
