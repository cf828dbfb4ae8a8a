//! Invoices and the items that wait for one.

use serde_json::{Map, Value, json};

use super::charges::{self, Asked, Charged, text};
use super::customers;
use super::error::Error;
use super::events;
use super::list::inner;
use super::money;
use super::params::Params;
use super::resources::by_path;
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create_item(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount",
        "currency",
        "customer",
        "description",
        "discountable",
        "invoice",
        "metadata",
        "period",
        "quantity",
        "subscription",
        "unit_amount_decimal",
    ]])?;
    let customer = state.named("customer", "customer", params.required("customer")?)?["id"].clone();
    let amount = params.required_integer("amount")?;
    let currency = money::currency(params)?;
    if let Some(invoice) = params.text("invoice") {
        require(state.named("invoice", "invoice", invoice)?, &["draft"], "add items to")?;
    }
    let metadata = params.metadata()?;
    let now = unix_now();
    let mut item = state.begin("invoiceitem");
    extend(
        &mut item,
        json!({
            "amount": amount, "currency": currency, "customer": customer, "date": now,
            "description": params.or_null("description"), "discountable": true, "discounts": [],
            "invoice": params.or_null("invoice"), "metadata": metadata, "parent": null, "period": {"end": now, "start": now},
            "pricing": null, "proration": false, "quantity": 1, "tax_rates": [], "test_clock": null,
        }),
    );
    state.add("invoiceitem", item.clone());
    if let Some(invoice) = params.text("invoice") {
        gather(invoice, state)?;
    }
    events::record("invoiceitem.created", &item, state);
    Ok(item)
}

pub(super) fn create(params: &Params, state: &mut State) -> Result<Value, Error> {
    let updates = by_path("invoices").map_or(&[][..], |resource| resource.updates);
    params.only(&[
        updates,
        &[
            "automatic_tax",
            "currency",
            "customer",
            "discounts",
            "pending_invoice_items_behavior",
            "subscription",
            "payment_settings",
        ],
    ])?;
    let customer = state.named("customer", "customer", params.required("customer")?)?.clone();
    let metadata = params.metadata()?;
    let currency = match params.text("currency") {
        Some(_) => money::currency(params)?,
        None => waiting(id_of(&customer), state).first().map_or("usd".to_owned(), |item| text(item, "currency")),
    };
    let id = blank(&customer, &currency, metadata, Value::Null, state);
    let invoice = state.object_mut("invoice", &id)?;
    for field in
        ["auto_advance", "collection_method", "days_until_due", "description", "default_payment_method", "footer"]
    {
        if let Some(value) = params.get(field) {
            invoice[field] = super::params::typed(value);
        }
    }
    if params.text("pending_invoice_items_behavior") == Some("include") {
        let waiting: Vec<String> = waiting(id_of(&customer), state).iter().map(|item| id_of(item).to_owned()).collect();
        for item in waiting {
            state.object_mut("invoiceitem", &item)?["invoice"] = json!(id);
        }
    }
    gather(&id, state)?;
    told(&id, "invoice.created", state)
}

pub(super) fn finalize(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["auto_advance"]])?;
    let invoice = state.object("invoice", id)?;
    require(invoice, &["draft"], "finalize")?;
    let due = invoice["amount_due"].as_i64().unwrap_or(0);
    open(id, state)?;
    if due == 0 {
        settle(id, 0, state)?;
    }
    told(id, "invoice.finalized", state)
}

pub(super) fn pay(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&["forgive", "mandate", "off_session", "paid_out_of_band", "payment_method", "source"]])?;
    let invoice = state.object("invoice", id)?.clone();
    if invoice["status"] == "paid" {
        return Err(Error::refused("invoice_already_paid", "Invoice is already paid"));
    }
    require(&invoice, &["draft", "open"], "pay")?;
    let customer = state.find("customer", &text(&invoice, "customer")).cloned().unwrap_or(Value::Null);
    let method = match params.text("payment_method") {
        Some(given) => Some(super::payment_methods::resolve("payment_method", given, state)?),
        None => invoice["default_payment_method"]
            .as_str()
            .or_else(|| customers::default_method(&customer))
            .map(str::to_owned),
    };
    if invoice["status"] == "draft" {
        open(id, state)?;
    }
    let due = invoice["amount_due"].as_i64().unwrap_or(0);
    if due == 0 || params.boolean("paid_out_of_band")? == Some(true) {
        settle(id, due, state)?;
        return told(id, "invoice.paid", state);
    }
    let Some(method) = method else {
        let message = "There is no `default_payment_method` set on this Customer or Invoice. Please set a \
                       `default_payment_method` prior to retrying this invoice.";
        return Err(Error::refused("invoice_payment_intent_requires_action", message));
    };
    collect(id, &method, state)?;
    told(id, "invoice.paid", state)
}

