//! A kv of the benchmark's own: throw-away vault, one connection to the upstream.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kv_api::{ApiBody, CallRequest, RawCallRequest};
use kv_commands::{Answer, Client, Door, Request};
use kv_model::Effect;
use serde_json::{Value, json};

use crate::Result;
use crate::load::Asker;

pub(crate) struct Kv {
    program: PathBuf,
    directory: tempfile::TempDir,
}

impl Kv {
    /// With a connection to the upstream.
    pub(crate) fn start(upstream: SocketAddr) -> Result<Self> {
        let kv = Self::bare()?;
        kv.run(&["set", "BENCH_KEY", "--stdin"], "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz")?;
        let origin = format!("http://{upstream}");
        kv.run(&["connect", "openai", "--origin", &origin, "--bind", "key=BENCH_KEY", "--yes"], "")?;
        Ok(kv)
    }

    /// The program that stands beside this one, with an empty vault.
    pub(crate) fn bare() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("kv");
        if !program.exists() {
            return Err(format!("{} is not there; build it first: cargo build", program.display()).into());
        }
        let kv = Self { program, directory: tempfile::Builder::new().prefix("kv-bench-").tempdir()? };
        let passphrase = kv.directory.path().join("passphrase");
        std::fs::write(&passphrase, "benchmarks need none")?;
        Command::new("chmod").arg("600").arg(&passphrase).status()?;
        let passphrase = passphrase.display().to_string();
        kv.run(&["init", "--passphrase-file", &passphrase, "--no-2fa", "--no-input"], "")?;
        Ok(kv)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("KV_HOME", self.directory.path().join("kv"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        use std::io::Write;
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    /// Makes a connection over the person's socket.
    pub(crate) async fn connect(&self, connection: &Value) -> Result<()> {
        let home = kv_api::home::Home::under(&self.directory.path().join("kv"));
        let mut client = Client::connect(&home, Door::Human).await.map_err(text)?;
        let mut answer =
            client.send(Request::post("/v1/connections", connection).map_err(text)?).await.map_err(text)?;
        while answer.next().await.map_err(text)?.is_some() {}
        Ok(())
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        let home = kv_api::home::Home::under(&self.directory.path().join("kv"));
        Client::connect(&home, Door::Agent).await.map_err(|problem| problem.error().message.clone().into())
    }

    /// The daemon's memory in MiB: resident now, and at its highest.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let status: Value = serde_json::from_str(&self.run(&["status", "--json"], "")?)?;
        let text = std::fs::read_to_string(format!("/proc/{}/status", status["pid"]))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).map(|kib| kib / 1024.0)
        };
        Ok((field("VmRSS:").unwrap_or_default(), field("VmHWM:").unwrap_or_default()))
    }
}

impl Drop for Kv {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["daemon", "stop"], "") {
            eprintln!("the benchmark's daemon did not stop: {error}");
        }
    }
}

/// A raw call.
pub(crate) struct Raw(pub(crate) Client, pub(crate) &'static str);

impl Raw {
    pub(crate) async fn send(&mut self) -> Result<Answer> {
        let call = RawCallRequest {
            connection: "openai".parse()?,
            method: if self.1.ends_with("completions") { "POST" } else { "GET" }.to_owned(),
            path: self.1.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: ApiBody::None,
            most: Effect::Grant,
            hold_ms: 0,
        };
        let request = Request::post("/v1/api", &call).map_err(text)?.agent("bench");
        self.0.send(request).await.map_err(text)
    }
}

impl Asker for Raw {
    async fn ask(&mut self) -> Result<()> {
        let mut answer = self.send().await?;
        while answer.next().await.map_err(text)?.is_some() {}
        Ok(())
    }
}

/// A typed call: a step of the provider, then the same request.
pub(crate) struct Typed(pub(crate) Client);

impl Asker for Typed {
    async fn ask(&mut self) -> Result<()> {
        let call = CallRequest {
            connection: "openai".parse()?,
            operation: "models.retrieve".parse()?,
            input: json!({ "model": "gpt-4o" }),
            most: Effect::Read,
            hold_ms: 0,
            attachments: Vec::new(),
        };
        let request = Request::post("/v1/call", &call).map_err(text)?.agent("bench");
        let mut answer = self.0.send(request).await.map_err(text)?;
        while answer.next().await.map_err(text)?.is_some() {}
        Ok(())
    }
}

/// A typed call of any operation.
pub(crate) struct Operation {
    pub(crate) client: Client,
    pub(crate) connection: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) input: Value,
}

impl Asker for Operation {
    async fn ask(&mut self) -> Result<()> {
        let call = CallRequest {
            connection: self.connection.parse()?,
            operation: self.operation.parse()?,
            input: self.input.clone(),
            most: Effect::Grant,
            hold_ms: 0,
            attachments: Vec::new(),
        };
        let request = Request::post("/v1/call", &call).map_err(text)?.agent("bench");
        let mut answer = self.client.send(request).await.map_err(text)?;
        while answer.next().await.map_err(text)?.is_some() {}
        Ok(())
    }
}

pub(crate) fn text(problem: kv_commands::Problem) -> Box<dyn std::error::Error + Send + Sync> {
    problem.error().message.clone().into()
}
