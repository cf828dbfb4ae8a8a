//! Decisions, as pure functions over values. No clock, no files, no vault, no network: everything is an argument.
//!
//! [`decide`] takes a [`Question`], which owns the request, and gives back a [`Permit`], which owns it from then on, or a
//! [`Denial`]. A permit has private fields, cannot be cloned and is made nowhere else, so whatever holds one holds
//! exactly the request that was decided about:
//!
//! ```compile_fail
//! fn forge(question: kv_policy::Question) -> kv_policy::Permit {
//!     kv_policy::Permit { question }
//! }
//! ```
//!
//! What decides today is what the person accepted when connecting. Rules that a person writes and approvals take their
//! place in `decide`, between the question and the permit; nothing stands in for them yet.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

use std::fmt;
use std::sync::Arc;

use kv_model::{CallId, Connection, Effect, OperationName, Principal, Request, Suggestion};

/// May this request go out?
#[derive(Debug)]
pub struct Question {
    pub principal: Principal,
    pub call: CallId,
    /// 0 for the first request of a call, 1 for the next, ...
    pub step: u32,
    pub connection: Arc<Connection>,
    /// The operation that the caller named, or that its raw request is.
    pub asked: OperationName,
    /// What the manifest says that this operation does.
    pub declared: Effect,
    /// The gravest of the manifest's claim, the provider's claim about this request, and the host's own reading.
    pub effect: Effect,
    /// The gravest effect that the caller wants to have: a tool that says it reads must not write.
    pub most: Effect,
    /// The provider's one line about the request; its claim.
    pub summary: String,
    pub request: Request,
}

/// Proof that one request may go out, once. It owns the request.
#[derive(Debug)]
pub struct Permit {
    question: Question,
}

/// A refusal. It has given up the request: a denied request cannot be sent by mistake.
#[derive(Debug)]
pub struct Denial {
    pub principal: Principal,
    pub call: CallId,
    pub step: u32,
    pub connection: Arc<Connection>,
    pub operation: OperationName,
    pub effect: Effect,
    pub endpoint: String,
    pub reason: Reason,
}

/// Why a request may not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The person was told that this operation asks first, and asking is not to be had yet.
    Ask,
    /// The person accepted that this operation is refused.
    Deny,
    /// The request does more than the person was told that the operation does.
    Graver { declared: Effect },
    /// The caller wanted nothing graver than this.
    MoreThanAsked { most: Effect },
    /// The operation was not there when the person connected.
    NotAccepted,
}

#[derive(Debug)]
pub enum Decision {
    Allow(Permit),
    Deny(Denial),
}

/// Decides. Everything that is not plainly allowed is denied.
pub fn decide(question: Question) -> Decision {
    match reason_against(&question) {
        None => Decision::Allow(Permit { question }),
        Some((operation, reason)) => Decision::Deny(Denial {
            operation,
            reason,
            effect: question.effect,
            endpoint: question.request.endpoint().to_owned(),
            principal: question.principal,
            call: question.call,
            step: question.step,
            connection: question.connection,
        }),
    }
}

fn reason_against(question: &Question) -> Option<(OperationName, Reason)> {
    // The operation that was asked for and the one that the request turns out to be must both be allowed: a provider
    // that builds a refund when asked for a list needs the person's yes to refunds.
    for operation in [&question.asked, question.request.operation()] {
        let reason = match question.connection.accepted.get(operation) {
            Some(Suggestion::Allow) => continue,
            Some(Suggestion::Ask) => Reason::Ask,
            Some(Suggestion::Deny) => Reason::Deny,
            None => Reason::NotAccepted,
        };
        return Some((operation.clone(), reason));
    }
    if question.effect > question.most {
        return Some((question.asked.clone(), Reason::MoreThanAsked { most: question.most }));
    }
    if question.effect > question.declared {
        return Some((question.asked.clone(), Reason::Graver { declared: question.declared }));
    }
    None
}

impl Permit {
    pub fn principal(&self) -> &Principal {
        &self.question.principal
    }

    pub fn call(&self) -> CallId {
        self.question.call
    }

    pub fn step(&self) -> u32 {
        self.question.step
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.question.connection
    }

    pub fn operation(&self) -> &OperationName {
        &self.question.asked
    }

    pub fn effect(&self) -> Effect {
        self.question.effect
    }

    pub fn summary(&self) -> &str {
        &self.question.summary
    }

    pub fn request(&self) -> &Request {
        &self.question.request
    }
}

impl Reason {
    /// A stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Ask => "ask",
            Reason::Deny => "deny",
            Reason::Graver { .. } => "graver_than_declared",
            Reason::MoreThanAsked { .. } => "more_than_asked",
            Reason::NotAccepted => "not_accepted",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connection, operation, effect) = (&self.connection.name, &self.operation, self.effect);
        write!(f, "`{connection}/{operation}` (effect `{effect}`) is refused: ")?;
        match self.reason {
            Reason::Ask => f.write_str("the person must be asked first, and this version of kv cannot ask yet"),
            Reason::Deny => f.write_str("the person accepted that it never goes through"),
            Reason::Graver { declared } => {
                write!(f, "the request does more than the operation's declared effect `{declared}`")
            }
            Reason::MoreThanAsked { most } => write!(f, "the caller asked for nothing graver than `{most}`"),
            Reason::NotAccepted => f.write_str("the person has not accepted it for this connection"),
        }
    }
}

#[cfg(test)]
mod tests;
