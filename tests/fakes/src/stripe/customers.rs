//! Customers.

use serde_json::{Value, json};

use super::error::Error;
use super::events;
use super::params::Params;
use super::payment_methods;
use super::resources::by_path;
use super::state::{State, extend};
use crate::shelf::id_of;

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    let updates = by_path("customers").map_or(&[][..], |resource| resource.updates);
    params.only(&[
        updates,
        &["payment_method", "source", "tax", "tax_id_data", "test_clock", "cash_balance", "coupon"],
    ])?;
    check_email(params)?;
    let metadata = params.metadata()?;
    let balance = params.integer("balance")?.unwrap_or(0);
    let mut customer = state.begin("customer");
    let prefix = state.ids.letters("", 8).to_uppercase();
    extend(
        &mut customer,
        json!({
            "address": params.or_null("address"), "balance": balance, "currency": null, "default_source": null,
            "delinquent": false, "description": params.or_null("description"), "discount": null,
            "email": params.or_null("email"), "invoice_prefix": prefix,
            "invoice_settings": {
                "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
            },
            "metadata": metadata, "name": params.or_null("name"), "next_invoice_sequence": 1,
            "phone": params.or_null("phone"), "preferred_locales": params.list("preferred_locales")?,
            "shipping": params.or_null("shipping"), "tax_exempt": params.text("tax_exempt").unwrap_or("none"),
            "test_clock": null,
        }),
    );
    let id = id_of(&customer).to_owned();
    state.add("customer", customer);
    let attached = attach_given(&id, params, state);
    if let Err(error) = attached {
        // A customer whose card cannot be attached is not made at all.
        state.delete("customer", &id)?;
        return Err(error);
    }
    let customer = state.object("customer", &id)?.clone();
    events::record("customer.created", &customer, state);
    Ok(customer)
}

fn attach_given(id: &str, params: &Params, state: &mut State) -> Result<(), Error> {
    for param in ["payment_method", "source"] {
        if let Some(given) = params.text(param) {
            let method = payment_methods::resolve(param, given, state)?;
            payment_methods::attach_to(&method, id, state)?;
            if param == "source" {
                state.object_mut("customer", id)?["default_source"] = json!(method);
            }
        }
    }
    invoice_settings(id, params, state)
}

/// `invoice_settings[default_payment_method]`, the one setting that anything here reads.
pub(super) fn invoice_settings(id: &str, params: &Params, state: &mut State) -> Result<(), Error> {
    let Some(settings) = params.get("invoice_settings") else { return Ok(()) };
    let Some(given) = settings["default_payment_method"].as_str() else { return Ok(()) };
    let param = "invoice_settings[default_payment_method]";
    let method = payment_methods::resolve(param, given, state)?;
    payment_methods::attach_to(&method, id, state)?;
    state.object_mut("customer", id)?["invoice_settings"]["default_payment_method"] = json!(method);
    Ok(())
}

pub(super) fn check_email(params: &Params) -> Result<(), Error> {
    match params.text("email") {
        Some(email) if !email.contains('@') || email.len() > 512 => {
            Err(Error::invalid_coded("email", "email_invalid", format!("Invalid email address: {email}")))
        }
        _ => Ok(()),
    }
}

/// The payment method that a customer's invoices are paid with.
pub(super) fn default_method(customer: &Value) -> Option<&str> {
    customer["invoice_settings"]["default_payment_method"].as_str().or_else(|| customer["default_source"].as_str())
}