pub(super) fn send(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[])?;
    require(state.object("invoice", id)?, &["draft", "open"], "send")?;
    if state.object("invoice", id)?["status"] == "draft" {
        open(id, state)?;
    }
    told(id, "invoice.sent", state)
}

pub(super) fn void(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[])?;
    require(state.object("invoice", id)?, &["open", "uncollectible"], "void")?;
    let invoice = state.object_mut("invoice", id)?;
    invoice["status"] = json!("void");
    invoice["status_transitions"]["voided_at"] = json!(unix_now());
    told(id, "invoice.voided", state)
}

pub(super) fn delete(id: &str, state: &mut State) -> Result<Value, Error> {
    require(state.object("invoice", id)?, &["draft"], "delete")?;
    state.delete("invoice", id)
}

/// Makes the first invoice of a subscription; says whether it is paid.
pub(super) fn for_subscription(
    subscription: &str,
    customer: &Value,
    due: i64,
    currency: &str,
    method: Option<&str>,
    state: &mut State,
) -> Result<(String, bool), Error> {
    let id = blank(customer, currency, json!({}), json!(subscription), state);
    let now = unix_now();
    let line = json!({
        "id": state.ids.letters("il_1", 23), "object": "line_item", "amount": due, "currency": currency,
        "description": "Subscription", "invoice": id, "livemode": state.live, "metadata": {}, "quantity": 1,
        "period": {"start": now, "end": now + 30 * 86_400},
    });
    fill(&id, vec![line], due, state)?;
    open(&id, state)?;
    if due == 0 {
        settle(&id, 0, state)?;
        return Ok((id, true));
    }
    let paid = match method {
        Some(method) => collect(&id, method, state).is_ok(),
        None => false,
    };
    told(&id, if paid { "invoice.paid" } else { "invoice.payment_failed" }, state)?;
    Ok((id, paid))
}

fn collect(id: &str, method: &str, state: &mut State) -> Result<(), Error> {
    let invoice = state.object("invoice", id)?.clone();
    let (due, currency) = (invoice["amount_due"].as_i64().unwrap_or(0), text(&invoice, "currency"));
    let asked = Asked {
        amount: due,
        currency: &currency,
        method,
        capture: true,
        customer: invoice["customer"].clone(),
        description: json!(format!("Payment for invoice {id}")),
        metadata: json!({}),
        payment_intent: Value::Null,
    };
    let invoice = |state: &mut State| -> Result<(), Error> {
        let invoice = state.object_mut("invoice", id)?;
        invoice["attempted"] = json!(true);
        invoice["attempt_count"] = json!(invoice["attempt_count"].as_i64().unwrap_or(0) + 1);
        Ok(())
    };
    match charges::charge(asked, state) {
        Charged::Paid(_) => {
            invoice(state)?;
            settle(id, due, state)
        }
        Charged::Failed(charge, decline) => {
            invoice(state)?;
            Err(Error::card(decline, Map::from_iter([("charge".to_owned(), charge["id"].clone())])))
        }
    }
}

