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
//! What decides is what the person accepted when connecting. What asks first becomes a [`Held`], which owns the request
//! as well; a person's answer, bound to the digest of that request, makes it a permit ([`approval`]). An approval cannot
//! be forged either:
//!
//! ```compile_fail
//! fn forge(held: kv_policy::Held) -> kv_policy::Permit {
//!     held.permit(todo!(), todo!())
//! }
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

pub mod approval;
mod held;
mod loosening;

use std::fmt;
use std::sync::Arc;

use kv_model::{CallId, Connection, Effect, OperationName, Principal, Request, Suggestion};

pub use held::{Credentials, Held};
pub use loosening::loosens;

use crate::approval::Approved;

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
    /// Of a person, where one was asked.
    approval: Option<Approved>,
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
    /// The person was asked, and did not say yes in time.
    Unanswered,
    /// The person was asked and said no.
    Refused,
    /// The person was not asked: too many questions are open, or a no is too fresh.
    NotAsked,
    /// The person cannot be asked: there is more of it than anybody reads.
    TooLarge,
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
    /// A person has to be asked.
    Ask(Held),
    Deny(Denial),
}

/// Decides. Everything that is not plainly allowed, and does not plainly ask, is denied.
pub fn decide(question: Question) -> Decision {
    let asks = match suggestion(&question) {
        Ok(asks) => asks,
        Err((operation, reason)) => return Decision::Deny(question.refuse(operation, reason)),
    };
    let bounds = if question.effect > question.most {
        Some(Reason::MoreThanAsked { most: question.most })
    } else if question.effect > question.declared {
        Some(Reason::Graver { declared: question.declared })
    } else {
        None
    };
    match (bounds, asks) {
        (Some(reason), _) => {
            let operation = question.asked.clone();
            Decision::Deny(question.refuse(operation, reason))
        }
        (None, Some(operation)) => Decision::Ask(Held::new(question, operation)),
        (None, None) => Decision::Allow(Permit { question, approval: None }),
    }
}

/// The operation that asks first, if one does; the one that is denied, as an error. The operation that was asked for and
/// the one that the request turns out to be both count: a provider that builds a refund when asked for a list needs the
/// person's yes to refunds.
fn suggestion(question: &Question) -> Result<Option<OperationName>, (OperationName, Reason)> {
    let mut asks = None;
    for operation in [&question.asked, question.request.operation()] {
        match question.connection.accepted.get(operation) {
            Some(Suggestion::Allow) => {}
            Some(Suggestion::Ask) => asks = asks.or(Some(operation)),
            Some(Suggestion::Deny) => return Err((operation.clone(), Reason::Deny)),
            None => return Err((operation.clone(), Reason::NotAccepted)),
        }
    }
    Ok(asks.cloned())
}

impl Question {
    fn refuse(self, operation: OperationName, reason: Reason) -> Denial {
        Denial {
            operation,
            reason,
            effect: self.effect,
            endpoint: self.request.endpoint().to_owned(),
            principal: self.principal,
            call: self.call,
            step: self.step,
            connection: self.connection,
        }
    }
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

    /// The approval that it came by, which is used up with it.
    pub fn approval(&self) -> Option<&Approved> {
        self.approval.as_ref()
    }
}

impl Reason {
    /// A stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Unanswered => "unanswered",
            Reason::Refused => "refused",
            Reason::NotAsked => "not_asked",
            Reason::TooLarge => "too_large_to_review",
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
            Reason::Unanswered => f.write_str("the person was asked, and has not said yes"),
            Reason::Refused => f.write_str("the person was asked, and said no"),
            Reason::NotAsked => f.write_str("the person has to be asked, and is not asked now"),
            Reason::TooLarge => f.write_str("the person has to be asked, and there is too much of it to read"),
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
