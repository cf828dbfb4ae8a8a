//! Customers.

use kv_sdk::{Failure, Io, Map, Reply, Value};

use crate::paging::{self, Extent, list_input};
use crate::params::{self, Address, Metadata, Moments, Shipping};

list_input! {
    List {
        /// Only those with this address, upper and lower case apart.
        email: String,
        /// Only those created then.
        created: Moments,
        /// Only those of this test clock.
        test_clock: String,
    }
}

/// List customers
///
/// The newest come first.
#[kv_sdk::operation(name = "customers.list", effect = Read, suggest = Allow, endpoint = "GET /v1/customers")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "customers"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Search {
    /// In Stripe's search language: `email:'a@example.com' AND metadata['plan']:'pro'`.
    query: String,
    /// Items on a page, 10 when not said.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// The `next_page` of the page before.
    page: Option<String>,
    /// Fields to expand, as `data.sources`.
    expand: Option<Vec<String>>,
    /// Read page after page, up to `max_items`. Without it one page is returned.
    auto_paginate: Option<bool>,
    /// Items to collect with `auto_paginate`, 100 when not said.
    #[schemars(range(min = 1, max = 1000))]
    max_items: Option<u32>,
}

impl Search {
    fn extent(&self) -> Extent {
        Extent { auto_paginate: self.auto_paginate, max_items: self.max_items }
    }
}

/// Search customers
///
/// What was created within the last minute may be missing.
#[kv_sdk::operation(name = "customers.search", effect = Read, suggest = Allow, endpoint = "GET /v1/customers/search")]
pub(crate) async fn search(io: &Io, input: Search) -> Result<Reply, Failure> {
    paging::search(io, &["v1", "customers", "search"], input.extent()).await
}

#[kv_sdk::input(open)]
pub(crate) struct Retrieve {
    /// The customer, `cus_...`.
    id: String,
    /// Fields to expand.
    expand: Option<Vec<String>>,
}

/// Retrieve a customer
#[kv_sdk::operation(
    name = "customers.retrieve", effect = Read, suggest = Allow, endpoint = "GET /v1/customers/{customer}"
)]
pub(crate) async fn retrieve(io: &Io, input: Retrieve) -> Result<Reply, Failure> {
    io.forward_success(params::get(io, &["v1", "customers", &input.id], &["id"])?).await
}

/// Makes an input that describes a customer: its own members, and what can be said of every customer.
macro_rules! customer_input {
    ($name:ident { $($(#[$about:meta])* $field:ident: $kind:ty,)* }) => {
        #[kv_sdk::input(open)]
        pub(crate) struct $name {
            $($(#[$about])* $field: $kind,)*
            email: Option<String>,
            name: Option<String>,
            phone: Option<String>,
            description: Option<String>,
            address: Option<Address>,
            shipping: Option<Shipping>,
            invoice_settings: Option<Map<String, Value>>,
            /// `none`, `exempt` or `reverse`.
            tax_exempt: Option<String>,
            /// Languages for mails, best first.
            preferred_locales: Option<Vec<String>>,
            metadata: Option<Metadata>,
            expand: Option<Vec<String>>,
        }
    };
}

customer_input! {
    Create {
        /// A payment method to attach, `pm_...`.
        payment_method: Option<String>,
        /// A token or source to attach, `tok_...`.
        source: Option<String>,
    }
}

/// Create a customer
#[kv_sdk::operation(
    name = "customers.create", effect = Write, suggest = Allow, repeatable, endpoint = "POST /v1/customers"
)]
pub(crate) async fn create(io: &Io, input: Create) -> Result<Reply, Failure> {
    let who = input.name.or(input.email).map(|who| format!(" {who}")).unwrap_or_default();
    io.forward_success(params::post(io, &["v1", "customers"], &[])?.summary(format!("create customer{who}"))).await
}

customer_input! {
    Update {
        /// The customer, `cus_...`.
        id: String,
        /// The source to charge by default.
        default_source: Option<String>,
    }
}

/// Update a customer
///
/// What is not named stays as it is; an empty text removes what was there.
#[kv_sdk::operation(
    name = "customers.update", effect = Write, suggest = Allow, repeatable, endpoint = "POST /v1/customers/{customer}"
)]
pub(crate) async fn update(io: &Io, input: Update) -> Result<Reply, Failure> {
    let request = params::post(io, &["v1", "customers", &input.id], &["id"])?;
    io.forward_success(request.summary(format!("update customer {}", input.id))).await
}

#[kv_sdk::input]
pub(crate) struct Delete {
    /// The customer, `cus_...`.
    id: String,
}

/// Delete a customer
///
/// Cannot be undone. Cancels the customer's subscriptions at once.
#[kv_sdk::operation(
    name = "customers.delete", effect = Destroy, suggest = Ask, endpoint = "DELETE /v1/customers/{customer}"
)]
pub(crate) async fn delete(io: &Io, input: Delete) -> Result<Reply, Failure> {
    let request = params::delete(io, &["v1", "customers", &input.id], &["id"])?;
    io.forward_success(request.summary(format!("delete customer {} and cancel its subscriptions", input.id))).await
}
