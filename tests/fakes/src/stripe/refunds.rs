//! Refunds, by charge or by payment intent.

use serde_json::{Value, json};

use super::balance;
use super::charges::text;
use super::error::Error;
use super::events;
use super::money::shown;
use super::params::Params;
use super::state::{State, extend};
use crate::shelf::id_of;

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount",
        "charge",
        "customer",
        "currency",
        "instructions_email",
        "metadata",
        "origin",
        "payment_intent",
        "reason",
        "refund_application_fee",
        "reverse_transfer",
    ]])?;
    let charge = charge_of(params, state)?;
    let id = id_of(&charge).to_owned();
    let currency = text(&charge, "currency");
    let taken = charge["amount_captured"].as_i64().unwrap_or(0);
    let back = charge["amount_refunded"].as_i64().unwrap_or(0);
    if charge["refunded"] == true {
        return Err(Error::refused("charge_already_refunded", format!("Charge {id} has already been refunded.")));
    }
    if taken == 0 {
        return Err(Error::refused(
            "charge_not_refundable",
            format!("Charge {id} has not been captured and cannot be refunded."),
        ));
    }
    let amount = params.integer("amount")?.unwrap_or(taken - back);
    if amount < 1 {
        return Err(Error::invalid_coded("amount", "parameter_invalid_integer", "Invalid positive integer"));
    }
    if amount > taken - back {
        let message = format!(
            "Refund amount ({}) is greater than unrefunded amount on charge ({})",
            shown(amount, &currency),
            shown(taken - back, &currency)
        );
        return Err(Error::invalid("amount", message));
    }
    if let Some(reason) = params.text("reason")
        && !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason)
    {
        return Err(Error::invalid(
            "reason",
            "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer",
        ));
    }
    let metadata = params.metadata()?;
    let mut refund = state.begin("refund");
    let transaction = balance::spend(amount, &currency, "refund", id_of(&refund), state);
    extend(
        &mut refund,
        json!({
            "amount": amount, "balance_transaction": transaction, "charge": id, "currency": currency,
            "destination_details": {"card": {"reference_status": "pending", "reference_type": "acquirer_reference_number",
                "type": "refund"}, "type": "card"},
            "metadata": metadata, "payment_intent": charge["payment_intent"], "reason": params.or_null("reason"),
            "receipt_number": null, "source_transfer_reversal": null, "status": "succeeded", "transfer_reversal": null,
        }),
    );
    state.add("refund", refund.clone());
    let charge = state.object_mut("charge", &id)?;
    charge["amount_refunded"] = json!(back + amount);
    charge["refunded"] = json!(back + amount == taken);
    let charge = charge.clone();
    events::record("refund.created", &refund, state);
    events::record("charge.refunded", &charge, state);
    Ok(refund)
}

/// A card's refund is done at once, so there is never one to cancel.
pub(super) fn cancel(id: &str, state: &State) -> Result<Value, Error> {
    state.object("refund", id)?;
    let message = "You can only cancel a refund that has the status `requires_action`.";
    Err(Error::refused("refund_not_cancelable", message))
}

fn charge_of(params: &Params, state: &State) -> Result<Value, Error> {
    match (params.text("charge"), params.text("payment_intent")) {
        (Some(charge), None) => state.named("charge", "charge", charge).cloned(),
        (None, Some(intent)) => {
            let intent = state.named("payment_intent", "payment_intent", intent)?;
            let charge = intent["latest_charge"].as_str().and_then(|id| state.find("charge", id));
            charge.cloned().ok_or_else(|| {
                let message =
                    format!("This PaymentIntent ({}) does not have a successful charge to refund.", id_of(intent));
                Error::invalid("payment_intent", message)
            })
        }
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: charge, payment_intent.";
            Err(Error::invalid("charge", message))
        }
        (None, None) => Err(Error::refused(
            "parameter_missing",
            "One of the following params should be provided for this request: payment_intent or charge.",
        )),
    }
}
