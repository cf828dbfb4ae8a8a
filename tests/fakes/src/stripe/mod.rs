//! A fake of the Stripe API: nested forms in, objects with Stripe's ids and shapes out, state in memory.
//!
//! It knows one key and serves one account; no money exists. Cards are Stripe's own test names (`pm_card_visa`,
//! `pm_card_chargeDeclined`, `tok_visa` and so on, see [`cards`]), so a test written against this fake runs against the
//! service's test mode.
//!
//! A request goes through [`FakeStripe::reply`](crate::Fake::reply) in the order of the real service: the key, the
//! idempotency key, the parameters, the object.

mod balance;
pub mod cards;
mod charges;
mod checkout;
mod customers;
mod error;
mod events;
mod expand;
mod form;
mod idempotency;
mod invoices;
mod list;
mod money;
mod params;
mod payment_intents;
mod payment_methods;
mod products;
mod refunds;
mod resources;
mod routes;
mod search;
mod simple;
mod state;
mod subscriptions;

use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::ca::TestCa;
use crate::http_server::{Fake, ServeOptions, serve};
use crate::record::Recorded;
use crate::reply::Reply;
use crate::service::{Host, Service};
use error::Error;
use params::Params;
use state::{Current, State};

/// What one fake Stripe is like.
#[derive(Clone, Debug)]
pub struct StripeOptions {
    /// The one key it accepts; `sk_live_...` makes everything live, with test cards refused.
    pub key: String,
    /// The version that a request without `Stripe-Version` gets.
    pub version: String,
    /// What the account has to begin with, in cents, available for payouts.
    pub balance: Vec<(String, i64)>,
    /// After so many requests every further one is answered with 429.
    pub requests_before_limit: Option<u32>,
    pub serve: ServeOptions,
}

impl Default for StripeOptions {
    fn default() -> StripeOptions {
        StripeOptions {
            // In two pieces, so that scanners for leaked keys do not take it for one.
            key: ["sk_test_", "51Fake00000000000000000000000000"].concat(),
            version: "2026-10-28.endive".to_owned(),
            balance: vec![("usd".to_owned(), 100_000), ("eur".to_owned(), 100_000)],
            requests_before_limit: None,
            serve: ServeOptions::default(),
        }
    }
}

/// The service as a function of requests; [`start`](FakeStripe::start) puts it on the wire.
pub struct FakeStripe {
    options: StripeOptions,
    state: Mutex<State>,
}

impl FakeStripe {
    pub fn new(options: StripeOptions) -> FakeStripe {
        let live = options.key.starts_with("sk_live_") || options.key.starts_with("rk_live_");
        let state = Mutex::new(State::new(live, &options.balance));
        FakeStripe { options, state }
    }

    /// Listens, with its tasks where `options.serve.host` says.
    pub fn start(ca: &TestCa, options: StripeOptions) -> io::Result<Service> {
        let settings = options.serve.clone();
        serve(FakeStripe::new(options), ca, settings)
    }

    /// Listens in a thread of its own.
    pub fn start_blocking(ca: &TestCa, mut options: StripeOptions) -> io::Result<Service> {
        options.serve.host = Host::Thread;
        FakeStripe::start(ca, options)
    }

    fn answer(&self, request: &Recorded, state: &mut State) -> Result<Value, Error> {
        error::authenticate(request, &self.options.key)?;
        state.count_request(self.options.requests_before_limit)?;
        check_version(&state.current.version)?;
        let params = Params::of(request)?;
        let mut answer = routes::route(request, &params, state)?;
        expand::expand(&mut answer, &params, state)?;
        Ok(answer)
    }

    /// The answer and whether the endpoint got to work: the work of a refused request is not remembered.
    fn fresh(&self, request: &Recorded, state: &mut State) -> (Reply, bool) {
        match self.answer(request, state) {
            Ok(answer) => (Reply::json_pretty(200, &answer), true),
            Err(error) => {
                let worked = error.happened_while_working();
                (error.into_reply(&state.current), worked)
            }
        }
    }

    fn with_idempotency(&self, request: &Recorded, state: &mut State) -> Reply {
        let id = state.current.request.clone();
        let key = match state.current.idempotency_key.clone() {
            Some(key) if request.method == "POST" && error::authenticate(request, &self.options.key).is_ok() => key,
            _ => return self.fresh(request, state).0,
        };
        match state.idempotency.look_up(&key, request) {
            Ok(Some(reply)) => reply.with("idempotency-key", &key).with("idempotent-replayed", "true"),
            Err(error) => error.into_reply(&state.current).with("idempotency-key", &key),
            Ok(None) => {
                let (reply, worked) = self.fresh(request, state);
                let reply = reply.with("original-request", &id);
                if worked {
                    state.idempotency.remember(&key, request, &reply);
                }
                reply.with("idempotency-key", &key)
            }
        }
    }
}

impl Fake for FakeStripe {
    fn reply(&self, request: &Recorded) -> Reply {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let version = request.header("stripe-version").unwrap_or(&self.options.version).to_owned();
        let id = state.ids.letters("req_", 14);
        state.current = Current {
            request: id.clone(),
            idempotency_key: request.header("idempotency-key").map(str::to_owned),
            version: version.clone(),
        };
        let reply = self.with_idempotency(request, &mut state);
        let again = match reply.status.as_u16() {
            409 | 429 | 500.. => "true",
            _ => "false",
        };
        let reply = if reply.status.is_success() { reply } else { reply.with("stripe-should-retry", again) };
        reply
            .with("access-control-allow-credentials", "true")
            .with("access-control-allow-methods", "GET, HEAD, PUT, PATCH, POST, DELETE")
            .with("access-control-allow-origin", "*")
            .with("cache-control", "no-cache, no-store")
            .with("request-id", &id)
            .with("server", "nginx")
            .with("strict-transport-security", "max-age=63072000; includeSubDomains; preload")
            .with("stripe-version", &version)
            .with("vary", "Origin")
            .with("x-stripe-routing-context-priority-tier", "api-testmode")
    }
}

/// A date, and since 2024 a word after it.
fn check_version(version: &str) -> Result<(), Error> {
    let (date, word) = version.split_once('.').unwrap_or((version, "none"));
    let digits = |text: &str, many: usize| text.len() == many && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = date.split('-').collect();
    match parts.as_slice() {
        [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => {}
        _ => return Err(Error::bad_version(version)),
    }
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(Error::bad_version(version));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
