//! An MCP client without a library: JSON lines in, JSON lines out. Every line that comes must be a message.

use serde_json::{Value, json};

use super::Kv;
use super::command::Running;

pub(crate) struct Mcp<'a> {
    server: Running<'a>,
    last: u64,
}

impl<'a> Mcp<'a> {
    pub(crate) fn start(kv: &'a Kv, more: &[&str]) -> Self {
        Self { server: kv.begin(["mcp"].iter().chain(more), |_| {}), last: 1000 }
    }

    /// Sends a line as it is.
    pub(crate) fn say(&mut self, line: &str) {
        self.server.say(&format!("{line}\n"));
    }

    /// The next message, whatever it is.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        let line = self.server.line().expect("the server is there");
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// A request and its answer. Notifications in between are passed over; any other answer fails the test.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        loop {
            let message = self.next();
            if message["method"].is_null() {
                assert_eq!(message["id"], id, "an answer to something else: {message}");
                return message;
            }
        }
    }

    /// The greeting of the eras that have one.
    #[track_caller]
    pub(crate) fn initialize(&mut self, version: &str) -> Value {
        let client = json!({ "name": "kv-test", "version": "1" });
        let hello =
            self.ask("initialize", json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client }));
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        hello
    }

    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))
    }
}
