use proptest::prelude::*;
use serde_json::json;

use super::*;

fn manifest(body: &str) -> Manifest {
    let document = json!({
        "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http",
        "origins": ["https://api.acme.dev"],
        "slots": [{"name": "key", "kind": "token"}],
        "settings": [{"name": "version"}],
        "auth": {
            "bearer": {"type": "header", "name": "Authorization", "value": "Bearer {key}"},
            "param": {"type": "query", "name": "key", "value": "{key}"},
            "own": {"type": "header", "name": "X-Acme-Key", "value": "{key}"}
        },
        "default-auth": ["bearer"],
        "body": body,
        "headers": [
            {"name": "acme-version", "from": "setting", "setting": "version"},
            {"name": "idempotency-key", "from": "call-id", "methods": ["POST"]}
        ],
        "allowed-headers": ["acme-beta"],
        "endpoints": [
            {"method": "GET", "path": "/v1/things", "operation": "things.list"},
            {"method": "POST", "path": "/v1/things/{id}", "operation": "things.update"},
            {"method": "POST", "path": "/v2/things/{id}", "operation": "things.update", "body": "json"},
            {"method": "POST", "path": "/v3/things/{id}", "operation": "things.update", "body": "form"}
        ],
        "operations": [
            {"name": "things.list", "effect": "read", "suggest": "allow"},
            {"name": "things.update", "effect": "write", "suggest": "allow"}
        ]
    });
    Manifest::parse(document.to_string().as_bytes()).unwrap()
}

fn call() -> CallId {
    CallId::from_bytes([1; 16])
}

fn raw(method: &str, path: &str, headers: &[(&str, &str)], body: RawBody) -> Result<HttpRequest, RequestError> {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let raw = RawRequest { method: method.into(), path: path.into(), query: Vec::new(), headers, body };
    HttpRequest::from_caller(raw, &manifest("json"), call(), &[(SettingName::parse("version").unwrap(), "7".into())])
}

#[test]
fn a_raw_request_becomes_its_operation() {
    let request =
        raw("POST", "/v1/things/a%20b?x=%C3%A9&y=1+2", &[], RawBody::Json(json!({"b": 1, "a": [2]}))).unwrap();
    assert_eq!(request.operation().as_str(), "things.update");
    assert_eq!(request.endpoint(), "POST /v1/things/{id}");
    assert_eq!(request.effect(), Effect::Write);
    assert_eq!(request.target(), "/v1/things/a%20b?x=%C3%A9&y=1+2");
    assert_eq!(request.body().data, r#"{"b":1,"a":[2]}"#);
    assert_eq!(
        request.headers(),
        [("acme-version".into(), "7".into()), ("idempotency-key".into(), call().to_string())]
    );
    assert_eq!(request.auth().len(), 1);
}

#[test]
fn refuses_what_is_not_listed_and_names_the_nearest() {
    let Err(RequestError::Unlisted { nearest, .. }) = raw("GET", "/v1/thing", &[], RawBody::Empty) else { panic!() };
    assert_eq!(nearest[0], "GET /v1/things");
    for method in ["CONNECT", "TRACE", "TRACK", "PRI", "get", " GET", "GET ", &"A".repeat(1 << 20)] {
        assert!(matches!(raw(method, "/v1/things", &[], RawBody::Empty), Err(RequestError::Method(_))), "{method:.20}");
    }
}

#[test]
fn headers_are_an_allowlist() {
    assert!(raw("GET", "/v1/things", &[("Acme-Beta", "x"), ("Accept", "a/b")], RawBody::Empty).is_ok());
    for name in [
        "Host",
        "authorization",
        "AUTHORIZATION",
        "Authorization ",
        "Cookie",
        "Proxy-Authorization",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "Content-Length",
        "Transfer-Encoding",
        "X-HTTP-Method-Override",
        "X-Forwarded-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Forwarded",
        "Range",
        "Accept-Encoding",
        "x-acme-key",
        ":authority",
        "",
        "x\r\ny",
        "X-Unheard-Of",
        "content-type",
        "expect",
        "kv-status",
        "acme-version",
    ] {
        let refused = raw("GET", "/v1/things", &[(name, "x")], RawBody::Empty);
        assert!(matches!(refused, Err(RequestError::Header { .. })), "{name:?}");
    }
    for value in ["a\r\nb", "a\0", "é", " a", "a ", "a\tb", "\u{7f}", &"a".repeat(5000)] {
        let refused = raw("GET", "/v1/things", &[("acme-beta", value)], RawBody::Empty);
        assert!(matches!(refused, Err(RequestError::Header { .. })), "{value:?}");
    }
    assert!(raw("GET", "/v1/things", &[("accept", "a/b"), ("Accept", "c/d")], RawBody::Empty).is_err());
}

#[test]
fn a_provider_cannot_set_what_a_scheme_sets_nor_name_what_is_not_there() {
    let make = |change: fn(&mut RequestParts)| {
        let mut parts =
            RequestParts { method: "GET".into(), path: vec!["v1".into(), "things".into()], ..Default::default() };
        change(&mut parts);
        HttpRequest::from_provider(parts, &manifest("json"), call(), &[], &[])
    };
    assert!(make(|_| ()).is_ok());
    assert!(make(|p| p.auth = vec!["param".into()]).is_ok());
    assert!(matches!(make(|p| p.auth = vec!["nope".into()]), Err(RequestError::Scheme(_))));
    assert!(matches!(
        make(|p| {
            p.auth = vec!["param".into()];
            p.query = vec![("key".into(), "x".into())];
        }),
        Err(RequestError::Query(_))
    ));
    assert!(matches!(make(|p| p.body = Body::Json("{} {}".into())), Err(RequestError::JsonBody)));
    assert!(matches!(make(|p| p.body = Body::Attachment("x".into())), Err(RequestError::Attachment(_))));
    assert!(matches!(
        make(|p| p.headers = vec![("authorization".into(), "x".into())]),
        Err(RequestError::Header { .. })
    ));
}

#[test]
fn forms_and_multipart() {
    let value = json!({"a": {"b": [{"c": 1}, {"c": true}]}, "d": null, "e": "x&y= é", "f": [], "g": {}});
    assert_eq!(encode_form(&flatten_form(&value).unwrap()), "a[b][0][c]=1&a[b][1][c]=true&d=&e=x%26y%3D+%C3%A9&f=");
    assert_eq!(flatten_form(&json!([1])), Err(RequestError::FormBody));

    let attachment = Attachment { name: "f".into(), media_type: "audio/wav".into(), data: "RIFF".into() };
    let parts = vec![
        Part { name: "model".into(), filename: None, content: PartContent::Text("whisper-1".into()) },
        Part {
            name: "file".into(),
            filename: Some("a\"\r\nx: y".into()),
            content: PartContent::Attachment("f".into()),
        },
    ];
    let body = encode::provider_body(Body::Multipart(parts), call(), &[attachment]).unwrap();
    let boundary = body.media_type.unwrap().split_once("boundary=").unwrap().1.to_owned();
    assert_eq!(
        body.data,
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22%0D%0Ax: y\"\r\n\
             Content-Type: audio/wav\r\n\r\nRIFF\r\n--{boundary}--\r\n"
        )
    );
}

