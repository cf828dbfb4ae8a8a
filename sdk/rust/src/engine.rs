//! Runs an operation for one step: to its end, or to the first request that has no answer yet.
//!
//! Nothing of a run outlives its step but the state's text; the next step runs the function again (see
//! [`Io::send`](crate::Io::send)).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::{Context, Poll, Waker};

use crate::asked::{Answered, Asked};
use crate::io::{Fresh, rerun_differs};
use crate::transcript::Transcript;
use crate::{Call, Effect, Failure, Io, Provider};

/// What a step comes to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The result, as JSON text.
    Done(String),
    Send(Box<Sending>),
}

/// A request on its way to the host.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) outgoing: Outgoing,
    /// The state; `None` when the answer does not come back.
    pub(crate) state: Option<String>,
}

/// What is asked for, with everything that it left to its operation and provider filled in.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) asked: Asked,
    pub(crate) auth: Vec<String>,
    pub(crate) effect: Effect,
    pub(crate) summary: String,
    pub(crate) repeatable: bool,
    pub(crate) then: Then,
    /// Of the request and its delivery, by which a run is held to what the run before it asked.
    pub(crate) digest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    Forward,
    ForwardSuccess,
    Resume,
}

pub(crate) fn start(provider: &'static Provider, call: Call) -> Result<Step, Failure> {
    run(provider, call, Transcript::default(), None)
}

pub(crate) fn resume(
    provider: &'static Provider,
    call: Call,
    state: &str,
    answered: Answered,
) -> Result<Step, Failure> {
    let (transcript, digest) = Transcript::read(state)?;
    run(provider, call, transcript, Some(Fresh { digest, answered }))
}

fn run(provider: &'static Provider, call: Call, transcript: Transcript, fresh: Option<Fresh>) -> Result<Step, Failure> {
    let operation = provider.operation(&call.operation).ok_or_else(|| {
        Failure::internal(format!("the operation `{}` has no function, it is for raw calls", call.operation))
    })?;
    let io = Io::new(provider, operation, call, transcript, fresh);
    let polled = (operation.run)(&io)?.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        // A mistake of the function's own comes before the doubt whether it asked the same.
        Poll::Ready(Err(failure)) => Err(failure),
        Poll::Ready(Ok(_)) if !io.is_caught_up() => Err(rerun_differs()),
        Poll::Ready(Ok(reply)) => Ok(Step::Done(reply.into_text())),
        Poll::Pending if !io.is_caught_up() => Err(rerun_differs()),
        Poll::Pending => {
            let (outgoing, transcript) = io.stopped();
            let outgoing =
                outgoing.ok_or_else(|| Failure::internal("the operation waits for something that is no request"))?;
            let state = match outgoing.then {
                Then::Forward => None,
                Then::ForwardSuccess | Then::Resume => Some(transcript.write(outgoing.digest)?),
            };
            Ok(Step::Send(Box::new(Sending { outgoing, state })))
        }
    }
}

impl Outgoing {
    pub(crate) fn new(io: &Io, asked: Asked, then: Then) -> Self {
        // The hasher's keys are fixed, and the component that compares is the one that wrote.
        let mut hasher = DefaultHasher::new();
        (&asked, then).hash(&mut hasher);
        let operation = io.operation();
        let delivery = asked.delivery();
        let fetch = matches!(&asked, Asked::Http(request) if request.is_fetch());
        let effect = delivery.effect.unwrap_or(if fetch { Effect::Read } else { operation.effect });
        // What reads is repeatable. An HTTP request reads when its method says so: a POST has to be declared.
        let reads = match &asked {
            Asked::Http(_) => fetch,
            Asked::Sql(_) | Asked::Ssh(_) => effect == Effect::Read,
        };
        let default_auth = || io.provider().auth.iter().map(|name| (*name).to_owned()).collect();
        Self {
            auth: asked.auth().cloned().unwrap_or_else(default_auth),
            effect,
            summary: delivery.summary.clone().unwrap_or_else(|| operation.title.to_owned()),
            repeatable: delivery.repeatable.unwrap_or(reads || operation.repeatable),
            then,
            digest: hasher.finish(),
            asked,
        }
    }
}

#[cfg(test)]
mod tests;
