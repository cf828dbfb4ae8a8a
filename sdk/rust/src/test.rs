//! Tests of a provider, natively: no host, no component, no network.
//!
//! [`Harness`] stands in the host's place. It gives a call to the provider, shows what it asked for ([`Sent`], and
//! [`Sent::wire`] as the bytes that would go out, [`Sent::statement`] or [`Sent::command`]), and gives it answers. Between two steps nothing is kept but what the
//! host would keep: the call and the state's text.
//!
//! The methods that begin with `expect` panic when it is otherwise, as assertions do.

mod wire;

use serde_json::Value;

use crate::asked::{Answered, Asked};
use crate::engine::{self, Sending, Step, Then};
use crate::{
    Attachment, Body, Call, Command, CommandLine, Effect, Failure, Output, Payload, Provider, Request, Response, Rows,
    SqlError, Statement,
};

pub use self::wire::Wire;

/// A connection to a provider: what its calls have in common.
#[derive(Debug, Clone)]
pub struct Harness {
    provider: &'static Provider,
    call: Call,
    files: Vec<File>,
}

/// An attachment with its bytes, which the host has and the provider has not.
#[derive(Debug, Clone)]
struct File {
    name: String,
    media_type: String,
    data: Vec<u8>,
}

/// A call under way.
#[derive(Debug)]
pub struct Run {
    harness: Harness,
    step: Result<Step, Failure>,
}

/// A request that the provider asked for.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    sending: &'a Sending,
    files: &'a [File],
}

impl Harness {
    pub fn new(provider: &'static Provider) -> Self {
        let call = Call { id: "call-1".into(), now_ms: 1_800_000_000_000, ..Call::default() };
        Self { provider, call, files: Vec::new() }
    }

    /// The id of its calls, `call-1` when it is not said.
    #[must_use]
    pub fn call_id(mut self, id: &str) -> Self {
        self.call.id = id.into();
        self
    }

    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.call.settings.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn now_ms(mut self, ms: u64) -> Self {
        self.call.now_ms = ms;
        self
    }

    #[must_use]
    pub fn attachment(mut self, name: &str, media_type: &str, data: impl Into<Vec<u8>>) -> Self {
        let data = data.into();
        self.call.attachments.push(Attachment {
            name: name.into(),
            media_type: media_type.into(),
            size: data.len() as u64,
        });
        self.files.push(File { name: name.into(), media_type: media_type.into(), data });
        self
    }

    /// Calls an operation and runs it for its first step.
    pub fn call(&self, operation: &str, input: Value) -> Run {
        let mut harness = self.clone();
        harness.call.operation = operation.into();
        harness.call.input = input.to_string();
        let step = engine::start(harness.provider, harness.call.clone());
        Run { harness, step }
    }
}

impl Run {
    /// Whether the provider asks for a request now: whether the call goes on.
    pub fn is_sending(&self) -> bool {
        matches!(self.step, Ok(Step::Send(_)))
    }

    /// The request that the provider asks for now.
    pub fn expect_send(&self) -> Sent<'_> {
        match &self.step {
            Ok(Step::Send(sending)) => Sent { sending, files: &self.harness.files },
            other => panic!("the provider asks for nothing: {other:?}"),
        }
    }

    /// The request, when its answer is to go to the caller as it is.
    pub fn expect_forward(&self) -> Sent<'_> {
        let sent = self.expect_send();
        assert_eq!(sent.sending.outgoing.then, Then::Forward, "the answer is not forwarded");
        sent
    }

    /// The request, when the answer is to go to the caller if it is a success.
    pub fn expect_forward_success(&self) -> Sent<'_> {
        let sent = self.expect_send();
        assert_eq!(sent.sending.outgoing.then, Then::ForwardSuccess, "a success is not forwarded");
        sent
    }

    /// The result.
    pub fn expect_done(&self) -> Value {
        match &self.step {
            Ok(Step::Done(text)) => serde_json::from_str(text).expect("the result is JSON"),
            other => panic!("the call is not done: {other:?}"),
        }
    }

    pub fn expect_failure(&self) -> &Failure {
        match &self.step {
            Err(failure) => failure,
            Ok(step) => panic!("the call has not failed: {step:?}"),
        }
    }

    /// Answers with JSON, and runs the next step.
    pub fn respond<'h>(&mut self, status: u16, headers: impl IntoIterator<Item = (&'h str, &'h str)>, body: Value) {
        self.respond_with(status, headers, Payload::Text(body.to_string()));
    }

    /// Answers with any body, and runs the next step.
    pub fn respond_with<'h>(
        &mut self,
        status: u16,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: Payload,
    ) {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let success = (200..300).contains(&status);
        self.resume(success, Answered::Http(Response::new(status, headers, body)));
    }

    /// Answers a statement with rows, and runs the next step.
    pub fn respond_rows(&mut self, rows: Rows) {
        self.resume(true, Answered::Sql(Ok(rows)));
    }

    /// Answers a statement with what the database says against it, and runs the next step.
    pub fn respond_error(&mut self, error: SqlError) {
        self.resume(false, Answered::Sql(Err(error)));
    }

    /// Answers a command with what it wrote, and runs the next step.
    pub fn respond_output(&mut self, output: Output) {
        self.resume(output.is_success(), Answered::Ssh(output));
    }

    fn resume(&mut self, success: bool, answered: Answered) {
        let sent = self.expect_send();
        let comes_back = match sent.sending.outgoing.then {
            Then::Forward => false,
            Then::ForwardSuccess => !success,
            Then::Resume => true,
        };
        assert!(comes_back, "the host forwards this answer, and the provider is not asked");
        let state = sent.sending.state.clone().unwrap_or_default();
        self.step = engine::resume(self.harness.provider, self.harness.call.clone(), &state, answered);
    }
}

