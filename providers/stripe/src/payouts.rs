use kv_sdk::{Failure, Io, Reply};

use crate::params::{self, Metadata, money};

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// In the currency's smallest unit: 2000 is 20.00 EUR.
    amount: u64,
    /// Three letters, ISO 4217.
    currency: String,
    /// The bank account or card that gets it; the default one when not said.
    destination: Option<String>,
    description: Option<String>,
    method: Option<Method>,
    /// Which balance it comes from: `card`, `bank_account` or `fpx`.
    source_type: Option<String>,
    statement_descriptor: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    Instant,
    Standard,
}

/// Create a payout
///
/// Sends money from the balance to a bank account or card of the account's own.
#[kv_sdk::operation(
    name = "payouts.create", effect = Write, suggest = Ask, repeatable, endpoint = "POST /v1/payouts",
    facts(amount = "/amount", currency = "/currency", destination = "/destination"),
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let to = input.destination.unwrap_or_else(|| "the default account".into());
    let summary = format!("pay out {} to {to}", money(input.amount, &input.currency));
    io.forward_success(params::post(io, &["v1", "payouts"], &[])?.summary(summary)).await
}
