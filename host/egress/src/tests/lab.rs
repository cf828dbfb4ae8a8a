//! A small kv: a vault with a canary in it, an audit log, and permits that policy really gave.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_audit::{AuditLog, Options};
use kv_fakes::{Service, TestCa};
use kv_model::{
    CallId, Connection, ConnectionName, CustomCa, Digest, Effect, HttpRequest, Manifest, Origin, Principal,
    PrincipalName, ProviderName, RawBody, RawRequest, Request, SecretName, SecretRef, SlotName, Suggestion,
};
use kv_policy::{Decision, Question, decide};
use kv_vault::{KdfParams, Passphrase, SecretValue, Unlocked, Vault};
use serde_json::{Value, json};

use crate::{Answer, BodyError, Egress, Limits, SendError, Shared};

pub(crate) const CANARY: &str = "kvcanary_5b1f0c6e9a7d42f8b3e1";
pub(crate) const NOW: u64 = 1_800_000_000_000;

pub(crate) struct Lab {
    pub(crate) vault: Arc<Unlocked>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) egress: Egress,
    pub(crate) ca: TestCa,
    audit: AuditLog,
    manifest: Manifest,
    calls: AtomicU64,
    _home: tempfile::TempDir,
}

/// Short enough for a test, long enough for a machine that is busy with others.
pub(crate) fn quick() -> Limits {
    Limits {
        connect: Duration::from_secs(3),
        first_byte: Duration::from_millis(1500),
        idle: Duration::from_millis(1500),
        total: Duration::from_secs(4),
        body_bytes: 4 << 20,
        ..Limits::default()
    }
}

pub(crate) fn patient() -> Limits {
    Limits { connect: Duration::from_secs(60), ..Limits::default() }
}

pub(crate) fn bearer() -> Value {
    json!({"type": "header", "name": "Authorization", "value": "Bearer {key}"})
}

impl Lab {
    pub(crate) fn new(limits: Limits) -> Lab {
        Lab::with(Shared::new(limits), &[bearer()])
    }

    /// With these schemes on every request.
    pub(crate) fn with(shared: Arc<Shared>, schemes: &[Value]) -> Lab {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("vault")).unwrap();
        let passphrase = Passphrase::new("correct horse battery staple".to_owned()).unwrap();
        let vault = Vault::create(&private(home.path().join("vault")), &passphrase, KdfParams::FLOOR, NOW).unwrap();
        let (audit, _) = AuditLog::open(&private(home.path().join("audit")), Options::default(), NOW).unwrap();
        let lab = Lab {
            vault: Arc::new(vault),
            egress: Egress::new(Arc::clone(&shared)),
            shared,
            ca: TestCa::new(),
            audit,
            manifest: manifest(schemes),
            calls: AtomicU64::new(0),
            _home: home,
        };
        lab.set("KEY", CANARY.as_bytes());
        lab
    }

    pub(crate) fn set(&self, name: &str, value: &[u8]) -> SecretRef {
        let name = SecretName::parse(name).unwrap();
        let meta = self.vault.put_secret(&name, SecretValue::new(value.to_vec()), NOW).unwrap();
        SecretRef { id: meta.id, name }
    }

    pub(crate) fn rotate(&self, name: &str, value: &[u8]) {
        let name = SecretName::parse(name).unwrap();
        self.vault.rotate_secret(&name, SecretValue::new(value.to_vec()), NOW).unwrap();
    }

    pub(crate) fn secret(&self, name: &str) -> SecretRef {
        let name = SecretName::parse(name).unwrap();
        SecretRef { id: self.vault.secret(&name).unwrap().id, name }
    }

    /// Slot `key` holds the canary, private addresses are allowed, and the lab's authority is the one to trust.
    pub(crate) fn connection(&self, origin: &str) -> Connection {
        let allow = |name: &str| (name.parse_operation(), Suggestion::Allow);
        Connection {
            name: ConnectionName::parse("acme").unwrap(),
            provider: ProviderName::parse("acme").unwrap(),
            provider_digest: Digest::ZERO,
            origin: Origin::parse(origin).unwrap(),
            allow_private: true,
            ca: Some(CustomCa(self.ca.ca_pem())),
            settings: BTreeMap::new(),
            bindings: BTreeMap::from([(SlotName::parse("key").unwrap(), self.secret("KEY"))]),
            accepted: BTreeMap::from([allow("things.read"), allow("things.write")]),
            effects: BTreeMap::new(),
            created_ms: NOW,
        }
    }

    pub(crate) fn to(&self, service: &Service) -> Arc<Connection> {
        Arc::new(self.connection(&service.origin()))
    }

    pub(crate) async fn get(&self, connection: &Arc<Connection>, path: &str) -> Result<Answer, SendError> {
        self.send(connection, get(path)).await
    }

    /// Decides, records and sends.
    pub(crate) async fn send(&self, connection: &Arc<Connection>, raw: RawRequest) -> Result<Answer, SendError> {
        self.send_at(connection, raw, NOW).await
    }

    pub(crate) async fn send_at(
        &self,
        connection: &Arc<Connection>,
        raw: RawRequest,
        now_ms: u64,
    ) -> Result<Answer, SendError> {
        let settings = self.manifest.settings_with(&connection.settings);
        let number = u128::from(self.calls.fetch_add(1, Ordering::Relaxed));
        let call = CallId::from_bytes(number.to_be_bytes());
        let request = HttpRequest::from_caller(raw, &self.manifest, call, &settings).unwrap();
        let question = Question {
            principal: Principal::Agent { name: PrincipalName::parse("tester").unwrap(), uid: 1 },
            call,
            step: 0,
            connection: Arc::clone(connection),
            asked: request.operation().clone(),
            declared: request.effect(),
            effect: request.effect(),
            most: Effect::Grant,
            summary: String::new(),
            request: Request::Http(request),
        };
        let Decision::Allow(permit) = decide(question) else { panic!("the lab accepts both operations") };
        let (recorded, _pending) = self.audit.record_intent(permit, NOW).await.unwrap();
        self.egress.send(recorded, &settings, &self.vault, now_ms).await
    }
}

