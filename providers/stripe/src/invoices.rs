//! Invoices: listed, read, finalized and paid.

use kv_sdk::{Failure, Io, Reply};

use crate::paging::{self, list_input};
use crate::params::{self, Moments};

list_input! {
    List {
        /// Only those of this customer, `cus_...`.
        customer: String,
        /// Only those of this subscription, `sub_...`.
        subscription: String,
        status: Status,
        /// How they are paid.
        collection_method: CollectionMethod,
        /// Only those created then.
        created: Moments,
        /// Only those due then.
        due_date: Moments,
    }
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Draft,
    Open,
    Paid,
    Uncollectible,
    Void,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum CollectionMethod {
    ChargeAutomatically,
    SendInvoice,
}

/// List invoices
///
/// The newest come first.
#[kv_sdk::operation(name = "invoices.list", effect = Read, suggest = Allow, endpoint = "GET /v1/invoices")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "invoices"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Retrieve {
    /// The invoice, `in_...`.
    id: String,
    /// Fields to expand.
    expand: Option<Vec<String>>,
}

/// Retrieve an invoice
#[kv_sdk::operation(name = "invoices.retrieve", effect = Read, suggest = Allow, endpoint = "GET /v1/invoices/{invoice}")]
pub(crate) async fn retrieve(io: &Io, input: Retrieve) -> Result<Reply, Failure> {
    io.forward_success(params::get(io, &["v1", "invoices", &input.id], &["id"])?).await
}

#[kv_sdk::input(open)]
pub(crate) struct Finalize {
    /// The draft, `in_...`.
    id: String,
    /// Whether Stripe goes on by itself: charges, sends, reminds.
    auto_advance: Option<bool>,
    expand: Option<Vec<String>>,
}

/// Finalize a draft invoice
///
/// It gets its number and can no longer be changed.
#[kv_sdk::operation(
    name = "invoices.finalize", effect = Write, suggest = Ask, repeatable, endpoint = "POST /v1/invoices/{invoice}/finalize"
)]
pub(crate) async fn finalize(io: &Io, input: Finalize) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "invoices", &input.id, "finalize"], &["id"])?;
    io.forward_success(request.summary(format!("finalize invoice {}", input.id))).await
}

#[kv_sdk::input(open)]
pub(crate) struct Pay {
    /// The invoice, `in_...`.
    id: String,
    /// What to pay with, `pm_...`; the customer's default when not said.
    payment_method: Option<String>,
    source: Option<String>,
    /// Accept a payment that is less than the whole.
    forgive: Option<bool>,
    /// The customer is not there to confirm it; true when not said.
    off_session: Option<bool>,
    /// It was paid elsewhere: nothing is charged.
    paid_out_of_band: Option<bool>,
    expand: Option<Vec<String>>,
}

/// Pay an invoice
///
/// Charges the customer now.
#[kv_sdk::operation(
    name = "invoices.pay", effect = Write, suggest = Ask, repeatable, endpoint = "POST /v1/invoices/{invoice}/pay"
)]
pub(crate) async fn pay(io: &Io, input: Pay) -> Result<Reply, Failure> {
    let how = if input.paid_out_of_band == Some(true) { "mark as paid elsewhere" } else { "charge its customer for" };
    let request = params::post(io, &["v1", "invoices", &input.id, "pay"], &["id"])?;
    io.forward_success(request.summary(format!("{how} invoice {}", input.id))).await
}
