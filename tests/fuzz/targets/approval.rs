//! What a person is shown holds nothing that hides or moves, and two requests have one digest only if they are one request.
#![no_main]
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use kv_model::{
    CallId, Connection, ConnectionName, Digest, Effect, HttpRequest, Manifest, Origin, Principal, ProviderName, RawBody,
    RawRequest, Request, Suggestion, is_plain,
};
use kv_policy::approval::Review;
use kv_policy::{Decision, Held, Question, decide};
use libfuzzer_sys::fuzz_target;

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let document = br#"{"schema":"kv.manifest/1","name":"acme","version":"1.0.0","protocol":"http","origins":["https://api.acme.dev"],
        "endpoints":[{"method":"POST","path":"/v1/{a}/{b}","operation":"a.post"}],
        "operations":[{"name":"a.post","effect":"write","suggest":"ask"}]}"#;
    Manifest::parse(document).unwrap_or_else(|problems| panic!("{problems:?}"))
});

static CONNECTION: LazyLock<Arc<Connection>> = LazyLock::new(|| {
    Arc::new(Connection {
        name: ConnectionName::parse("acme").unwrap(),
        provider: ProviderName::parse("acme").unwrap(),
        provider_digest: Digest::ZERO,
        origin: Origin::parse("https://api.acme.dev").unwrap(),
        allow_private: false,
        ca: None,
        settings: BTreeMap::new(),
        bindings: BTreeMap::new(),
        accepted: MANIFEST.operations.keys().map(|name| (name.clone(), Suggestion::Ask)).collect(),
        effects: BTreeMap::new(),
        created_ms: 0,
    })
});

type Input<'a> = (&'a str, Vec<(String, String)>, &'a str, &'a [u8]);

fn held((path, query, media_type, body): Input, summary: &str) -> Option<Held> {
    let call = CallId::from_bytes([7; 16]);
    let body = match body {
        [] => RawBody::Empty,
        data => RawBody::Bytes { media_type: media_type.to_owned(), data: data.to_vec().into() },
    };
    let raw = RawRequest { method: "POST".into(), path: format!("/v1/{path}"), query, body, ..Default::default() };
    let request = HttpRequest::from_caller(raw, &MANIFEST, call, &[]).ok()?;
    let question = Question {
        principal: Principal::Operator { uid: 1 },
        call,
        step: 0,
        connection: Arc::clone(&CONNECTION),
        asked: request.operation().clone(),
        declared: request.effect(),
        effect: request.effect(),
        most: Effect::Grant,
        summary: summary.to_owned(),
        request: Request::Http(request),
    };
    match decide(question) {
        Decision::Ask(held) => Some(held),
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|input: (Input, Input, &str)| {
    let (first, second, summary) = input;
    let (Some(first), Some(second)) = (held(first, summary), held(second, "")) else { return };
    if let Ok(review) = Review::of(&first) {
        for line in review.lines() {
            assert!(line.label.chars().chain(line.value.chars()).all(is_plain), "{line:?}");
        }
    }
    let same = first.request().digest() == second.request().digest();
    assert_eq!(first.digest(&[]) == second.digest(&[]), same);
});
