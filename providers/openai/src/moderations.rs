//! Moderations: `/v1/moderations`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::shape::{Checked, MANY, TextOrList, TextOrObject};

/// What `moderations.create` takes.
#[kv_sdk::input(open)]
pub struct CreateModeration {
    /// One text, several, or a list of parts: `{"type": "text", "text": ..}`,
    /// `{"type": "image_url", "image_url": {"url": ..}}`.
    pub input: Checked<TextOrList<TextOrObject, 1, MANY>>,
    /// `omni-moderation-latest` unless said.
    pub model: Option<Checked<String>>,
}

/// Classify text or images as harmful or not
///
/// Free of charge, and changes nothing.
#[kv_sdk::operation(
    name = "moderations.create", effect = Read, suggest = Allow, repeatable, facts(model = "/model"),
    endpoint = "POST /v1/moderations",
)]
pub async fn create(io: &Io, _: CreateModeration) -> Result<Reply, Failure> {
    io.forward_success(Request::post(["v1", "moderations"]).json_text(io.input_text())).await
}
