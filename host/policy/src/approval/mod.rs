//! Questions to a person, as a state machine. No clock, no randomness, no files: both are arguments, and what happened
//! comes back as a value for whoever records it.
//!
//! ```text
//!            ask                    settle                     redeem
//! (nothing) ----> pending ---------------------> granted ----------------> used
//!                    | \  settle                    |
//!                    |  `--------> refused          |  time
//!                    `---------------------------------------------------> expired
//! ```
//!
//! An approval is for one request (see [`Held::digest`]), one use and a short time. It lives in memory only: a lock, a
//! restart or [`Approvals::clear`] leaves nothing that could be used later. What is used is marked before the permit
//! exists, so of many that race for one approval one gets it.

mod id;
mod review;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kv_model::{ConnectionName, Digest, Effect, OperationName, Principal, Request, Shown};

pub use self::id::ApprovalId;
pub use self::review::{Line, MAX_REVIEW_BYTES, Review, TooLarge};
use crate::Permit;
use crate::held::{Credentials, Held};

/// As long as a question stays open, and as long as a yes can be used: a person who has just read the request is still
/// there, and one who has not answered by then is asked again by the next call.
pub const OPEN_MS: u64 = 120_000;
/// As many open questions as one agent may have. More is not asking, it is wearing a person down.
pub const MAX_OPEN_OF_ONE: usize = 5;
/// And all agents together.
pub const MAX_OPEN: usize = 20;
/// How long the end of a question is remembered, to be told to the one who asked.
const REMEMBERED_MS: u64 = 600_000;
/// As many ended questions as are remembered.
const MAX_REMEMBERED: usize = 200;
/// After a no the same agent waits so long before its next question is put, and twice as long after each further no.
const FIRST_DELAY_MS: u64 = 5_000;
const LONGEST_DELAY_MS: u64 = 900_000;

/// The time by two clocks: one that can be set, and one that only runs. A deadline has passed when either says so, so
/// turning the first one back gives nobody more time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub wall_ms: u64,
    pub steady_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadline(Now);

/// How good a proof of a person's presence is, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What the person knows, typed where an agent of the same user may be able to watch.
    Passphrase,
    /// What the person has: a code that is good once.
    Totp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Granted,
    Refused,
    Expired,
    Used,
}

/// One question and what became of it.
#[derive(Debug)]
pub struct Approval {
    pub id: ApprovalId,
    pub digest: Digest,
    pub principal: Principal,
    pub connection: ConnectionName,
    pub operation: OperationName,
    pub effect: Effect,
    pub review: Review,
    pub state: State,
    pub asked: Now,
    /// One line: what kind of request it is.
    pub endpoint: String,
    /// The factor that granted it.
    pub level: Option<Level>,
    /// When it ceases to be what it is, if it is pending or granted.
    deadline: Deadline,
    request: Request,
}

/// What makes a held request a permit. Only [`Approvals::redeem`] gives it.
#[derive(Debug)]
pub struct Approved {
    id: ApprovalId,
    level: Level,
}

/// A question was put, or had been already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    New(ApprovalId),
    /// The same request waits for an answer, or has one.
    Joined(ApprovalId),
}

impl Asked {
    pub fn id(self) -> ApprovalId {
        match self {
            Asked::New(id) | Asked::Joined(id) => id,
        }
    }
}

/// Why a question is not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// A person said no, and not long ago.
    Delayed {
        retry_after_ms: u64,
    },
    /// So many are open.
    TooMany {
        open: usize,
    },
    TooLarge(TooLarge),
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Grant(Level),
    Refuse,
}

/// Why an answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    Unknown,
    /// Somebody was faster, or the time was over.
    Settled(State),
}

/// What became of an attempt to use an approval.
#[derive(Debug)]
pub enum Redeemed {
    /// The approval is used up.
    Permit(Box<Permit>),
    /// Not, for now or for ever; the state says which. `None`: nothing was asked about this request.
    Not(Box<Held>, Option<State>),
}

#[derive(Debug, Default)]
pub struct Approvals {
    all: BTreeMap<ApprovalId, Approval>,
    refusals: BTreeMap<Asker, Refusals>,
    /// Not told to [`Approvals::expired`] yet.
    expired: Vec<ApprovalId>,
}

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asker(String);

