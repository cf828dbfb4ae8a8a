//! H01 to H25: what a caller may write as a request, and what of it goes out.

use kv_fakes::{Fixed, Reply, Script};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Canary, Connected, Kv, Refusal, all_right, rows};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    name: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default = "models")]
    path: String,
    #[serde(default)]
    query: Vec<(String, String)>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    refuse: Option<String>,
    wire: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn models() -> String {
    "/v1/models".to_owned()
}

/// A service that answers anything, and records the raw bytes.
fn anything(kv: &Kv) -> Connected {
    kv.scripted("any", Script::serving(Fixed(Reply::json(200, &json!({ "ok": true })))))
}

fn refusal(text: &str) -> Refusal {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    Refusal::new(code, reason)
}

#[test]
fn the_table() {
    let kv = Kv::unlocked();
    let service = anything(&kv);
    let rows: Vec<Row> = rows("requests.toml");
    let mut wrong = Vec::new();
    for row in &rows {
        let call = json!({
            "connection": "any", "method": row.method, "path": row.path, "query": row.query, "headers": row.headers,
        });
        let result = match (&row.refuse, &row.wire) {
            (Some(expected), None) => kv.is_refused(&service, &refusal(expected), || kv.raw(&call)),
            (None, Some(expected)) => goes_out(&kv, &service, &call, expected),
            _ => Err("a row is refused or goes out".to_owned()),
        };
        wrong.extend(result.err().map(|why| format!("{} {}: {why}", row.id, row.name)));
    }
    all_right(rows.len(), &wrong);
}

/// Exactly this request line arrives, with one of each header that matters, and every header that the caller gave.
fn goes_out(kv: &Kv, service: &Connected, call: &Value, expected: &str) -> Result<(), String> {
    service.forget();
    let answer = kv.raw(call);
    if answer.status != Some(200) {
        return Err(answer.gist());
    }
    let requests = service.requests();
    let [request] = &requests[..] else { return Err(format!("{} requests arrived", requests.len())) };
    let line = format!("{} {}", request.method, request.target);
    if line != expected {
        return Err(format!("`{line}` arrived"));
    }
    for name in ["host", "authorization"] {
        if request.headers_named(name).count() != 1 {
            return Err(format!("not one `{name}`: {request:?}"));
        }
    }
    for pair in call["headers"].as_array().into_iter().flatten() {
        let (name, value) = (pair[0].as_str().unwrap_or(""), pair[1].as_str());
        if request.header(name) != value {
            return Err(format!("`{name}` did not arrive as it was"));
        }
    }
    Ok(())
}

/// H22: too much of anything is refused before a value is opened.
#[test]
fn too_much_of_anything() {
    let kv = Kv::unlocked();
    let service = anything(&kv);
    let call = |query: Value, headers: Value, path: &str| json!({ "connection": "any", "method": "GET", "path": path, "query": query, "headers": headers });
    let many = |count: usize| -> Value { (0..count).map(|n| json!([format!("x-{n}"), "y"])).collect() };
    let long = "x".repeat(1 << 20);
    let cases = [
        ("H22 1,001 headers", call(json!([]), many(1001), "/v1/models"), "usage request.header"),
        (
            "H22 a name of 64 KiB",
            call(json!([]), json!([["x".repeat(64 << 10), "y"]]), "/v1/models"),
            "usage request.header",
        ),
        ("H22 a value of 1 MiB", call(json!([]), json!([["accept", long]]), "/v1/models"), "usage request.header"),
        ("H22 10,000 query pairs", call(many(10_000), json!([]), "/v1/models"), "usage request.query"),
        ("H22 a query of 1 MiB", call(json!([["a", long]]), json!([]), "/v1/models"), "usage request.query"),
        (
            "H11 a segment of 64 KiB",
            call(json!([]), json!([]), &format!("/v1/models/{}", "x".repeat(64 << 10))),
            "usage path.noncanonical",
        ),
        (
            "H14 a method of 1 MiB",
            json!({ "connection": "any", "method": "G".repeat(1 << 20), "path": "/" }),
            "usage request.method",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, call, expected) in &cases {
        let result = kv.is_refused(&service, &refusal(expected), || kv.raw(call));
        wrong.extend(result.err().map(|why| format!("{name}: {}", why.chars().take(300).collect::<String>())));
    }
    all_right(cases.len(), &wrong);
}

/// H19, H21: bodies are written by the host, in one framing, and what is in them stays in them.
#[test]
fn bodies_stay_in_their_frame() {
    let kv = Kv::unlocked();
    let service = anything(&kv);
    let text = "a\r\n\r\nGET /v1/admin HTTP/1.1\r\nhost: evil\r\n\r\n\0";
    kv.post("any", "/v1/chat/completions", &json!({ "model": text })).forwarded(200);
    kv.post_bytes("any", "/v1/files", "multipart/form-data; boundary=\"x\"", text.as_bytes()).forwarded(200);
    let requests = service.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.headers_named("content-length").count(), 1, "{request:?}");
        assert_eq!(request.headers_named("transfer-encoding").count(), 0, "{request:?}");
    }
    assert_eq!(requests[0].json().unwrap()["model"], text);
    assert_eq!(&requests[1].body[..], text.as_bytes());
    for media_type in ["text/plain\r\nhost: evil", "text/plain\nx: y", "text", "", "text/pl\u{e4}in", "a/b\0"] {
        kv.refuses(media_type, &service, &Refusal::new("usage", "request.media_type"), || {
            kv.post_bytes("any", "/v1/files", media_type, b"x")
        });
    }
}

