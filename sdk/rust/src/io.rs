//! What an operation has of the world: its call, and what it can ask for.

use std::cell::{Cell, RefCell};
use std::task::Poll;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::asked::{Answered, Asked, other_protocol};
use crate::engine::{Outgoing, Then};
use crate::transcript::{StoredOutput, StoredResponse, Transcript};
use crate::{
    Attachment, Call, Command, Failure, Operation, Output, Protocol, Provider, Reply, Request, Response, Rows,
    Statement,
};

/// One call, from the operation's side.
pub struct Io {
    call: Call,
    provider: &'static Provider,
    operation: &'static Operation,
    turns: RefCell<Turns>,
    keys: Cell<u32>,
}

/// How far this run of the function has come.
#[derive(Default)]
struct Turns {
    transcript: Transcript,
    /// The next request's place in the transcript.
    next: usize,
    fresh: Option<Fresh>,
    outgoing: Option<Outgoing>,
}

/// The answer that this step brought, and the digest of what it belongs to.
pub(crate) struct Fresh {
    pub(crate) digest: u64,
    pub(crate) answered: Answered,
}

/// An answer, as the one who waits for it gets it.
enum Answer {
    Fresh {
        digest: u64,
        answered: Answered,
    },
    /// The place in the transcript.
    Kept(usize),
}

impl Io {
    pub(crate) fn new(
        provider: &'static Provider,
        operation: &'static Operation,
        call: Call,
        transcript: Transcript,
        fresh: Option<Fresh>,
    ) -> Self {
        let turns = Turns { transcript, fresh, ..Turns::default() };
        Self { call, provider, operation, turns: RefCell::new(turns), keys: Cell::new(0) }
    }

