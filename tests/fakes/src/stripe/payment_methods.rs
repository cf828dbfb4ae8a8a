//! Payment methods: cards, made from the test names or from numbers of theirs, and attached to customers.

use serde_json::{Value, json};

use super::cards::{self, CARDS, Card, Outcome};
use super::error::Error;
use super::events;
use super::params::Params;
use super::state::{State, extend};
use crate::shelf::id_of;

/// The id of the payment method that a parameter names; a test card's name makes a new one.
pub(super) fn resolve(param: &str, given: &str, state: &mut State) -> Result<String, Error> {
    if let Some(card) = cards::find(given) {
        if state.live {
            return Err(Error::test_object_with_live_key(param, given));
        }
        return Ok(make(card, Value::Null, json!({}), state));
    }
    state.named(param, "payment_method", given).map(|method| id_of(method).to_owned())
}

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["type", "card", "billing_details", "metadata", "allow_redisplay"]])?;
    let kind = params.required("type")?;
    if kind != "card" {
        return Err(Error::invalid("type", format!("This fake has cards only, not `{kind}`.")));
    }
    let given = params.get("card").ok_or_else(|| Error::missing("card"))?;
    let card = match (given["token"].as_str(), given["number"].as_str()) {
        (Some(token), _) => cards::find(token).ok_or_else(|| Error::no_object_for("card[token]", "token", token))?,
        (None, Some(number)) => CARDS
            .iter()
            .find(|card| number.ends_with(card.last4))
            .ok_or_else(|| Error::invalid_coded("number", "incorrect_number", "Your card number is incorrect."))?,
        (None, None) => return Err(Error::missing("card[token]")),
    };
    if state.live {
        return Err(Error::invalid("card", "This fake has no live cards."));
    }
    let billing = params.get("billing_details").map_or(Value::Null, super::params::typed);
    let metadata = params.metadata()?;
    let id = make(card, billing, metadata, state);
    state.object("payment_method", &id).cloned()
}

pub(super) fn attach(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["customer"]])?;
    let customer = params.required("customer")?;
    state.named("customer", "customer", customer)?;
    let id = resolve("payment_method", id, state)?;
    attach_to(&id, customer, state)?;
    let method = state.object("payment_method", &id)?.clone();
    events::record("payment_method.attached", &method, state);
    Ok(method)
}

pub(super) fn detach(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[])?;
    let method = state.object_mut("payment_method", id)?;
    if method["customer"].is_null() {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(Error::invalid("payment_method", message));
    }
    method["customer"] = Value::Null;
    let method = method.clone();
    events::record("payment_method.detached", &method, state);
    Ok(method)
}

pub(super) fn attach_to(id: &str, customer: &str, state: &mut State) -> Result<(), Error> {
    // Attaching asks the bank: a card that is refused then never gets attached.
    if let Outcome::Decline(decline) = outcome(id, state)
        && decline.decline_code.is_some()
    {
        return Err(Error::card(decline, serde_json::Map::new()));
    }
    let method = state.object_mut("payment_method", id)?;
    match method["customer"].as_str() {
        Some(owner) if owner != customer => {
            let message = "The payment method you provided has already been attached to a customer.";
            Err(Error::refused("payment_method_unexpected_state", message))
        }
        _ => {
            method["customer"] = json!(customer);
            Ok(())
        }
    }
}

/// What happens when this payment method is charged.
pub(super) fn outcome(id: &str, state: &State) -> Outcome {
    let last4 = state.find("payment_method", id).and_then(|method| method["card"]["last4"].as_str());
    let card = last4.and_then(|last4| CARDS.iter().find(|card| card.last4 == last4));
    card.map_or(Outcome::Succeed, |card| card.outcome)
}

fn make(card: &Card, billing: Value, metadata: Value, state: &mut State) -> String {
    let mut method = state.begin("payment_method");
    let mut details = json!({"address": no_address(),
        "email": null, "name": null, "phone": null, "tax_id": null});
    extend(&mut details, billing);
    extend(
        &mut method,
        json!({
            "allow_redisplay": "unspecified", "billing_details": details,
            "card": {
                "brand": card.brand, "checks": {"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass"},
                "country": "US", "display_brand": card.brand, "exp_month": 12, "exp_year": 2034,
                "fingerprint": format!("fake{:0>12}", card.last4), "funding": "credit", "generated_from": null,
                "last4": card.last4, "networks": {"available": [card.brand], "preferred": null},
                "regulated_status": "unregulated", "three_d_secure_usage": {"supported": true}, "wallet": null,
            },
            "customer": null, "metadata": metadata, "type": "card",
        }),
    );
    let id = id_of(&method).to_owned();
    state.add("payment_method", method);
    id
}

pub(super) fn no_address() -> Value {
    json!({"city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null})
}
