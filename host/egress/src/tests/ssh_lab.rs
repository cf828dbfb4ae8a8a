//! What the tests of SSH share: connections to servers, and permits for commands that policy really gave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_audit::{AuditLog, Options, Recorded};
use kv_fakes::{KeyPair, RealSshd, SshdOptions, current_user};
use kv_model::{
    CallId, Command, CommandLine, CommandOutput, CommandParts, Connection, ConnectionName, Digest, Effect, Manifest,
    OperationName, Origin, Principal, PrincipalName, ProviderName, Request, SettingName, SlotName, Suggestion,
};
use kv_policy::{Decision, Permit, Question, decide};
use serde_json::json;

use super::lab::{Lab, NOW, bearer, patient};
use crate::{BodyError, CommandAnswer, Limits, SendError, Shared};

pub(crate) struct SshLab {
    pub(crate) lab: Lab,
    pub(crate) manifest: Manifest,
    audit: AuditLog,
    calls: AtomicU64,
    _home: tempfile::TempDir,
}

/// Why there is no output.
#[derive(Debug, PartialEq)]
pub(crate) enum NoOutput {
    Body(BodyError),
    Send(SendError),
}

impl NoOutput {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            NoOutput::Body(error) => error.code(),
            NoOutput::Send(error) => error.code(),
        }
    }
}

impl SshLab {
    pub(crate) fn new() -> SshLab {
        SshLab::with(patient())
    }

    pub(crate) fn with(limits: Limits) -> SshLab {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let (audit, _) = AuditLog::open(&path, Options::default(), NOW).unwrap();
        SshLab {
            lab: Lab::with(Shared::new(limits), &[bearer()]),
            manifest: manifest(),
            audit,
            calls: AtomicU64::new(0),
            _home: home,
        }
    }

    /// A connection without a credential and without a host key.
    pub(crate) fn bare(&self, name: &str, origin: &str) -> Connection {
        Connection {
            name: ConnectionName::parse(name).unwrap(),
            provider: ProviderName::parse("ssh").unwrap(),
            provider_digest: Digest::ZERO,
            origin: Origin::parse(origin).unwrap(),
            allow_private: true,
            ca: None,
            settings: BTreeMap::from([(setting("user"), current_user())]),
            bindings: BTreeMap::new(),
            accepted: BTreeMap::from([(OperationName::parse("run").unwrap(), Suggestion::Allow)]),
            effects: BTreeMap::new(),
            created_ms: NOW,
        }
    }

