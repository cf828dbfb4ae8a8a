//! A client: lines in, lines out, with a session of the real server at the other end.

use std::sync::Arc;
use std::time::Duration;

use kv_model::PrincipalName;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use super::super::link::Link;
use super::super::server::Server;
use super::super::tools::Selection;
use crate::problem::Problem;

pub(super) struct Client {
    output: Option<WriteHalf<DuplexStream>>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    session: JoinHandle<Result<(), Problem>>,
    next: u64,
    pub(super) modern: bool,
}

impl Client {
    pub(super) fn start(home: &kv_api::home::Home, tools: &str) -> Self {
        let (here, there) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(there);
        let link = Link::new(home.clone(), &PrincipalName::parse("tester").unwrap());
        let server = Server::new(Arc::new(link), Selection::parse(tools).unwrap());
        let session = tokio::spawn(super::super::serve(server, input, output));
        let (read, write) = tokio::io::split(here);
        Self { output: Some(write), lines: BufReader::new(read).lines(), session, next: 1, modern: false }
    }

    pub(super) async fn initialized(home: &kv_api::home::Home, tools: &str) -> Self {
        let mut client = Self::start(home, tools);
        client.initialize("2025-11-25").await;
        client
    }

    pub(super) async fn initialize(&mut self, version: &str) -> Value {
        let parameters =
            json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let answer = self.request("initialize", parameters).await;
        self.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        answer
    }

    pub(super) async fn write(&mut self, line: &str) {
        self.output.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(super) async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(5), self.lines.next_line())
            .await
            .expect("no answer")
            .unwrap()
            .unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(super) async fn send(&mut self, method: &str, mut parameters: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        if self.modern {
            parameters["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
            parameters["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }).to_string()).await;
        id
    }

    pub(super) async fn request(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters).await;
        let answer = self.read().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// Closes the client's end; the session must end well.
    pub(super) async fn close(mut self) {
        self.output.take().unwrap().shutdown().await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.session)
            .await
            .expect("the session goes on")
            .unwrap()
            .unwrap();
    }
}
