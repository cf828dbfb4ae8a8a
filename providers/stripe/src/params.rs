//! From a call's input to Stripe's parameters, and the parameters that several resources share.
//!
//! The members go out in the caller's order and under the caller's names; only what the path and the provider itself use
//! is left out.

use kv_sdk::{Failure, Form, Io, Map, Request, Value};

/// The parameters that are left when those in `own` are taken out.
pub(crate) fn params(io: &Io, own: &[&str]) -> Result<Map<String, Value>, Failure> {
    let input = io.input_without(own);
    for (name, value) in &input {
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return Err(bad_name("").at(pointer("", name)));
        }
        check_nested(&pointer("", name), value)?;
    }
    Ok(input)
}

/// A GET with the parameters as its query.
pub(crate) fn get(io: &Io, path: &[&str], own: &[&str]) -> Result<Request, Failure> {
    Ok(Request::get(path.iter().copied()).queries(form(io, own)?))
}

/// A POST with the parameters as its form, and a key by which Stripe knows it again when it comes twice.
pub(crate) fn post(io: &Io, path: &[&str], own: &[&str]) -> Result<Request, Failure> {
    let form = form(io, own)?;
    Ok(Request::post(path.iter().copied()).header("idempotency-key", io.idempotency_key()).form(form))
}

/// A DELETE with the parameters as its query, as Stripe's own libraries send them.
pub(crate) fn delete(io: &Io, path: &[&str], own: &[&str]) -> Result<Request, Failure> {
    Ok(Request::delete(path.iter().copied()).queries(form(io, own)?))
}

fn form(io: &Io, own: &[&str]) -> Result<Form, Failure> {
    Ok(Form::from_json(&Value::Object(params(io, own)?)))
}

/// An amount for people: `20.00 EUR`. Currencies without a smaller unit have no decimals, three have three.
pub(crate) fn money(amount: u64, currency: &str) -> String {
    let code = currency.to_ascii_uppercase();
    let decimals = match code.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let unit = 10_u64.pow(decimals);
    match decimals {
        0 => format!("{amount} {code}"),
        _ => format!("{}.{:0width$} {code}", amount / unit, amount % unit, width = decimals as usize),
    }
}

/// A name is one step of the way, never several: `{"transfer_data[amount]": 1}` would reach Stripe as the parameter
/// `amount` of `transfer_data`, and those who decide about the call would have seen no such thing.
fn check_nested(at: &str, value: &Value) -> Result<(), Failure> {
    match value {
        Value::Array(values) => {
            values.iter().enumerate().try_for_each(|(index, value)| check_nested(&format!("{at}/{index}"), value))
        }
        Value::Object(object) => object.iter().try_for_each(|(name, value)| {
            let at = pointer(at, name);
            if name.is_empty() || name.contains(|c: char| c == '[' || c == ']' || c.is_control()) {
                return Err(bad_name(" within").at(at));
            }
            check_nested(&at, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn bad_name(within: &str) -> Failure {
    Failure::invalid_input(format!(
        "no parameter{within} has this name; write nested parameters as JSON objects and arrays"
    ))
}

fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A postal address.
#[kv_sdk::input(open)]
pub(crate) struct Address {
    line1: Option<String>,
    line2: Option<String>,
    city: Option<String>,
    /// State, county, province or region.
    state: Option<String>,
    postal_code: Option<String>,
    /// Two letters, ISO 3166-1.
    country: Option<String>,
}

/// Where and to whom something is sent.
#[kv_sdk::input(open)]
pub(crate) struct Shipping {
    name: String,
    address: Address,
    phone: Option<String>,
}

/// A moment, or bounds around it, in Unix seconds.
#[kv_sdk::input]
#[serde(untagged)]
pub(crate) enum Moments {
    At(u64),
    Between(Between),
}

#[kv_sdk::input]
pub(crate) struct Between {
    gt: Option<u64>,
    gte: Option<u64>,
    lt: Option<u64>,
    lte: Option<u64>,
}

/// Up to 50 texts of the caller's own by name. An empty one removes the name.
#[kv_sdk::input]
#[serde(transparent)]
pub(crate) struct Metadata(Map<String, Value>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_for_people() {
        assert_eq!(money(2000, "eur"), "20.00 EUR");
        assert_eq!(money(5, "usd"), "0.05 USD");
        assert_eq!(money(500, "jpy"), "500 JPY");
        assert_eq!(money(1234, "kwd"), "1.234 KWD");
        assert_eq!(money(u64::MAX, "x"), "184467440737095516.15 X");
    }
}
