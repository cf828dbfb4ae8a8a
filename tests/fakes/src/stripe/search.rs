//! Search: clauses such as `email:'a@b.c'`, `metadata['k']:'v'`, `amount>100`, joined by AND or by OR.

use serde_json::{Value, json};

use super::error::Error;
use super::params::Params;
use super::resources::Resource;
use super::state::State;
use crate::shelf::id_of;

pub(super) fn search(resource: &Resource, params: &Params, state: &State) -> Result<Value, Error> {
    params.only(&[&["query", "limit", "page"]])?;
    let query = Query::parse(params.required("query")?)?;
    let limit = params.integer("limit")?.unwrap_or(10).clamp(1, 100) as usize;
    let hits: Vec<&Value> = match state.shelf(resource.kind) {
        Some(shelf) => shelf.iter().rev().filter(|object| query.matches(object)).collect(),
        None => Vec::new(),
    };
    // A page token is the id of the last object of the page before.
    let from = match params.text("page") {
        None => 0,
        Some(token) => {
            let at = hits.iter().position(|object| id_of(object) == token);
            at.ok_or_else(|| Error::invalid("page", format!("Invalid page token: {token}")))? + 1
        }
    };
    let page: Vec<&Value> = hits.iter().skip(from).take(limit).copied().collect();
    let more = hits.len() > from + page.len();
    let next = page.last().filter(|_| more).map(|object| id_of(object));
    let url = format!("/v1/{}/search", resource.path);
    Ok(json!({"object": "search_result", "data": page, "has_more": more, "next_page": next, "url": url}))
}

struct Query {
    clauses: Vec<Clause>,
    any: bool,
}

struct Clause {
    negated: bool,
    /// A field and the field inside it, for metadata.
    field: (String, Option<String>),
    operator: Operator,
    value: Option<String>,
}

#[derive(Clone, Copy)]
enum Operator {
    AtLeast,
    AtMost,
    Equal,
    Less,
    More,
    PartOf,
}

impl Query {
    fn parse(text: &str) -> Result<Query, Error> {
        let wrong = || {
            let message = "We were unable to parse your search query. Try using the format `metadata[\"key\"]:\"value\"` to \
                           query for metadata or key:\"value\" to query for other fields.";
            Error::invalid("query", message)
        };
        let (mut clauses, mut joined): (Vec<Clause>, Option<bool>) = (Vec::new(), None);
        let mut rest = text.trim();
        while !rest.is_empty() {
            if !clauses.is_empty() {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                let any = match word.to_ascii_uppercase().as_str() {
                    "AND" => false,
                    "OR" => true,
                    // A space alone means AND.
                    _ => {
                        joined.get_or_insert(false);
                        let (clause, after) = Clause::parse(rest).ok_or_else(wrong)?;
                        clauses.push(clause);
                        rest = after.trim_start();
                        continue;
                    }
                };
                if joined.is_some_and(|joined| joined != any) {
                    return Err(Error::invalid("query", "You may not combine AND and OR in one query."));
                }
                joined = Some(any);
                rest = after.trim_start();
            }
            let (clause, after) = Clause::parse(rest).ok_or_else(wrong)?;
            clauses.push(clause);
            if clauses.len() > 10 {
                return Err(Error::invalid("query", "A query may have 10 clauses."));
            }
            rest = after.trim_start();
        }
        if clauses.is_empty() { Err(wrong()) } else { Ok(Query { clauses, any: joined == Some(true) }) }
    }

    fn matches(&self, object: &Value) -> bool {
        let mut results = self.clauses.iter().map(|clause| clause.matches(object) != clause.negated);
        if self.any { results.any(|hit| hit) } else { results.all(|hit| hit) }
    }
}

impl Clause {
    fn parse(text: &str) -> Option<(Clause, &str)> {
        let (negated, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '.')?;
        let (field, mut rest) = text.split_at(end);
        if field.is_empty() {
            return None;
        }
        let mut inner = None;
        if let Some(after) = rest.strip_prefix('[') {
            let (key, after) = quoted(after)?;
            inner = Some(key);
            rest = after.strip_prefix(']')?;
        }
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (":", Operator::Equal),
            ("~", Operator::PartOf),
            ("<", Operator::Less),
            (">", Operator::More),
        ];
        let (operator, rest) =
            operators.iter().find_map(|(sign, operator)| rest.strip_prefix(sign).map(|rest| (*operator, rest)))?;
        let (value, rest) = if rest.starts_with(['\'', '"']) {
            let (value, rest) = quoted(rest)?;
            (Some(value), rest)
        } else {
            let (value, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            if value.is_empty() {
                return None;
            }
            ((value != "null").then(|| value.to_owned()), rest)
        };
        Some((Clause { negated, field: (field.to_owned(), inner), operator, value }, rest))
    }

    fn matches(&self, object: &Value) -> bool {
        let (field, inner) = &self.field;
        let mut have = field.split('.').fold(object, |value, name| &value[name]);
        if let Some(inner) = inner {
            have = &have[inner];
        }
        let Some(wanted) = &self.value else { return have.is_null() };
        let have = match have {
            Value::String(text) => text.clone(),
            Value::Null => return false,
            other => other.to_string(),
        };
        let numbers = have.parse::<i64>().ok().zip(wanted.parse::<i64>().ok());
        match self.operator {
            Operator::Equal => have.eq_ignore_ascii_case(wanted),
            Operator::PartOf => have.to_lowercase().contains(&wanted.to_lowercase()),
            Operator::AtLeast => numbers.is_some_and(|(have, wanted)| have >= wanted),
            Operator::AtMost => numbers.is_some_and(|(have, wanted)| have <= wanted),
            Operator::Less => numbers.is_some_and(|(have, wanted)| have < wanted),
            Operator::More => numbers.is_some_and(|(have, wanted)| have > wanted),
        }
    }
}

/// A text in single or double quotes, with `\` before a quote inside.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut letters = text.char_indices();
    let (_, quote) = letters.next().filter(|(_, letter)| matches!(letter, '\'' | '"'))?;
    let mut out = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => out.push(letters.next()?.1),
            _ if letter == quote => return Some((out, &text[at + 1..])),
            _ => out.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_find_what_they_say() {
        let object = json!({"id": "x", "email": "A@b.c", "amount": 500, "metadata": {"k": "it's"}, "name": "Zoe", "phone": null});
        let cases = [
            ("email:'a@b.c'", true),
            ("email:'a@b.c' AND metadata['k']:'v'", false),
            ("email:'z' OR metadata[\"k\"]:'it\\'s'", true),
            ("name~'zo'", true),
            ("amount>499 amount<=500", true),
            ("-amount>499", false),
            ("phone:null", true),
            ("-phone:null", false),
        ];
        for (query, expected) in cases {
            assert_eq!(Query::parse(query).unwrap().matches(&object), expected, "{query}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["", "x", "x:", "'", "metadata[k]:'v'", "a:'1' AND", "a:'1' AND b:'2' OR c:'3'", "a:'1"] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(query in "[a-c\\[\\]'\":~<>=\\\\ é-]{0,30}") {
            let _ = Query::parse(&query);
        }
    }
}
