//! Stripe, as a provider: the operations that people use most with types and schemas, and every other endpoint of the
//! public API as a raw call.
//!
//! One file for each resource holds its operations. They share how parameters become forms (`params`), how lists are
//! read to their end (`paging`) and what errors mean (`failure`). Everything without code is in `provider.toml` and
//! in `api/`: one line an operation, with its effect and what the person is offered for it.
//!
//! The inputs are open: what a type does not name goes to Stripe as it is. Stripe's requests have some hundred parameters
//! each, they come and go with the version that a connection names, and Stripe itself refuses what it does not know, with
//! the parameter's name. So the types hold what most calls use, and what policy decides by.

mod balance;
mod charges;
mod checkout_sessions;
mod customers;
mod events;
mod failure;
mod invoices;

mod paging;
mod params;
mod payment_intents;
mod payouts;
mod prices;
mod products;
mod refunds;
mod subscriptions;
mod transfers;

kv_sdk::provider! {
    manifest: [
        include_str!("../provider.toml"),
        include_str!("../api/billing.toml"),
        include_str!("../api/catalog.toml"),
        include_str!("../api/checkout.toml"),
        include_str!("../api/climate.toml"),
        include_str!("../api/connect.toml"),
        include_str!("../api/core.toml"),
        include_str!("../api/issuing.toml"),
        include_str!("../api/payment_methods.toml"),
        include_str!("../api/risk.toml"),
        include_str!("../api/terminal.toml"),
        include_str!("../api/test_helpers.toml"),
        include_str!("../api/v2.toml"),
    ],
    auth: ["bearer"],
    failure: failure::failure,
    operations: [
        balance::retrieve,
        charges::create,
        charges::list,
        charges::retrieve,
        checkout_sessions::create,
        customers::create,
        customers::delete,
        customers::list,
        customers::retrieve,
        customers::search,
        customers::update,
        events::list,
        invoices::finalize,
        invoices::list,
        invoices::pay,
        invoices::retrieve,
        payment_intents::cancel,
        payment_intents::capture,
        payment_intents::confirm,
        payment_intents::create,
        payment_intents::list,
        payment_intents::retrieve,
        payouts::create,
        prices::create,
        prices::list,
        products::create,
        products::list,
        refunds::create,
        subscriptions::cancel,
        subscriptions::create,
        subscriptions::list,
        subscriptions::update,
        transfers::create,
    ],
}
