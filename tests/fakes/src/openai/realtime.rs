//! Realtime client secrets: an answer that is itself a credential.

use serde_json::{Value, json};

use super::error::Error;
use super::state::{State, json_body_or_none, ok};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::unix_now;

pub(super) fn client_secret(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body_or_none(request)?;
    let seconds = body.get("expires_after").and_then(|after| after["seconds"].as_u64()).unwrap_or(600);
    if !(10..=7200).contains(&seconds) {
        return Err(Error::invalid("expires_after.seconds", "Invalid value: must be between 10 and 7200."));
    }
    let expires = unix_now() + seconds;
    let mut session =
        body.get("session").cloned().unwrap_or_else(|| json!({"type": "realtime", "model": "gpt-realtime"}));
    if let Value::Object(session) = &mut session {
        session.insert("object".to_owned(), json!("realtime.session"));
        session.insert("id".to_owned(), json!(state.ids.letters("sess_", 22)));
        session.insert("expires_at".to_owned(), json!(expires));
    }
    Ok(ok(&json!({"value": state.ids.hex("ek_", 32), "expires_at": expires, "session": session})))
}
