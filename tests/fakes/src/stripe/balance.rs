//! The account's balance, its transactions, and payouts.

use serde_json::{Value, json};

use super::error::Error;
use super::events;
use super::money::{amount_and_currency, shown};
use super::params::Params;
use super::state::{State, extend};
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn retrieve(params: &Params, state: &State) -> Result<Value, Error> {
    params.only(&[])?;
    let list = |cents: &std::collections::BTreeMap<String, i64>| -> Vec<Value> {
        let line = |(currency, amount): (&String, &i64)| json!({"amount": amount, "currency": currency, "source_types": {"card": amount}});
        cents.iter().map(line).collect()
    };
    Ok(json!({
        "object": "balance", "available": list(&state.available), "livemode": state.live, "pending": list(&state.pending),
        "refund_and_dispute_prefunding": {"available": [], "pending": []},
    }))
}

/// Books a payment and returns the id of the transaction.
pub(super) fn earn(amount: i64, currency: &str, source: &str, instant: bool, state: &mut State) -> String {
    let fee = amount * 29 / 1000 + 30;
    let into = if instant { &mut state.available } else { &mut state.pending };
    *into.entry(currency.to_owned()).or_default() += amount - fee;
    transaction(amount, fee, currency, "charge", source, instant, state)
}

/// Books money that leaves and returns the id of the transaction.
pub(super) fn spend(amount: i64, currency: &str, kind: &str, source: &str, state: &mut State) -> String {
    *state.available.entry(currency.to_owned()).or_default() -= amount;
    transaction(-amount, 0, currency, kind, source, true, state)
}

fn transaction(
    amount: i64,
    fee: i64,
    currency: &str,
    kind: &str,
    source: &str,
    instant: bool,
    state: &mut State,
) -> String {
    let mut transaction = state.begin("balance_transaction");
    let details = match fee {
        0 => json!([]),
        fee => {
            json!([{"amount": fee, "application": null, "currency": currency, "description": "Stripe processing fees",
            "type": "stripe_fee"}])
        }
    };
    let on = if instant { unix_now() } else { unix_now() + 2 * 86_400 };
    extend(
        &mut transaction,
        json!({
            "amount": amount, "available_on": on, "currency": currency, "description": null, "exchange_rate": null,
            "fee": fee, "fee_details": details, "net": amount - fee, "reporting_category": kind, "source": source,
            "status": if instant { "available" } else { "pending" }, "type": kind,
        }),
    );
    let id = id_of(&transaction).to_owned();
    state.add("balance_transaction", transaction);
    id
}

pub(super) fn create_payout(params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[&[
        "amount",
        "currency",
        "description",
        "destination",
        "metadata",
        "method",
        "payout_method",
        "source_type",
        "statement_descriptor",
    ]])?;
    let (amount, currency) = amount_and_currency(params)?;
    let metadata = params.metadata()?;
    let available = state.available.get(&currency).copied().unwrap_or(0);
    if amount > available {
        let message = format!(
            "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low ({} is \
             available).",
            shown(available.max(0), &currency)
        );
        return Err(Error::refused("balance_insufficient", message));
    }
    let mut payout = state.begin("payout");
    let transaction = spend(amount, &currency, "payout", id_of(&payout), state);
    extend(
        &mut payout,
        json!({
            "amount": amount, "application_fee": null, "application_fee_amount": null, "arrival_date": unix_now() + 86_400,
            "automatic": false, "balance_transaction": transaction, "currency": currency,
            "description": params.or_null("description"), "destination": "ba_1Fake00000000000000000000",
            "failure_balance_transaction": null, "failure_code": null, "failure_message": null, "metadata": metadata,
            "method": params.text("method").unwrap_or("standard"), "original_payout": null,
            "reconciliation_status": "not_applicable", "reversed_by": null, "source_type": "card",
            "statement_descriptor": params.or_null("statement_descriptor"), "status": "pending", "type": "bank_account",
        }),
    );
    state.add("payout", payout.clone());
    events::record("payout.created", &payout, state);
    Ok(payout)
}

pub(super) fn cancel_payout(id: &str, params: &Params, state: &mut State) -> Result<Value, Error> {
    params.only(&[])?;
    let payout = state.object_mut("payout", id)?;
    if payout["status"] != "pending" {
        return Err(Error::refused("payouts_not_allowed", "Payouts can only be canceled while they are pending."));
    }
    payout["status"] = json!("canceled");
    let payout = payout.clone();
    let (amount, currency) = (payout["amount"].as_i64().unwrap_or(0), payout["currency"].as_str().unwrap_or("usd"));
    spend(-amount, currency, "payout_cancel", id, state);
    events::record("payout.canceled", &payout, state);
    Ok(payout)
}
