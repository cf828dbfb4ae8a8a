//! What goes onto the wire: exactly what was decided about, with the credential in its place and nowhere else.

use std::sync::Arc;

use kv_fakes::{Fixed, Protocols, Reply, Script, Scripted, ServeOptions, Step, serve};
use kv_model::{RawBody, RawRequest, SettingName, SlotName};
use serde_json::{Value, json};

use super::lab::{CANARY, Lab, Seen, bearer, contains, get, post, quick};
use crate::{SendError, Sent, Shared, Unfit};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// H16 to H20, H25: every byte of a request.
#[tokio::test]
async fn the_wire_has_one_of_each_and_nothing_of_the_callers_choosing() {
    let lab = Lab::new(quick());
    let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let connection = lab.to(&service);
    let headers = [("X-Note", "hello there"), ("Accept", "text/csv")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let read =
        RawRequest { headers: headers.to_vec(), query: vec![("q".into(), "a b&c=ü".into())], ..get("/things/a%20b") };
    let json = RawBody::Json(json!({"text": "a\r\nHost: evil.test"}));
    let write = RawRequest { method: "POST".into(), path: "/things".into(), body: json, ..Default::default() };
    let head = RawRequest { method: "HEAD".into(), ..get("/things") };
    for raw in [read, write, head] {
        Seen::of(lab.send(&connection, raw).await.unwrap()).await.unwrap();
    }
    let host = format!("host: 127.0.0.1:{}\r\n", service.port());
    let ours = format!("{host}user-agent: kv/{}\r\naccept-encoding: gzip, br\r\n", version());
    let auth = format!("authorization: Bearer {CANARY}\r\n");
    let wanted = [
        format!(
            "GET /things/a%20b?q=a+b%26c%3D%C3%BC HTTP/1.1\r\n{ours}x-note: hello there\r\naccept: text/csv\r\n{auth}\r\n"
        ),
        format!(
            "POST /things HTTP/1.1\r\n{ours}content-type: application/json\r\n{auth}content-length: 31\r\n\r\n\
             {{\"text\":\"a\\r\\nHost: evil.test\"}}"
        ),
        format!("HEAD /things HTTP/1.1\r\n{ours}{auth}\r\n"),
    ];
    let seen = service.requests();
    for (request, wanted) in seen.iter().zip(&wanted) {
        assert_eq!(String::from_utf8_lossy(&request.raw), *wanted);
    }
    assert_eq!(seen.len(), wanted.len());
}

/// Each scheme, over both versions: target and authorization as the service sees them.
#[tokio::test]
async fn schemes() {
    let key = "123:AB/c d&é"; // Telegram's tokens have a colon in them; the rest is what must be encoded.
    let basic = "Basic YWNjdF9kZWZhdWx0OjEyMzpBQi9jIGQmw6k=";
    let cases: Vec<(Vec<Value>, &str, Option<&str>)> = vec![
        (vec![json!({"type": "basic", "user": "{setting:account}", "password": "{key}"})], "/things?a=1", Some(basic)),
        (
            vec![json!({"type": "basic", "user": "", "password": "{key}"})],
            "/things?a=1",
            Some("Basic OjEyMzpBQi9jIGQmw6k="),
        ),
        (
            vec![json!({"type": "query", "name": "api key", "value": "x{key}"})],
            "/things?a=1&api%20key=x123%3AAB%2Fc%20d%26%C3%A9",
            None,
        ),
        (vec![json!({"type": "path-prefix", "value": "bot{key}"})], "/bot123:AB%2Fc%20d&%C3%A9/things?a=1", None),
        (
            vec![
                json!({"type": "path-prefix", "value": "{setting:account}"}),
                json!({"type": "query", "name": "k", "value": "{key}"}),
                bearer_of_setting(),
            ],
            "/acct_default/things?a=1&k=123%3AAB%2Fc%20d%26%C3%A9",
            Some("Account acct_default"),
        ),
    ];
    for protocols in [Protocols::Http1, Protocols::Http2] {
        for (schemes, target, authorization) in &cases {
            let lab = Lab::with(Shared::new(quick()), schemes);
            let service = serve(
                Fixed(Reply::bytes(200, "text/plain", "ok")),
                &lab.ca,
                ServeOptions { protocols, ..Default::default() },
            );
            let service = service.unwrap();
            lab.rotate("KEY", key.as_bytes());
            let raw = RawRequest { query: vec![("a".into(), "1".into())], ..get("/things") };
            Seen::of(lab.send(&lab.to(&service), raw).await.unwrap()).await.unwrap();
            let request = &service.requests()[0];
            assert_eq!((request.target.as_str(), request.header("authorization")), (*target, *authorization));
        }
    }
}

fn bearer_of_setting() -> Value {
    json!({"type": "header", "name": "authorization", "value": "Account {setting:account}"})
}

/// A connection's own setting wins over the manifest's default.
#[tokio::test]
async fn own_settings_win() {
    let lab = Lab::with(Shared::new(quick()), &[bearer_of_setting()]);
    let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let mut connection = lab.connection(&service.origin());
    connection.settings.insert(SettingName::parse("account").unwrap(), "acct_own".into());
    lab.get(&Arc::new(connection), "/things").await.unwrap();
    assert_eq!(service.requests()[0].header("authorization"), Some("Account acct_own"));
}

/// H23: a secret that would break a request is refused by its slot's name, and nothing is opened.
#[tokio::test]
async fn unfit_secrets() {
    let long = "x".repeat(20_000);
    let header = bearer();
    let basic = json!({"type": "basic", "user": "{key}", "password": ""});
    let query = json!({"type": "query", "name": "k", "value": "{key}"});
    let prefix = json!({"type": "path-prefix", "value": "{key}"});
    let cases: Vec<(&Value, &[u8], Unfit)> = vec![
        (&header, b"kvcanary\r\nHost: evil", Unfit::Control),
        (&header, b"kvcanary\n", Unfit::Control),
        (&header, b"kv\0canary", Unfit::Control),
        (&header, b"kv\x7fcanary", Unfit::Control),
        (&header, b"kv\tcanary", Unfit::Control),
        (&header, b" kvcanary", Unfit::Edge),
        (&header, b"kvcanary ", Unfit::Edge),
        (&header, "kvcanaryü".as_bytes(), Unfit::NonAscii),
        (&header, b"kvcanary\xff", Unfit::NonAscii),
        (&header, long.as_bytes(), Unfit::TooLong),
        (&basic, b"kvcanary\n", Unfit::Control),
        (&basic, b"kv:canary", Unfit::Colon),
        (&basic, b"kvcanary\xff", Unfit::NotText),
        (&query, b"kvcanary\r\n", Unfit::Control),
        (&query, long.as_bytes(), Unfit::TooLong),
        (&prefix, b"..", Unfit::Empty),
        (&prefix, b"kvcanary\n", Unfit::Control),
    ];
    for (scheme, value, why) in cases {
        let lab = Lab::with(Shared::new(quick()), std::slice::from_ref(scheme));
        let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
        lab.rotate("KEY", value);
        let error = lab.get(&lab.to(&service), "/things").await.err().unwrap();
        assert!(matches!(&error, SendError::SecretUnfit { why: found, .. } if *found == why), "{error:?} for {why:?}");
        assert_eq!((error.code(), error.sent()), ("egress.secret_unfit", Sent::No));
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(service.connections(), 0);
    }
}

#[tokio::test]
async fn a_slot_or_setting_without_a_value() {
    let other = json!({"type": "header", "name": "x-key", "value": "{other}"});
    let empty = json!({"type": "header", "name": "x-key", "value": "{setting:empty}"});
    for (scheme, code) in [(other, "egress.secret_missing"), (empty, "egress.setting")] {
        let lab = Lab::with(Shared::new(quick()), &[scheme]);
        let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
        let error = lab.get(&lab.to(&service), "/things").await.err().unwrap();
        assert_eq!((error.code(), error.sent(), service.connections()), (code, Sent::No, 0));
    }
    let lab = Lab::new(quick());
    let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let connection = lab.to(&service);
    lab.vault.remove_secret(&kv_model::SecretName::parse("KEY").unwrap(), super::lab::NOW).unwrap();
    let error = lab.get(&connection, "/things").await.err().unwrap();
    assert_eq!(error, SendError::SecretMissing { slot: SlotName::parse("key").unwrap() });
}

/// R10, R11: a value of the vault in the request is refused in whatever form; a template in it is text.
#[tokio::test]
async fn secrets_in_requests() {
    let lab = Lab::new(quick());
    let unbound = "kvcanary_other_0123456789abcdef";
    lab.set("UNBOUND", unbound.as_bytes());
    let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let connection = lab.to(&service);
    let hex: String = CANARY.bytes().map(|b| format!("{b:02x}")).collect();
    let escaped: String = CANARY.bytes().map(|b| format!("\\u{b:04x}")).collect();
    let note = |value: &str| RawRequest { headers: vec![("x-note".into(), value.into())], ..get("/things") };
    let query = |value: &str| RawRequest { query: vec![("q".into(), value.into())], ..get("/things") };
    let refused = [
        get(&format!("/things/{CANARY}")),
        query(CANARY),
        query(&format!("x{hex}x")),
        RawRequest { query: vec![(CANARY.into(), "x".into())], ..get("/things") },
        note(&format!("Bearer {CANARY}")),
        note(unbound),
        post("/things", CANARY),
        post("/things", hex.clone()),
        post("/things", format!("{{\"x\":\"{escaped}\"}}")),
        post("/things", unbound),
    ];
    for raw in refused {
        let named = format!("{raw:?}");
        let error = lab.send(&connection, raw).await.err().unwrap();
        assert_eq!((error.code(), error.sent()), ("egress.secret_in_request", Sent::No), "{named}");
    }
    assert_eq!(service.connections(), 0);
    for raw in [note("{key} {{secret}} {setting:account}"), post("/things", "{key}")] {
        lab.send(&connection, raw).await.unwrap();
    }
    assert_eq!(service.requests()[0].header("x-note"), Some("{key} {{secret}} {setting:account}"));
    assert_eq!(&service.requests()[1].body[..], b"{key}");
}

/// I1: the credential is on the wire once, in its place.
#[tokio::test]
async fn the_credential_is_sent_once() {
    let lab = Lab::new(quick());
    let service = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    lab.send(&lab.to(&service), post("/things", "x".repeat(100_000))).await.unwrap();
    let raw = service.requests()[0].raw.clone();
    let found = raw.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    assert_eq!(found, 1);
}

/// Over HTTP/2 too: the credential enters no header table, on either side.
#[tokio::test]
async fn the_credential_is_never_indexed() {
    let lab = Lab::new(quick());
    let answer = kv_fakes::h2::headers(1, &[(":status", b"200")], true);
    let script = Script::new([Step::ReadHttp2, Step::Send(answer), Step::Hang]);
    let options = ServeOptions { protocols: Protocols::Http2, ..Scripted::options() };
    let service = Scripted::start_with(&lab.ca, options, move |_| script.clone()).unwrap();
    lab.get(&lab.to(&service), "/things").await.unwrap();
    // RFC 7541, 6.2.3: "never indexed" is 0001, then the static table's 23, which is `authorization`.
    assert!(contains(&service.requests()[0].raw, &[0x1f, 0x08]));
}