trait ParseOperation {
    fn parse_operation(&self) -> kv_model::OperationName;
}

impl ParseOperation for str {
    fn parse_operation(&self) -> kv_model::OperationName {
        kv_model::OperationName::parse(self).unwrap()
    }
}

fn private(path: std::path::PathBuf) -> std::path::PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    if !path.exists() {
        std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    } else {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    path
}

fn manifest(schemes: &[Value]) -> Manifest {
    let names: Vec<String> = (0..schemes.len()).map(|number| format!("s{number}")).collect();
    let auth: serde_json::Map<String, Value> = names.iter().cloned().zip(schemes.iter().cloned()).collect();
    let endpoint = |method: &str, path: &str| {
        let operation = if ["GET", "HEAD"].contains(&method) { "things.read" } else { "things.write" };
        json!({"method": method, "path": path, "operation": operation})
    };
    let document = json!({
        "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http", "origins": ["https://api.acme.dev"],
        "slots": [{"name": "key", "kind": "token"}, {"name": "other", "kind": "password", "required": false}],
        "settings": [{"name": "account", "default": "acct_default"}, {"name": "empty"}],
        "auth": auth, "default-auth": names, "allowed-headers": ["x-note"],
        "endpoints": [
            endpoint("GET", "/things"), endpoint("GET", "/things/{id}"), endpoint("HEAD", "/things"),
            endpoint("POST", "/things"), endpoint("POST", "/things/{id}"),
        ],
        "operations": [
            {"name": "things.read", "effect": "read", "suggest": "allow"},
            {"name": "things.write", "effect": "write", "suggest": "allow"},
        ],
    });
    match Manifest::parse(document.to_string().as_bytes()) {
        Ok(manifest) => manifest,
        Err(problems) => panic!("{problems:?}"),
    }
}

pub(crate) fn get(path: &str) -> RawRequest {
    RawRequest { method: "GET".into(), path: path.into(), ..Default::default() }
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> RawRequest {
    let body = RawBody::Bytes { media_type: "text/plain".into(), data: body.into() };
    RawRequest { method: "POST".into(), path: path.into(), body, ..Default::default() }
}

/// All that a caller gets to see of an answer, for searching.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) hits: u64,
}

impl Seen {
    pub(crate) async fn of(mut answer: Answer) -> Result<Seen, BodyError> {
        let body = answer.body.collect(64 << 20).await?;
        let (trailers, hits) = (answer.body.trailers().to_vec(), answer.body.hits().values().sum());
        Ok(Seen { status: answer.status, headers: answer.headers, body, trailers, hits })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = self.body.to_vec();
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            all.extend_from_slice(format!("\n{name}: {value}").as_bytes());
        }
        all
    }
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// Waits for something that other tasks bring about, for as long as the bounds promise.
pub(crate) async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(2), "not within 2 s: {what}");
        tokio::task::yield_now().await;
    }
}

/// Runs many at once and gives their results in order.
pub(crate) async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => *done = Some(value),
                std::task::Poll::Pending => pending = true,
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().map(|(_, done)| done.unwrap()).collect()
}
