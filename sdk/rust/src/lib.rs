//! For authors of providers: a provider is written as plain async functions, and becomes a component.
//!
//! An operation is an `async fn` that takes an [`Io`] and a typed input. It builds a [`Request`] and either hands the
//! answer on ([`Io::forward_success`]) or waits for it ([`Io::send`]) and makes a [`Reply`] of it. The input's type is
//! also its JSON Schema, the function's doc comment is what people and agents read, and [`provider!`] puts it all
//! together with a `provider.toml` that says what needs no code: slots, settings, authentication schemes, and the
//! endpoints that are reached as raw calls only.
//!
//! What a provider never does: open a connection, read a clock, hold a secret. A request has no origin and no
//! credential; both are the host's. Two runs over the same values give the same values, and the SDK relies on it: the
//! wait at an `.await` may last an hour and a restart, so the function is run again from its beginning with the answers
//! that it has had so far (see [`Io::send`]).
//!
//! A whole provider:
//!
//! ```
//! use kv_sdk::{Failure, FailureKind, Form, Io, Reply, Request, Response};
//!
//! /// What `charges.list` takes.
//! #[kv_sdk::input]
//! pub struct ListCharges {
//!     /// How many charges to return, 1 to 100.
//!     limit: Option<u32>,
//!     /// Only those of this customer.
//!     customer: Option<String>,
//! }
//!
//! /// List charges
//! ///
//! /// The newest come first.
//! #[kv_sdk::operation(name = "charges.list", effect = Read, suggest = Allow, endpoint = "GET /v1/charges")]
//! pub async fn list(io: &Io, input: ListCharges) -> Result<Reply, Failure> {
//!     let request = Request::get(["v1", "charges"]).query_some("limit", input.limit).query_some("customer", input.customer);
//!     // A success streams to the caller untouched; of anything else `failure`, below, makes a failure.
//!     io.forward_success(request).await
//! }
//!
//! #[kv_sdk::input]
//! pub struct Refund {
//!     /// The charge, `ch_...`.
//!     charge: String,
//!     /// In the currency's smallest unit.
//!     amount: u64,
//! }
//!
//! /// Refund a charge in part
//! #[kv_sdk::operation(
//!     name = "refunds.create", effect = Write, suggest = Ask, facts(amount = "/amount"), repeatable,
//!     endpoint = "POST /v1/refunds",
//! )]
//! pub async fn refund(io: &Io, input: Refund) -> Result<Reply, Failure> {
//!     // An answer that the function looks at itself.
//!     let charge = io.send(Request::get(["v1", "charges", &input.charge])).await?.error_for_status()?;
//!     let charge: Charge = charge.json()?;
//!     if input.amount > charge.amount {
//!         return Err(Failure::invalid_input("the charge is smaller than that").at("/amount"));
//!     }
//!     let request = Request::post(["v1", "refunds"])
//!         .header("idempotency-key", io.idempotency_key())
//!         .form(Form::new().pair("charge", &input.charge).pair("amount", input.amount))
//!         .summary(format!("refund {} {} of charge {}", input.amount, charge.currency, input.charge));
//!     io.forward_success(request).await
//! }
//!
//! /// What is read of a charge.
//! #[kv_sdk::data]
//! struct Charge {
//!     amount: u64,
//!     currency: String,
//! }
//!
//! fn failure(response: &Response) -> Failure {
//!     Failure::of_status(response, "the shop refused")
//! }
//!
//! kv_sdk::provider! {
//!     manifest: [r#"
//!         name = "shop"
//!         title = "Shop"
//!         origins = ["https://api.shop.example"]
//!         [[slots]]
//!         name = "key"
//!         kind = "token"
//!         usual-names = ["SHOP_API_KEY"]
//!         [auth.bearer]
//!         type = "header"
//!         name = "authorization"
//!         value = "Bearer {key}"
//!         [operations]
//!         "charges.retrieve" = { endpoint = "GET /v1/charges/{charge}", effect = "read", suggest = "allow" }
//!     "#],
//!     auth: ["bearer"],
//!     failure: failure,
//!     operations: [list, refund],
//! }
//!
//! # fn main() {
//! // A native test, without host and network.
//! use kv_sdk::{json, test::Harness};
//! let mut run = Harness::new(&PROVIDER).call("charges.list", json!({ "limit": 3 }));
//! assert_eq!(run.expect_forward_success().wire().target, "/v1/charges?limit=3");
//! run.respond(404, [], json!({}));
//! assert_eq!(run.expect_failure().kind, FailureKind::NotFound);
//! assert!(manifest().contains("charges.retrieve"));
//! # }
//! ```
//!
//! A provider of a database or of a machine says `protocol: sql` or `protocol: ssh` in front, and its operations have no
//! endpoints. Instead of requests they ask for a [`Statement`] ([`Io::query`], [`Io::execute`]) or a [`Command`]
//! ([`Io::run`]), or forward one; everything else is the same:
//!
//! ```
//! use kv_sdk::{Failure, FailureKind, Io, Reply, SqlError, Statement, json};
//!
//! #[kv_sdk::input]
//! pub struct Orders {
//!     customer: u64,
//! }
//!
//! /// Count a customer's orders
//! #[kv_sdk::operation(name = "orders.count", effect = Read, suggest = Allow)]
//! pub async fn count(io: &Io, input: Orders) -> Result<Reply, Failure> {
//!     let rows = io.query(Statement::read("select count(*) from orders where customer = $1").param(input.customer)).await?;
//!     let count: Option<(u64,)> = rows.first()?;
//!     Ok(json!({ "orders": count.map_or(0, |(count,)| count) }).into())
//! }
//!
//! fn failure(error: &SqlError) -> Failure {
//!     Failure::new(FailureKind::Upstream, &*error.message).code(&*error.code)
//! }
//!
//! kv_sdk::provider! {
//!     protocol: sql,
//!     manifest: ["name = 'orders'\n[[settings]]\nname = 'user'\n[auth.login]\ntype = 'login'\nuser = '{setting:user}'"],
//!     auth: ["login"],
//!     failure: failure,
//!     operations: [count],
//! }
//!
//! # fn main() {
//! use kv_sdk::test::{Harness, rows};
//! let mut run = Harness::new(&PROVIDER).call("orders.count", json!({ "customer": 7 }));
//! assert_eq!(run.expect_send().statement().param_texts(), ["7"]);
//! run.respond_rows(rows(&[("count", "bigint")], [json!([3])]));
//! assert_eq!(run.expect_done(), json!({ "orders": 3 }));
//! # }
//! ```
//!
//! In real life `manifest` is `[include_str!("../provider.toml")]`, or several such files, one for each part of the API.
//! Where to read on: [`Io`] for what an operation can do, [`Request`], [`Statement`] and [`Command`] for what it can ask
//! for, [`manifest`] for `provider.toml`, [`mod@test`] for tests.

