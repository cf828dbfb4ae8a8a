//! Charges: one movement of money each. Newer integrations make them through payment intents.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::paging::{self, list_input};
use crate::params::{self, Metadata, Moments, Shipping, money};

list_input! {
    List {
        /// Only those of this customer, `cus_...`.
        customer: String,
        /// Only those of this payment intent, `pi_...`.
        payment_intent: String,
        /// Only those created then.
        created: Moments,
    }
}

/// List charges
///
/// The newest come first.
#[kv_sdk::operation(name = "charges.list", effect = Read, suggest = Allow, endpoint = "GET /v1/charges")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "charges"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Retrieve {
    /// The charge, `ch_...`.
    id: String,
    /// Fields to expand.
    expand: Option<Vec<String>>,
}

/// Retrieve a charge
#[kv_sdk::operation(name = "charges.retrieve", effect = Read, suggest = Allow, endpoint = "GET /v1/charges/{charge}")]
pub(crate) async fn retrieve(io: &Io, input: Retrieve) -> Result<Reply, Failure> {
    io.forward_success(params::get(io, &["v1", "charges", &input.id], &["id"])?).await
}

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// In the currency's smallest unit: 2000 is 20.00 EUR.
    amount: u64,
    /// Three letters, ISO 4217.
    currency: String,
    /// Whom to charge, `cus_...`; needed when the source is one of the customer's.
    customer: Option<String>,
    /// What to charge: a token or source such as `tok_visa`, or an object that describes one.
    source: Option<Value>,
    description: Option<String>,
    /// False only authorizes the amount; it is captured later.
    capture: Option<bool>,
    receipt_email: Option<String>,
    statement_descriptor: Option<String>,
    statement_descriptor_suffix: Option<String>,
    shipping: Option<Shipping>,
    /// The account that gets the money, for platforms.
    transfer_data: Option<Map<String, Value>>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// Create a charge
///
/// Takes the money at once, unless `capture` is false. New integrations use payment intents.
#[kv_sdk::operation(
    name = "charges.create", effect = Write, suggest = Allow, facts(amount = "/amount", currency = "/currency"), repeatable,
    endpoint = "POST /v1/charges",
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let from = input.customer.map(|customer| format!(" to customer {customer}")).unwrap_or_default();
    let summary = format!("charge {}{from}", money(input.amount, &input.currency));
    io.forward_success(params::post(io, &["v1", "charges"], &[])?.summary(summary)).await
}
