//! Subscriptions: made with their first invoice, changed, ended.

use serde_json::{Value, json};

use super::charges::text;
use super::customers;
use super::error::Error;
use super::events;
use super::invoices;
use super::list::inner;
use super::params::{Params, integer};
use super::payment_methods;
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "add_invoice_items",
        "automatic_tax",
        "backdate_start_date",
        "billing_cycle_anchor",
        "billing_mode",
        "cancel_at",
        "cancel_at_period_end",
        "collection_method",
        "currency",
        "customer",
        "days_until_due",
        "default_payment_method",
        "description",
        "discounts",
        "items",
        "metadata",
        "off_session",
        "payment_behavior",
        "payment_settings",
        "proration_behavior",
        "trial_end",
        "trial_from_plan",
        "trial_period_days",
        "trial_settings",
    ]])?;
    let customer = state.named("customer", "customer", params.required("customer")?)?.clone();
    let metadata = params.metadata()?;
    let now = unix_now();
    let trial_end = match (params.integer("trial_period_days")?, params.integer("trial_end")?) {
        (Some(days @ 1..=730), _) => Some(now + days as u64 * 86_400),
        (Some(_), _) => return Err(Error::invalid("trial_period_days", "Trial periods can have 1 to 730 days.")),
        (None, Some(end)) => Some(end.max(0) as u64),
        (None, None) => None,
    };
    let method = match params.text("default_payment_method") {
        Some(given) => Some(payment_methods::resolve("default_payment_method", given, state)?),
        None => None,
    };
    let mut subscription = state.begin("subscription");
    let id = id_of(&subscription).to_owned();
    let (items, total, currency) = items(&id, params, trial_end.unwrap_or(now), state)?;
    let by_card = params.text("collection_method") != Some("send_invoice");
    let pays_with = method.clone().or_else(|| customers::default_method(&customer).map(str::to_owned));
    let behaviour = params.text("payment_behavior").unwrap_or("allow_incomplete");
    let incomplete = pays_with.is_none() && total > 0 && trial_end.is_none() && by_card;
    if incomplete && behaviour != "default_incomplete" {
        let message = "This customer has no attached payment source or default payment method. Please consider adding a \
                       default payment method. For more information, visit \
                       https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.";
        return Err(Error::refused("resource_missing", message));
    }
    extend(
        &mut subscription,
        json!({
            "application": null, "application_fee_percent": null,
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null}, "billing_cycle_anchor": now,
            "cancel_at": params.integer("cancel_at")?, "cancel_at_period_end": params.boolean("cancel_at_period_end")?.unwrap_or(false),
            "canceled_at": null, "cancellation_details": {"comment": null, "feedback": null, "reason": null},
            "collection_method": if by_card { "charge_automatically" } else { "send_invoice" }, "currency": currency,
            "customer": customer["id"], "days_until_due": params.integer("days_until_due")?,
            "default_payment_method": method, "default_source": null, "description": params.or_null("description"),
            "discounts": [], "ended_at": null, "items": items, "latest_invoice": null, "metadata": metadata,
            "next_pending_invoice_item_invoice": null, "on_behalf_of": null, "pause_collection": null,
            "payment_settings": {"payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off"},
            "pending_invoice_item_interval": null, "pending_setup_intent": null, "pending_update": null, "schedule": null,
            "start_date": now, "status": if trial_end.is_some() { "trialing" } else { "active" }, "test_clock": null,
            "transfer_data": null, "trial_end": trial_end, "trial_start": trial_end.map(|_| now),
        }),
    );
    state.add("subscription", subscription);
    let due = if trial_end.is_some() { 0 } else { total };
    let (invoice, paid) = invoices::for_subscription(&id, &customer, due, &currency, pays_with.as_deref(), state)?;
    let subscription = state.object_mut("subscription", &id)?;
    subscription["latest_invoice"] = json!(invoice);
    if !paid && by_card {
        subscription["status"] = json!("incomplete");
    }
    let subscription = subscription.clone();
    events::record("customer.subscription.created", &subscription, state);
    Ok(subscription)
}

pub(super) fn cancel(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["cancellation_details", "invoice_now", "prorate"]])?;
    let subscription = state.object_mut("subscription", id)?;
    if subscription["status"] == "canceled" {
        return Err(Error::no_object("subscription", id));
    }
    let now = unix_now();
    extend(subscription, json!({"status": "canceled", "canceled_at": now, "ended_at": now}));
    subscription["cancellation_details"]["reason"] = json!("cancellation_requested");
    let subscription = subscription.clone();
    events::record("customer.subscription.deleted", &subscription, state);
    Ok(subscription)
}

/// What an update through the common path changes besides the fields themselves.
pub(super) fn after_update(id: &str, params: &Params, state: &mut State) -> Result<(), Error> {
    if !params.list("items")?.is_empty() {
        let (items, ..) = items(id, params, unix_now(), state)?;
        state.object_mut("subscription", id)?["items"] = items;
    }
    Ok(())
}

/// The items, what they cost together, and in which currency.
fn items(id: &str, params: &Params, from: u64, state: &mut State) -> Result<(Value, i64, String), Error> {
    let given = params.list("items")?;
    if given.is_empty() {
        return Err(Error::missing("items"));
    }
    if given.len() > 20 {
        return Err(Error::invalid("items", "A subscription may have 20 items."));
    }
    let (mut items, mut total, mut currency) = (Vec::new(), 0_i64, String::new());
    for (index, item) in given.iter().enumerate() {
        let param = format!("items[{index}][price]");
        let price = item["price"].as_str().ok_or_else(|| Error::missing(&param))?;
        let price = state.named(&param, "price", price)?.clone();
        if price["type"] != "recurring" {
            let message = format!(
                "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`: {}",
                id_of(&price)
            );
            return Err(Error::invalid(&param, message));
        }
        let quantity = match &item["quantity"] {
            Value::Null => 1,
            quantity => integer(&format!("items[{index}][quantity]"), quantity)?.clamp(0, 1_000_000),
        };
        total = total.saturating_add(price["unit_amount"].as_i64().unwrap_or(0).saturating_mul(quantity));
        currency = text(&price, "currency");
        let days = match price["recurring"]["interval"].as_str() {
            Some("day") => 1,
            Some("week") => 7,
            Some("year") => 365,
            _ => 30,
        };
        items.push(json!({
            "id": state.ids.letters("si_", 14), "object": "subscription_item", "billing_thresholds": null,
            "created": unix_now(), "current_period_end": from + days * 86_400, "current_period_start": unix_now(),
            "discounts": [], "metadata": {}, "price": price, "quantity": quantity, "subscription": id, "tax_rates": [],
        }));
    }
    Ok((inner(items, format!("/v1/subscription_items?subscription={id}")), total, currency))
}
