//! Prices: what a product costs, once or again and again.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::paging::{self, list_input};
use crate::params::{self, Metadata, Moments, money};

list_input! {
    List {
        /// Only those in use, or those that are not.
        active: bool,
        /// Only those of this product, `prod_...`.
        product: String,
        /// Three letters, ISO 4217.
        currency: String,
        r#type: Kind,
        /// Only those with these keys, up to 10.
        lookup_keys: Vec<String>,
        /// Only those that recur so.
        recurring: Map<String, Value>,
        /// Only those created then.
        created: Moments,
    }
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    OneTime,
    Recurring,
}

/// List prices
///
/// The newest come first.
#[kv_sdk::operation(name = "prices.list", effect = Read, suggest = Allow, endpoint = "GET /v1/prices")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "prices"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// Three letters, ISO 4217.
    currency: String,
    /// In the currency's smallest unit: 2000 is 20.00 EUR.
    unit_amount: Option<u64>,
    /// The same with up to 12 decimal places.
    unit_amount_decimal: Option<String>,
    /// The product that it is the price of, `prod_...`; or say `product_data`.
    product: Option<String>,
    /// A product to make along with it.
    product_data: Option<Map<String, Value>>,
    recurring: Option<Recurring>,
    active: Option<bool>,
    /// For people who look through prices; customers do not see it.
    nickname: Option<String>,
    /// A name of the caller's own to find it by.
    lookup_key: Option<String>,
    /// `inclusive`, `exclusive` or `unspecified`.
    tax_behavior: Option<String>,
    /// `per_unit` or `tiered`.
    billing_scheme: Option<String>,
    tiers: Option<Vec<Map<String, Value>>>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// How often it is due.
#[kv_sdk::input(open)]
pub(crate) struct Recurring {
    interval: Interval,
    /// Every so many intervals, 1 when not said.
    interval_count: Option<u32>,
    /// `licensed` or `metered`.
    usage_type: Option<String>,
    /// The meter that counts, when it is metered.
    meter: Option<String>,
}

#[kv_sdk::input]
#[serde(rename_all = "snake_case")]
pub(crate) enum Interval {
    Day,
    Month,
    Week,
    Year,
}

/// Create a price
///
/// Its amount can never be changed; make another price instead.
#[kv_sdk::operation(name = "prices.create", effect = Write, suggest = Allow, repeatable, endpoint = "POST /v1/prices")]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let of = input.product.map(|product| format!(" of product {product}")).unwrap_or_default();
    let amount = input.unit_amount.map(|amount| format!(" {}", money(amount, &input.currency))).unwrap_or_default();
    io.forward_success(params::post(io, &["v1", "prices"], &[])?.summary(format!("create price{amount}{of}"))).await
}
