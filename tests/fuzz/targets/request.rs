//! However a raw request is written, it goes out in one canonical form or not at all.
#![no_main]
use std::sync::LazyLock;

use kv_model::{CallId, HttpRequest, Manifest, RawRequest};
use libfuzzer_sys::fuzz_target;

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let document = br#"{"schema":"kv.manifest/1","name":"acme","version":"1.0.0","protocol":"http","origins":["https://api.acme.dev"],
        "endpoints":[{"method":"GET","path":"/v1/{a}","operation":"a.get"},{"method":"POST","path":"/v1/{a}/{b}","operation":"a.post"}],
        "operations":[{"name":"a.get","effect":"read","suggest":"allow"},{"name":"a.post","effect":"write","suggest":"allow"}]}"#;
    match Manifest::parse(document) {
        Ok(manifest) => manifest,
        Err(problems) => panic!("{problems:?}"),
    }
});

fuzz_target!(|input: (&str, &str, Vec<(String, String)>, Vec<(String, String)>)| {
    let (method, path, query, headers) = input;
    let raw = RawRequest { method: method.into(), path: path.into(), query, headers, ..Default::default() };
    if let Ok(request) = HttpRequest::from_caller(raw, &MANIFEST, CallId::from_bytes([0; 16]), &[]) {
        let target = request.target();
        assert!(target.starts_with("/v1/") && target.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        assert!(!target.contains(['#', '\\']));
        for (name, value) in request.headers() {
            assert!(!matches!(name.as_str(), "host" | "authorization" | "cookie" | "connection" | "content-length" | "transfer-encoding"));
            assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }
});
