//! What a fake OpenAI remembers between requests, and the little tools every endpoint uses.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::error::Error;
use crate::ids::Ids;
use crate::multipart::{self, Part};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::shelf::{Page, Shelf, id_of};
use crate::urlencoded;

pub(super) struct State {
    pub(super) ids: Ids,
    /// What kept responses were asked, by their ids.
    pub(super) asked: Shelf,
    pub(super) batches: Shelf,
    pub(super) files: Shelf,
    /// Contents of files by id.
    pub(super) contents: HashMap<String, Bytes>,
    /// Parts of uploads by id, with the upload that they belong to.
    pub(super) parts: HashMap<String, (String, Bytes)>,
    pub(super) responses: Shelf,
    pub(super) uploads: Shelf,
    pub(super) vector_stores: Shelf,
    /// Files in vector stores; each knows its store.
    pub(super) vector_store_files: Shelf,
    /// Requests of the minute that began at this instant.
    minute: (Option<Instant>, u32),
}

impl Default for State {
    fn default() -> State {
        State {
            ids: Ids::new(1),
            asked: Shelf::default(),
            batches: Shelf::default(),
            files: Shelf::default(),
            contents: HashMap::new(),
            parts: HashMap::new(),
            responses: Shelf::default(),
            uploads: Shelf::default(),
            vector_stores: Shelf::default(),
            vector_store_files: Shelf::default(),
            minute: (None, 0),
        }
    }
}

impl State {
    pub(super) fn count_request(&mut self, limit: Option<u32>) -> Result<(), Error> {
        let (since, count) = &mut self.minute;
        if since.is_none_or(|since| since.elapsed().as_secs() >= 60) {
            (*since, *count) = (Some(Instant::now()), 0);
        }
        *count = count.saturating_add(1);
        match limit {
            Some(limit) if *count > limit => Err(Error::rate_limited(limit)),
            _ => Ok(()),
        }
    }

    pub(super) fn requests(&self) -> u32 {
        self.minute.1
    }

    /// Keeps a file and returns its object. Past the cap of kept bytes it is refused, as a full quota is.
    pub(super) fn add_file(&mut self, name: &str, purpose: &str, body: Bytes) -> Result<Value, Error> {
        let kept: usize = self.contents.values().map(Bytes::len).sum();
        if kept + body.len() > KEPT_BYTES {
            return Err(Error::no_quota());
        }
        let file = json!({
            "object": "file",
            "id": self.ids.letters("file-", 22),
            "purpose": purpose,
            "filename": name,
            "bytes": body.len(),
            "created_at": crate::service::unix_now(),
            "expires_at": null,
            "status": "processed",
            "status_details": null,
        });
        self.contents.insert(id_of(&file).to_owned(), body);
        self.files.add(file.clone());
        Ok(file)
    }
}

/// The JSON object in a request's body.
pub(super) fn json_body(request: &Recorded) -> Result<Map<String, Value>, Error> {
    match request.json() {
        Some(Value::Object(body)) => Ok(body),
        _ => Err(Error::not_json()),
    }
}

/// [`json_body`], where no body at all stands for an empty object.
pub(super) fn json_body_or_none(request: &Recorded) -> Result<Map<String, Value>, Error> {
    if request.body.is_empty() { Ok(Map::new()) } else { json_body(request) }
}

/// A text that must be there.
pub(super) fn required<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Error> {
    match body.get(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Error::missing(name)),
        Some(other) => Err(Error::wrong_type(name, "a string", other)),
    }
}

pub(super) fn multipart_body(request: &Recorded) -> Result<Vec<Part>, Error> {
    let content_type = request.header("content-type").unwrap_or("");
    multipart::parse(content_type, &request.body).map_err(|_| Error::not_multipart())
}

/// What `?limit=..&after=..&before=..&order=..` asks for, beside other parameters.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &Recorded) -> Query {
        Query(urlencoded::pairs(request.query(), 100))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// A page of the shelf in the shape of the API's lists.
    pub(super) fn list(
        &self,
        shelf: &Shelf,
        most: usize,
        default: usize,
        keep: impl Fn(&Value) -> bool,
    ) -> Result<Reply, Error> {
        let limit = match self.text("limit").map(str::parse::<usize>) {
            None => default,
            Some(Ok(limit)) if (1..=most).contains(&limit) => limit,
            Some(_) => {
                let message = format!("Invalid 'limit': integer must be between 1 and {most}.");
                return Err(Error::invalid("limit", message));
            }
        };
        let page = Page {
            after: self.text("after"),
            before: self.text("before"),
            limit,
            oldest_first: self.text("order") == Some("asc"),
        };
        let (data, has_more) = shelf
            .page(&page, keep)
            .map_err(|cursor| Error::invalid("after", format!("Invalid cursor: {}", cursor.0)))?;
        let (first, last) = (data.first().map(id_of), data.last().map(id_of));
        let list = json!({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more});
        Ok(ok(&list))
    }
}

pub(super) fn ok(value: &Value) -> Reply {
    Reply::json_pretty(200, value)
}

/// A tenth of the real quota for one file.
const KEPT_BYTES: usize = 512 << 20;
