//! Small calls at 1, 16 and 64 connections.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use kv_fakes::{Host, TestCa, bare_proxy};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::kv::{Kv, Raw, Typed};
use crate::load::{Asker, Figure, Plain, measure};
use crate::{Result, nginx, upstream};

const PATH: &str = "/v1/models/gpt-4o";

pub(crate) async fn run() -> Result<()> {
    let service = upstream::start()?;
    let nginx = nginx::start(service)?;
    let bare = bare_proxy(
        &TestCa::new(),
        &format!("http://{service}"),
        (AUTHORIZATION, HeaderValue::from_static("Bearer sk-bench")),
        Host::Thread,
    )?;
    let kv = Kv::start(service)?;
    println!("\ncalls: 1 KB of JSON, plain HTTP on loopback, connections kept");
    if nginx.is_none() {
        println!("nginx is not installed, so there is no ratio to it");
    }
    println!("daemon at rest: {:.1} MiB", kv.memory()?.0);
    for connections in [1, 16, 64] {
        println!(
            "\n{connections:>2} connection(s)        p50 us    p99 us    added     added   calls/s    p50 to direct / bare / nginx"
        );
        let direct = plain(service, connections).await?;
        let bare = plain(bare.address(), connections).await?;
        let nginx = match &nginx {
            Some(nginx) => Some(plain(nginx.address, connections).await?),
            None => None,
        };
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(Raw(kv.client().await?, PATH));
        }
        let raw = measure(clients).await?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(Typed(kv.client().await?));
        }
        let typed = measure(clients).await?;
        let base = Base { direct, bare, nginx };
        base.line("direct", direct);
        base.line("bare hyper", bare);
        if let Some(nginx) = nginx {
            base.line("nginx", nginx);
        }
        base.line("kv raw", raw);
        base.line("kv typed", typed);
        // A program of its own for each, as agents have it.
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(Mcp::start(&kv).await?);
        }
        base.line("kv by MCP", measure(clients).await?);
    }
    let (now, most) = kv.memory()?;
    println!("\ndaemon after the load: {now:.1} MiB, at most {most:.1} MiB");
    Ok(())
}

async fn plain(address: SocketAddr, connections: usize) -> Result<Figure> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Plain::connect(address, PATH).await?);
    }
    measure(clients).await
}

struct Base {
    direct: Figure,
    bare: Figure,
    nginx: Option<Figure>,
}

impl Base {
    fn line(&self, name: &str, figure: Figure) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let ratio = |other: Figure| micros(figure.p50) / micros(other.p50);
        let nginx = self.nginx.map_or("-".to_owned(), |nginx| format!("{:.2}", ratio(nginx)));
        println!(
            "  {name:<18} {:>9.0} {:>9.0} {:>+8.0} {:>+9.0} {:>9.0}    {:.2} / {:.2} / {nginx}",
            micros(figure.p50),
            micros(figure.p99),
            micros(figure.p50) - micros(self.direct.p50),
            micros(figure.p99) - micros(self.direct.p99),
            figure.per_second,
            ratio(self.direct),
            ratio(self.bare),
        );
    }
}

/// An agent's call of `kv_api_get`.
struct Mcp {
    client: RunningService<RoleClient, ()>,
    _child: Child,
}

impl Mcp {
    async fn start(kv: &Kv) -> Result<Self> {
        let mut command = Command::from(kv.command());
        command.args(["mcp", "--agent", "bench"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
            return Err("no pipes".into());
        };
        Ok(Self { client: ().serve((stdout, stdin)).await?, _child: child })
    }
}

impl Asker for Mcp {
    async fn ask(&mut self) -> Result<()> {
        let arguments = json!({ "provider": "openai", "path": PATH });
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let result = self.client.call_tool(CallToolRequestParams::new("kv_api_get").with_arguments(arguments)).await?;
        if result.is_error == Some(true) { Err(serde_json::to_string(&result)?.into()) } else { Ok(()) }
    }
}