fn blank(customer: &Value, currency: &str, metadata: Value, subscription: Value, state: &mut State) -> String {
    let now = unix_now();
    let mut invoice = state.begin("invoice");
    let id = id_of(&invoice).to_owned();
    let (parent, reason) = match subscription.is_null() {
        true => (Value::Null, "manual"),
        false => {
            let details = json!({"metadata": {}, "subscription": subscription});
            let parent =
                json!({"quote_details": null, "subscription_details": details, "type": "subscription_details"});
            (parent, "subscription_create")
        }
    };
    extend(
        &mut invoice,
        json!({
            "account_country": "US", "account_name": "kv fake", "amount_due": 0, "amount_overpaid": 0, "amount_paid": 0,
            "amount_remaining": 0, "amount_shipping": 0, "application": null, "attempt_count": 0, "attempted": false,
            "auto_advance": false, "automatic_tax": {"enabled": false, "liability": null, "status": null},
            "billing_reason": reason, "collection_method": "charge_automatically", "currency": currency,
            "custom_fields": null, "customer": customer["id"], "customer_email": customer["email"],
            "customer_name": customer["name"], "default_payment_method": null, "default_source": null,
            "description": null, "discounts": [], "due_date": null, "effective_at": null, "ending_balance": null,
            "footer": null, "hosted_invoice_url": null, "invoice_pdf": null, "last_finalization_error": null,
            "lines": inner(Vec::new(), format!("/v1/invoices/{id}/lines")), "metadata": metadata,
            "next_payment_attempt": null, "number": null, "parent": parent, "period_end": now, "period_start": now,
            "receipt_number": null, "starting_balance": 0, "statement_descriptor": null, "status": "draft",
            "status_transitions": {"finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null},
            "subtotal": 0, "total": 0, "webhooks_delivered_at": null,
        }),
    );
    state.add("invoice", invoice);
    id
}

/// Items of a customer that are on no invoice yet.
fn waiting<'a>(customer: &str, state: &'a State) -> Vec<&'a Value> {
    let items = state.shelf("invoiceitem").map(|shelf| shelf.iter().collect::<Vec<_>>()).unwrap_or_default();
    items.into_iter().filter(|item| item["customer"] == customer && item["invoice"].is_null()).collect()
}

/// Puts the items of an invoice onto it as lines.
fn gather(id: &str, state: &mut State) -> Result<(), Error> {
    let items: Vec<Value> = state
        .shelf("invoiceitem")
        .map(|shelf| shelf.iter().filter(|item| item["invoice"] == id).cloned().collect())
        .unwrap_or_default();
    let total: i64 = items.iter().filter_map(|item| item["amount"].as_i64()).fold(0, i64::saturating_add);
    let lines = items
        .into_iter()
        .map(|item| {
            json!({
                "id": state.ids.letters("il_1", 23), "object": "line_item", "amount": item["amount"],
                "currency": item["currency"], "description": item["description"], "invoice": id, "livemode": state.live,
                "metadata": item["metadata"], "period": item["period"], "quantity": 1,
            })
        })
        .collect();
    fill(id, lines, total, state)
}

fn fill(id: &str, lines: Vec<Value>, total: i64, state: &mut State) -> Result<(), Error> {
    let due = total.max(0);
    let more = json!({
        "amount_due": due, "amount_remaining": due, "lines": inner(lines, format!("/v1/invoices/{id}/lines")),
        "subtotal": total, "total": total,
    });
    extend(state.object_mut("invoice", id)?, more);
    Ok(())
}

fn open(id: &str, state: &mut State) -> Result<(), Error> {
    let number = state.ids.letters("", 8).to_uppercase();
    let invoice = state.object_mut("invoice", id)?;
    let url = format!("https://invoice.invalid/i/{id}");
    extend(
        invoice,
        json!({
            "effective_at": unix_now(), "hosted_invoice_url": url, "invoice_pdf": format!("{url}/pdf"),
            "number": format!("{number}-0001"), "status": "open",
        }),
    );
    invoice["status_transitions"]["finalized_at"] = json!(unix_now());
    Ok(())
}

fn settle(id: &str, paid: i64, state: &mut State) -> Result<(), Error> {
    let invoice = state.object_mut("invoice", id)?;
    extend(invoice, json!({"amount_paid": paid, "amount_remaining": 0, "status": "paid"}));
    invoice["status_transitions"]["paid_at"] = json!(unix_now());
    Ok(())
}

fn require(invoice: &Value, allowed: &[&str], action: &str) -> Result<(), Error> {
    let status = text(invoice, "status");
    if allowed.contains(&status.as_str()) {
        return Ok(());
    }
    let message =
        format!("You cannot {action} an invoice with a status of {status}; it has to be {}.", allowed.join(" or "));
    Err(Error::refused("invoice_not_editable", message))
}

fn told(id: &str, event: &str, state: &mut State) -> Result<Value, Error> {
    let invoice = state.object("invoice", id)?.clone();
    events::record(event, &invoice, state);
    Ok(invoice)
}
