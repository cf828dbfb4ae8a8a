//! Images: `/v1/images`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::shape::{Checked, Id, Text, Whole};

/// What `images.generate` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct GenerateImages {
    /// What is to be seen.
    pub prompt: Text<32000>,
    /// `gpt-image-1`, ...
    pub model: Option<Id>,
    /// How many images to make; each is billed.
    pub n: Option<Whole<1, 10>>,
    /// `1024x1024`, `1536x1024`, `auto`, ...
    pub size: Option<Id>,
    /// `low`, `medium`, `high`, `auto`, ...
    pub quality: Option<Checked<String>>,
    /// `transparent`, `opaque` or `auto`.
    pub background: Option<Checked<String>>,
    /// `png`, `jpeg`, `webp`, ...
    pub output_format: Option<Checked<String>>,
    /// In percent, for `jpeg` and `webp`.
    pub output_compression: Option<Checked<Whole<0, 100>>>,
    /// `url` gives links that end within an hour. Of the older models only; the newer ones always answer in base64.
    pub response_format: Option<Checked<ResponseFormat>>,
    /// `low` for a less strict filter, or `auto`.
    pub moderation: Option<Checked<String>>,
    /// The images come as server-sent events, with `partial_images` unfinished ones before each.
    pub stream: Option<Checked<bool>>,
    pub partial_images: Option<Checked<Whole<0, 3>>>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    B64Json,
    Url,
}

/// Generate images
///
/// Costs money by the image, more for larger ones and higher quality.
#[kv_sdk::operation(
    name = "images.generate", effect = Write, suggest = Allow,
    facts(model = "/model", count = "/n", size = "/size", quality = "/quality"), endpoint = "POST /v1/images/generations",
)]
pub async fn generate(io: &Io, input: GenerateImages) -> Result<Reply, Failure> {
    let count = input.n.map_or(1, |n| n.0);
    let images = if count == 1 { "image" } else { "images" };
    let size = input.size.map(|size| format!(" of {size}")).unwrap_or_default();
    let model = input.model.map(|model| format!(" with {model}")).unwrap_or_default();
    let request = Request::post(["v1", "images", "generations"])
        .json_text(io.input_text())
        .summary(format!("generate {count} {images}{size}{model}: {}", input.prompt));
    io.forward_success(request).await
}