/// Rows as a database gives them: columns by name and type, and each row a JSON array.
pub fn rows(columns: &[(&str, &str)], rows: impl IntoIterator<Item = Value>) -> Rows {
    let column =
        |(name, type_name): &(&str, &str)| crate::Column { name: (*name).into(), type_name: (*type_name).into() };
    let row = |row: Value| serde_json::value::to_raw_value(&row).expect("a value is JSON");
    Rows {
        columns: columns.iter().map(column).collect(),
        rows: rows.into_iter().map(row).collect(),
        affected: 0,
        truncated: false,
    }
}

impl<'a> Sent<'a> {
    fn request(self) -> &'a Request {
        match &self.sending.outgoing.asked {
            Asked::Http(request) => request,
            other => panic!("it is no HTTP request: {other:?}"),
        }
    }

    pub fn statement(self) -> &'a Statement {
        match &self.sending.outgoing.asked {
            Asked::Sql(statement) => statement,
            other => panic!("it is no statement: {other:?}"),
        }
    }

    pub fn command(self) -> &'a Command {
        match &self.sending.outgoing.asked {
            Asked::Ssh(command) => command,
            other => panic!("it is no command: {other:?}"),
        }
    }

    pub fn method(self) -> &'a str {
        &self.request().method
    }

    /// The path's segments, not encoded.
    pub fn path(self) -> &'a [String] {
        &self.request().path
    }

    pub fn query(self) -> &'a [(String, String)] {
        &self.request().query
    }

    pub fn header(self, name: &str) -> Option<&'a str> {
        let headers = &self.request().headers;
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn body(self) -> &'a Body {
        &self.request().body
    }

    /// The schemes, by name.
    pub fn auth(self) -> &'a [String] {
        &self.sending.outgoing.auth
    }

    pub fn effect(self) -> Effect {
        self.sending.outgoing.effect
    }

    pub fn summary(self) -> &'a str {
        &self.sending.outgoing.summary
    }

    pub fn repeatable(self) -> bool {
        self.sending.outgoing.repeatable
    }

    pub fn delay_ms(self) -> u32 {
        self.sending.outgoing.asked.delivery().delay_ms
    }

    /// Options of delivery, by name.
    pub fn options(self) -> &'a [(String, String)] {
        &self.sending.outgoing.asked.delivery().options
    }

    /// As long as the state is that the host would keep.
    pub fn state_bytes(self) -> usize {
        self.sending.state.as_deref().map_or(0, str::len)
    }

    /// The request as it goes on the wire, before the host adds origin, credential and its own headers.
    pub fn wire(self) -> Wire {
        wire::encode(self.request(), self.files)
    }
}

/// What a test may look at.
impl Statement {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each as JSON text.
    pub fn param_texts(&self) -> &[String] {
        &self.params
    }

    pub fn row_limit(&self) -> u32 {
        self.max_rows
    }
}

/// What a test may look at.
impl Command {
    pub fn line(&self) -> &CommandLine {
        &self.line
    }

    pub fn input(&self) -> &[u8] {
        &self.stdin
    }

    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms
    }

    pub fn output_limit(&self) -> u32 {
        self.max_output
    }
}

impl File {
    fn find<'f>(files: &'f [File], name: &str) -> &'f File {
        files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("the harness has no attachment `{name}`"))
    }
}
