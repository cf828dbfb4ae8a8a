//! Products: what is sold. What it costs is a price.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::paging::{self, list_input};
use crate::params::{self, Metadata, Moments};

list_input! {
    List {
        /// Only those on sale, or those that are not.
        active: bool,
        /// Only these, `prod_...`.
        ids: Vec<String>,
        /// Only goods that are shipped, or those that are not.
        shippable: bool,
        /// Only the one with this address of the seller's own.
        url: String,
        /// Only those created then.
        created: Moments,
    }
}

/// List products
///
/// The newest come first.
#[kv_sdk::operation(name = "products.list", effect = Read, suggest = Allow, endpoint = "GET /v1/products")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "products"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Create {
    /// Shown to customers.
    name: String,
    /// An id of the caller's own; Stripe makes one when it is not said.
    id: Option<String>,
    active: Option<bool>,
    /// Shown to customers.
    description: Option<String>,
    /// A price to make along with it.
    default_price_data: Option<Map<String, Value>>,
    /// Up to 8 addresses of pictures.
    images: Option<Vec<String>>,
    shippable: Option<bool>,
    statement_descriptor: Option<String>,
    /// `txcd_...`
    tax_code: Option<String>,
    /// What one of it is called: `seat`.
    unit_label: Option<String>,
    url: Option<String>,
    metadata: Option<Metadata>,
    expand: Option<Vec<String>>,
}

/// Create a product
#[kv_sdk::operation(
    name = "products.create", effect = Write, suggest = Allow, repeatable, endpoint = "POST /v1/products"
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let summary = format!("create product {}", input.name);
    io.forward_success(params::post(io, &["v1", "products"], &[])?.summary(summary)).await
}
