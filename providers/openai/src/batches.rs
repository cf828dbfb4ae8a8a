//! Batches: `/v1/batches`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::errors::about;
use crate::files::ExpiresAfter;
use crate::shape::{Checked, Id, Metadata};

/// What `batches.create` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateBatch {
    /// The uploaded file with the requests, one JSON object a line; its purpose is `batch`.
    pub input_file_id: Id,
    /// Where all of the requests go: `/v1/responses`, `/v1/chat/completions`, `/v1/embeddings`, ...
    pub endpoint: Id,
    /// `24h`; the service knows no other.
    pub completion_window: Id,
    pub output_expires_after: Option<Checked<ExpiresAfter>>,
    pub metadata: Option<Checked<Metadata>>,
}

/// Create a batch
///
/// Runs up to 50,000 requests of an uploaded file within a day, at half the price.
#[kv_sdk::operation(
    name = "batches.create", effect = Write, suggest = Allow, facts(endpoint = "/endpoint"), endpoint = "POST /v1/batches",
)]
pub async fn create(io: &Io, input: CreateBatch) -> Result<Reply, Failure> {
    let summary =
        format!("run file {} against {} within {}", input.input_file_id, input.endpoint, input.completion_window);
    io.forward_success(Request::post(["v1", "batches"]).json_text(io.input_text()).summary(summary)).await
}

/// What `batches.retrieve` takes.
#[kv_sdk::input(open)]
pub struct RetrieveBatch {
    /// `batch_...`
    pub batch_id: Id,
}

/// Show a batch
///
/// How far it is, and the ids of the files with its output and its errors.
#[kv_sdk::operation(
    name = "batches.retrieve", effect = Read, suggest = Allow, repeatable, endpoint = "GET /v1/batches/{batch_id}",
)]
pub async fn retrieve(io: &Io, input: RetrieveBatch) -> Result<Reply, Failure> {
    let request = Request::get(["v1", "batches", &input.batch_id]);
    io.forward_success(request).await.map_err(about("/batch_id"))
}
