//! Moderations: a text is flagged when it has one of a few words.

use serde_json::{Map, Value, json};

use super::error::Error;
use super::state::{State, json_body, ok};
use super::text::of_content;
use crate::record::Recorded;
use crate::reply::Reply;

pub(super) fn create(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let texts: Vec<String> = match body.get("input") {
        None | Some(Value::Null) => return Err(Error::missing("input")),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => items.iter().map(of_content).collect(),
        // Parts of one message are judged together.
        Some(parts @ Value::Array(_)) => vec![of_content(parts)],
        Some(other) => return Err(Error::wrong_type("input", "a string or an array", other)),
    };
    let model = body.get("model").and_then(Value::as_str).unwrap_or("omni-moderation-latest");
    let results: Vec<Value> = texts.iter().map(|text| judge(text)).collect();
    Ok(ok(&json!({"id": state.ids.letters("modr-", 29), "model": model, "results": results})))
}

fn judge(text: &str) -> Value {
    let text = text.to_lowercase();
    let mut categories = Map::new();
    let mut scores = Map::new();
    let mut applied = Map::new();
    let mut flagged = false;
    for category in CATEGORIES {
        let hit = category == "violence" && ["kill", "murder"].iter().any(|word| text.contains(word));
        flagged |= hit;
        categories.insert(category.to_owned(), json!(hit));
        scores.insert(category.to_owned(), json!(if hit { 0.97 } else { 0.000_01 }));
        applied.insert(category.to_owned(), json!(["text"]));
    }
    json!({"flagged": flagged, "categories": categories, "category_scores": scores, "category_applied_input_types": applied})
}

const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];
