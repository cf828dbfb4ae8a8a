//! A fake of the OpenAI API: the wire format of the real one, with answers that are made up on the spot.
//!
//! It knows one key. What it says is a function of what it was asked: a chat answers with the last message of the user, so
//! that a test can see its own text come back. Files, batches and vector stores are kept in memory.
//!
//! Some model names make it misbehave the way the real service does; see [`models::TROUBLE`].

mod audio;
mod batches;
mod chat;
mod embeddings;
mod error;
mod files;
mod images;
pub mod models;
mod moderations;
mod realtime;
mod responses;
mod routes;
mod state;
mod text;
mod uploads;
mod vector_stores;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ca::TestCa;
use crate::http_server::{Fake, ServeOptions, serve};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::{Host, Service};
use error::Error;
use state::State;

/// What one fake OpenAI is like.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    /// The one key it accepts.
    pub key: String,
    /// Rest between two events of a stream.
    pub chunk_every: Duration,
    /// How long it thinks before it answers.
    pub think: Duration,
    /// What every model says, in place of an answer to what it was asked.
    pub says: Option<String>,
    /// After so many requests every further one is answered with 429.
    pub requests_per_minute: Option<u32>,
    /// Show cookies, `Alt-Svc` and the other headers that the real service's front adds.
    pub edge_headers: bool,
    pub serve: ServeOptions,
}

impl Default for OpenAiOptions {
    fn default() -> OpenAiOptions {
        OpenAiOptions {
            key: "sk-proj-fake0000000000000000000000000000000000000000".to_owned(),
            chunk_every: Duration::from_millis(5),
            think: Duration::ZERO,
            says: None,
            requests_per_minute: None,
            edge_headers: true,
            serve: ServeOptions::default(),
        }
    }
}

/// The service as a function of requests; [`start`](FakeOpenAi::start) puts it on the wire.
pub struct FakeOpenAi {
    options: OpenAiOptions,
    state: Mutex<State>,
}

impl FakeOpenAi {
    pub fn new(options: OpenAiOptions) -> FakeOpenAi {
        FakeOpenAi { options, state: Mutex::default() }
    }

    /// Listens, with its tasks where `options.serve.host` says.
    pub fn start(ca: &TestCa, options: OpenAiOptions) -> io::Result<Service> {
        let settings = options.serve.clone();
        serve(FakeOpenAi::new(options), ca, settings)
    }

    /// Listens in a thread of its own.
    pub fn start_blocking(ca: &TestCa, mut options: OpenAiOptions) -> io::Result<Service> {
        options.serve.host = Host::Thread;
        FakeOpenAi::start(ca, options)
    }

    fn checked(&self, request: &Recorded, state: &mut State) -> Result<Reply, Error> {
        error::authenticate(request, &self.options.key)?;
        state.count_request(self.options.requests_per_minute)?;
        routes::route(request, state, &self.options)
    }

    fn usual_headers(&self, reply: Reply, state: &mut State) -> Reply {
        let limit = self.options.requests_per_minute.unwrap_or(10_000);
        let left = limit.saturating_sub(state.requests());
        let reply = reply
            .with("openai-organization", "org-fake")
            .with("openai-processing-ms", "3")
            .with("openai-version", "2020-10-01")
            .with("x-request-id", state.ids.hex("req_", 32))
            .with("x-ratelimit-limit-requests", limit.to_string())
            .with("x-ratelimit-limit-tokens", "30000000")
            .with("x-ratelimit-remaining-requests", left.to_string())
            .with("x-ratelimit-remaining-tokens", "29999985")
            .with("x-ratelimit-reset-requests", "6ms")
            .with("x-ratelimit-reset-tokens", "0s");
        if !self.options.edge_headers {
            return reply;
        }
        reply
            .with("alt-svc", "h3=\":443\"; ma=86400")
            .with("cf-cache-status", "DYNAMIC")
            .with("cf-ray", state.ids.hex("", 16) + "-FAK")
            .with("server", "cloudflare")
            .with("set-cookie", state.ids.letters("__cf_bm=", 43) + "; path=/; HttpOnly; Secure; SameSite=None")
            .with("strict-transport-security", "max-age=31536000; includeSubDomains; preload")
            .with("x-content-type-options", "nosniff")
    }
}

impl Fake for FakeOpenAi {
    fn reply(&self, request: &Recorded) -> Reply {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = self.checked(request, &mut state).unwrap_or_else(Error::into_reply);
        let mut reply = self.usual_headers(reply, &mut state);
        reply.after = self.options.think;
        reply
    }
}

#[cfg(test)]
mod tests;
