//! Vector stores: files are in a store at once, and search looks for the words themselves.

use serde_json::{Value, json};

use super::error::Error;
use super::files;
use super::state::{Query, State, json_body, json_body_or_none, ok, required};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::unix_now;
use crate::shelf::id_of;

pub(super) fn create(request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body_or_none(request)?;
    let wanted: Vec<String> = match body.get("file_ids") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(other) => return Err(Error::wrong_type("file_ids", "an array of strings", other)),
    };
    if let Some(missing) = wanted.iter().find(|id| state.files.find(id).is_none()) {
        return Err(files::not_found(missing));
    }
    let now = unix_now();
    let id = state.ids.hex("vs_", 32);
    state.vector_stores.add(json!({
        "id": id, "object": "vector_store", "created_at": now,
        "name": body.get("name").cloned().unwrap_or(Value::Null), "usage_bytes": 0, "file_counts": counts(0),
        "status": "completed", "expires_after": body.get("expires_after").cloned().unwrap_or(Value::Null),
        "expires_at": null, "last_active_at": now, "metadata": body.get("metadata").cloned().unwrap_or_else(|| json!({})),
    }));
    for file in &wanted {
        put(&id, file, state)?;
    }
    retrieve(&id, state)
}

pub(super) fn retrieve(id: &str, state: &State) -> Result<Reply, Error> {
    state.vector_stores.find(id).map(ok).ok_or_else(|| not_found(id))
}

pub(super) fn update(id: &str, request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let store = state.vector_stores.find_mut(id).ok_or_else(|| not_found(id))?;
    for field in ["name", "metadata", "expires_after"] {
        if let Some(value) = body.get(field) {
            store[field] = value.clone();
        }
    }
    Ok(ok(store))
}

pub(super) fn delete(id: &str, state: &mut State) -> Result<Reply, Error> {
    state.vector_stores.remove(id).ok_or_else(|| not_found(id))?;
    state.vector_store_files.remove_where(|file| file["vector_store_id"] == id);
    Ok(ok(&json!({"id": id, "object": "vector_store.deleted", "deleted": true})))
}

pub(super) fn search(id: &str, request: &Recorded, state: &State) -> Result<Reply, Error> {
    state.vector_stores.find(id).ok_or_else(|| not_found(id))?;
    let body = json_body(request)?;
    let wanted = match body.get("query") {
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => required(&body, "query")?.to_owned(),
    };
    let words: Vec<String> = wanted.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut hits = Vec::new();
    for file in inside(id, state) {
        let file_id = id_of(&file);
        let Some(content) = state.contents.get(file_id) else { continue };
        let text: String = String::from_utf8_lossy(content).chars().take(2000).collect();
        let found = words.iter().filter(|word| text.to_lowercase().contains(*word)).count();
        if found > 0 {
            let name = state.files.find(file_id).map_or(Value::Null, |file| file["filename"].clone());
            hits.push(json!({
                "file_id": file_id, "filename": name, "score": found as f64 / words.len() as f64, "attributes": {},
                "content": [{"type": "text", "text": text}],
            }));
        }
    }
    Ok(ok(&json!({
        "object": "vector_store.search_results.page", "search_query": [wanted], "data": hits, "has_more": false,
        "next_page": null,
    })))
}

pub(super) fn add_file(id: &str, request: &Recorded, state: &mut State) -> Result<Reply, Error> {
    state.vector_stores.find(id).ok_or_else(|| not_found(id))?;
    let body = json_body(request)?;
    let file = required(&body, "file_id")?;
    put(id, file, state).map(|file| ok(&file))
}

pub(super) fn list_files(id: &str, query: &Query, state: &State) -> Result<Reply, Error> {
    state.vector_stores.find(id).ok_or_else(|| not_found(id))?;
    query.list(&state.vector_store_files, 100, 20, |file| file["vector_store_id"] == id)
}

pub(super) fn retrieve_file(id: &str, file: &str, state: &State) -> Result<Reply, Error> {
    let found = inside(id, state).into_iter().find(|have| have["id"] == file);
    found.map(|file| ok(&file)).ok_or_else(|| files::not_found(file))
}

pub(super) fn remove_file(id: &str, file: &str, state: &mut State) -> Result<Reply, Error> {
    retrieve_file(id, file, state)?;
    state.vector_store_files.remove_where(|have| have["id"] == file && have["vector_store_id"] == id);
    count(id, state);
    Ok(ok(&json!({"id": file, "object": "vector_store.file.deleted", "deleted": true})))
}

fn put(id: &str, file: &str, state: &mut State) -> Result<Value, Error> {
    let bytes = state.files.find(file).map(|file| file["bytes"].clone()).ok_or_else(|| files::not_found(file))?;
    let entry = json!({
        "id": file, "object": "vector_store.file", "usage_bytes": bytes, "created_at": unix_now(), "vector_store_id": id,
        "status": "completed", "last_error": null, "attributes": {},
        "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}},
    });
    state.vector_store_files.add(entry.clone());
    count(id, state);
    Ok(entry)
}

fn count(id: &str, state: &mut State) {
    let files = inside(id, state);
    let bytes: u64 = files.iter().filter_map(|file| file["usage_bytes"].as_u64()).sum();
    if let Some(store) = state.vector_stores.find_mut(id) {
        store["file_counts"] = counts(files.len());
        store["usage_bytes"] = json!(bytes);
    }
}

fn inside(id: &str, state: &State) -> Vec<Value> {
    state.vector_store_files.iter().filter(|file| file["vector_store_id"] == id).cloned().collect()
}

fn counts(completed: usize) -> Value {
    json!({"in_progress": 0, "completed": completed, "failed": 0, "cancelled": 0, "total": completed})
}

fn not_found(id: &str) -> Error {
    Error::no_object("Vector store", id)
}