#[derive(Debug, Clone, Copy)]
struct Refusals {
    in_a_row: u32,
    until: Deadline,
}

impl Approvals {
    /// Puts a question. The same request asked twice is one question; `seed` is 32 random bits for a new one's id.
    pub fn ask(&mut self, held: &Held, credentials: &Credentials, seed: u32, now: Now) -> Result<Asked, AskError> {
        self.pass(now);
        let review = Review::of(held).map_err(AskError::TooLarge)?;
        let digest = held.digest(credentials);
        if let Some(same) = self.of(digest, |state| matches!(state, State::Pending | State::Granted)) {
            return Ok(Asked::Joined(same.id));
        }
        let asker = Asker::of(held.principal());
        if let Some(refusals) = self.refusals.get(&asker)
            && let Some(retry_after_ms) = refusals.until.remaining(now)
        {
            return Err(AskError::Delayed { retry_after_ms });
        }
        let open = || self.all.values().filter(|approval| approval.state == State::Pending);
        let own = open().filter(|approval| Asker::of(&approval.principal) == asker).count();
        if own >= MAX_OPEN_OF_ONE || open().count() >= MAX_OPEN {
            return Err(AskError::TooMany { open: own });
        }
        let id = self.free(seed);
        self.all.insert(
            id,
            Approval {
                id,
                digest,
                principal: held.principal().clone(),
                connection: held.connection().name.clone(),
                operation: held.operation().clone(),
                effect: held.effect(),
                review: review.with_digest(digest),
                endpoint: Shown(held.request().endpoint()).to_string(),
                state: State::Pending,
                asked: now,
                level: None,
                deadline: Deadline::after(now, OPEN_MS),
                request: held.request().clone(),
            },
        );
        Ok(Asked::New(id))
    }

    /// Takes a person's answer; the first one counts.
    pub fn settle(&mut self, id: ApprovalId, answer: Answer, now: Now) -> Result<&Approval, AnswerError> {
        self.pass(now);
        let approval = self.all.get_mut(&id).ok_or(AnswerError::Unknown)?;
        if approval.state != State::Pending {
            return Err(AnswerError::Settled(approval.state));
        }
        let asker = Asker::of(&approval.principal);
        match answer {
            Answer::Grant(level) => {
                approval.state = State::Granted;
                approval.level = Some(level);
                approval.deadline = Deadline::after(now, OPEN_MS);
                self.refusals.remove(&asker);
            }
            Answer::Refuse => {
                approval.state = State::Refused;
                let in_a_row = self.refusals.get(&asker).map_or(0, |refusals| refusals.in_a_row);
                let delay = FIRST_DELAY_MS.saturating_mul(1_u64.checked_shl(in_a_row).unwrap_or(u64::MAX));
                let until = Deadline::after(now, delay.min(LONGEST_DELAY_MS));
                self.refusals.insert(asker, Refusals { in_a_row: in_a_row.saturating_add(1), until });
            }
        }
        Ok(approval)
    }

    /// Uses the approval of this request, if there is one.
    pub fn redeem(&mut self, held: Held, credentials: &Credentials, now: Now) -> Redeemed {
        self.pass(now);
        let digest = held.digest(credentials);
        let Some(approval) = self.all.values_mut().find(|one| one.digest == digest && one.state == State::Granted)
        else {
            let newest = self.all.values().filter(|one| one.digest == digest).max_by_key(|one| one.asked.steady_ms);
            return Redeemed::Not(Box::new(held), newest.map(|one| one.state));
        };
        let Some(level) = approval.level else {
            return Redeemed::Not(Box::new(held), Some(approval.state));
        };
        approval.state = State::Used;
        let approved = Approved { id: approval.id, level };
        Redeemed::Permit(Box::new(held.permit(approval.request.clone(), approved)))
    }

    pub fn get(&mut self, id: ApprovalId, now: Now) -> Option<&Approval> {
        self.pass(now);
        self.all.get(&id)
    }

