//! H45, H46: variables and logs. The environment cannot be changed inside a test's process, so the tests run themselves
//! once more with it.

use std::fmt::Write;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use kv_fakes::{Fixed, Protocols, Reply, ServeOptions, Sink, serve};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

use super::lab::{CANARY, Lab, Seen, bearer, contains, post, quick};
use crate::Shared;

fn again(test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR");
    command.envs(environment.iter().copied());
    command.output().unwrap()
}

/// One plain call. The next test runs it under a hostile environment.
#[tokio::test]
async fn a_call() {
    let lab = Lab::new(quick());
    let service = serve(Fixed(Reply::bytes(200, "text/plain", "ok")), &lab.ca, ServeOptions::default()).unwrap();
    assert_eq!(lab.get(&lab.to(&service), "/things").await.unwrap().status, 200);
}

#[test]
fn proxies_and_key_logs() {
    let sink = Sink::start_blocking().unwrap();
    let proxy = format!("http://{}", sink.authority());
    let home = tempfile::tempdir().unwrap();
    let key_log = home.path().join("keys");
    let mut environment: Vec<(&str, &str)> = Vec::new();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        environment.push((name, &proxy));
    }
    environment.extend([
        ("SSLKEYLOGFILE", key_log.to_str().unwrap()),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
    ]);
    let output = again("tests::environment::a_call", &environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(contains(&output.stdout, b"1 passed"));
    assert!(!contains(&[output.stdout, output.stderr].concat(), CANARY.as_bytes()));
    assert_eq!((sink.hits(), key_log.exists()), (0, false));
}

/// Trust by the platform's roots: the lab's authority is not among them.
#[tokio::test]
async fn a_call_that_trusts_the_platform() {
    let lab = Lab::new(quick());
    let service = serve(Fixed(Reply::bytes(200, "text/plain", "ok")), &lab.ca, ServeOptions::default()).unwrap();
    let mut connection = lab.connection(&service.origin());
    connection.ca = None;
    let error = lab.get(&Arc::new(connection), "/things").await.err().unwrap();
    println!("it ended in {}", error.code());
    assert!(["egress.tls", "egress.roots"].contains(&error.code()));
    assert_eq!(service.request_count(), 0);
}

#[test]
fn roots_from_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("roots.pem");
    kv_fakes::TestCa::new().write_ca(&file).unwrap();
    let test = "tests::environment::a_call_that_trusts_the_platform";
    for (environment, code) in [
        (vec![], "egress.tls"),
        (vec![("SSL_CERT_FILE", file.to_str().unwrap())], "egress.roots"),
        (vec![("SSL_CERT_DIR", home.path().to_str().unwrap())], "egress.roots"),
    ] {
        let output = again(test, &environment);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(&format!("it ended in {code}")), "{environment:?}: {said}");
    }
}

/// Takes down everything that anyone says at any level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Everything {
    fn note(&self, record: impl FnOnce(&mut Notes<'_>)) {
        record(&mut Notes(&mut self.0.lock().unwrap()));
    }
}

struct Notes<'a>(&'a mut String);

impl Visit for Notes<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.note(|notes| attributes.record(notes));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        self.note(|notes| values.record(notes));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.note(|notes| event.record(notes));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Not even the libraries below say a word of a request, at any level, with the credential in any place.
#[tokio::test]
async fn nothing_is_logged() {
    let everything = Everything::default();
    let _guard = tracing::subscriber::set_default(everything.clone());
    let query = json!({"type": "query", "name": "key", "value": "{key}"});
    let prefix = json!({"type": "path-prefix", "value": "{key}"});
    for scheme in [bearer(), query, prefix] {
        for protocols in [Protocols::Http1, Protocols::Http2] {
            let lab = Lab::with(Shared::new(quick()), std::slice::from_ref(&scheme));
            let reply = Reply::bytes(200, "text/plain", format!("echo {CANARY}")).with("x-echo", CANARY);
            let service = serve(
                Fixed(reply),
                &lab.ca,
                ServeOptions { protocols, host: kv_fakes::Host::Thread, ..Default::default() },
            );
            let service = service.unwrap();
            let connection = lab.to(&service);
            Seen::of(lab.send(&connection, post("/things", "private_body_of_a_call")).await.unwrap()).await.unwrap();
        }
    }
    let said = everything.0.lock().unwrap().clone();
    assert!(
        !said.contains(CANARY),
        "{}",
        said.split(CANARY).next().unwrap().chars().rev().take(200).collect::<String>()
    );
    assert!(!said.contains("private_body_of_a_call"));
}