extern crate self as kv_sdk;

mod asked;
mod call;
mod delivery;
mod engine;
mod export;
mod failure;
mod form;
mod input;
mod io;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod manifest;
mod multipart;
mod operation;
mod pages;
mod reply;
mod request;
mod response;
#[cfg(not(target_family = "wasm"))]
mod schema;
pub mod sql;
mod ssh;
#[cfg(not(target_family = "wasm"))]
pub mod test;
mod text;
mod transcript;

pub use kv_sdk_macros::{data, input, operation};
pub use serde_json::value::RawValue;
pub use serde_json::{Map, Value, json};

pub use self::asked::Asked;
pub use self::call::{Attachment, Call, Effect};
pub use self::failure::{Failure, FailureKind};
pub use self::form::Form;
pub use self::input::NoInput;
pub use self::io::Io;
pub use self::multipart::{Multipart, Part, PartContent};
#[cfg(not(target_family = "wasm"))]
pub use self::operation::{About, Suggestion};
pub use self::operation::{Operation, Protocol, Provider};
pub use self::pages::{Collected, Page};
pub use self::reply::Reply;
pub use self::request::{Body, Request};
pub use self::response::{Payload, Response};
pub use self::sql::{Column, Rows, SqlError, Statement};
pub use self::ssh::{Command, CommandLine, Exit, Output};

/// What the macros' output names. No part of the SDK's interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(target_family = "wasm"))]
    pub use schemars;
    pub use serde;

    #[cfg(target_family = "wasm")]
    pub use crate::export::{bindings, export_http_provider, export_sql_provider, export_ssh_provider, guest};
    pub use crate::input::parse;
    pub use crate::operation::{Described, Running};
    #[cfg(not(target_family = "wasm"))]
    pub use crate::schema::schema_of;
}

#[cfg(not(target_family = "wasm"))]
pub use schemars;
pub use serde;
pub use serde_json;
