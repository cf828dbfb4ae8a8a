//! Checkout sessions: a page of Stripe's on which somebody pays.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::params::{self, Metadata};

#[kv_sdk::input(open)]
pub(crate) struct Create {
    mode: Mode,
    /// What is bought.
    line_items: Option<Vec<LineItem>>,
    /// Where the customer goes when it is paid; `{CHECKOUT_SESSION_ID}` in it is filled in.
    success_url: Option<String>,
    /// Where the customer goes when it is not.
    cancel_url: Option<String>,
    /// With an embedded page: where the customer comes back to.
    return_url: Option<String>,
    /// How the page is shown: `hosted`, `embedded` or `custom`, with newer names in newer versions.
    ui_mode: Option<String>,
    /// `cus_...`
    customer: Option<String>,
    customer_email: Option<String>,
    /// `always` or `if_required`.
    customer_creation: Option<String>,
    /// An id of the caller's own, to know the session by.
    client_reference_id: Option<String>,
    /// The kinds of payment that are offered; leave it out to let Stripe choose.
    payment_method_types: Option<Vec<String>>,
    payment_intent_data: Option<Map<String, Value>>,
    subscription_data: Option<Map<String, Value>>,
    setup_intent_data: Option<Map<String, Value>>,
    allow_promotion_codes: Option<bool>,
    discounts: Option<Vec<Map<String, Value>>>,
    automatic_tax: Option<Map<String, Value>>,
    shipping_address_collection: Option<Map<String, Value>>,
    shipping_options: Option<Vec<Map<String, Value>>>,
    /// In Unix seconds, half an hour to a day from now.
    expires_at: Option<u64>,
    /// The page's language; `auto` goes by the browser.
    locale: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Payment,
    Setup,
    Subscription,
}

#[kv_sdk::input(open)]
pub(crate) struct LineItem {
    /// `price_...`; or say `price_data`.
    price: Option<String>,
    /// A price that is made for this session.
    price_data: Option<Map<String, Value>>,
    quantity: Option<u64>,
}

/// Create a checkout session
///
/// Returns the page's address, which is given to the customer. Nothing is charged until the customer pays.
#[kv_sdk::operation(
    name = "checkout.sessions.create", effect = Write, suggest = Allow, repeatable,
    endpoint = "POST /v1/checkout/sessions",
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let count = input.line_items.map_or(0, |items| items.len());
    let request = params::post(io, &["v1", "checkout", "sessions"], &[])?;
    io.forward_success(request.summary(format!("open a checkout page for {count} items"))).await
}
