//! Subscriptions: prices that a customer pays again and again.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::invoices::CollectionMethod;
use crate::paging::{self, list_input};
use crate::params::{self, Metadata, Moments};

list_input! {
    List {
        /// Only those of this customer, `cus_...`.
        customer: String,
        /// Only those with this price, `price_...`.
        price: String,
        /// All but the canceled ones when not said.
        status: Status,
        collection_method: CollectionMethod,
        /// Only those created then.
        created: Moments,
        /// Only those whose period begins then.
        current_period_start: Moments,
        /// Only those whose period ends then.
        current_period_end: Moments,
    }
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Active,
    All,
    Canceled,
    Ended,
    Incomplete,
    IncompleteExpired,
    PastDue,
    Paused,
    Trialing,
    Unpaid,
}

/// List subscriptions
///
/// The newest come first.
#[kv_sdk::operation(name = "subscriptions.list", effect = Read, suggest = Allow, endpoint = "GET /v1/subscriptions")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "subscriptions"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// Who pays, `cus_...`.
    customer: String,
    /// Up to 20 prices.
    items: Vec<Item>,
    /// Charged once, with the first invoice.
    add_invoice_items: Option<Vec<Map<String, Value>>>,
    /// End it when this period ends.
    cancel_at_period_end: Option<bool>,
    /// In Unix seconds.
    cancel_at: Option<u64>,
    collection_method: Option<CollectionMethod>,
    /// Three letters, ISO 4217.
    currency: Option<String>,
    /// With `send_invoice`: days until an invoice is due.
    days_until_due: Option<u32>,
    /// `pm_...`
    default_payment_method: Option<String>,
    description: Option<String>,
    discounts: Option<Vec<Map<String, Value>>>,
    payment_behavior: Option<PaymentBehavior>,
    payment_settings: Option<Map<String, Value>>,
    proration_behavior: Option<ProrationBehavior>,
    /// The end of the trial in Unix seconds, or `now`.
    trial_end: Option<Value>,
    trial_period_days: Option<u32>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// One price of a subscription.
#[kv_sdk::input(open)]
pub(crate) struct Item {
    /// When changing a subscription: which of its items, `si_...`.
    id: Option<String>,
    /// `price_...`
    price: Option<String>,
    /// A price to make along with it.
    price_data: Option<Map<String, Value>>,
    quantity: Option<u64>,
    /// When changing a subscription: take the item away.
    deleted: Option<bool>,
    metadata: Option<Metadata>,
}

/// What happens when the first payment fails.
#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "they are Stripe's names")]
pub(crate) enum PaymentBehavior {
    AllowIncomplete,
    DefaultIncomplete,
    ErrorIfIncomplete,
    PendingIfIncomplete,
}

/// What becomes of the part of a period that is paid already.
#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProrationBehavior {
    AlwaysInvoice,
    CreateProrations,
    None,
}

/// Create a subscription
///
/// Charges the customer for the first period, unless there is a trial.
#[kv_sdk::operation(
    name = "subscriptions.create", effect = Write, suggest = Allow, repeatable, endpoint = "POST /v1/subscriptions",
    facts(currency = "/currency"),
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let prices: Vec<_> = input.items.iter().filter_map(|item| item.price.as_deref()).collect();
    let summary = format!("subscribe customer {} to {}", input.customer, prices.join(", "));
    io.forward_success(params::post(io, &["v1", "subscriptions"], &[])?.summary(summary)).await
}

#[kv_sdk::input(open)]
pub(crate) struct Update {
    /// The subscription, `sub_...`.
    id: String,
    items: Option<Vec<Item>>,
    /// End it when this period ends.
    cancel_at_period_end: Option<bool>,
    /// In Unix seconds; an empty text takes it back.
    cancel_at: Option<Value>,
    collection_method: Option<CollectionMethod>,
    days_until_due: Option<u32>,
    default_payment_method: Option<String>,
    description: Option<String>,
    discounts: Option<Value>,
    /// How payment is paused; an empty text goes on.
    pause_collection: Option<Value>,
    payment_behavior: Option<PaymentBehavior>,
    proration_behavior: Option<ProrationBehavior>,
    /// The end of the trial in Unix seconds, or `now`.
    trial_end: Option<Value>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// Update a subscription
///
/// Items that are not named stay. A changed price is prorated unless `proration_behavior` says otherwise.
#[kv_sdk::operation(
    name = "subscriptions.update", effect = Write, suggest = Allow, repeatable,
    endpoint = "POST /v1/subscriptions/{subscription}",
)]
pub(crate) async fn update(io: &Io, input: Update) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "subscriptions", &input.id], &["id"])?;
    io.forward_success(request.summary(format!("update subscription {}", input.id))).await
}

#[kv_sdk::input(open)]
pub(crate) struct Cancel {
    /// The subscription, `sub_...`.
    id: String,
    /// Why, for the records.
    cancellation_details: Option<Map<String, Value>>,
    /// Charge what is outstanding now.
    invoice_now: Option<bool>,
    /// Credit the part of the period that is paid already.
    prorate: Option<bool>,
    expand: Option<Vec<String>>,
}

/// Cancel a subscription at once
///
/// Cannot be undone. To end it with its period, update it with `cancel_at_period_end`.
#[kv_sdk::operation(
    name = "subscriptions.cancel", effect = Destroy, suggest = Ask, endpoint = "DELETE /v1/subscriptions/{subscription}"
)]
pub(crate) async fn cancel(io: &Io, input: Cancel) -> Result<Reply, Failure> {
    let request = params::delete(io, &["v1", "subscriptions", &input.id], &["id"])?;
    io.forward_success(request.summary(format!("cancel subscription {} at once", input.id))).await
}
