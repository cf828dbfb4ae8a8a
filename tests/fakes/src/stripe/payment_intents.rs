//! Payment intents: create, confirm, capture, cancel, and the states between.

use serde_json::{Map, Value, json};

use super::cards::Outcome;
use super::charges::{self, Asked, Charged, text};
use super::error::Error;
use super::events;
use super::money::{amount_and_currency, check_amount};
use super::params::Params;
use super::payment_methods::{outcome, resolve};
use super::resources::by_path;
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    let updates = by_path("payment_intents").map_or(&[][..], |resource| resource.updates);
    params.only(&[updates, ONLY_CREATE, ONLY_CONFIRM])?;
    let (amount, currency) = amount_and_currency(params)?;
    if let Some(customer) = params.text("customer") {
        state.named("customer", "customer", customer)?;
    }
    let confirm = params.boolean("confirm")?.unwrap_or(false);
    let metadata = params.metadata()?;
    let capture = one_of(params, "capture_method", &["automatic_async", "automatic", "manual"])?;
    let method = match params.text("payment_method") {
        Some(given) => Some(resolve("payment_method", given, state)?),
        None => None,
    };
    let types = match params.list("payment_method_types")? {
        [] => json!(["card"]),
        given => json!(given),
    };
    let mut intent = state.begin("payment_intent");
    let secret = state.ids.letters(&format!("{}_secret_", id_of(&intent)), 25);
    extend(
        &mut intent,
        json!({
            "amount": amount, "amount_capturable": 0, "amount_details": {"tip": {}}, "amount_received": 0,
            "application": null, "application_fee_amount": null,
            "automatic_payment_methods": params.or_null("automatic_payment_methods"), "canceled_at": null,
            "cancellation_reason": null, "capture_method": capture, "client_secret": secret,
            "confirmation_method": params.text("confirmation_method").unwrap_or("automatic"), "currency": currency,
            "customer": params.or_null("customer"), "description": params.or_null("description"),
            "last_payment_error": null, "latest_charge": null, "metadata": metadata, "next_action": null,
            "on_behalf_of": null, "payment_method": method, "payment_method_options": {"card": {
                "installments": null, "mandate_options": null, "network": null, "request_three_d_secure": "automatic"}},
            "payment_method_types": types, "processing": null, "receipt_email": params.or_null("receipt_email"),
            "review": null, "setup_future_usage": params.or_null("setup_future_usage"),
            "shipping": params.or_null("shipping"), "source": null,
            "statement_descriptor": params.or_null("statement_descriptor"),
            "statement_descriptor_suffix": params.or_null("statement_descriptor_suffix"),
            "status": if method.is_some() { "requires_confirmation" } else { "requires_payment_method" },
            "transfer_data": null, "transfer_group": params.or_null("transfer_group"),
        }),
    );
    let id = id_of(&intent).to_owned();
    if confirm && method.is_none() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the \
                       PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a \
                       payment method or ConfirmationToken.";
        return Err(Error::refused("payment_intent_unexpected_state", message));
    }
    state.add("payment_intent", intent.clone());
    events::record("payment_intent.created", &intent, state);
    if confirm { attempt(&id, state) } else { Ok(intent) }
}

pub(super) fn confirm(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    let updates = by_path("payment_intents").map_or(&[][..], |resource| resource.updates);
    params.only(&[updates, ONLY_CONFIRM])?;
    require(id, "confirm", &["requires_payment_method", "requires_confirmation", "requires_action"], state)?;
    if let Some(given) = params.text("payment_method") {
        let method = resolve("payment_method", given, state)?;
        state.object_mut("payment_intent", id)?["payment_method"] = json!(method);
    }
    let intent = state.object("payment_intent", id)?;
    if intent["payment_method"].is_null() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. To confirm the \
                       PaymentIntent, specify a payment method attached to this customer along with the customer ID.";
        return Err(Error::refused("payment_intent_unexpected_state", message));
    }
    attempt(id, state)
}

pub(super) fn capture(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount_to_capture",
        "application_fee_amount",
        "final_capture",
        "metadata",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    ]])?;
    require(id, "capture", &["requires_capture"], state)?;
    let intent = state.object("payment_intent", id)?;
    let all = intent["amount_capturable"].as_i64().unwrap_or(0);
    let charge = text(intent, "latest_charge");
    let amount = params.integer("amount_to_capture")?.unwrap_or(all);
    check_amount(amount, &text(intent, "currency"))?;
    if amount > all {
        let message = "The amount_to_capture is greater than the remaining amount that can be captured.";
        return Err(Error::invalid_coded("amount_to_capture", "amount_too_large", message));
    }
    charges::capture_amount(&charge, amount, state)?;
    let intent = state.object_mut("payment_intent", id)?;
    params.merge_metadata(&mut intent["metadata"])?;
    extend(intent, json!({"amount_capturable": 0, "amount_received": amount, "status": "succeeded"}));
    told(id, "payment_intent.succeeded", state)
}