    /// Binds a slot to a new secret.
    pub(crate) fn bind(&self, connection: &mut Connection, slot: &str, value: &str) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let secret = self.lab.set(&format!("SECRET_{number}"), value.as_bytes());
        connection.bindings.insert(SlotName::parse(slot).unwrap(), secret);
    }

    /// To a real server, with this key, trusting the server's keys.
    pub(crate) fn to(&self, server: &RealSshd, key: &KeyPair) -> Connection {
        let mut connection = self.bare("box", &server.origin());
        let pinned: Vec<_> = server.host_keys().iter().map(|key| key.public.clone()).collect();
        connection.settings.insert(setting("host-keys"), pinned.join("\n"));
        self.bind(&mut connection, "key", &key.private);
        connection
    }

    pub(crate) async fn permit(&self, connection: &Arc<Connection>, parts: CommandParts) -> Recorded<Permit> {
        let call = CallId::from_bytes(u128::from(self.calls.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        let operation = OperationName::parse("run").unwrap();
        let command = Command::from_provider(parts, Effect::Write, &self.manifest, &operation).unwrap();
        let request = Request::Ssh(command);
        let question = Question {
            principal: Principal::Agent { name: PrincipalName::parse("tester").unwrap(), uid: 1 },
            call,
            step: 0,
            connection: Arc::clone(connection),
            asked: operation,
            declared: request.effect(),
            effect: request.effect(),
            most: Effect::Grant,
            summary: String::new(),
            request,
        };
        let Decision::Allow(permit) = decide(question) else { panic!("the lab accepts the operation") };
        self.audit.record_intent(permit, NOW).await.unwrap().0
    }

    pub(crate) async fn start(
        &self,
        connection: &Arc<Connection>,
        parts: CommandParts,
    ) -> Result<CommandAnswer, SendError> {
        self.start_with(connection, parts, &[]).await
    }

    /// With these connections for the setting `jump`.
    pub(crate) async fn start_with(
        &self,
        connection: &Arc<Connection>,
        parts: CommandParts,
        others: &[Arc<Connection>],
    ) -> Result<CommandAnswer, SendError> {
        let permit = self.permit(connection, parts).await;
        let jumps = |name: &ConnectionName| others.iter().find(|other| other.name == *name).cloned();
        self.lab.egress.run(permit, &[], &self.lab.vault, &jumps, self.now()).await
    }

    /// Certificates are made by a program that has a clock.
    pub(crate) fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
    }

    pub(crate) async fn run(
        &self,
        connection: &Arc<Connection>,
        parts: CommandParts,
    ) -> Result<CommandOutput, NoOutput> {
        self.run_with(connection, parts, &[]).await
    }

    pub(crate) async fn run_with(
        &self,
        connection: &Arc<Connection>,
        parts: CommandParts,
        others: &[Arc<Connection>],
    ) -> Result<CommandOutput, NoOutput> {
        let mut answer = self.start_with(connection, parts, others).await.map_err(NoOutput::Send)?;
        answer.collect().await.map_err(NoOutput::Body)
    }
}

/// A server that one new key may log in to.
pub(crate) fn server_and_key() -> (RealSshd, KeyPair) {
    let key = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions { authorized: vec![key.public.clone()], ..Default::default() };
    (RealSshd::start(&options).unwrap(), key)
}

/// One that tells of every attempt. Its commands' errors are mixed with what it tells.
pub(crate) fn talkative_server_and_key() -> (RealSshd, KeyPair) {
    let key = KeyPair::generate("ed25519", None).unwrap();
    let options = SshdOptions {
        authorized: vec![key.public.clone()],
        config: vec!["LogLevel DEBUG1".to_owned()],
        ..Default::default()
    };
    (RealSshd::start(&options).unwrap(), key)
}

pub(crate) fn setting(name: &str) -> SettingName {
    SettingName::parse(name).unwrap()
}

pub(crate) fn shell(text: &str) -> CommandParts {
    parts(CommandLine::Shell(text.to_owned()))
}

pub(crate) fn argv(words: &[&str]) -> CommandParts {
    parts(CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
}

fn parts(line: CommandLine) -> CommandParts {
    CommandParts { line, stdin: Vec::new(), timeout_ms: 60_000, max_output: 1 << 20 }
}

fn manifest() -> Manifest {
    let document = json!({
        "schema": "kv.manifest/1", "name": "ssh", "version": "1.0.0", "protocol": "ssh", "origins": ["ssh://a.test"],
        "slots": [
            {"name": "key", "kind": "private-key", "required": false},
            {"name": "passphrase", "kind": "password", "required": false},
            {"name": "certificate", "kind": "private-key", "required": false},
            {"name": "password", "kind": "password", "required": false},
        ],
        "settings": [{"name": "user"}, {"name": "host-keys"}, {"name": "jump"}],
        "auth": {"login": {"type": "login", "user": "{setting:user}", "key": "{key}", "passphrase": "{passphrase}",
            "certificate": "{certificate}", "password": "{password}"}},
        "default-auth": ["login"],
        "operations": [{"name": "run", "effect": "write", "suggest": "allow"}],
    });
    match Manifest::parse(document.to_string().as_bytes()) {
        Ok(manifest) => manifest,
        Err(problems) => panic!("{problems:?}"),
    }
}
