//! Embeddings: vectors that depend on the text alone, of length one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::error::Error;
use super::models;
use super::state::{json_body, ok};
use super::text::tokens;
use crate::ids::mixed;
use crate::record::Recorded;
use crate::reply::Reply;

pub(super) fn create(request: &Recorded) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let name = body.get("model").and_then(Value::as_str).ok_or_else(Error::no_model)?;
    let inputs = inputs(body.get("input"))?;
    let model = models::find(name)?;
    let full = if name.ends_with("-3-large") { 3072 } else { 1536 };
    let dimensions = match body.get("dimensions") {
        None | Some(Value::Null) => full,
        Some(wanted) => match wanted.as_u64().and_then(|wanted| usize::try_from(wanted).ok()) {
            Some(wanted) if (1..=full).contains(&wanted) => wanted,
            _ => {
                let message = format!("Invalid value for 'dimensions' = {wanted}. Must be between 1 and {full}.");
                return Err(Error::invalid("dimensions", message));
            }
        },
    };
    let in_base64 = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(Error::invalid("encoding_format", "Invalid 'encoding_format': must be 'float' or 'base64'."));
        }
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimensions);
            let embedding = if in_base64 { json!(packed(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let used: usize = inputs.iter().map(|text| tokens(text).max(1)).sum();
    Ok(ok(&json!({
        "object": "list", "data": data, "model": model.full, "usage": {"prompt_tokens": used, "total_tokens": used},
    })))
}

/// A text, a list of texts, a list of tokens, or a list of lists of tokens.
fn inputs(input: Option<&Value>) -> Result<Vec<String>, Error> {
    let wrong = || {
        Error::invalid(
            "input",
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
        )
    };
    let inputs = match input {
        None | Some(Value::Null) => return Err(Error::missing("input")),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::Array(items)) if items.iter().all(Value::is_u64) => vec![json!(items).to_string()],
        Some(Value::Array(items)) if items.iter().all(Value::is_array) => items.iter().map(Value::to_string).collect(),
        Some(_) => return Err(wrong()),
    };
    if inputs.is_empty() || inputs.len() > 2048 || inputs.iter().any(String::is_empty) {
        Err(wrong())
    } else {
        Ok(inputs)
    }
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let raw: Vec<f64> = (0..dimensions)
        .map(|_| {
            state = mixed(state);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        })
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    raw.iter().map(|x| (x / length) as f32).collect()
}

fn packed(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
