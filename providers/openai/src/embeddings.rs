//! Embeddings: `/v1/embeddings`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::shape::{ANY, Checked, Id, TextOrList, TextOrTokens, Whole};

/// What `embeddings.create` takes.
#[kv_sdk::input(open)]
pub struct CreateEmbeddings {
    /// `text-embedding-3-small`, ...
    pub model: Id,
    /// One text, up to 2,048 texts, or the same as tokens.
    pub input: Checked<TextOrList<TextOrTokens, 1, 2048>>,
    /// `float` unless said; `base64` has the same 32-bit floats, little-endian, in a quarter of the size.
    pub encoding_format: Option<Checked<EncodingFormat>>,
    /// How long each vector is to be, where the model lets one choose.
    pub dimensions: Option<Checked<Whole<1, ANY>>>,
    /// An id of your own user, for the service to trace abuse by.
    pub user: Option<Checked<String>>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    Base64,
    Float,
}

/// Create embeddings
///
/// A vector for each text, near to those of texts that mean the same. Costs money by the token.
#[kv_sdk::operation(
    name = "embeddings.create", effect = Write, suggest = Allow, facts(model = "/model"),
    endpoint = "POST /v1/embeddings",
)]
pub async fn create(io: &Io, input: CreateEmbeddings) -> Result<Reply, Failure> {
    let request = Request::post(["v1", "embeddings"])
        .json_text(io.input_text())
        .summary(format!("embed text with {}", input.model));
    io.forward_success(request).await
}
