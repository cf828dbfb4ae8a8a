//! Forms with nested keys: `items[0][price]=x` becomes `{"items": [{"price": "x"}]}`.
//!
//! Leaves are always text; what they mean is for the endpoint to say.

use serde_json::{Map, Value};

use crate::urlencoded;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The same name is both a text and a hash or list.
    Conflict(String),
    /// A bracket is missing or stands where none may.
    Name(String),
    TooDeep(String),
    TooMany,
}

/// Reads an encoded form or query.
pub(super) fn parse(encoded: &str) -> Result<Map<String, Value>, Malformed> {
    let pairs = urlencoded::pairs(encoded, PAIRS + 1);
    if pairs.len() > PAIRS {
        return Err(Malformed::TooMany);
    }
    let mut tree = Map::new();
    for (name, value) in pairs {
        let path = path(&name)?;
        put(&mut tree, &path, value).ok_or(Malformed::Conflict(name))?;
    }
    for (name, value) in &mut tree {
        lists(name, value);
    }
    Ok(tree)
}

/// `a[b][]` is `a`, `b` and an empty name.
fn path(name: &str) -> Result<Vec<String>, Malformed> {
    let wrong = || Malformed::Name(name.to_owned());
    let Some((first, mut rest)) = name.split_once('[') else {
        return if name.is_empty() || name.contains(']') { Err(wrong()) } else { Ok(vec![name.to_owned()]) };
    };
    if first.is_empty() || first.contains(']') {
        return Err(wrong());
    }
    let mut path = vec![first.to_owned()];
    loop {
        let (inner, after) = rest.split_once(']').ok_or_else(wrong)?;
        if inner.contains('[') {
            return Err(wrong());
        }
        if path.len() == DEPTH {
            return Err(Malformed::TooDeep(name.to_owned()));
        }
        path.push(inner.to_owned());
        match after.strip_prefix('[') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(path),
            None => return Err(wrong()),
        }
    }
}

fn put(tree: &mut Map<String, Value>, path: &[String], value: String) -> Option<()> {
    let (name, rest) = path.split_first()?;
    // `a[]=x&a[]=y` appends.
    let name = if name.is_empty() { tree.len().to_string() } else { name.clone() };
    if rest.is_empty() {
        return match tree.insert(name, Value::String(value)) {
            Some(Value::Object(_)) => None,
            _ => Some(()),
        };
    }
    match tree.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => put(inner, rest, value),
        _ => None,
    }
}

/// Turns hashes whose names are 0, 1, 2, ... into lists; metadata stays a hash whatever its keys are.
fn lists(name: &str, value: &mut Value) {
    let Value::Object(inner) = value else { return };
    for (name, value) in inner.iter_mut() {
        lists(name, value);
    }
    let numbered = inner.keys().all(|name| name.parse::<u32>().is_ok_and(|number| number.to_string() == *name));
    if numbered && name != "metadata" {
        let mut items: Vec<(u32, Value)> =
            std::mem::take(inner).into_iter().map(|(name, value)| (name.parse().unwrap_or(0), value)).collect();
        items.sort_by_key(|(number, _)| *number);
        *value = Value::Array(items.into_iter().map(|(_, value)| value).collect());
    }
}

const DEPTH: usize = 8;
const PAIRS: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn nested_names_become_a_tree() {
        let cases = [
            ("a=1&b=2", json!({"a": "1", "b": "2"})),
            (
                "items[0][price]=p1&items[0][quantity]=2&items[1][price]=p2",
                json!({"items": [{"price": "p1", "quantity": "2"}, {"price": "p2"}]}),
            ),
            ("expand[]=a&expand[]=b", json!({"expand": ["a", "b"]})),
            ("created%5Bgte%5D=1&created%5Blt%5D=9", json!({"created": {"gte": "1", "lt": "9"}})),
            ("metadata[0]=x&metadata[k]=", json!({"metadata": {"0": "x", "k": ""}})),
            ("metadata[0]=x", json!({"metadata": {"0": "x"}})),
            ("l[10]=k&l[2]=c&l[1]=b", json!({"l": ["b", "c", "k"]})),
            ("a=1&a=2", json!({"a": "2"})),
        ];
        for (form, tree) in cases {
            assert_eq!(Value::Object(parse(form).unwrap()), tree, "{form}");
        }
    }

    #[test]
    fn malformed_names_are_refused() {
        for form in [
            "a[=1",
            "a]=1",
            "[a]=1",
            "a[b]c=1",
            "a[[b]]=1",
            "=1",
            "a=1&a[b]=2",
            "a[b]=1&a=2",
            "a[b][c][d][e][f][g][h][i]=1",
        ] {
            assert!(parse(form).is_err(), "{form}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(form in "[ab01\\[\\]=&%5BD]{0,60}") {
            let _ = parse(&form);
        }
    }
}
