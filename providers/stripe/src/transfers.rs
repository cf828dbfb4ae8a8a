use kv_sdk::{Failure, Io, Reply};

use crate::params::{self, Metadata, money};

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// In the currency's smallest unit: 2000 is 20.00 EUR. All of `source_transaction` when not said.
    amount: Option<u64>,
    /// Three letters, ISO 4217.
    currency: String,
    /// The connected account that gets it, `acct_...`.
    destination: String,
    description: Option<String>,
    /// The charge that it is a part of, `ch_...`.
    source_transaction: Option<String>,
    transfer_group: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// Create a transfer
///
/// Sends money from the balance to a connected account.
#[kv_sdk::operation(
    name = "transfers.create", effect = Write, suggest = Ask, repeatable, endpoint = "POST /v1/transfers",
    facts(amount = "/amount", currency = "/currency", destination = "/destination"),
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let amount = input.amount.map_or_else(|| "a whole charge".to_owned(), |amount| money(amount, &input.currency));
    let summary = format!("transfer {amount} to account {}", input.destination);
    io.forward_success(params::post(io, &["v1", "transfers"], &[])?.summary(summary)).await
}
