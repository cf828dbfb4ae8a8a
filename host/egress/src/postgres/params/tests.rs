use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::postgres::types::TypeCache;

fn one(value: &Value, oid: u32) -> Result<Option<String>, String> {
    let mut known = Known::default();
    known.add(&[oid], &TypeCache::default());
    let texts = texts(std::slice::from_ref(value), &[oid], &known).map_err(|error| error.to_string())?;
    Ok(texts.into_iter().next().unwrap().map(|text| String::from_utf8(text).unwrap()))
}

#[test]
fn what_fits() {
    for (oid, value, text) in [
        (23, json!(5), "5"),
        (23, json!("-5"), "-5"),
        (20, json!("9223372036854775807"), "9223372036854775807"),
        (16, json!(true), "true"),
        (701, json!(0.5), "0.5"),
        (701, json!("NaN"), "NaN"),
        (1700, json!("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (1700, json!(3), "3"),
        (25, json!("x'y"), "x'y"),
        (2950, json!("00000000-0000-0000-0000-000000000000"), "00000000-0000-0000-0000-000000000000"),
        (17, json!("\\xDEadbe"), "\\xDEadbe"),
        (3802, json!({"a": [1, null]}), "{\"a\":[1,null]}"),
        (3802, json!("s"), "\"s\""),
        (1007, json!([1, null, "3"]), "{\"1\",NULL,\"3\"}"),
        (1007, json!([[1], [2]]), "{{\"1\"},{\"2\"}}"),
        (1007, json!([]), "{}"),
        (1009, json!(["a\"b\\c", "NULL", "{}"]), "{\"a\\\"b\\\\c\",\"NULL\",\"{}\"}"),
        (3807, json!([[1], {"a": 2}]), "{\"[1]\",\"{\\\"a\\\":2}\"}"),
    ] {
        assert_eq!(one(&value, oid).unwrap().unwrap(), text);
    }
    assert_eq!(one(&Value::Null, 25), Ok(None));
}

#[test]
fn what_does_not() {
    let six = json!([[[[[[1]]]]]]);
    let seven = json!([[[[[[[1]]]]]]]);
    assert!(one(&six, 1007).is_ok());
    for (oid, value, error) in [
        (23, json!({}), "parameter $1 is an object; integer takes a whole number from -2147483648 to 2147483647"),
        (
            23,
            json!(2_147_483_648_i64),
            "parameter $1 is a number; integer takes a whole number from -2147483648 to 2147483647",
        ),
        (21, json!("40000"), "parameter $1 is a string; smallint takes a whole number from -32768 to 32767"),
        (
            20,
            json!(1.5),
            "parameter $1 is a number with a fraction or beyond 2^64; bigint takes a whole number, as a string where it is beyond 2^53",
        ),
        (20, json!("+1"), "parameter $1 is a string; bigint takes a whole number, as a string where it is beyond 2^53"),
        (25, json!(5), "parameter $1 is a number; text takes a string"),
        (25, json!("a\0b"), "parameter $1 is a string with a NUL in it; text takes none"),
        (3802, json!({"a": "\0"}), "parameter $1 is a string with a NUL in it; jsonb takes none"),
        (16, json!("t"), "parameter $1 is a string; boolean takes true or false"),
        (17, json!("abc"), "parameter $1 is a string; bytea takes a string of `\\x` and hexadecimal digits"),
        (
            1700,
            json!("1; drop"),
            "parameter $1 is a string; numeric takes a number, as a string where it has more than 15 digits",
        ),
        (
            1700,
            json!(0.123_456_789_012_345_68),
            "parameter $1 is a number of more digits than JSON numbers keep; numeric takes it as a string of digits",
        ),
        (
            1700,
            json!(123_456_789_012_345_678_901_234_567_890.0),
            "parameter $1 is a number of more digits than JSON numbers keep; numeric takes it as a string of digits",
        ),
        (1007, json!("{1,2}"), "parameter $1 is a string; integer[] takes an array"),
        (
            1007,
            json!([true]),
            "parameter $1 is true or false; integer takes a whole number from -2147483648 to 2147483647",
        ),
        (1007, seven, "parameter $1 is an array in more than 6 dimensions; integer takes at most 6"),
    ] {
        assert_eq!(one(&value, oid), Err(error.to_owned()));
    }
    let error = texts(&[json!(1), json!(2)], &[23], &Known::default()).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.sqlstate()), ("the statement has 1 parameters, and 2 came", "08P01"));
}

proptest! {
    /// What goes into an array as a text comes out of the array's text as it was.
    #[test]
    fn array_quoting_holds(items in prop::collection::vec("[^\0]{0,12}", 0..6)) {
        let mut known = Known::default();
        known.add(&[1009], &TypeCache::default());
        let text = one(&json!(items), 1009).unwrap().unwrap();
        let mut out = String::new();
        crate::postgres::values::write(&mut out, Some(&text), 1009, &known);
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(&out).unwrap(), items);
    }
}
