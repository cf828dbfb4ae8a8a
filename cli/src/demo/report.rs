//! What is shown: sections of text as they come, or one JSON document at the end.

use std::io::Write;
use std::time::Duration;

use kv_commands::DemoOptions;
use kv_fakes::{Recorded, Service};
use serde_json::{Value, json};

use super::Result;
use super::agent::{Agent, Exchange};
use super::home::{DemoHome, Keys};
use super::servers::Servers;
use super::timing::Timing;

pub(super) struct Report {
    options: DemoOptions,
    document: Value,
}

impl Report {
    pub(super) fn new(options: DemoOptions) -> Self {
        Self { options, document: json!({ "commands": [], "agent": [], "services": [] }) }
    }

    fn line(&self, text: &str) {
        if !self.options.json {
            // When standard output has gone, the exit code still tells.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }

    pub(super) fn title(&self, text: &str) {
        let text = if self.options.color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() };
        self.line(&format!("\n{text}"));
    }

    /// Runs a command and shows it with what it printed. `true` if it went well; a command that fails ends the show.
    pub(super) async fn ran(&mut self, home: &DemoHome, arguments: &[&str], stdin: Option<&str>) -> Result<bool> {
        let output = home.run(arguments, stdin).await?;
        let place = home.path().display().to_string();
        let shown = arguments.join(" ").replace(&place, "DEMO");
        let from = if stdin.is_some() { " < KEY" } else { "" };
        self.line(&format!("$ kv {shown}{from}"));
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let printed = printed.replace(&place, "DEMO");
        printed.lines().for_each(|line| self.line(&format!("  {line}")));
        if let Some(list) = self.document["commands"].as_array_mut() {
            list.push(json!({ "command": format!("kv {shown}{from}"), "printed": printed }));
        }
        if output.status.success() { Ok(true) } else { Err(format!("`kv {shown}` failed: {}", printed.trim()).into()) }
    }

    /// Runs a command that kv has to refuse, and shows it so.
    pub(super) async fn refused(&mut self, home: &DemoHome, arguments: &[&str]) -> Result<()> {
        match self.ran(home, arguments, None).await {
            Ok(_) => Err(format!("`kv {}` was not refused", arguments.join(" ")).into()),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn remark(&mut self, text: &str) {
        self.line(&format!("  {text}"));
        self.document["remark"] = text.into();
    }

    pub(super) fn saw(&mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let arguments = exchange.arguments.to_string();
            let shown = if arguments == "{}" { String::new() } else { format!(" {arguments}") };
            self.line(&format!("> {}{shown}", exchange.tool));
            self.line(&format!("  {}", exchange.gist));
            if let Some(list) = self.document["agent"].as_array_mut() {
                list.push(json!({ "tool": exchange.tool, "arguments": exchange.arguments, "answer": exchange.answer }));
            }
        }
    }

    pub(super) fn services(&mut self, services: &[(&str, &Service)], keys: &Keys) {
        for (name, service) in services {
            for request in service.requests() {
                let line = format!("{name:<7} {} {}   {}", request.method, request.target, credential(&request, keys));
                self.line(&format!("  {line}"));
                if let Some(list) = self.document["services"].as_array_mut() {
                    list.push(json!(line));
                }
            }
        }
    }

    pub(super) fn timing(&mut self, timings: &[Timing]) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let row = |call: &str, what: &str, direct: Option<Duration>, kv: Duration| match direct {
            Some(direct) => {
                let added = micros(kv) - micros(direct);
                format!("  {call:<18} {what:<10} {:>9.0} {:>11.0} {added:>+9.0}", micros(direct), micros(kv))
            }
            None => format!("  {call:<18} {what:<10} {:>9} {:>11.0} {:>9}", "-", micros(kv), "-"),
        };
        self.line(&format!(
            "  {:<18} {:<10} {:>9} {:>11} {:>9}   us, medians",
            "", "", "direct", "through kv", "added"
        ));
        let mut table = Vec::new();
        for Timing { call, direct, through_kv } in timings {
            let whole = direct.map(|times| times.whole);
            if call.contains("streamed") {
                self.line(&row(call, "first byte", direct.map(|times| times.first_byte), through_kv.first_byte));
                self.line(&row("", "whole", whole, through_kv.whole));
            } else {
                self.line(&row(call, "", whole, through_kv.whole));
            }
            table.push(json!({
                "call": call,
                "direct_us": whole.map(micros),
                "through_kv_us": micros(through_kv.whole),
                "direct_first_byte_us": direct.map(|times| micros(times.first_byte)),
                "through_kv_first_byte_us": micros(through_kv.first_byte),
            }));
        }
        self.line("  What changes something is on the disk as an intent before it goes out. Databases and machines: docs/CONTRIBUTING.md");
        self.document["timing"] = table.into();
    }

    /// Says what held, and whether all of it did.
    pub(super) fn verdict(
        &mut self,
        agent: &Agent,
        services: &[&Service],
        keys: &Keys,
        servers: &Servers,
        verified: bool,
    ) -> bool {
        let held = |text: &str| text.contains(&keys.openai) || text.contains(&keys.stripe);
        let agent_holds_none = !agent.exchanges.iter().any(|exchange| held(&exchange.answer));
        let (last, others) = match agent.exchanges.split_last() {
            Some((last, others)) => (last.is_error, others),
            None => (false, &[] as &[_]),
        };
        let went_through = !others.is_empty() && others.iter().all(|exchange| !exchange.is_error);
        let requests: Vec<_> = services.iter().flat_map(|service| service.requests()).collect();
        let services_got_keys =
            !requests.is_empty() && requests.iter().all(|request| request.bearer().is_some_and(held));
        let payout_stopped = !requests.iter().any(|request| request.path() == "/v1/payouts");
        let shown = self.document["commands"].to_string();
        let credentials_stayed = !servers.credentials().iter().any(|credential| shown.contains(credential));
        self.title("In short");
        let mut all = true;
        let servers = servers
            .are_there()
            .then_some((credentials_stayed, "neither the password nor the SSH key in anything that was shown"));
        for (holds, text) in [
            (went_through, "the agent listed, chatted and took a payment"),
            (agent_holds_none, "no key in anything that the agent saw"),
            (services_got_keys, "every request that reached a service carried its key"),
            (payout_stopped && last, "the person said no to the payout, and Stripe never saw it"),
            (verified, "the trail is intact"),
        ]
        .into_iter()
        .chain(servers)
        {
            self.line(&format!("  {}  {text}", if holds { "yes" } else { "NO " }));
            self.document["held"][text] = holds.into();
            all &= holds;
        }
        all
    }

    pub(super) fn finish(self) -> Result<()> {
        if self.options.json {
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&self.document)?)?;
        } else {
            self.line("\nEverything was in a temporary directory, which is gone. Next: kv init");
        }
        Ok(())
    }
}

/// The credential as the service got it: its beginning, then stars.
fn credential(request: &Recorded, keys: &Keys) -> String {
    match request.bearer() {
        None => "no credential".to_owned(),
        Some(key) if key == keys.openai || key == keys.stripe => {
            let shown: String = key.chars().take(8).collect();
            format!("Authorization: Bearer {shown}{}", "*".repeat(key.len().saturating_sub(8)))
        }
        Some(_) => "another credential than the one that was stored".to_owned(),
    }
}
