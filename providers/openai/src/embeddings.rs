//! Embeddings: `/v1/embeddings`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::shape::{ANY, Checked, Id, List, MANY, Text, Whole};

/// What `embeddings.create` takes.
#[kv_sdk::input(open)]
pub struct CreateEmbeddings {
    /// `text-embedding-3-small`, ...
    pub model: Id,
    pub input: Checked<Input>,
    /// `float` unless said.
    pub encoding_format: Option<Checked<EncodingFormat>>,
    /// How long each vector is to be, where the model lets one choose.
    pub dimensions: Option<Checked<Whole<1, ANY>>>,
    /// An id of your own user, for the service to trace abuse by.
    pub user: Option<Checked<String>>,
}

/// One text, up to 2,048 texts, or the same as tokens.
#[kv_sdk::input(open)]
#[serde(untagged)]
pub enum Input {
    Text(Checked<Text<MANY>>),
    Texts(Checked<List<Text<MANY>, 1, 2048>>),
    Tokens(Checked<List<u32, 1, MANY>>),
    TokenLists(Checked<List<List<u32, 1, MANY>, 1, 2048>>),
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// The vector's 32-bit floats, little-endian: a quarter of the size.
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
