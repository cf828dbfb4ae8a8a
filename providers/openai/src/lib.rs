//! OpenAI for kv: every endpoint of its API by name, and typed operations for those that people use most.
//!
//! It never holds a key and never opens a connection: an operation turns an input into a request, and a refusal into a
//! failure that its caller can act on. Successes go straight to the caller and are not read here, streams included.
//!
//! Where to begin: `provider.toml` for who the service is and where its key goes, `endpoints.toml` and
//! `organization.toml` for what can be reached as a raw call, one file here for each resource with typed operations,
//! and [`errors`] for what refusals mean.

pub mod audio;
pub mod batches;
pub mod chat;
pub mod embeddings;
pub mod errors;
pub mod files;
pub mod images;
pub mod models;
pub mod moderations;
mod pairs;
pub mod responses;
pub mod shape;
mod upload;
pub mod vector_stores;

kv_sdk::provider! {
    manifest: [
        include_str!("../provider.toml"),
        include_str!("../endpoints.toml"),
        include_str!("../organization.toml"),
    ],
    auth: ["bearer"],
    failure: errors::explain,
    operations: [
        audio::speech,
        audio::transcribe,
        batches::create,
        batches::retrieve,
        chat::create,
        embeddings::create,
        files::create,
        files::delete,
        files::list,
        files::retrieve,
        images::generate,
        models::list,
        models::retrieve,
        moderations::create,
        responses::create,
        responses::retrieve,
        vector_stores::create,
        vector_stores::search,
    ],
}
