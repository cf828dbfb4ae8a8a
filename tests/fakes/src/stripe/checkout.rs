//! Checkout sessions. Nobody ever comes to pay, so they stay open until they are expired.

use serde_json::{Value, json};

use super::charges::text;
use super::customers::check_email;
use super::error::Error;
use super::events;
use super::params::{Params, integer};
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "allow_promotion_codes",
        "automatic_tax",
        "billing_address_collection",
        "cancel_url",
        "client_reference_id",
        "currency",
        "customer",
        "customer_creation",
        "customer_email",
        "discounts",
        "expires_at",
        "invoice_creation",
        "line_items",
        "locale",
        "metadata",
        "mode",
        "payment_intent_data",
        "payment_method_types",
        "return_url",
        "shipping_address_collection",
        "submit_type",
        "subscription_data",
        "success_url",
        "tax_id_collection",
        "ui_mode",
    ]])?;
    check_email(params)?;
    let mode = params.required("mode")?;
    if !["payment", "setup", "subscription"].contains(&mode) {
        return Err(Error::invalid("mode", "Invalid mode: must be one of payment, setup, or subscription"));
    }
    if let Some(customer) = params.text("customer") {
        state.named("customer", "customer", customer)?;
    }
    if params.text("ui_mode").is_none_or(|mode| mode == "hosted") && params.text("success_url").is_none() {
        return Err(Error::missing("success_url"));
    }
    let (total, currency) = total(params, mode, state)?;
    let metadata = params.metadata()?;
    let expires = params.integer("expires_at")?.map_or(unix_now() + 86_400, |at| at.max(0) as u64);
    let mut session = state.begin("checkout.session");
    let url = format!("https://checkout.invalid/c/pay/{}", id_of(&session));
    extend(
        &mut session,
        json!({
            "allow_promotion_codes": null, "amount_subtotal": total, "amount_total": total,
            "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
            "billing_address_collection": null, "cancel_url": params.or_null("cancel_url"),
            "client_reference_id": params.or_null("client_reference_id"), "client_secret": null, "consent": null,
            "currency": currency, "custom_fields": [], "customer": params.or_null("customer"),
            "customer_creation": if mode == "payment" { json!("if_required") } else { Value::Null },
            "customer_details": null, "customer_email": params.or_null("customer_email"), "discounts": [],
            "expires_at": expires, "invoice": null, "locale": params.or_null("locale"), "metadata": metadata, "mode": mode,
            "payment_intent": null, "payment_link": null, "payment_method_collection": "if_required",
            "payment_method_types": ["card"], "payment_status": if mode == "setup" { "no_payment_required" } else { "unpaid" },
            "setup_intent": null, "shipping_options": [], "status": "open", "submit_type": null, "subscription": null,
            "success_url": params.or_null("success_url"), "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": params.text("ui_mode").unwrap_or("hosted"), "url": url,
        }),
    );
    state.add("checkout.session", session.clone());
    Ok(session)
}

pub(super) fn expire(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[])?;
    let session = state.object_mut("checkout.session", id)?;
    let status = text(session, "status");
    if status != "open" {
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {status}."
        );
        return Err(Error::invalid("session", message));
    }
    session["status"] = json!("expired");
    session["url"] = Value::Null;
    let session = session.clone();
    events::record("checkout.session.expired", &session, state);
    Ok(session)
}

fn total(params: &Params, mode: &str, state: &State) -> Result<(Option<i64>, Value), Error> {
    let items = params.list("line_items")?;
    if items.is_empty() {
        return if mode == "setup" {
            Ok((None, params.or_null("currency")))
        } else {
            Err(Error::missing("line_items"))
        };
    }
    let (mut total, mut currency) = (0_i64, Value::Null);
    for (index, item) in items.iter().enumerate() {
        let quantity = match &item["quantity"] {
            Value::Null => return Err(Error::missing(&format!("line_items[{index}][quantity]"))),
            quantity => integer(&format!("line_items[{index}][quantity]"), quantity)?,
        };
        let amount = match item["price"].as_str() {
            Some(price) => {
                let price = state.named(&format!("line_items[{index}][price]"), "price", price)?;
                currency = price["currency"].clone();
                price["unit_amount"].as_i64().unwrap_or(0)
            }
            None => {
                let data = &item["price_data"];
                currency = data["currency"].clone();
                integer(&format!("line_items[{index}][price_data][unit_amount]"), &data["unit_amount"])?
            }
        };
        total = total.saturating_add(amount.saturating_mul(quantity));
    }
    Ok((Some(total), currency))
}
