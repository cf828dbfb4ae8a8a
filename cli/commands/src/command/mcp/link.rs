//! The way to the daemon: connections that are made when they are needed and made again when they broke.
//!
//! Only the agents' socket is used, and the daemon is never started from here. A request that may have reached the daemon
//! is sent again only if it can change nothing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kv_api::home::Home;
use kv_api::{Code, Sent};
use kv_model::PrincipalName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Answer, Client, Door, Request, full};
use crate::problem::Problem;

/// As many idle connections as are kept; more calls than these at once are rare.
const MAX_IDLE: usize = 8;
/// As large as the daemon's own answers may be.
const MAX_ANSWER: usize = 16 << 20;

pub(super) struct Link {
    home: Home,
    agent: String,
    idle: Mutex<Vec<Client>>,
}

/// A request that can be made more than once.
pub(super) struct Draft {
    method: &'static str,
    target: String,
    body: Bytes,
    /// The length of the JSON, where attachments follow it.
    head_length: Option<usize>,
    /// It changes nothing, so it may be sent again when nobody knows whether it arrived.
    harmless: bool,
}

/// An answer, and the connection that it comes over. Dropped before its end it closes the connection, and with it the
/// daemon's request to the service.
pub(super) struct Leased {
    pub(super) answer: Answer,
    client: Client,
    link: Arc<Link>,
}

impl Draft {
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), body: Bytes::new(), head_length: None, harmless: true }
    }

    pub(super) fn post(target: &str, body: &impl Serialize, harmless: bool) -> Result<Self, Problem> {
        let json = serde_json::to_vec(body).map_err(|error| Problem::failed(error.to_string()))?;
        Ok(Self { method: "POST", target: target.to_owned(), body: json.into(), head_length: None, harmless })
    }

    /// The same with bytes after the JSON.
    pub(super) fn followed_by(mut self, attachments: &[Bytes]) -> Self {
        if !attachments.is_empty() {
            self.head_length = Some(self.body.len());
            let parts: Vec<&[u8]> =
                std::iter::once(&*self.body).chain(attachments.iter().map(|data| &**data)).collect();
            self.body = parts.concat().into();
        }
        self
    }

    fn request(&self, agent: &str) -> Request {
        let mut request = Request::get(self.target.clone()).agent(agent);
        request.method = self.method;
        request.head_length = self.head_length;
        if self.method != "GET" {
            request.body = full(self.body.clone());
        }
        request
    }
}

impl Link {
    pub(super) fn new(home: Home, agent: &PrincipalName) -> Self {
        Self { home, agent: agent.to_string(), idle: Mutex::default() }
    }

    /// Asks the daemon something about kv.
    pub(super) async fn ask<T: DeserializeOwned>(self: &Arc<Self>, target: impl Into<String>) -> Result<T, Problem> {
        let mut leased = self.send(&Draft::get(target)).await?;
        let mut json = Vec::new();
        while let Some(chunk) = leased.answer.next().await? {
            if json.len() + chunk.len() > MAX_ANSWER {
                return Err(Problem::failed(format!("the daemon's answer is over {MAX_ANSWER} bytes")));
            }
            json.extend_from_slice(&chunk);
        }
        leased.release();
        serde_json::from_slice(&json)
            .map_err(|error| Problem::failed(format!("the daemon's answer is not understood: {error}")))
    }

    /// Sends a request, over a new connection if the old one turns out to be broken.
    pub(super) async fn send(self: &Arc<Self>, draft: &Draft) -> Result<Leased, Problem> {
        let kept = self.lock().pop();
        let reused = kept.is_some();
        let client = match kept {
            Some(client) => client,
            None => self.connect().await?,
        };
        match self.attempt(client, draft).await {
            Err(problem) if broke(&problem) && (draft.harmless || (reused && problem.error().sent == Sent::No)) => {
                // What else is idle broke with it.
                self.lock().clear();
                let client = self.connect().await?;
                self.attempt(client, draft).await
            }
            other => other,
        }
    }

    async fn attempt(self: &Arc<Self>, mut client: Client, draft: &Draft) -> Result<Leased, Problem> {
        match client.send(draft.request(&self.agent)).await {
            Ok(answer) => Ok(Leased { answer, client, link: Arc::clone(self) }),
            Err(problem) => {
                if !broke(&problem) {
                    self.keep(client);
                }
                Err(problem)
            }
        }
    }

    async fn connect(&self) -> Result<Client, Problem> {
        Client::connect(&self.home, Door::Agent).await
    }

    fn keep(&self, client: Client) {
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(client);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leased {
    /// Gives the connection back after the answer's end.
    pub(super) fn release(self) {
        self.link.keep(self.client);
    }
}

/// The connection is of no use any more.
fn broke(problem: &Problem) -> bool {
    problem.code() == Code::DaemonUnreachable
}
