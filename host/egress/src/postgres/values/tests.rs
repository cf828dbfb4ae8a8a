use proptest::prelude::*;

use super::*;
use crate::postgres::types::TypeCache;

fn json(text: &str, oid: u32) -> String {
    let mut known = Known::default();
    assert_eq!(known.add(&[oid], &TypeCache::default()), [0_u32; 0]);
    let mut out = String::new();
    write(&mut out, Some(text), oid, &known);
    serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|error| panic!("{out}: {error}"));
    out
}

/// P22: `(,)` is three bytes of text, and as JSON as long as its fields' names, which are the server's.
#[test]
fn names_do_not_multiply_without_end() {
    let parts = (0..1_664).map(|_| ("n".repeat(255), 25)).collect();
    let known =
        Known::from([(99_001, Shape::Composite(parts)), (99_002, Shape::Array { element: 99_001, delimiter: ',' })]);
    let value = format!("\"({})\"", ",".repeat(1_663));
    let mut out = String::new();
    write(&mut out, Some(&format!("{{{}}}", vec![value.as_str(); 4_000].join(","))), 99_002, &known);
    assert!(out.len() < 3 * MAX_ROW_BYTES, "{}", out.len());
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    // One alone is written out.
    let mut out = String::new();
    write(&mut out, Some(&format!("{{{value}}}")), 99_002, &known);
    assert!(out.starts_with("[{\"nnn") && out.ends_with("null}]"));
}

#[test]
fn each_kind() {
    for (oid, text, expected) in [
        (16, "t", "true"),
        (16, "f", "false"),
        (23, "-5", "-5"),
        (20, "9007199254740991", "9007199254740991"),
        (20, "9007199254740992", "\"9007199254740992\""),
        (20, "-9223372036854775808", "\"-9223372036854775808\""),
        (1700, "1.10", "\"1.10\""),
        (1700, "NaN", "\"NaN\""),
        (701, "0.1", "0.1"),
        (701, "1e+20", "1e+20"),
        (701, "-0", "-0"),
        (701, "Infinity", "\"Infinity\""),
        (701, "-Infinity", "\"-Infinity\""),
        (701, "NaN", "\"NaN\""),
        (17, "\\x00ff", "\"\\\\x00ff\""),
        (25, "a\"b\\\n\u{1b}", "\"a\\\"b\\\\\\n\\u001b\""),
        (1184, "2026-01-02 03:04:05.600001+00", "\"2026-01-02T03:04:05.600001Z\""),
        (1184, "2026-01-02 03:04:05+05:30", "\"2026-01-02T03:04:05+05:30\""),
        (1184, "2026-01-02 03:04:05-07", "\"2026-01-02T03:04:05-07:00\""),
        (1114, "2026-01-02 03:04:05", "\"2026-01-02T03:04:05\""),
        (1184, "infinity", "\"infinity\""),
        (1184, "0044-03-15 00:00:00+00 BC", "\"0044-03-15 00:00:00+00 BC\""),
        (3802, "{\"a\": [1, null, 12345678901234567890.5]}", "{\"a\": [1, null, 12345678901234567890.5]}"),
        (3802, "null", "null"),
        (3802, "[kv:redacted]", "\"[kv:redacted]\""),
        (23, "[kv:redacted]", "\"[kv:redacted]\""),
        (3904, "[1,5)", "\"[1,5)\""),
        (1007, "{1,NULL,3}", "[1,null,3]"),
        (1007, "{}", "[]"),
        (1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
        (1007, "[0:1]={1,2}", "[1,2]"),
        (1007, "[2:2][-1:0]={{7,8}}", "[[7,8]]"),
        (1009, "{a,\"b c\",\"d\\\"e\\\\\",\"NULL\",null}", "[\"a\",\"b c\",\"d\\\"e\\\\\",\"NULL\",null]"),
        (1009, "{a", "\"{a\""),
        (1009, "{a}}", "\"{a}}\""),
        (1009, "{\"a}", "\"{\\\"a}\""),
        (1016, "{9007199254740993}", "[\"9007199254740993\"]"),
        (3807, "{\"{\\\"a\\\": 1}\",\"[2]\"}", "[{\"a\": 1},[2]]"),
        (1000, "{t,f}", "[true,false]"),
    ] {
        assert_eq!(json(text, oid), expected, "{oid} {text}");
    }
}

#[test]
fn null_and_unknown_types() {
    let mut out = String::new();
    write(&mut out, None, 25, &Known::default());
    write(&mut out, Some("x"), 99_999, &Known::default());
    assert_eq!(out, "null\"x\"");
}

#[test]
fn composites() {
    let mut known = Known::default();
    known.add(&[23, 25, 1009], &TypeCache::default());
    let parts = [("a".to_owned(), 23), ("__proto__".to_owned(), 25), ("c".to_owned(), 1009)];
    for (text, expected) in [
        ("(1,x,\"{a,\"\"b c\"\"}\")", "{\"a\":1,\"__proto__\":\"x\",\"c\":[\"a\",\"b c\"]}"),
        ("(,\"\",)", "{\"a\":null,\"__proto__\":\"\",\"c\":null}"),
        ("(1,\"q\"\"\\\\\",)", "{\"a\":1,\"__proto__\":\"q\\\"\\\\\",\"c\":null}"),
        ("(1,x)", "\"(1,x)\""),
        ("(1,x,{},surplus)", "\"(1,x,{},surplus)\""),
    ] {
        let mut out = String::new();
        composite(&mut out, text, &parts, &known, 4);
        assert_eq!(out, expected, "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}{}", "{".repeat(100_000), "}".repeat(100_000));
    assert!(json(&deep, 1007).starts_with('"'));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(json(&deep, 3802).starts_with('"'));
}

proptest! {
    /// Whatever a server calls a value, the row is JSON.
    #[test]
    fn always_json(
        text in "[\\{\\}\\(\\)\\[\\]\",:=\\\\ a0-9.eE+-]{0,40}|\\PC{0,40}",
        oid in prop::sample::select(vec![16_u32, 17, 20, 23, 25, 700, 701, 1000, 1005, 1007, 1009, 1184, 1231, 1700, 3802, 3807]),
    ) {
        json(&text, oid);
    }

    #[test]
    fn integers_are_exact(number in any::<i64>()) {
        let out = json(&number.to_string(), 20);
        prop_assert_eq!(out.trim_matches('"'), number.to_string());
    }
}
