//! Kinds whose making is little more than keeping what was given: coupons, setup intents, webhook endpoints.

use serde_json::{Value, json};

use super::error::Error;
use super::events;
use super::params::Params;
use super::payment_methods;
use super::state::{State, extend};
use crate::shelf::id_of;

pub(super) fn coupon(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount_off",
        "currency",
        "duration",
        "duration_in_months",
        "id",
        "max_redemptions",
        "metadata",
        "name",
        "percent_off",
        "redeem_by",
    ]])?;
    let amount = params.integer("amount_off")?;
    let percent = params.text("percent_off").map(str::parse::<f64>);
    let percent = match percent {
        None => None,
        Some(Ok(percent)) if percent > 0.0 && percent <= 100.0 => Some(percent),
        Some(_) => return Err(Error::invalid("percent_off", "Invalid percent_off: must be between 0 and 100.")),
    };
    if amount.is_none() && percent.is_none() {
        return Err(Error::refused("parameter_missing", "Must provide percent_off or amount_off."));
    }
    let metadata = params.metadata()?;
    let mut coupon = state.begin("coupon");
    if let Some(id) = params.text("id") {
        if state.find("coupon", id).is_some() {
            return Err(Error::refused("resource_already_exists", "Coupon already exists."));
        }
        coupon["id"] = json!(id);
    }
    extend(
        &mut coupon,
        json!({
            "amount_off": amount, "currency": params.or_null("currency"), "duration": params.text("duration").unwrap_or("once"),
            "duration_in_months": params.integer("duration_in_months")?, "max_redemptions": params.integer("max_redemptions")?,
            "metadata": metadata, "name": params.or_null("name"), "percent_off": percent, "redeem_by": null,
            "times_redeemed": 0, "valid": true,
        }),
    );
    state.add("coupon", coupon.clone());
    events::record("coupon.created", &coupon, state);
    Ok(coupon)
}

pub(super) fn setup_intent(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "automatic_payment_methods",
        "confirm",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "payment_method_types",
        "return_url",
        "usage",
    ]])?;
    if let Some(customer) = params.text("customer") {
        state.named("customer", "customer", customer)?;
    }
    let method = match params.text("payment_method") {
        Some(given) => Some(payment_methods::resolve("payment_method", given, state)?),
        None => None,
    };
    let status = match (params.boolean("confirm")?, &method) {
        (Some(true), None) => return Err(Error::missing("payment_method")),
        (Some(true), Some(_)) => "succeeded",
        (_, Some(_)) => "requires_confirmation",
        (_, None) => "requires_payment_method",
    };
    let metadata = params.metadata()?;
    let mut intent = state.begin("setup_intent");
    let secret = state.ids.letters(&format!("{}_secret_", id_of(&intent)), 25);
    extend(
        &mut intent,
        json!({
            "application": null, "cancellation_reason": null, "client_secret": secret, "customer": params.or_null("customer"),
            "description": params.or_null("description"), "last_setup_error": null, "latest_attempt": null, "mandate": null,
            "metadata": metadata, "next_action": null, "payment_method": method, "payment_method_types": ["card"],
            "status": status, "usage": params.text("usage").unwrap_or("off_session"),
        }),
    );
    state.add("setup_intent", intent.clone());
    events::record("setup_intent.created", &intent, state);
    Ok(intent)
}

/// The answer carries a signing secret, this once: a client has to notice that.
pub(super) fn webhook_endpoint(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["api_version", "connect", "description", "enabled_events", "metadata", "url"]])?;
    let url = params.required("url")?;
    if !url.starts_with("https://") && state.live {
        return Err(Error::invalid_coded("url", "url_invalid", "Invalid URL: URLs must be https in live mode."));
    }
    let events = params.list("enabled_events")?;
    if events.is_empty() {
        return Err(Error::missing("enabled_events"));
    }
    let metadata = params.metadata()?;
    let mut endpoint = state.begin("webhook_endpoint");
    extend(
        &mut endpoint,
        json!({
            "api_version": params.or_null("api_version"), "application": null, "description": params.or_null("description"),
            "enabled_events": events, "metadata": metadata, "status": "enabled", "url": url,
        }),
    );
    state.add("webhook_endpoint", endpoint.clone());
    endpoint["secret"] = json!(state.ids.letters("whsec_", 32));
    Ok(endpoint)
}