    /// Sends a request and waits for its answer, whatever it is.
    ///
    /// The wait may outlast the component's instance. When the answer is there the function runs from its beginning, and
    /// each request that it has asked before is answered from the transcript at once. So it must ask the same again: what
    /// it does may depend on its input, its settings and its answers, and there is nothing else. A run that asks for
    /// something else ends as an internal failure.
    ///
    /// The transcript holds the whole answer, and all of it together stays under 1 MiB. [`Io::send_with`] keeps less.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let stored = self.send_with(request, |response| Ok(StoredResponse::from(response))).await?;
        let response = Response::try_from(stored)?;
        match self.provider.protocol {
            Protocol::Http { failure } => Ok(response.mapped_by(failure)),
            Protocol::Sql { .. } | Protocol::Ssh { .. } => Err(other_protocol()),
        }
    }

    /// Sends a request and keeps what `read` makes of its answer, and nothing else of it.
    ///
    /// `read` runs once; what it returned is what later runs of the function get.
    pub async fn send_with<T: Serialize + DeserializeOwned>(
        &self,
        request: Request,
        read: impl FnOnce(Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let read = |answered| match answered {
            Answered::Http(response) => read(response),
            Answered::Sql(_) | Answered::Ssh(_) => Err(other_protocol()),
        };
        self.exchange(request.into(), read).await
    }

    /// Sends a request, and keeps of a success what `T` reads of its JSON; anything else is the failure that the
    /// provider's mapper makes of it.
    pub async fn send_as<T: Serialize + DeserializeOwned>(&self, request: Request) -> Result<T, Failure> {
        self.send_with(request, |response| response.error_for_status()?.json()).await
    }

    /// Sends a statement and waits for its rows; what the database refused is the failure that the provider's mapper
    /// makes of it. As with [`Io::send`], the function is run again when the rows are there.
    ///
    /// Rows that are the whole result are better forwarded. The transcript holds all of them when another statement
    /// follows, and [`Io::query_with`] keeps less.
    pub async fn query(&self, statement: Statement) -> Result<Rows, Failure> {
        self.query_with(statement, Ok).await
    }

    /// Sends a statement and keeps what `read` makes of its rows, and nothing else of them.
    pub async fn query_with<T: Serialize + DeserializeOwned>(
        &self,
        statement: Statement,
        read: impl FnOnce(Rows) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let read = |answered| match (answered, self.provider.protocol) {
            (Answered::Sql(Ok(rows)), _) => read(rows),
            (Answered::Sql(Err(error)), Protocol::Sql { failure }) => Err(failure(&error)),
            _ => Err(other_protocol()),
        };
        self.exchange(statement.into(), read).await
    }

    /// Sends a statement and keeps each of its rows as a value: a tuple, or a struct whose members are in the order of
    /// the columns.
    pub async fn query_as<T: Serialize + DeserializeOwned>(&self, statement: Statement) -> Result<Vec<T>, Failure> {
        self.query_with(statement, |rows| rows.read()).await
    }

    /// Sends a statement that changes something, and says how many rows it changed.
    pub async fn execute(&self, statement: Statement) -> Result<u64, Failure> {
        self.query_with(statement, |rows| Ok(rows.affected)).await
    }

    /// Runs a command and waits for its end, however it ends; [`Output::error_for_exit`] makes a failure of a bad end.
    /// As with [`Io::send`], the function is run again when the output is there.
    pub async fn run(&self, command: Command) -> Result<Output, Failure> {
        let line = command.line.clone();
        let stored = self.run_with(command, |output| Ok(StoredOutput::from(output))).await?;
        let output = Output::try_from(stored)?;
        match self.provider.protocol {
            Protocol::Ssh { failure } => Ok(output.mapped_by(line, failure)),
            Protocol::Http { .. } | Protocol::Sql { .. } => Err(other_protocol()),
        }
    }

    /// Runs a command and keeps what `read` makes of its output, and nothing else of it.
    pub async fn run_with<T: Serialize + DeserializeOwned>(
        &self,
        command: Command,
        read: impl FnOnce(Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let read = |answered| match answered {
            Answered::Ssh(output) => read(output),
            Answered::Http(_) | Answered::Sql(_) => Err(other_protocol()),
        };
        self.exchange(command.into(), read).await
    }

    /// Sends a request, statement or command, and the caller gets the answer as it is: it streams, and never comes here.
    /// Nothing after this runs.
    ///
    /// Rows become a result of columns and rows; a command's output goes out as it is written, and its exit code with it.
    pub async fn forward(&self, asked: impl Into<Asked>) -> Result<Reply, Failure> {
        self.ask(asked.into(), Then::Forward).await?;
        Err(rerun_differs())
    }

    /// As [`Io::forward`] for a success: 2xx, rows, exit code 0. Of anything else the provider's mapper makes the failure
    /// that this returns.
    pub async fn forward_success(&self, asked: impl Into<Asked>) -> Result<Reply, Failure> {
        match self.ask(asked.into(), Then::ForwardSuccess).await? {
            Answer::Fresh { answered, .. } => Err(answered.to_failure(&self.provider.protocol)),
            Answer::Kept(_) => Err(rerun_differs()),
        }
    }

    /// How many more bytes the transcript can keep. Once it is 0, nothing more can be asked and then awaited.
    pub fn room(&self) -> usize {
        self.turns.borrow().transcript.room()
    }

    /// A key for a request that writes: the call's id, and for each further one in the same call the id with a number.
    pub fn idempotency_key(&self) -> String {
        let count = self.keys.get() + 1;
        self.keys.set(count);
        if count == 1 { self.call.id.clone() } else { format!("{}-{count}", self.call.id) }
    }

    /// Unique to the call, and the same whenever the function runs again.
    pub fn call_id(&self) -> &str {
        &self.call.id
    }

    /// When the call came, in milliseconds since 1970. It stands still: the only clock there is.
    pub fn now_ms(&self) -> u64 {
        self.call.now_ms
    }

    /// A setting of the connection, if it is there and not empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        lookup(&self.call.settings, name).filter(|value| !value.is_empty())
    }

    /// What a later host may say of the call, by name.
    pub fn context(&self, name: &str) -> Option<&str> {
        lookup(&self.call.context, name)
    }

    pub fn attachments(&self) -> &[Attachment] {
        &self.call.attachments
    }

    /// The attachment of a name, or the failure that tells the caller which there are.
    pub fn attachment(&self, name: &str) -> Result<&Attachment, Failure> {
        self.call.attachments.iter().find(|attachment| attachment.name == name).ok_or_else(|| {
            let names: Vec<_> = self.call.attachments.iter().map(|attachment| attachment.name.as_str()).collect();
            let there =
                if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            Failure::invalid_input(format!("the call has no attachment `{name}`: {there}"))
        })
    }

    /// The input as the caller wrote it: JSON text.
    pub fn input_text(&self) -> &str {
        &self.call.input
    }

    /// The input's members in the caller's order, without those named: what is left when a path has taken its share.
    pub fn input_without(&self, names: &[&str]) -> Map<String, Value> {
        let mut input: Map<String, Value> = serde_json::from_str(&self.call.input).unwrap_or_default();
        input.retain(|name, _| !names.contains(&name.as_str()));
        input
    }

    pub(crate) fn provider(&self) -> &'static Provider {
        self.provider
    }

    pub(crate) fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// The request that this run stopped at, and the transcript to go with it.
    pub(crate) fn stopped(self) -> (Option<Outgoing>, Transcript) {
        let turns = self.turns.into_inner();
        (turns.outgoing, turns.transcript)
    }

    /// Whether everything that was answered before has been asked for again.
    pub(crate) fn is_caught_up(&self) -> bool {
        let turns = self.turns.borrow();
        turns.fresh.is_none() && turns.next >= turns.transcript.len()
    }

    /// Asks, waits, and keeps what `read` makes of the answer.
    async fn exchange<T: Serialize + DeserializeOwned>(
        &self,
        asked: Asked,
        read: impl FnOnce(Answered) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.ask(asked, Then::Resume).await? {
            Answer::Fresh { digest, answered } => {
                let result = read(answered);
                self.turns.borrow_mut().transcript.keep(digest, &result)?;
                result
            }
            Answer::Kept(place) => self.turns.borrow().transcript.recall(place),
        }
    }

    async fn ask(&self, asked: Asked, then: Then) -> Result<Answer, Failure> {
        if !asked.is_of(&self.provider.protocol) {
            return Err(other_protocol());
        }
        let mut outgoing = Some(Outgoing::new(self, asked, then));
        std::future::poll_fn(|_| self.poll_ask(&mut outgoing)).await
    }

    fn poll_ask(&self, waiting: &mut Option<Outgoing>) -> Poll<Result<Answer, Failure>> {
        let turns = &mut *self.turns.borrow_mut();
        // One request goes out in a step. Futures that wait side by side get their turns in the order of polling, which
        // is the same in every run.
        if turns.outgoing.is_some() {
            return Poll::Pending;
        }
        let Some(outgoing) = waiting.take() else { return Poll::Pending };
        let place = turns.next;
        turns.next += 1;
        if let Some(asked) = turns.transcript.asked(place) {
            return Poll::Ready(if asked == outgoing.digest { Ok(Answer::Kept(place)) } else { Err(rerun_differs()) });
        }
        if let Some(Fresh { digest, answered }) = turns.fresh.take() {
            return Poll::Ready(if digest == outgoing.digest {
                Ok(Answer::Fresh { digest, answered: answered.mapped_by(&self.provider.protocol, outgoing.asked) })
            } else {
                Err(rerun_differs())
            });
        }
        turns.outgoing = Some(outgoing);
        Poll::Pending
    }
}

pub(crate) fn rerun_differs() -> Failure {
    Failure::internal("run again with the same answers, the provider asked for something else than before")
}

fn lookup<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
