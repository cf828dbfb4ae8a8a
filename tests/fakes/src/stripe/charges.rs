//! Charges: made by payment intents and invoices, and by the old direct call.

use serde_json::{Map, Value, json};

use super::balance;
use super::cards::{Decline, Outcome};
use super::customers;
use super::error::Error;
use super::events;
use super::money::{amount_and_currency, check_amount};
use super::params::Params;
use super::payment_methods::{no_address, outcome, resolve};
use super::state::{State, extend};
use crate::shelf::id_of;

/// What is to be charged to what.
pub(super) struct Asked<'a> {
    pub(super) amount: i64,
    pub(super) currency: &'a str,
    pub(super) method: &'a str,
    pub(super) capture: bool,
    pub(super) customer: Value,
    pub(super) description: Value,
    pub(super) metadata: Value,
    pub(super) payment_intent: Value,
}

/// What came of it; the charge is kept in both cases.
pub(super) enum Charged {
    Failed(Value, Decline),
    Paid(Value),
}

pub(super) fn charge(asked: Asked<'_>, state: &mut State) -> Charged {
    let mut charge = state.begin("charge");
    let card = state.find("payment_method", asked.method).map_or(Value::Null, |method| method["card"].clone());
    let decline = match outcome(asked.method, state) {
        Outcome::Decline(decline) => Some(decline),
        Outcome::NeedsAction | Outcome::Succeed => None,
    };
    let captured = asked.capture && decline.is_none();
    let receipt = format!("https://pay.invalid/receipts/{}", id_of(&charge));
    extend(
        &mut charge,
        json!({
            "amount": asked.amount, "amount_captured": if captured { asked.amount } else { 0 }, "amount_refunded": 0,
            "application": null, "application_fee": null, "application_fee_amount": null, "balance_transaction": null,
            "billing_details": {"address": no_address(), "email": null, "name": null, "phone": null, "tax_id": null},
            "calculated_statement_descriptor": "KV FAKE", "captured": captured, "currency": asked.currency,
            "customer": asked.customer, "description": asked.description, "disputed": false,
            "failure_balance_transaction": null, "failure_code": decline.map(|decline| decline.code),
            "failure_message": decline.map(|decline| decline.message), "fraud_details": {}, "metadata": asked.metadata,
            "on_behalf_of": null, "outcome": network_outcome(decline), "paid": decline.is_none(),
            "payment_intent": asked.payment_intent, "payment_method": asked.method,
            "payment_method_details": {"card": card, "type": "card"}, "receipt_email": null, "receipt_number": null,
            "receipt_url": if decline.is_none() { json!(receipt) } else { Value::Null }, "refunded": false, "review": null,
            "shipping": null, "source": null, "source_transfer": null, "statement_descriptor": null,
            "statement_descriptor_suffix": null, "status": if decline.is_none() { "succeeded" } else { "failed" },
            "transfer_data": null, "transfer_group": null,
        }),
    );
    if captured {
        let transaction =
            balance::earn(asked.amount, asked.currency, id_of(&charge), is_instant(asked.method, state), state);
        charge["balance_transaction"] = json!(transaction);
    }
    state.add("charge", charge.clone());
    match decline {
        Some(decline) => {
            events::record("charge.failed", &charge, state);
            Charged::Failed(charge, decline)
        }
        None => {
            events::record("charge.succeeded", &charge, state);
            Charged::Paid(charge)
        }
    }
}

/// Captures an authorised charge, whole or in part.
pub(super) fn capture_amount(id: &str, amount: i64, state: &mut State) -> Result<Value, Error> {
    let charge = state.object("charge", id)?;
    let (currency, method) = (text(charge, "currency"), text(charge, "payment_method"));
    let transaction = balance::earn(amount, &currency, id, is_instant(&method, state), state);
    let charge = state.object_mut("charge", id)?;
    charge["captured"] = json!(true);
    charge["amount_captured"] = json!(amount);
    charge["balance_transaction"] = json!(transaction);
    let charge = charge.clone();
    events::record("charge.captured", &charge, state);
    Ok(charge)
}

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount",
        "currency",
        "source",
        "customer",
        "description",
        "metadata",
        "capture",
        "receipt_email",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
        "shipping",
    ]])?;
    let (amount, currency) = amount_and_currency(params)?;
    let capture = params.boolean("capture")?.unwrap_or(true);
    let metadata = params.metadata()?;
    let customer = match params.text("customer") {
        Some(id) => state.named("customer", "customer", id)?.clone(),
        None => Value::Null,
    };
    let given = match params.text("source").or_else(|| customers::default_method(&customer)) {
        Some(given) => given.to_owned(),
        None if customer.is_null() => return Err(Error::missing("source")),
        None => return Err(Error::refused("missing", "Cannot charge a customer that has no active card")),
    };
    let method = resolve("source", &given, state)?;
    let description = params.or_null("description");
    let asked = Asked {
        amount,
        currency: &currency,
        method: &method,
        capture,
        customer: customer["id"].clone(),
        description,
        metadata,
        payment_intent: Value::Null,
    };
    match charge(asked, state) {
        Charged::Paid(charge) => Ok(charge),
        Charged::Failed(charge, decline) => {
            let about = Map::from_iter([("charge".to_owned(), charge["id"].clone())]);
            Err(Error::card(decline, about))
        }
    }
}

pub(super) fn capture(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["amount", "receipt_email", "statement_descriptor", "statement_descriptor_suffix"]])?;
    let charge = state.object("charge", id)?;
    if charge["captured"] == true {
        return Err(Error::refused("charge_already_captured", format!("Charge {id} has already been captured.")));
    }
    if charge["status"] == "failed" {
        return Err(Error::refused("charge_not_capturable", format!("Charge {id} is not capturable.")));
    }
    let all = charge["amount"].as_i64().unwrap_or(0);
    let amount = params.integer("amount")?.unwrap_or(all);
    check_amount(amount, &text(charge, "currency"))?;
    if amount > all {
        return Err(Error::invalid("amount", "You cannot capture a charge for an amount greater than it already has."));
    }
    capture_amount(id, amount, state)
}

fn network_outcome(decline: Option<Decline>) -> Value {
    match decline {
        None => json!({
            "advice_code": null, "network_advice_code": null, "network_decline_code": null,
            "network_status": "approved_by_network", "reason": null, "risk_level": "normal", "risk_score": 12,
            "seller_message": "Payment complete.", "type": "authorized",
        }),
        Some(decline) => json!({
            "advice_code": null, "network_advice_code": null, "network_decline_code": null,
            "network_status": "declined_by_network", "reason": decline.decline_code.unwrap_or(decline.code),
            "risk_level": "normal", "risk_score": 12, "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }),
    }
}

/// The card whose money is available at once.
fn is_instant(method: &str, state: &State) -> bool {
    state.find("payment_method", method).is_some_and(|method| method["card"]["last4"] == "0077")
}

pub(super) fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or("").to_owned()
}