pub(super) fn cancel(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["cancellation_reason"]])?;
    let open =
        ["requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "processing"];
    require(id, "cancel", &open, state)?;
    let reason = params.or_null("cancellation_reason");
    if let Some(reason) = reason.as_str()
        && !["abandoned", "duplicate", "fraudulent", "requested_by_customer"].contains(&reason)
    {
        return Err(Error::invalid("cancellation_reason", format!("Invalid cancellation_reason: {reason}")));
    }
    let intent = state.object_mut("payment_intent", id)?;
    let more =
        json!({"amount_capturable": 0, "canceled_at": unix_now(), "cancellation_reason": reason, "status": "canceled"});
    extend(intent, more);
    told(id, "payment_intent.canceled", state)
}

/// What an update through the common path changes besides the fields themselves.
pub(super) fn after_update(id: &str, params: &Params, state: &mut State) -> Result<(), Error> {
    if let Some(given) = params.text("payment_method") {
        let method = resolve("payment_method", given, state)?;
        let intent = state.object_mut("payment_intent", id)?;
        intent["payment_method"] = json!(method);
        if intent["status"] == "requires_payment_method" {
            intent["status"] = json!("requires_confirmation");
        }
    }
    Ok(())
}

/// Refuses an action in a state that does not allow it.
pub(super) fn require(id: &str, action: &str, allowed: &[&str], state: &State) -> Result<(), Error> {
    let intent = state.object("payment_intent", id)?;
    let status = text(intent, "status");
    if allowed.contains(&status.as_str()) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    let message = format!(
        "You cannot {action} this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one of the \
         following statuses may be {action}{}: {allowed}.",
        if action.ends_with('e') { "d" } else { "ed" }
    );
    Err(Error::refused("payment_intent_unexpected_state", message))
}

fn attempt(id: &str, state: &mut State) -> Result<Value, Error> {
    let intent = state.object("payment_intent", id)?.clone();
    let method = text(&intent, "payment_method");
    if outcome(&method, state) == Outcome::NeedsAction {
        let action = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}});
        extend(state.object_mut("payment_intent", id)?, json!({"status": "requires_action", "next_action": action}));
        return told(id, "payment_intent.requires_action", state);
    }
    let currency = text(&intent, "currency");
    let amount = intent["amount"].as_i64().unwrap_or(0);
    let capture = intent["capture_method"] != "manual";
    let asked = Asked {
        amount,
        currency: &currency,
        method: &method,
        capture,
        customer: intent["customer"].clone(),
        description: intent["description"].clone(),
        metadata: intent["metadata"].clone(),
        payment_intent: json!(id),
    };
    let charged = charges::charge(asked, state);
    let kept = state.object_mut("payment_intent", id)?;
    match charged {
        Charged::Paid(charge) => {
            let (status, capturable, received) =
                if capture { ("succeeded", 0, amount) } else { ("requires_capture", amount, 0) };
            extend(
                kept,
                json!({
                    "amount_capturable": capturable, "amount_received": received, "last_payment_error": null,
                    "latest_charge": charge["id"], "next_action": null, "status": status,
                }),
            );
            told(
                id,
                if capture { "payment_intent.succeeded" } else { "payment_intent.amount_capturable_updated" },
                state,
            )
        }
        Charged::Failed(charge, decline) => {
            let doc = format!("https://stripe.com/docs/error-codes/{}", decline.code.replace('_', "-"));
            extend(
                kept,
                json!({
                    "latest_charge": charge["id"], "payment_method": null, "status": "requires_payment_method",
                    "last_payment_error": {
                        "charge": charge["id"], "code": decline.code, "decline_code": decline.decline_code, "doc_url": doc,
                        "message": decline.message, "param": decline.param, "type": "card_error",
                    },
                }),
            );
            let intent = told(id, "payment_intent.payment_failed", state)?;
            let method = state.find("payment_method", &method).cloned().unwrap_or(Value::Null);
            Err(Error::card(
                decline,
                Map::from_iter([
                    ("charge".to_owned(), charge["id"].clone()),
                    ("payment_intent".to_owned(), intent),
                    ("payment_method".to_owned(), method),
                ]),
            ))
        }
    }
}

/// The intent as it is now, with an event about it.
fn told(id: &str, event: &str, state: &mut State) -> Result<Value, Error> {
    let intent = state.object("payment_intent", id)?.clone();
    events::record(event, &intent, state);
    Ok(intent)
}

/// One of a few words; the first is the default.
fn one_of(params: &Params, name: &str, words: &[&str]) -> Result<String, Error> {
    let given = params.text(name).unwrap_or(words[0]);
    if words.contains(&given) {
        return Ok(given.to_owned());
    }
    Err(Error::invalid(name, format!("Invalid {name}: must be one of {}", words.join(", "))))
}

const ONLY_CREATE: &[&str] = &[
    "amount_details",
    "automatic_payment_methods",
    "confirm",
    "confirmation_method",
    "excluded_payment_method_types",
    "hooks",
    "on_behalf_of",
    "payment_details",
    "transfer_data",
];
const ONLY_CONFIRM: &[&str] = &[
    "confirmation_token",
    "error_on_requires_action",
    "mandate",
    "mandate_data",
    "off_session",
    "payment_method_data",
    "return_url",
    "use_stripe_sdk",
];
