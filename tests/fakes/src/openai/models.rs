//! The models that the fake has, and the ones that stand for trouble.

use serde_json::{Value, json};

use super::error::Error;
use super::state::ok;
use crate::reply::Reply;

/// Names that answer with what the real service does on a bad day.
pub const TROUBLE: [(&str, Trouble); 7] = [
    ("fake-overloaded", Trouble::Overloaded),
    ("fake-quota-exceeded", Trouble::QuotaExceeded),
    ("fake-rate-limited", Trouble::RateLimited),
    ("fake-refusal", Trouble::Refusal),
    ("fake-server-error", Trouble::ServerError),
    ("fake-stream-cut", Trouble::StreamCut),
    ("fake-stream-error", Trouble::StreamError),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Overloaded,
    QuotaExceeded,
    RateLimited,
    /// The model declines to answer (a 200 with `refusal`).
    Refusal,
    ServerError,
    /// A stream breaks off after half of its text.
    StreamCut,
    /// A stream carries an error event after half of its text.
    StreamError,
}

/// Name, time of making, owner.
const MODELS: [(&str, u64, &str); 16] = [
    ("dall-e-3", 1_698_785_189, "system"),
    ("gpt-4.1", 1_744_316_542, "system"),
    ("gpt-4.1-mini", 1_744_318_173, "system"),
    ("gpt-4o", 1_715_367_049, "system"),
    ("gpt-4o-mini", 1_721_172_741, "system"),
    ("gpt-4o-mini-tts", 1_742_403_959, "system"),
    ("gpt-4o-transcribe", 1_742_068_463, "system"),
    ("gpt-5", 1_754_425_777, "system"),
    ("gpt-5-mini", 1_754_425_928, "system"),
    ("gpt-image-1", 1_745_517_030, "system"),
    ("gpt-realtime", 1_756_271_701, "system"),
    ("omni-moderation-latest", 1_731_689_265, "system"),
    ("text-embedding-3-large", 1_705_953_180, "system"),
    ("text-embedding-3-small", 1_705_948_997, "system"),
    ("tts-1", 1_681_940_951, "openai-internal"),
    ("whisper-1", 1_677_532_384, "openai-internal"),
];

/// What a request's model turned out to be.
pub(super) struct Model {
    /// The name to answer with: an alias is answered with the dated name behind it.
    pub(super) full: String,
    pub(super) trouble: Option<Trouble>,
}

/// Looks a model up; those that stand for an error at once are that error.
pub(super) fn find(name: &str) -> Result<Model, Error> {
    if let Some((_, trouble)) = TROUBLE.iter().find(|(trouble, _)| *trouble == name) {
        return match trouble {
            Trouble::Overloaded => Err(Error::overloaded()),
            Trouble::QuotaExceeded => Err(Error::no_quota()),
            Trouble::RateLimited => Err(Error::rate_limited(500)),
            Trouble::ServerError => Err(Error::broken()),
            Trouble::Refusal | Trouble::StreamCut | Trouble::StreamError => {
                Ok(Model { full: name.to_owned(), trouble: Some(*trouble) })
            }
        };
    }
    if !known(name) {
        return Err(Error::no_such_model(name));
    }
    let full = match name {
        "gpt-4.1" => "gpt-4.1-2025-04-14",
        "gpt-4.1-mini" => "gpt-4.1-mini-2025-04-14",
        "gpt-4o" => "gpt-4o-2024-08-06",
        "gpt-4o-mini" => "gpt-4o-mini-2024-07-18",
        "gpt-5" => "gpt-5-2025-08-07",
        "gpt-5-mini" => "gpt-5-mini-2025-08-07",
        other => other,
    };
    Ok(Model { full: full.to_owned(), trouble: None })
}

/// A model of the list, or a dated one of its family.
fn known(name: &str) -> bool {
    MODELS.iter().any(|(have, ..)| {
        name.strip_prefix(have).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

pub(super) fn list() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(object).collect();
    ok(&json!({"object": "list", "data": data}))
}

pub(super) fn retrieve(id: &str) -> Result<Reply, Error> {
    let id = crate::urlencoded::decode(id);
    MODELS
        .iter()
        .find(|(have, ..)| *have == id)
        .map(|model| ok(&object(model)))
        .ok_or_else(|| Error::no_such_model(&id))
}

/// Nobody may delete the service's own models, and there are no others.
pub(super) fn delete(id: &str) -> Result<Reply, Error> {
    retrieve(id)?;
    Err(Error::wrong_state(format!("The model '{id}' is not a fine-tuned model and cannot be deleted.")))
}

fn object((id, created, owner): &(&str, u64, &str)) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": owner})
}