    /// All that are open or were not long ago, the oldest first.
    pub fn list(&mut self, now: Now) -> Vec<&Approval> {
        self.pass(now);
        let mut list: Vec<_> = self.all.values().collect();
        list.sort_by_key(|approval| (approval.asked.steady_ms, approval.id));
        list
    }

    /// Those whose time has ended since this was last called, for the record.
    pub fn expired(&mut self, now: Now) -> Vec<ApprovalId> {
        self.pass(now);
        std::mem::take(&mut self.expired)
    }

    /// Takes back a yes that has not been used, or a question: `true` if there was one.
    pub fn revoke(&mut self, id: ApprovalId, now: Now) -> bool {
        self.pass(now);
        match self.all.get_mut(&id) {
            Some(approval) if matches!(approval.state, State::Pending | State::Granted) => {
                approval.state = State::Refused;
                true
            }
            _ => false,
        }
    }

    /// The vault is locked: nothing that was asked or granted before counts after. Refusals still do.
    pub fn clear(&mut self) {
        self.all.clear();
    }

    /// Lets time pass.
    fn pass(&mut self, now: Now) {
        for approval in self.all.values_mut() {
            if matches!(approval.state, State::Pending | State::Granted) && approval.deadline.remaining(now).is_none() {
                approval.state = State::Expired;
                self.expired.push(approval.id);
            }
        }
        self.all.retain(|_, approval| {
            matches!(approval.state, State::Pending | State::Granted)
                || now.steady_ms.saturating_sub(approval.asked.steady_ms) < REMEMBERED_MS
        });
        let ended = self.all.values().filter(|one| !matches!(one.state, State::Pending | State::Granted));
        let mut ended: Vec<_> = ended.map(|one| (one.asked.steady_ms, one.id)).collect();
        ended.sort_unstable();
        for (_, id) in ended.iter().rev().skip(MAX_REMEMBERED) {
            self.all.remove(id);
        }
        self.refusals.retain(|_, refusals| {
            // Who has behaved for as long as the longest delay begins anew.
            now.steady_ms.saturating_sub(refusals.until.0.steady_ms) < LONGEST_DELAY_MS
        });
    }

    fn of(&self, digest: Digest, fits: impl Fn(State) -> bool) -> Option<&Approval> {
        self.all.values().find(|approval| approval.digest == digest && fits(approval.state))
    }

    /// The id of the seed, or the next that is not taken: there are a few hundred of a million.
    fn free(&self, seed: u32) -> ApprovalId {
        let mut id = ApprovalId::of(seed);
        while self.all.contains_key(&id) {
            id = id.next();
        }
        id
    }
}

impl Approval {
    /// The digest as the review shows it: what a person's answer has to repeat.
    pub fn shown_digest(&self) -> &str {
        self.review.lines().iter().rfind(|line| line.label == review::DIGEST).map_or("", |line| &line.value)
    }

    /// How long it stays pending or granted.
    pub fn remaining_ms(&self, now: Now) -> u64 {
        match self.state {
            State::Pending | State::Granted => self.deadline.remaining(now).unwrap_or(0),
            State::Refused | State::Expired | State::Used => 0,
        }
    }
}

impl Approved {
    pub fn id(&self) -> ApprovalId {
        self.id
    }

    pub fn level(&self) -> Level {
        self.level
    }
}

impl Asker {
    fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Agent { uid, .. } => Self(format!("agent {} {uid}", principal.name())),
            Principal::Operator { uid } => Self(format!("operator {uid}")),
        }
    }
}

impl Deadline {
    fn after(now: Now, ms: u64) -> Self {
        Self(Now { wall_ms: now.wall_ms.saturating_add(ms), steady_ms: now.steady_ms.saturating_add(ms) })
    }

    /// By the clock that leaves less; `None` when it has passed.
    fn remaining(self, now: Now) -> Option<u64> {
        let left = |until: u64, now: u64| until.checked_sub(now).filter(|left| *left > 0);
        Some(left(self.0.wall_ms, now.wall_ms)?.min(left(self.0.steady_ms, now.steady_ms)?))
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Granted => "granted",
            State::Refused => "refused",
            State::Expired => "expired",
            State::Used => "used",
        }
    }
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Passphrase => "passphrase",
            Level::Totp => "totp",
        }
    }
}
