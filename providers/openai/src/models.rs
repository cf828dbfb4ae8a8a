//! Models: `/v1/models`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::errors::about;
use crate::shape::Id;

/// List the models
///
/// Those that the key may use. The answer is not paged.
#[kv_sdk::operation(
    name = "models.list", effect = Read, suggest = Allow, repeatable, endpoint = "GET /v1/models",
)]
pub async fn list(io: &Io) -> Result<Reply, Failure> {
    io.forward_success(Request::get(["v1", "models"])).await
}

/// What `models.retrieve` takes.
#[kv_sdk::input(open)]
pub struct RetrieveModel {
    /// `gpt-4o`, `ft:gpt-4o-mini:acme::7qTvM31`, ...
    pub model: Id,
}

/// Show a model
#[kv_sdk::operation(
    name = "models.retrieve", effect = Read, suggest = Allow, repeatable, facts(model = "/model"),
    endpoint = "GET /v1/models/{model}",
)]
pub async fn retrieve(io: &Io, input: RetrieveModel) -> Result<Reply, Failure> {
    let request = Request::get(["v1", "models", &input.model]);
    io.forward_success(request).await.map_err(about("/model"))
}
