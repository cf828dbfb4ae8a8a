//! Payment intents: a payment from its beginning to its end.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::paging::{self, list_input};
use crate::params::{self, Metadata, Moments, Shipping, money};

list_input! {
    List {
        /// Only those of this customer, `cus_...`.
        customer: String,
        /// Only those created then.
        created: Moments,
    }
}

/// List payment intents
///
/// The newest come first.
#[kv_sdk::operation(name = "payment_intents.list", effect = Read, suggest = Allow, endpoint = "GET /v1/payment_intents")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "payment_intents"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Retrieve {
    /// The payment intent, `pi_...`.
    id: String,
    /// Fields to expand, as `latest_charge`.
    expand: Option<Vec<String>>,
}

/// Retrieve a payment intent
#[kv_sdk::operation(
    name = "payment_intents.retrieve", effect = Read, suggest = Allow, endpoint = "GET /v1/payment_intents/{intent}"
)]
pub(crate) async fn retrieve(io: &Io, input: Retrieve) -> Result<Reply, Failure> {
    io.forward_success(params::get(io, &["v1", "payment_intents", &input.id], &["id"])?).await
}

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// In the currency's smallest unit: 2000 is 20.00 EUR.
    amount: u64,
    /// Three letters, ISO 4217.
    currency: String,
    /// Whose payment it is, `cus_...`.
    customer: Option<String>,
    /// What to pay with, `pm_...`.
    payment_method: Option<String>,
    /// The kinds of payment that are offered; leave it out to let Stripe choose.
    payment_method_types: Option<Vec<String>>,
    automatic_payment_methods: Option<AutomaticPaymentMethods>,
    /// Confirm it in the same request.
    confirm: Option<bool>,
    capture_method: Option<CaptureMethod>,
    /// The customer is not there to confirm it: true, or `one_off` or `recurring`.
    off_session: Option<Value>,
    /// Keep the payment method for later payments.
    setup_future_usage: Option<FutureUsage>,
    description: Option<String>,
    receipt_email: Option<String>,
    /// Where the customer comes back to after a redirect; needs `confirm`.
    return_url: Option<String>,
    shipping: Option<Shipping>,
    statement_descriptor: Option<String>,
    statement_descriptor_suffix: Option<String>,
    /// The account that gets the money, for platforms.
    transfer_data: Option<Map<String, Value>>,
    application_fee_amount: Option<u64>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

#[kv_sdk::input(open)]
pub(crate) struct AutomaticPaymentMethods {
    enabled: bool,
    /// `always` or `never`.
    allow_redirects: Option<String>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureMethod {
    Automatic,
    AutomaticAsync,
    Manual,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum FutureUsage {
    OffSession,
    OnSession,
}

/// Create a payment intent
///
/// Nothing is charged until it is confirmed: with `confirm`, by payment_intents.confirm, or by the customer.
#[kv_sdk::operation(
    name = "payment_intents.create", effect = Write, suggest = Allow, repeatable,
    facts(amount = "/amount", currency = "/currency"), endpoint = "POST /v1/payment_intents",
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let verb = if input.confirm == Some(true) { "charge" } else { "prepare a payment of" };
    let from = input.customer.map(|customer| format!(" for customer {customer}")).unwrap_or_default();
    let summary = format!("{verb} {}{from}", money(input.amount, &input.currency));
    io.forward_success(params::post(io, &["v1", "payment_intents"], &[])?.summary(summary)).await
}

#[kv_sdk::input(open)]
pub(crate) struct Confirm {
    /// The payment intent, `pi_...`.
    id: String,
    /// What to pay with, `pm_...`.
    payment_method: Option<String>,
    /// Where the customer comes back to after a redirect.
    return_url: Option<String>,
    /// The customer is not there to confirm it: true, or `one_off` or `recurring`.
    off_session: Option<Value>,
    receipt_email: Option<String>,
    setup_future_usage: Option<FutureUsage>,
    shipping: Option<Shipping>,
    expand: Option<Vec<String>>,
}

/// Confirm a payment intent
///
/// Charges the customer, or says what the customer has to do first.
#[kv_sdk::operation(
    name = "payment_intents.confirm", effect = Write, suggest = Allow, repeatable,
    endpoint = "POST /v1/payment_intents/{intent}/confirm",
)]
pub(crate) async fn confirm(io: &Io, input: Confirm) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "payment_intents", &input.id, "confirm"], &["id"])?;
    io.forward_success(request.summary(format!("confirm payment {}", input.id))).await
}

#[kv_sdk::input(open)]
pub(crate) struct Capture {
    /// The payment intent, `pi_...`.
    id: String,
    /// Less than was authorized, in the currency's smallest unit; all of it when not said.
    amount_to_capture: Option<u64>,
    application_fee_amount: Option<u64>,
    /// Whether this is the last capture of the payment.
    final_capture: Option<bool>,
    statement_descriptor: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// Capture a payment intent
///
/// Takes the money that was authorized before.
#[kv_sdk::operation(
    name = "payment_intents.capture", effect = Write, suggest = Allow, repeatable, facts(amount = "/amount_to_capture"),
    endpoint = "POST /v1/payment_intents/{intent}/capture",
)]
pub(crate) async fn capture(io: &Io, input: Capture) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "payment_intents", &input.id, "capture"], &["id"])?;
    io.forward_success(request.summary(format!("capture payment {}", input.id))).await
}

#[kv_sdk::input(open)]
pub(crate) struct Cancel {
    /// The payment intent, `pi_...`.
    id: String,
    cancellation_reason: Option<CancellationReason>,
    expand: Option<Vec<String>>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancellationReason {
    Abandoned,
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
}

/// Cancel a payment intent
///
/// Cannot be undone. What was authorized is released.
#[kv_sdk::operation(
    name = "payment_intents.cancel", effect = Destroy, suggest = Ask, repeatable,
    endpoint = "POST /v1/payment_intents/{intent}/cancel",
)]
pub(crate) async fn cancel(io: &Io, input: Cancel) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "payment_intents", &input.id, "cancel"], &["id"])?;
    io.forward_success(request.summary(format!("cancel payment {}", input.id))).await
}
