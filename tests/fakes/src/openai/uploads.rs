//! Uploads: a large file in parts.

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::Error;
use super::files::check_purpose;
use super::state::{State, json_body, multipart_body, ok, required};
use crate::multipart;
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::unix_now;

pub(super) fn create(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let (name, purpose) = (required(&body, "filename")?, required(&body, "purpose")?);
    required(&body, "mime_type")?;
    check_purpose(purpose)?;
    let bytes = match body.get("bytes") {
        Some(bytes) => bytes.as_u64().ok_or_else(|| Error::wrong_type("bytes", "an integer", bytes))?,
        None => return Err(Error::missing("bytes")),
    };
    let now = unix_now();
    let upload = json!({
        "id": state.ids.hex("upload_", 32), "object": "upload", "bytes": bytes, "created_at": now, "filename": name,
        "purpose": purpose, "status": "pending", "expires_at": now + 3600, "file": null,
    });
    state.uploads.add(upload.clone());
    Ok(ok(&upload))
}

pub(super) fn add_part(id: &str, request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    pending(id, state)?;
    let parts = multipart_body(request)?;
    let data = multipart::named(&parts, "data").ok_or_else(|| Error::missing("data"))?;
    let kept: usize = state.parts.values().map(|(_, bytes)| bytes.len()).sum();
    if kept + data.body.len() > KEPT_BYTES {
        return Err(Error::no_quota());
    }
    let part = state.ids.hex("part_", 32);
    state.parts.insert(part.clone(), (id.to_owned(), data.body.clone()));
    Ok(ok(&json!({"id": part, "object": "upload.part", "created_at": unix_now(), "upload_id": id})))
}

pub(super) fn complete(id: &str, request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let upload = pending(id, state)?;
    let Some(Value::Array(wanted)) = body.get("part_ids") else { return Err(Error::missing("part_ids")) };
    let mut whole = Vec::new();
    for part in wanted {
        let part_id = part.as_str().unwrap_or("");
        match state.parts.get(part_id) {
            Some((of, bytes)) if of == id => whole.extend_from_slice(bytes),
            _ => return Err(Error::invalid("part_ids", format!("No such part: {part_id}"))),
        }
    }
    if Some(whole.len() as u64) != upload["bytes"].as_u64() {
        let message = format!("Expected {} bytes in total, but the parts have {}.", upload["bytes"], whole.len());
        return Err(Error::invalid("part_ids", message));
    }
    let text = |name: &str| upload[name].as_str().unwrap_or("").to_owned();
    let file = state.add_file(&text("filename"), &text("purpose"), Bytes::from(whole))?;
    finish(id, "completed", file, state)
}

pub(super) fn cancel(id: &str, state: &mut State) -> Result<Reply, Error> {
    pending(id, state)?;
    finish(id, "cancelled", Value::Null, state)
}

fn finish(id: &str, status: &str, file: Value, state: &mut State) -> Result<Reply, Error> {
    state.parts.retain(|_, (of, _)| of != id);
    let upload = state.uploads.find_mut(id).ok_or_else(|| not_found(id))?;
    upload["status"] = json!(status);
    upload["file"] = file;
    Ok(ok(upload))
}

fn pending(id: &str, state: &State) -> Result<Value, Error> {
    let upload = state.uploads.find(id).ok_or_else(|| not_found(id))?;
    match upload["status"].as_str() {
        Some("pending") => Ok(upload.clone()),
        status => Err(Error::wrong_state(format!("Upload {id} is already {}.", status.unwrap_or("gone")))),
    }
}

fn not_found(id: &str) -> Error {
    Error::no_object("Upload", id)
}

const KEPT_BYTES: usize = 512 << 20;