#[test]
fn an_endpoint_gets_the_encoding_that_it_or_else_its_manifest_names() {
    let (form, json) =
        (("application/x-www-form-urlencoded", "a[0][b]=c"), ("application/json", r#"{"a":[{"b":"c"}]}"#));
    for (manifest_says, path, wanted) in [
        ("form", "/v1/things/x", form),
        ("form", "/v2/things/x", json),
        ("form", "/v3/things/x", form),
        ("json", "/v1/things/x", json),
        ("json", "/v2/things/x", json),
        ("json", "/v3/things/x", form),
    ] {
        let raw = RawRequest {
            method: "POST".into(),
            path: path.into(),
            body: RawBody::Json(json!({"a": [{"b": "c"}]})),
            ..Default::default()
        };
        let request = HttpRequest::from_caller(raw, &manifest(manifest_says), call(), &[]).unwrap();
        let sent = (request.body().media_type.as_deref().unwrap(), std::str::from_utf8(&request.body().data).unwrap());
        assert_eq!(sent, wanted, "{manifest_says} {path}");
    }
}

#[test]
fn a_field_of_a_form_has_one_spelling() {
    for (value, pointer) in [
        (json!({"a[b]": 1}), "/a[b]"),
        (json!({"a": {"b]": 1}}), "/a/b]"),
        (json!({"a": [{"": 1}]}), "/a/0/"),
        (json!({"": {}}), "/"),
        (json!({"a/~": {"[": null}}), "/a~1~0/["),
    ] {
        let refused = flatten_form(&value).unwrap_err();
        assert_eq!(refused, RequestError::FormName { pointer: pointer.into() }, "{value}");
        assert!(refused.to_string().contains(pointer) && refused.code() == "request.body");
    }
    // In a body that goes out as JSON they are names like others.
    assert!(raw("POST", "/v1/things/x", &[], RawBody::Json(json!({"a[b]": 1}))).is_ok());
}

#[test]
fn the_digest_tells_requests_apart() {
    let base = raw("POST", "/v1/things/x", &[], RawBody::Json(json!({"a": 1}))).unwrap().digest();
    for other in [
        raw("POST", "/v1/things/y", &[], RawBody::Json(json!({"a": 1}))),
        raw("POST", "/v1/things/x?q=1", &[], RawBody::Json(json!({"a": 1}))),
        raw("POST", "/v1/things/x", &[], RawBody::Json(json!({"a": 2}))),
        raw("POST", "/v1/things/x", &[("accept", "a/b")], RawBody::Json(json!({"a": 1}))),
    ] {
        assert_ne!(other.unwrap().digest(), base);
    }
    assert_eq!(raw("POST", "/v1/things/x", &[], RawBody::Json(json!({"a": 1}))).unwrap().digest(), base);
}

proptest! {
    /// No two members of a JSON object become one field of a form.
    #[test]
    fn fields_of_a_form_are_apart(names in proptest::collection::hash_set("[a-c\\[\\]]{0,3}", 1..5), inner in "[a-c]{1,2}") {
        let object = names.iter().map(|name| (name.clone(), json!({inner.clone(): [1, {"x": 2}], "y": 3})));
        if let Ok(pairs) = flatten_form(&Value::Object(object.collect())) {
            let keys: std::collections::HashSet<_> = pairs.iter().map(|(key, _)| key).collect();
            prop_assert_eq!(keys.len(), pairs.len());
        }
    }

    /// No value of a caller's becomes structure of the query.
    #[test]
    fn query_values_stay_values(key in "\\PC{1,20}", value in any::<String>()) {
        let raw = RawRequest { method: "GET".into(), path: "/v1/things".into(), query: vec![(key.clone(), value.clone())], ..Default::default() };
        let request = HttpRequest::from_caller(raw, &manifest("json"), call(), &[]).unwrap();
        let target = request.target();
        prop_assert!(target.bytes().all(|b| (0x21..0x7f).contains(&b)));
        let query = target.split_once('?').unwrap().1;
        prop_assert_eq!(encode::parse_query(query).unwrap(), vec![(key, value)]);
    }

    #[test]
    fn raw_paths_never_panic(path in any::<String>()) {
        let _ = raw("GET", &path, &[], RawBody::Empty);
    }
}
