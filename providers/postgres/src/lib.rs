//! PostgreSQL, as a provider: statements of the caller's own, and what a caller has to know of a database to write them.
//!
//! `statements` holds the operations whose text the caller writes; `catalog`, `describe`, `sample` and `status` have
//! texts of their own, in which every value is a parameter and every name is quoted (`names`). `failure` makes the
//! caller's terms of what the server says.
//!
//! It never decides what a statement is. The host reads the text by itself, runs what only reads in a read-only
//! transaction, and counts what a change touches.

mod catalog;
mod describe;
mod failure;
mod names;
mod sample;
mod statements;
mod status;

kv_sdk::provider! {
    protocol: sql,
    manifest: [include_str!("../provider.toml")],
    auth: ["login"],
    failure: failure::failure,
    operations: [
        catalog::schemas,
        catalog::tables,
        describe::describe,
        sample::sample,
        statements::administer,
        statements::destroy,
        statements::execute,
        statements::explain,
        statements::preview,
        statements::query,
        status::status,
    ],
}
