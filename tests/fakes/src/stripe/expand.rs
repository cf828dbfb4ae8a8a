//! `expand[]`: ids in an answer replaced by the objects that they name.

use serde_json::Value;

use super::error::Error;
use super::params::Params;
use super::state::State;

pub(super) fn expand(answer: &mut Value, params: &Params, state: &State) -> Result<(), Error> {
    for (index, wanted) in params.list("expand")?.iter().enumerate() {
        let param = format!("expand[{index}]");
        let Some(path) = wanted.as_str() else { return Err(Error::invalid(&param, "Invalid string")) };
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > 4 {
            let message = format!("You cannot expand more than 4 levels of a property. Property: {path}");
            return Err(Error::invalid(&param, message));
        }
        if !follow(answer, &steps, state) {
            let message = format!(
                "This property cannot be expanded ({path}). You may want to try expanding a property of the object that holds \
                 an id."
            );
            return Err(Error::invalid(&param, message));
        }
    }
    Ok(())
}

/// False when a step leads nowhere in an object that is there.
fn follow(value: &mut Value, steps: &[&str], state: &State) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match value {
        Value::Array(items) => items.iter_mut().all(|item| follow(item, steps, state)),
        Value::Object(fields) => {
            // Inside a list, `data` is a list of objects; a customer has sources only if it was given some.
            let Some(inner) = fields.get_mut(*step) else { return *step == "default_source" || *step == "sources" };
            if let Some(found) = inner.as_str().and_then(|id| state.any(id)) {
                *inner = found.clone();
            }
            follow(inner, rest, state)
        }
        // Nothing to expand in what is not there.
        Value::Null | Value::String(_) => true,
        Value::Bool(_) | Value::Number(_) => false,
    }
}
