//! Amounts and currencies.

use super::error::Error;
use super::params::Params;

/// `amount` and `currency`, checked as the service checks them.
pub(super) fn amount_and_currency(params: &Params) -> Result<(i64, String), Error> {
    let amount = params.required_integer("amount")?;
    let currency = currency(params)?;
    check_amount(amount, &currency)?;
    Ok((amount, currency))
}

pub(super) fn currency(params: &Params) -> Result<String, Error> {
    let given = params.required("currency")?;
    let currency = given.to_lowercase();
    if CURRENCIES.contains(&currency.as_str()) {
        return Ok(currency);
    }
    let message =
        format!("Invalid currency: {given}. Stripe currently supports these currencies: {}", CURRENCIES.join(", "));
    Err(Error::invalid("currency", message))
}

pub(super) fn check_amount(amount: i64, currency: &str) -> Result<(), Error> {
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(Error::invalid_coded("amount", "parameter_invalid_integer", message));
    }
    if amount < 50 && currency == "usd" {
        return Err(Error::invalid_coded("amount", "amount_too_small", "Amount must be at least $0.50 usd"));
    }
    if amount > 99_999_999 {
        let message = format!("Amount must be no more than {}", shown(99_999_999, currency));
        return Err(Error::invalid_coded("amount", "amount_too_large", message));
    }
    Ok(())
}

/// `$12.34`, or the amount with its currency's name.
pub(super) fn shown(amount: i64, currency: &str) -> String {
    let sign = match currency {
        "eur" => "€",
        "gbp" => "£",
        "usd" => "$",
        other if NO_CENTS.contains(&other) => return format!("{amount} {other}"),
        other => return format!("{}.{:02} {other}", amount / 100, amount % 100),
    };
    format!("{sign}{}.{:02}", amount / 100, amount % 100)
}

const NO_CENTS: [&str; 3] = ["clp", "jpy", "krw"];
const CURRENCIES: [&str; 28] = [
    "usd", "aed", "aud", "brl", "cad", "chf", "clp", "cny", "czk", "dkk", "eur", "gbp", "hkd", "huf", "ils", "inr",
    "jpy", "krw", "mxn", "nok", "nzd", "pln", "ron", "sek", "sgd", "thb", "try", "zar",
];
