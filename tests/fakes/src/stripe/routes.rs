//! Which endpoint a request is for: the special ones first, then what all kinds have in common.

use serde_json::{Value, json};

use super::error::Error;
use super::params::{Params, typed};
use super::resources::{Resource, by_path};
use super::state::State;
use super::{
    balance, charges, checkout, customers, events, invoices, list, payment_intents, payment_methods, products, refunds,
    search, simple, subscriptions,
};
use crate::record::Recorded;

pub(super) fn route(request: &Recorded, params: &Params, state: &mut State) -> Result<Value, Error> {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    let Some((&"v1", rest)) = segments.split_first() else { return Err(Error::no_url(request)) };
    match (request.method.as_str(), rest) {
        ("GET", ["balance"]) => balance::retrieve(params, state),
        ("POST", _) => match special(rest, params, state) {
            Some(answer) => answer,
            None => common(request, rest, params, state),
        },
        ("DELETE", ["subscriptions", id]) => subscriptions::cancel(id, params, state),
        ("DELETE", ["products", id]) => products::delete_product(id, state),
        ("DELETE", ["invoices", id]) => invoices::delete(id, state),
        ("DELETE", ["customers", id]) => deleted("customer", "customer.deleted", id, state),
        ("DELETE", ["coupons", id]) => deleted("coupon", "coupon.deleted", id, state),
        ("DELETE", ["invoiceitems", id]) => deleted("invoiceitem", "invoiceitem.deleted", id, state),
        ("DELETE", ["webhook_endpoints", id]) => state.delete("webhook_endpoint", id),
        ("GET", ["invoices", id, "lines"]) => Ok(state.object("invoice", id)?["lines"].clone()),
        ("GET", ["balance", "history"]) => list_of("balance_transactions", request, params, state),
        ("GET", ["balance", "history", id]) => state.object("balance_transaction", id).cloned(),
        ("GET", ["customers", id, "payment_methods"]) => methods_of(id, state),
        _ => common(request, rest, params, state),
    }
}

/// POSTs that do more than set fields.
fn special(path: &[&str], params: &Params, state: &mut State) -> Option<Result<Value, Error>> {
    Some(match path {
        ["charges"] => charges::create(params, state),
        ["charges", id, "capture"] => charges::capture(id, params, state),
        ["checkout", "sessions"] => checkout::create(params, state),
        ["checkout", "sessions", id, "expire"] => checkout::expire(id, params, state),
        ["coupons"] => simple::coupon(params, state),
        ["customers"] => customers::create(params, state),
        ["invoiceitems"] => invoices::create_item(params, state),
        ["invoices"] => invoices::create(params, state),
        ["invoices", id, "finalize"] => invoices::finalize(id, params, state),
        ["invoices", id, "pay"] => invoices::pay(id, params, state),
        ["invoices", id, "send"] => invoices::send(id, params, state),
        ["invoices", id, "void"] => invoices::void(id, params, state),
        ["payment_intents"] => payment_intents::create(params, state),
        ["payment_intents", id, "cancel"] => payment_intents::cancel(id, params, state),
        ["payment_intents", id, "capture"] => payment_intents::capture(id, params, state),
        ["payment_intents", id, "confirm"] => payment_intents::confirm(id, params, state),
        ["payment_methods"] => payment_methods::create(params, state),
        ["payment_methods", id, "attach"] => payment_methods::attach(id, params, state),
        ["payment_methods", id, "detach"] => payment_methods::detach(id, params, state),
        ["payouts"] => balance::create_payout(params, state),
        ["payouts", id, "cancel"] => balance::cancel_payout(id, params, state),
        ["prices"] => products::create_price(params, state),
        ["products"] => products::create_product(params, state),
        ["refunds"] => refunds::create(params, state),
        ["refunds", id, "cancel"] => refunds::cancel(id, state),
        ["setup_intents"] => simple::setup_intent(params, state),
        ["subscriptions"] => subscriptions::create(params, state),
        ["webhook_endpoints"] => simple::webhook_endpoint(params, state),
        _ => return None,
    })
}

