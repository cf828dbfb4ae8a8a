//! A connection keeps what a person decided about it.

use serde_json::Value;

use crate::harness::Kv;

/// Accepting a provider anew changes nothing but what the provider changed: here, nothing.
#[test]
fn accepting_a_provider_keeps_what_was_decided() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.run(["connection", "edit", "openai", "--deny", "models.list", "--allow", "files.delete"]).ok();
    let before = kv.run(["connection", "show", "openai", "--json"]).ok().json();
    assert_eq!(before["custom_ca"], true);
    // Without somebody to ask, nothing is accepted.
    let refused = kv.run(["connection", "edit", "openai", "--accept-provider", "--no-input", "--json"]);
    assert_eq!(refused.error()["code"], "needs_human");
    assert_eq!(kv.trail_of("connection_made").len(), 1);
    let mut after = kv.run(["connection", "edit", "openai", "--accept-provider", "--yes", "--json"]).ok().json();
    let change = after.as_object_mut().unwrap().remove("provider_change").unwrap();
    assert_eq!(change, serde_json::json!({ "new": {}, "gone": [], "graver": [] }));
    assert_eq!(after, before);
    assert_eq!(kv.run(["connection", "show", "openai", "--json"]).ok().json(), before);
    // The trail has which component it was.
    let made = kv.trail_of("connection_made");
    let digests: Vec<&Value> = made.iter().map(|entry| &entry["provider_digest"]).collect();
    assert_eq!(digests, [&before["provider_digest"], &before["provider_digest"]]);
    assert_eq!(kv.run(["call", "openai", "models.list"]).code, 5);
    assert_eq!(openai.request_count(), 0);
}
