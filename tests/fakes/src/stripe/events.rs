//! Events: what happened to which object, as webhooks would tell it.

use serde_json::{Value, json};

use super::state::{State, extend};

pub(super) fn record(kind: &str, object: &Value, state: &mut State) {
    let mut event = state.begin("event");
    extend(
        &mut event,
        json!({
            "api_version": state.current.version, "data": {"object": object}, "pending_webhooks": 0,
            "request": {"id": state.current.request, "idempotency_key": state.current.idempotency_key}, "type": kind,
        }),
    );
    state.add("event", event);
}
