//! The objects of one fake account, and what every endpoint needs to make and find them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::error::Error;
use super::idempotency::Idempotency;
use super::resources::RESOURCES;
use crate::ids::Ids;
use crate::service::unix_now;
use crate::shelf::{Shelf, id_of};

pub(super) struct State {
    pub(super) ids: Ids,
    pub(super) live: bool,
    pub(super) current: Current,
    pub(super) idempotency: Idempotency,
    /// Cents by currency.
    pub(super) available: BTreeMap<String, i64>,
    pub(super) pending: BTreeMap<String, i64>,
    shelves: HashMap<&'static str, Shelf>,
    /// Ids that were deleted, with their kinds: they can still be retrieved, as stubs.
    deleted: HashMap<String, &'static str>,
    requests: u32,
}

/// The request being answered.
#[derive(Default)]
pub(super) struct Current {
    pub(super) request: String,
    pub(super) idempotency_key: Option<String>,
    pub(super) version: String,
}

impl State {
    pub(super) fn new(live: bool, balance: &[(String, i64)]) -> State {
        State {
            ids: Ids::new(1),
            live,
            current: Current::default(),
            idempotency: Idempotency::default(),
            available: balance.iter().cloned().collect(),
            pending: BTreeMap::new(),
            shelves: HashMap::new(),
            deleted: HashMap::new(),
            requests: 0,
        }
    }

    pub(super) fn count_request(&mut self, limit: Option<u32>) -> Result<(), Error> {
        self.requests = self.requests.saturating_add(1);
        if limit.is_some_and(|limit| self.requests > limit) { Err(Error::rate_limited()) } else { Ok(()) }
    }

    /// The beginning of a new object: its id, kind, time and mode.
    pub(super) fn begin(&mut self, kind: &'static str) -> Value {
        let id = match kind {
            "checkout.session" => {
                let prefix = if self.live { "cs_live_a1" } else { "cs_test_a1" };
                self.ids.letters(prefix, 56)
            }
            _ => {
                let (prefix, length) = id_format(kind);
                self.ids.letters(prefix, length)
            }
        };
        json!({"id": id, "object": kind, "created": unix_now(), "livemode": self.live})
    }

    pub(super) fn add(&mut self, kind: &'static str, object: Value) {
        self.shelves.entry(kind).or_default().add(object);
    }

    pub(super) fn shelf(&self, kind: &str) -> Option<&Shelf> {
        self.shelves.get(kind)
    }

    pub(super) fn find(&self, kind: &str, id: &str) -> Option<&Value> {
        self.shelves.get(kind)?.find(id)
    }

    /// An object of the path, for reading.
    pub(super) fn object(&self, kind: &str, id: &str) -> Result<&Value, Error> {
        self.find(kind, id).ok_or_else(|| Error::no_object(kind, id))
    }

    /// An object of the path, for changing.
    pub(super) fn object_mut(&mut self, kind: &str, id: &str) -> Result<&mut Value, Error> {
        let object = self.shelves.get_mut(kind).and_then(|shelf| shelf.find_mut(id));
        object.ok_or_else(|| Error::no_object(kind, id))
    }

    /// An object that a parameter names.
    pub(super) fn named(&self, param: &str, kind: &str, id: &str) -> Result<&Value, Error> {
        self.find(kind, id).ok_or_else(|| Error::no_object_for(param, kind, id))
    }

    /// An object of any kind, by its id alone.
    pub(super) fn any(&self, id: &str) -> Option<&Value> {
        self.shelves.values().find_map(|shelf| shelf.find(id))
    }

    /// Deletes an object and returns the stub that stands for it from now on.
    pub(super) fn delete(&mut self, kind: &'static str, id: &str) -> Result<Value, Error> {
        let gone = self.shelves.get_mut(kind).and_then(|shelf| shelf.remove(id));
        let gone = gone.ok_or_else(|| Error::no_object(kind, id))?;
        if self.deleted.len() < STUBS {
            self.deleted.insert(id_of(&gone).to_owned(), kind);
        }
        Ok(stub(kind, id))
    }

    pub(super) fn deleted(&self, kind: &str, id: &str) -> Option<Value> {
        self.deleted.get(id).filter(|have| **have == kind).map(|kind| stub(kind, id))
    }
}

fn stub(kind: &str, id: &str) -> Value {
    json!({"id": id, "object": kind, "deleted": true})
}

fn id_format(kind: &str) -> (&'static str, usize) {
    match RESOURCES.iter().find(|resource| resource.kind == kind) {
        Some(resource) => (resource.prefix, resource.id_length),
        None => ("obj_1", 23),
    }
}

/// Adds the fields of `more` to `object`.
pub(super) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

const STUBS: usize = 20_000;