/// List, search, retrieve and update, which are the same for all kinds.
fn common(request: &Recorded, path: &[&str], params: &Params, state: &mut State) -> Result<Value, Error> {
    let (resource, rest) = match path {
        ["checkout", "sessions", rest @ ..] => (by_path("checkout/sessions"), rest),
        [name, rest @ ..] => (by_path(name), rest),
        [] => (None, path),
    };
    let Some(resource) = resource else { return Err(Error::no_url(request)) };
    match (request.method.as_str(), rest) {
        ("GET", []) => list::list(resource, params, state),
        ("GET", ["search"]) if resource.searchable => search::search(resource, params, state),
        ("GET", [id]) if !id.is_empty() => {
            params.only(&[])?;
            let id = crate::urlencoded::decode(id);
            match state.find(resource.kind, &id) {
                Some(object) => Ok(object.clone()),
                None => state.deleted(resource.kind, &id).ok_or_else(|| Error::no_object(resource.kind, &id)),
            }
        }
        ("POST", [id]) if !resource.updates.is_empty() => update(resource, id, params, state),
        _ => Err(Error::no_url(request)),
    }
}

fn update(resource: &Resource, id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[resource.updates])?;
    if resource.kind == "customer" {
        customers::check_email(params)?;
        state.object("customer", id)?;
        customers::invoice_settings(id, params, state)?;
    }
    if resource.kind == "payment_intent" && (params.get("amount").is_some() || params.get("currency").is_some()) {
        let open = ["requires_payment_method", "requires_confirmation", "requires_action"];
        payment_intents::require(id, "update", &open, state)?;
    }
    let object = state.object_mut(resource.kind, id)?;
    let mut changed = object.clone();
    params.merge_metadata(&mut changed["metadata"])?;
    for (name, value) in params.iter() {
        match name.as_str() {
            // Read by the endpoint itself, or not a field of the object.
            "expand" | "metadata" | "items" | "payment_method" | "invoice_settings" | "payment_behavior"
            | "proration_behavior" => {}
            "amount" | "balance" | "cancel_at" | "days_until_due" | "due_date" | "trial_end" if *value != "" => {
                changed[name] = json!(super::params::integer(name, value)?);
            }
            _ => changed[name] = typed(value),
        }
    }
    *object = changed;
    match resource.kind {
        "payment_intent" => payment_intents::after_update(id, params, state)?,
        "subscription" => subscriptions::after_update(id, params, state)?,
        _ => {}
    }
    let object = state.object(resource.kind, id)?.clone();
    let event = match resource.kind {
        "subscription" => "customer.subscription.updated".to_owned(),
        kind => format!("{kind}.updated"),
    };
    events::record(&event, &object, state);
    Ok(object)
}

fn deleted(kind: &'static str, event: &str, id: &str, state: &mut State) -> Result<Value, Error> {
    let object = state.object(kind, id)?.clone();
    let stub = state.delete(kind, id)?;
    events::record(event, &object, state);
    Ok(stub)
}

fn list_of(path: &str, request: &Recorded, params: &Params, state: &State) -> Result<Value, Error> {
    let resource = by_path(path).ok_or_else(|| Error::no_url(request))?;
    list::list(resource, params, state)
}

fn methods_of(customer: &str, state: &State) -> Result<Value, Error> {
    state.object("customer", customer)?;
    let methods: Vec<Value> = state
        .shelf("payment_method")
        .map(|shelf| shelf.iter().rev().filter(|method| method["customer"] == customer).cloned().collect())
        .unwrap_or_default();
    let url = format!("/v1/customers/{customer}/payment_methods");
    Ok(json!({"object": "list", "data": methods, "has_more": false, "url": url}))
}
