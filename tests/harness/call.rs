//! Calls through the agents' socket, and what a refusal is: the right reason, nothing at the service, one entry.

use kv_fakes::Service;
use serde_json::{Value, json};

use super::Kv;
use super::answer::Answer;
use super::canary::base64;
use super::patience::eventually;
use super::wire::{Door, Wire, request};

/// A typed call.
pub(crate) struct Typed<'a> {
    pub(crate) connection: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) input: Value,
}

/// How a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) reason: String,
}

impl Refusal {
    /// A person is asked, and the call does not wait for the answer.
    pub(crate) fn asks() -> Self {
        Self::new("approval_pending", "approval_required")
    }

    pub(crate) fn new(code: &str, reason: &str) -> Self {
        Self { code: code.to_owned(), reason: reason.to_owned() }
    }
}

impl Kv {
    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, door: Door, method: &str, target: &str, body: &[u8]) -> Answer {
        let mut wire = Wire::connect(self, door);
        wire.send(request(method, target, &[("kv-agent", "tester")], body)).expect("the daemon reads");
        Answer::read(&mut wire).unwrap_or_else(|| panic!("no answer to {method} {target}"))
    }

    /// One request to a daemon that may be killed meanwhile. `None`: there was no whole answer.
    #[track_caller]
    pub(crate) fn ask_a_mortal(&self, door: Door, method: &str, target: &str, body: &Value) -> Option<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut wire = Wire::to_a_mortal(self, door)?;
        wire.send(request(method, target, &[("kv-agent", "tester")], body.as_bytes())).ok()?;
        Answer::read(&mut wire).filter(|answer| answer.complete)
    }

    /// A raw call, with every field as it goes over the socket.
    #[track_caller]
    pub(crate) fn raw(&self, call: &Value) -> Answer {
        self.ask(Door::Agent, "POST", "/v1/api", call.to_string().as_bytes())
    }

    /// A raw call whose answer the end of the test does not look at.
    #[track_caller]
    pub(crate) fn raw_unseen(&self, call: &Value) -> Answer {
        let mut wire = Wire::connect(self, Door::Agent);
        wire.is_unseen();
        let body = call.to_string();
        wire.send(request("POST", "/v1/api", &[("kv-agent", "tester")], body.as_bytes())).expect("the daemon reads");
        Answer::read(&mut wire).expect("an answer")
    }

    #[track_caller]
    pub(crate) fn get(&self, connection: &str, path: &str) -> Answer {
        self.raw(&json!({ "connection": connection, "method": "GET", "path": path }))
    }

    #[track_caller]
    pub(crate) fn post(&self, connection: &str, path: &str, body: &Value) -> Answer {
        self.raw(&json!({ "connection": connection, "method": "POST", "path": path, "body": { "json": body } }))
    }

    #[track_caller]
    pub(crate) fn post_bytes(&self, connection: &str, path: &str, media_type: &str, data: &[u8]) -> Answer {
        let body = json!({ "bytes": { "media_type": media_type, "data": base64(data) } });
        self.raw(&json!({ "connection": connection, "method": "POST", "path": path, "body": body }))
    }

    #[track_caller]
    pub(crate) fn call(&self, call: Typed<'_>) -> Answer {
        let Typed { connection, operation, input } = call;
        let body = json!({ "connection": connection, "operation": operation, "input": input });
        self.ask(Door::Agent, "POST", "/v1/call", body.to_string().as_bytes())
    }

    /// Waits until so many questions are open; their ids, the oldest first.
    #[track_caller]
    pub(crate) fn questions(&self, count: usize) -> Vec<String> {
        eventually("the questions", || {
            let listed = self.run(["approval", "list", "--json"]).ok().json();
            let open = listed["approvals"].as_array().expect("a list").iter().filter(|one| one["state"] == "pending");
            let ids: Vec<_> = open.map(|one| one["id"].as_str().expect("it has an id").to_owned()).collect();
            (ids.len() == count).then_some(ids)
        })
    }

    /// Fails the test unless `attempt` is refused as expected, and twice over: the service saw neither a request nor a
    /// connection, and the trail got exactly one entry, which says the same.
    #[track_caller]
    pub(crate) fn refuses(&self, what: &str, service: &Service, expect: &Refusal, attempt: impl FnOnce() -> Answer) {
        if let Err(why) = self.is_refused(service, expect, attempt) {
            panic!("{what}: {why}");
        }
    }

    /// The same, for tables that want to name every row that fails.
    pub(crate) fn is_refused(
        &self,
        service: &Service,
        expect: &Refusal,
        attempt: impl FnOnce() -> Answer,
    ) -> Result<(), String> {
        self.is_refused_unseen(|| (service.request_count(), service.connections()), expect, attempt)
    }

    /// The same at a service of any kind: `seen` is what it has seen so far.
    pub(crate) fn is_refused_unseen<T: PartialEq>(
        &self,
        seen: impl Fn() -> T,
        expect: &Refusal,
        attempt: impl FnOnce() -> Answer,
    ) -> Result<(), String> {
        let before = (seen(), self.trail().len());
        let answer = attempt();
        let (code, reason, sent) = answer.faults();
        if (answer.outcome.as_str(), code, reason, sent) != ("error", &expect.code, &expect.reason, "no") {
            return Err(format!("wanted {expect:?}, and nothing sent: {}", answer.gist()));
        }
        if seen() != before.0 {
            return Err("the service saw it".to_owned());
        }
        let mut entries = self.trail().split_off(before.1);
        // The same question is put once, so a second call of the kind has no entry of that.
        if expect.code == "approval_pending" && entries.first().is_some_and(|entry| entry["kind"] == "approval_asked") {
            entries.remove(0);
        }
        let said = match &entries[..] {
            [entry] if entry["kind"] == "refused" => &entry["code"],
            [entry] if entry["kind"] == "denied" => &entry["reason"],
            _ => return Err(format!("the trail has it as {entries:?}")),
        };
        let finest = match expect.reason.as_str() {
            "" => expect.code.as_str(),
            // To the caller it is what is needed, in the trail what came of it.
            "approval_required" => "unanswered",
            reason => reason,
        };
        if said != finest || entries[0]["call"] != answer.error.as_ref().map_or(Value::Null, |e| e["call"].clone()) {
            return Err(format!("the trail says otherwise: {entries:?}"));
        }
        Ok(())
    }
}

impl Kv {
    /// Takes back every question that is open, so that another can be asked: five is as many as one agent has.
    #[track_caller]
    pub(crate) fn revoke_approvals(&self) {
        let listed = self.ask(Door::Human, "GET", "/v1/approvals", b"").json();
        for approval in listed["approvals"].as_array().expect("a list") {
            if approval["state"] == "pending" {
                let id = approval["id"].as_str().expect("an id");
                let revoked = self.ask(Door::Human, "POST", &format!("/v1/approvals/{id}/revoke"), b"null");
                assert_eq!(revoked.outcome, "result", "{}", revoked.gist());
            }
        }
    }
}
