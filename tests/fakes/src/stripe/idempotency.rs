//! Idempotency keys: the same request again gets the same answer, another request under the same key is refused.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::error::Error;
use crate::record::Recorded;
use crate::reply::Reply;

#[derive(Default)]
pub(super) struct Idempotency {
    known: HashMap<String, Answered>,
    /// Oldest first.
    order: VecDeque<String>,
}

struct Answered {
    path: String,
    body: Bytes,
    reply: Reply,
}

impl Idempotency {
    /// The answer that was given under this key, if there was one.
    pub(super) fn look_up(&self, key: &str, request: &Recorded) -> Result<Option<Reply>, Error> {
        if key.len() > 255 {
            return Err(Error::idempotency("Idempotency keys can be at most 255 characters long.".to_owned()));
        }
        let Some(answered) = self.known.get(key) else { return Ok(None) };
        let end = format!("Try using a key other than '{key}' if you meant to execute a different request.");
        if answered.path != request.path() {
            return Err(Error::idempotency(format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs '{}'). \
                 {end}",
                request.path(),
                answered.path
            )));
        }
        if answered.body != request.body {
            return Err(Error::idempotency(format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. {end}"
            )));
        }
        Ok(Some(answered.reply.clone()))
    }

    pub(super) fn remember(&mut self, key: &str, request: &Recorded, reply: &Reply) {
        let answered = Answered { path: request.path().to_owned(), body: request.body.clone(), reply: reply.clone() };
        self.known.insert(key.to_owned(), answered);
        self.order.push_back(key.to_owned());
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// The real service forgets after a day; this one after so many.
const KEPT: usize = 20_000;
