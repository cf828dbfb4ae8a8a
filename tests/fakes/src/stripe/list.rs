//! Lists: filters, then a page by cursor, newest first.

use serde_json::{Value, json};

use super::error::Error;
use super::params::Params;
use super::resources::Resource;
use super::state::State;
use crate::shelf::{Page, Shelf};

pub(super) fn list(resource: &Resource, params: &Params, state: &State) -> Result<Value, Error> {
    params.only(&[PAGING, resource.filters, &["created", "ids", "types", "lookup_keys"]])?;
    let limit = match params.integer("limit")? {
        None => 10,
        Some(limit @ 1..=100) => limit as usize,
        Some(0) => return Err(Error::invalid("limit", "This value must be greater than or equal to 1.")),
        Some(limit) if limit < 0 => {
            return Err(Error::invalid("limit", "This value must be greater than or equal to 1."));
        }
        Some(_) => return Err(Error::invalid("limit", "This value must be less than or equal to 100 (it was more).")),
    };
    let page =
        Page { after: params.text("starting_after"), before: params.text("ending_before"), limit, oldest_first: false };
    if page.after.is_some() && page.before.is_some() {
        let message = "You may only specify one of these parameters: starting_after, ending_before.";
        return Err(Error::invalid("starting_after", message));
    }
    let created = Bounds::of(params)?;
    let empty = Shelf::default();
    let shelf = state.shelf(resource.kind).unwrap_or(&empty);
    let keep = |object: &Value| {
        created.allow(object)
            && resource.filters.iter().all(|name| matches(name, params, object))
            && listed(params, object)
    };
    let (data, has_more) = shelf.page(&page, keep).map_err(|cursor| {
        let param = if page.after == Some(cursor.0) { "starting_after" } else { "ending_before" };
        Error::no_object_for(param, resource.kind, cursor.0)
    })?;
    Ok(json!({"object": "list", "data": data, "has_more": has_more, "url": format!("/v1/{}", resource.path)}))
}

fn matches(name: &str, params: &Params, object: &Value) -> bool {
    let wanted = params.text(name);
    if (name, object["object"].as_str()) == ("status", Some("subscription")) {
        return match wanted {
            // Ended ones are left out unless asked for.
            None => object["status"] != "canceled",
            Some("all") => true,
            Some(wanted) => object["status"] == wanted,
        };
    }
    let Some(wanted) = wanted else { return true };
    match (name, &object[name]) {
        ("price", _) => object["items"]["data"]
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item["price"]["id"] == wanted)),
        // `charge.*` names a family of events.
        ("type", Value::String(kind)) if wanted.ends_with(".*") => kind.starts_with(&wanted[..wanted.len() - 1]),
        (_, Value::String(have)) => have == wanted,
        (_, Value::Bool(have)) => have.to_string() == wanted,
        _ => false,
    }
}

/// The filters that take several values.
fn listed(params: &Params, object: &Value) -> bool {
    [("ids", "id"), ("lookup_keys", "lookup_key"), ("types", "type")].iter().all(|(param, field)| {
        let wanted = params.list(param).unwrap_or(&[]);
        wanted.is_empty() || wanted.contains(&object[*field])
    })
}

/// `created=1` or `created[gt|gte|lt|lte]=1`.
struct Bounds(Vec<(String, i64)>);

impl Bounds {
    fn of(params: &Params) -> Result<Bounds, Error> {
        let mut bounds = Vec::new();
        match params.get("created") {
            None => {}
            Some(Value::Object(given)) => {
                for (name, value) in given {
                    let param = format!("created[{name}]");
                    if !["gt", "gte", "lt", "lte"].contains(&name.as_str()) {
                        return Err(Error::unknown_param(&param));
                    }
                    bounds.push((name.clone(), super::params::integer(&param, value)?));
                }
            }
            Some(value) => bounds.push(("eq".to_owned(), super::params::integer("created", value)?)),
        }
        Ok(Bounds(bounds))
    }

    fn allow(&self, object: &Value) -> bool {
        let created = object["created"].as_i64().unwrap_or(0);
        self.0.iter().all(|(name, bound)| match name.as_str() {
            "gt" => created > *bound,
            "gte" => created >= *bound,
            "lt" => created < *bound,
            "lte" => created <= *bound,
            _ => created == *bound,
        })
    }
}

/// A list inside an object, such as the items of a subscription.
pub(super) fn inner(data: Vec<Value>, url: String) -> Value {
    json!({"object": "list", "total_count": data.len(), "data": data, "has_more": false, "url": url})
}

const PAGING: &[&str] = &["limit", "starting_after", "ending_before"];
