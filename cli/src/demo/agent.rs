//! The agent: an MCP client that others wrote, speaking to `kv mcp` over pipes.

use std::process::Stdio;

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};
use tokio::process::Child;

use super::Result;
use super::home::DemoHome;

pub(super) const NAME: &str = "demo-agent";

/// One call of a tool, and all that came back.
pub(super) struct Exchange {
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
    /// Everything that the agent got, as JSON.
    pub(super) answer: String,
    /// What a person reads of it.
    pub(super) gist: String,
    pub(super) is_error: bool,
}

pub(super) struct Agent {
    client: RunningService<RoleClient, ()>,
    child: Child,
    pub(super) exchanges: Vec<Exchange>,
}

impl Agent {
    pub(super) async fn start(home: &DemoHome) -> Result<Self> {
        let mut command = home.command(&["mcp", "--agent", NAME]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
            return Err("the MCP server has no pipes".into());
        };
        let client = ().serve((stdout, stdin)).await?;
        Ok(Self { client, child, exchanges: Vec::new() })
    }

    /// What an agent would do: look around, list, ask a model with streaming, take a payment.
    pub(super) async fn session(&mut self) -> Result<()> {
        let tools = self.client.list_all_tools().await?;
        let names: Vec<_> = tools.iter().map(|tool| tool.name.to_string()).collect();
        self.exchanges.push(Exchange {
            tool: "tools/list",
            arguments: json!({}),
            answer: serde_json::to_string(&tools)?,
            gist: names.join(", "),
            is_error: false,
        });
        self.call("kv_list", json!({})).await?;
        self.call("kv_read", json!({ "operation": "openai/models.list", "input": {} })).await?;
        let body = json!({
            "model": "gpt-4o", "stream": true,
            "messages": [{ "role": "user", "content": "Say hello in five words." }],
        });
        let chat = json!({ "provider": "openai", "method": "POST", "path": "/v1/chat/completions", "body": body });
        self.call("kv_api", chat).await?;
        let payment = json!({ "amount": 1999, "currency": "eur", "payment_method": "pm_card_visa", "confirm": true });
        let write = json!({ "operation": "stripe/payment_intents.create", "input": payment });
        self.call("kv_write", write).await
    }

    /// What it may not do unasked. The answer comes when the person has given theirs.
    pub(super) async fn payout(&mut self) -> Result<()> {
        let payout = json!({ "amount": 50_000, "currency": "eur" });
        let payout = json!({ "provider": "stripe", "method": "POST", "path": "/v1/payouts", "body": payout });
        self.call("kv_api", payout).await
    }

    async fn call(&mut self, tool: &'static str, arguments: Value) -> Result<()> {
        let map = arguments.as_object().cloned().unwrap_or_default();
        let result = self.client.call_tool(CallToolRequestParams::new(tool).with_arguments(map)).await?;
        let answer = serde_json::to_string(&result)?;
        let gist = gist(&result);
        let is_error = result.is_error == Some(true);
        self.exchanges.push(Exchange { tool, arguments, answer, gist, is_error });
        Ok(())
    }

    pub(super) async fn end(self) {
        // Closing the pipes ends the server; if it does not, dropping the child does.
        let Self { client, mut child, .. } = self;
        let _ = client.cancel().await;
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), child.wait()).await;
    }
}

/// The beginning of the text that came back, on one line.
fn gist(result: &CallToolResult) -> String {
    let value = serde_json::to_value(result).unwrap_or_default();
    let texts = value["content"].as_array().into_iter().flatten().filter_map(|block| block["text"].as_str());
    let text = texts.collect::<Vec<_>>().join(" ");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(160).collect();
    if line.chars().count() > 160 {
        short.push('…');
    }
    short
}
