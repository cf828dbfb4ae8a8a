//! Files: uploaded as multipart, kept in memory, given back byte for byte.

use serde_json::json;

use super::error::Error;
use super::state::{Query, State, multipart_body, ok};
use crate::multipart;
use crate::record::Recorded;
use crate::reply::Reply;

pub(super) fn create(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let parts = multipart_body(request)?;
    let purpose = multipart::text(&parts, "purpose").ok_or_else(|| Error::missing("purpose"))?;
    check_purpose(purpose)?;
    let file = multipart::named(&parts, "file").ok_or_else(|| Error::missing("file"))?;
    let name = file.file_name.as_deref().ok_or_else(|| Error::missing("file"))?;
    state.add_file(name, purpose, file.body.clone()).map(|file| ok(&file))
}

pub(super) fn check_purpose(purpose: &str) -> Result<(), Error> {
    if PURPOSES.contains(&purpose) {
        return Ok(());
    }
    let message = format!("'{purpose}' is not one of {PURPOSES:?} - 'purpose'").replace('"', "'");
    Err(Error::invalid("purpose", message))
}

pub(super) fn list(query: &Query, state: &State) -> Result<Reply, Error> {
    let purpose = query.text("purpose");
    query.list(&state.files, 10_000, 10_000, |file| purpose.is_none_or(|purpose| file["purpose"] == purpose))
}

pub(super) fn retrieve(id: &str, state: &State) -> Result<Reply, Error> {
    state.files.find(id).map(ok).ok_or_else(|| not_found(id))
}

pub(super) fn content(id: &str, state: &State) -> Result<Reply, Error> {
    let file = state.files.find(id).ok_or_else(|| not_found(id))?;
    let content = state.contents.get(id).ok_or_else(|| not_found(id))?;
    let name = file["filename"].as_str().unwrap_or("").replace(['"', '\\', '\r', '\n'], "_");
    Ok(Reply::bytes(200, "application/octet-stream", content.clone())
        .with("content-disposition", format!("attachment; filename=\"{name}\"")))
}

pub(super) fn delete(id: &str, state: &mut State) -> Result<Reply, Error> {
    state.files.remove(id).ok_or_else(|| not_found(id))?;
    state.contents.remove(id);
    Ok(ok(&json!({"object": "file", "deleted": true, "id": id})))
}

pub(super) fn not_found(id: &str) -> Error {
    Error::no_object("File", id)
}

const PURPOSES: [&str; 6] = ["assistants", "batch", "evals", "fine-tune", "user_data", "vision"];
