//! Objects of one kind in the order of their making, with the paging that list endpoints do.

use std::collections::VecDeque;

use serde_json::Value;

/// JSON objects that have an `id`.
#[derive(Default)]
pub(crate) struct Shelf(VecDeque<Value>);

/// Which part of a list is wanted.
pub(crate) struct Page<'a> {
    pub(crate) after: Option<&'a str>,
    pub(crate) before: Option<&'a str>,
    pub(crate) limit: usize,
    /// Newest first is the rule for both services.
    pub(crate) oldest_first: bool,
}

/// The cursor of a [`Page`] names an object that is not there.
#[derive(Debug)]
pub(crate) struct NoSuchCursor<'a>(pub(crate) &'a str);

impl Shelf {
    /// Puts an object at the end; past the cap the oldest one makes room.
    pub(crate) fn add(&mut self, object: Value) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(object);
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Value> {
        self.0.iter().rev().find(|object| id_of(object) == id)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.0.iter_mut().rev().find(|object| id_of(object) == id)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Value> {
        let at = self.0.iter().position(|object| id_of(object) == id)?;
        self.0.remove(at)
    }

    pub(crate) fn remove_where(&mut self, is: impl Fn(&Value) -> bool) {
        self.0.retain(|object| !is(object));
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.0.iter()
    }

    /// The wanted part of the objects that `keep` lets through, and whether there are more beyond it.
    pub(crate) fn page<'a>(
        &self,
        page: &Page<'a>,
        keep: impl Fn(&Value) -> bool,
    ) -> Result<(Vec<Value>, bool), NoSuchCursor<'a>> {
        let mut all: Vec<&Value> = self.0.iter().filter(|object| keep(object)).collect();
        if !page.oldest_first {
            all.reverse();
        }
        let place = |id| all.iter().position(|object| id_of(object) == id).ok_or(NoSuchCursor(id));
        let (part, more) = match (page.after, page.before) {
            (Some(id), _) => {
                let rest = &all[place(id)? + 1..];
                (&rest[..rest.len().min(page.limit)], rest.len() > page.limit)
            }
            // The page that ends right before the cursor: its neighbours, not the list's first ones.
            (None, Some(id)) => {
                let rest = &all[..place(id)?];
                (&rest[rest.len().saturating_sub(page.limit)..], rest.len() > page.limit)
            }
            (None, None) => (&all[..all.len().min(page.limit)], all.len() > page.limit),
        };
        Ok((part.iter().map(|object| (*object).clone()).collect(), more))
    }
}

pub(crate) fn id_of(object: &Value) -> &str {
    object["id"].as_str().unwrap_or("")
}

/// Far more than a test makes; keeps a service that is hammered for hours from growing.
const KEPT: usize = 20_000;
