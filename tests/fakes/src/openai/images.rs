//! Images: always the same single grey pixel, in a real PNG.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::error::Error;
use super::models;
use super::state::{json_body, multipart_body, ok, required};
use crate::multipart;
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::unix_now;

pub(super) fn generate(request: &Recorded) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let prompt = required(&body, "prompt")?;
    let model = body.get("model").and_then(Value::as_str).unwrap_or("dall-e-3");
    let many = body.get("n").and_then(Value::as_u64).unwrap_or(1);
    let as_url = body.get("response_format").and_then(Value::as_str) == Some("url");
    images(model, prompt, many, as_url)
}

pub(super) fn edit(request: &Recorded) -> Result<Reply, Error> {
    let parts = multipart_body(request)?;
    let image = ["image", "image[]"].iter().find_map(|name| multipart::named(&parts, name));
    image.filter(|part| part.file_name.is_some()).ok_or_else(|| Error::missing("image"))?;
    let prompt = multipart::text(&parts, "prompt").unwrap_or("");
    let many = multipart::text(&parts, "n").and_then(|n| n.parse().ok()).unwrap_or(1);
    images(multipart::text(&parts, "model").unwrap_or("gpt-image-1"), prompt, many, false)
}

fn images(model: &str, prompt: &str, many: u64, as_url: bool) -> Result<Reply, Error> {
    models::find(model)?;
    if !(1..=10).contains(&many) {
        return Err(Error::invalid("n", "Invalid 'n': integer must be between 1 and 10."));
    }
    let image = || match as_url {
        // A name that never resolves: nothing is to be fetched from anywhere.
        true => json!({"url": "https://images.invalid/fake.png", "revised_prompt": prompt}),
        false => json!({"b64_json": STANDARD.encode(PIXEL)}),
    };
    let data: Vec<Value> = (0..many).map(|_| image()).collect();
    Ok(ok(&json!({
        "created": unix_now(), "background": "opaque", "data": data, "output_format": "png", "quality": "low",
        "size": "1024x1024",
        "usage": {
            "input_tokens": 10, "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
            "output_tokens": 272, "total_tokens": 282,
        },
    })))
}

/// One pixel, 8-bit grey.
const PIXEL: [u8; 67] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49,
    0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00,
    0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
