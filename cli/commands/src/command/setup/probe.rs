//! The test at the end: start the MCP server exactly as the agent will, and ask it for its tools.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(10);

/// How many tools the server has.
pub(super) async fn list_tools(program: &Path, agent: &str) -> Result<usize, Problem> {
    tokio::time::timeout(PATIENCE, ask(program, agent))
        .await
        .unwrap_or_else(|_| Err(Problem::failed("the MCP server did not answer in 10 s")))
}

async fn ask(program: &Path, agent: &str) -> Result<usize, Problem> {
    let error = |error: std::io::Error| Problem::failed(format!("the MCP server: {error}"));
    let mut command = Command::new(program);
    command.args(["mcp", "--agent", agent]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(error)?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Problem::failed("the MCP server has no pipes"));
    };
    let client = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "kv setup", "version": "1" } });
    let messages = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
    ];
    for message in messages {
        stdin.write_all(format!("{message}\n").as_bytes()).await.map_err(error)?;
    }
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.map_err(error)? {
        let message: Value = serde_json::from_str(&line)
            .map_err(|_| Problem::failed("the MCP server wrote something that is no message"))?;
        if message["id"] == 2 {
            return message["result"]["tools"]
                .as_array()
                .map(Vec::len)
                .ok_or_else(|| Problem::failed("the MCP server has no tools"));
        }
    }
    Err(Problem::failed("the MCP server ended without an answer"))
}