/// H17, H45: exactly one credential is on the wire, whatever else is set, over HTTP/1.1 and HTTP/2.
#[test]
fn the_wire_has_one_credential() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    let request = &openai.requests()[0];
    assert_eq!(request.version, kv_fakes_http2(), "both speak HTTP/2");
    assert_eq!(request.headers_named("authorization").count(), 1);
    for name in ["cookie", "proxy-authorization", "forwarded", "via", "x-forwarded-for", "referer", "origin", "te"] {
        assert_eq!(request.headers_named(name).count(), 0, "{name}");
    }
}

/// The version as the fakes record it, by its name: this package does not name the crate that it is from.
fn kv_fakes_http2() -> hyper::Version {
    hyper::Version::HTTP_2
}

/// H23: what cannot stand in a header is warned of when it is stored, and never goes out.
#[test]
fn a_secret_that_fits_no_header() {
    let kv = Kv::unlocked();
    let service = anything(&kv);
    kv.key_is_not_counted(&service);
    let plain = kv.plant(Canary::openai());
    kv.run_with(["set", "OPENAI_API_KEY", "--stdin"], &plain.value).ok();
    kv.connect_to("openai", "unfit", &service.origin(), "OPENAI_API_KEY");
    for (name, value) in [
        ("a line end", format!("{}\r\nX-More: 1", plain.value)),
        ("a line feed", format!("{}\n", Canary::openai().value)),
        ("NUL", format!("{}\0x", Canary::openai().value)),
        ("beyond ASCII", format!("{}\u{e9}", Canary::openai().value)),
        ("a blank before it", format!(" {}", Canary::openai().value)),
        ("a blank after it", format!("{} ", Canary::openai().value)),
    ] {
        let value = kv.plant(Canary::new("an unfit key", value));
        let stored = ["secret", "rotate", "OPENAI_API_KEY", "--stdin-raw", "--json"];
        let stored = kv.run_with(stored, &value.value).ok().json();
        assert!(stored["warnings"][0].as_str().is_some_and(|text| text.contains("header")), "{name}: {stored}");
        let before = (service.request_count(), service.connections());
        let answer = kv.get("unfit", "/v1/models");
        assert_eq!(answer.faults(), ("failed", "egress.secret_unfit", "no"), "{name}: {}", answer.gist());
        assert_eq!((service.request_count(), service.connections()), before, "{name}");
    }
}

/// H08, H09, H40, H42: what a person may connect to.
#[test]
fn origins() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        id: String,
        origin: String,
        refuse: Option<String>,
        private: Option<String>,
        is: Option<String>,
    }
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    kv.run_with(["set", "KEY", "--stdin"], &key.value).ok();
    let rows: Vec<Row> = rows("origins.toml");
    let connect = |origin: &str, private: bool| {
        let body = json!({
            "provider": "openai", "name": "x", "origin": origin, "bindings": { "key": "KEY" }, "preview": true,
            "allow_private": private,
        });
        kv.ask(crate::harness::Door::Human, "POST", "/v1/connections", body.to_string().as_bytes())
    };
    let mut wrong = Vec::new();
    for row in &rows {
        let (refused, taken) = (connect(&row.origin, false), connect(&row.origin, true));
        let became = |answer: &crate::harness::Answer| answer.json()["origin"].as_str().map(str::to_owned);
        let right = match (&row.refuse, &row.private, &row.is) {
            (Some(code), None, None) => refused.fault("code") == code && taken.fault("code") == code,
            (None, Some(origin), None) => {
                refused.faults() == ("needs_human", "private_origin", "no") && became(&taken).as_ref() == Some(origin)
            }
            (None, None, Some(origin)) => became(&refused).as_ref() == Some(origin),
            _ => false,
        };
        if !right {
            wrong.push(format!("{} {}: {} / {}", row.id, row.origin, refused.gist(), taken.gist()));
        }
    }
    all_right(rows.len(), &wrong);
}
