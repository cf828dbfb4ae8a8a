//! Vector stores: `/v1/vector_stores`.
//!
//! They began as a part of the assistants API, and the official SDKs still send its version along.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::errors::about;
use crate::shape::{Checked, Id, MANY, Metadata, Object, TextOrList, Whole};

/// What `vector_stores.create` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateVectorStore {
    pub name: Option<Id>,
    pub description: Option<Checked<String>>,
    /// Uploaded files to begin with.
    pub file_ids: Option<Checked<Vec<String>>>,
    pub expires_after: Option<Checked<Unused>>,
    /// `{"type": "auto"}`, or `{"type": "static", "static": {..}}` with sizes in tokens.
    pub chunking_strategy: Option<Checked<Object>>,
    pub metadata: Option<Checked<Metadata>>,
}

/// When the service deletes a store that nobody uses.
#[kv_sdk::input(open)]
pub struct Unused {
    /// `last_active_at`
    pub anchor: String,
    pub days: Checked<Whole<1, 365>>,
}

/// Create a vector store
///
/// Storage beyond the first GB costs money by the day.
#[kv_sdk::operation(
    name = "vector_stores.create", effect = Write, suggest = Allow, endpoint = "POST /v1/vector_stores",
    headers("openai-beta" = "assistants=v2"),
)]
pub async fn create(io: &Io, input: CreateVectorStore) -> Result<Reply, Failure> {
    let name = input.name.map(|name| format!(" {}", name)).unwrap_or_default();
    let request =
        Request::post(["v1", "vector_stores"]).json_text(io.input_text()).summary(format!("create vector store{name}"));
    io.forward_success(request).await
}

/// What `vector_stores.search` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct SearchVectorStore {
    /// `vs_...`
    pub vector_store_id: Id,
    /// What is looked for: a text, or several.
    pub query: Checked<TextOrList<String, 1, MANY>>,
    pub max_num_results: Option<Checked<Whole<1, 50>>>,
    /// `{"type": "eq", "key": .., "value": ..}`, or `{"type": "and", "filters": [..]}`, over the attributes of files.
    pub filters: Option<Checked<Object>>,
    pub ranking_options: Option<Checked<Object>>,
    /// The service may put the question better before it searches.
    pub rewrite_query: Option<Checked<bool>>,
}

/// Search a vector store
///
/// Finds the parts of its files that fit a question best.
#[kv_sdk::operation(
    name = "vector_stores.search", effect = Read, suggest = Allow, repeatable,
    endpoint = "POST /v1/vector_stores/{vector_store_id}/search", headers("openai-beta" = "assistants=v2"),
)]
pub async fn search(io: &Io, input: SearchVectorStore) -> Result<Reply, Failure> {
    let body = io.input_without(&["vector_store_id"]);
    let request = Request::post(["v1", "vector_stores", &input.vector_store_id, "search"]).json(&body)?;
    io.forward_success(request).await.map_err(about("/vector_store_id"))
}
