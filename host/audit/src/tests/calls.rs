//! Permits and denials, made the only way there is: by asking.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use kv_model::{
    CallId, Connection, ConnectionName, Digest, Effect, HttpRequest, Manifest, OperationName, Origin, Principal,
    PrincipalName, ProviderName, RawBody, RawRequest, Request, SecretId, SecretName, SecretRef, SlotName, Suggestion,
};
use kv_policy::{Decision, Permit, Question, decide};

const MANIFEST: &str = r#"{
    "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http",
    "origins": ["https://api.acme.dev"],
    "slots": [{"name": "key", "kind": "token", "usual-names": ["ACME_KEY"]}],
    "auth": {"bearer": {"type": "header", "name": "Authorization", "value": "Bearer {key}"}},
    "default-auth": ["bearer"],
    "endpoints": [{"method": "POST", "path": "/v1/things/{id}", "operation": "things.change"}],
    "operations": [{"name": "things.change", "effect": "read", "suggest": "allow"}]
}"#;

/// An agent that goes by this name asks for `things.change`, with this effect and summary.
pub(super) fn question(agent: &str, effect: Effect, summary: &str, raw: RawRequest, accepted: Suggestion) -> Question {
    static PARSED: LazyLock<Manifest> = LazyLock::new(|| Manifest::parse(MANIFEST.as_bytes()).unwrap());
    let call = CallId::from_bytes([7; 16]);
    let operation = OperationName::parse("things.change").unwrap();
    let secret = SecretRef { id: SecretId::from_bytes([1; 16]), name: SecretName::parse("ACME_KEY").unwrap() };
    Question {
        principal: Principal::Agent { name: PrincipalName::parse(agent).unwrap(), uid: 1000 },
        call,
        step: 0,
        connection: Arc::new(Connection {
            name: ConnectionName::parse("acme-test").unwrap(),
            provider: ProviderName::parse("acme").unwrap(),
            provider_digest: Digest::of(b"component"),
            origin: Origin::parse("https://api.acme.dev").unwrap(),
            allow_private: false,
            ca: None,
            settings: BTreeMap::new(),
            bindings: BTreeMap::from([(SlotName::parse("key").unwrap(), secret)]),
            accepted: BTreeMap::from([(operation.clone(), accepted)]),
            effects: BTreeMap::new(),
            created_ms: 0,
        }),
        asked: operation,
        declared: effect,
        effect,
        most: Effect::Grant,
        summary: summary.to_owned(),
        request: Request::Http(HttpRequest::from_caller(raw, &PARSED, call, &[]).unwrap()),
    }
}

pub(super) fn raw() -> RawRequest {
    RawRequest {
        method: "POST".into(),
        path: "/v1/things/thing_1?expand=canary-in-query".into(),
        query: vec![("q".into(), "canary-in-pair".into())],
        headers: vec![("prefer".into(), "canary-in-header".into())],
        body: RawBody::Json(serde_json::json!({ "text": "canary-in-body" })),
    }
}

pub(super) fn permit_for(agent: &str, effect: Effect, summary: &str) -> Permit {
    match decide(question(agent, effect, summary, raw(), Suggestion::Allow)) {
        Decision::Allow(permit) => permit,
        other => panic!("{other:?}"),
    }
}

pub(super) fn permit(effect: Effect, summary: &str) -> Permit {
    permit_for("claude", effect, summary)
}
