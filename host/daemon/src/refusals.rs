//! What agents are refused at the socket before it is a call: a verb of the person's, a path that there is not, no JSON.
//!
//! The trail gets that it happened, who said to be asking, and a reason out of a fixed list. Nothing else of what came in
//! is written down, and no flood of it fills the disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kv_api::Code;
use kv_audit::Event;
use kv_model::Principal;

use crate::claims::Claims;
use crate::fault::Fault;
use crate::route::VERB;
use crate::shared::Shared;

/// As many entries as refusals get in a [`WINDOW`]. An entry is some 300 bytes: at this pace, 10 MB an hour.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// How many refusals there were lately.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    since: Option<Instant>,
    recorded: u32,
    /// Not recorded, since the last one that was.
    more: u64,
}

impl Counts {
    /// Whether one more gets an entry, and how many before it got none.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.since, self.recorded) = (Some(now), 0);
        }
        if self.recorded >= MOST {
            self.more += 1;
            return None;
        }
        self.recorded += 1;
        Some(std::mem::take(&mut self.more))
    }
}

/// Records a refusal at the agents' socket, unless the trail has it as a call.
pub(crate) async fn record(shared: &Shared, principal: Principal, fault: &Fault) -> Result<(), Fault> {
    if fault.is_recorded() || is_an_answer(fault) {
        return Ok(());
    }
    let admitted = shared.refusals.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
    let Some(more) = admitted else { return Ok(()) };
    let principal = Claims::at_best(shared).await.principal(principal);
    shared.event(Event::Refusal { principal, reason: kv_audit::Code::new(fault.stable_code()), more })
}

/// A locked vault is the person's doing, and agents look again and again whether it is open. And to ask for the form of
/// an operation that there is not is a question like others.
fn is_an_answer(fault: &Fault) -> bool {
    match fault.error().code {
        Code::Locked => true,
        Code::NotFound => fault.stable_code() != VERB,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_no_refusal_and_a_verb_is_one() {
        assert!(is_an_answer(&Fault::locked()));
        assert!(is_an_answer(&Fault::new(Code::NotFound, "no operation")));
        assert!(!is_an_answer(&Fault::new(Code::NotFound, "no verb").reason(VERB)));
        assert!(!is_an_answer(&Fault::usage("no JSON").reason("request.json")));
    }

    #[test]
    fn a_flood_gets_ten_entries_a_second_and_is_counted() {
        let mut counts = Counts::default();
        let begin = Instant::now();
        let entries: Vec<_> = (0..1000).filter_map(|_| counts.admit(begin)).collect();
        assert_eq!(entries, [0; 10]);
        assert_eq!(counts.admit(begin + WINDOW / 2), None);
        assert_eq!(counts.admit(begin + WINDOW), Some(991));
        assert_eq!(counts.admit(begin + WINDOW), Some(0));
        // A clock that stands still or goes back admits nothing by that.
        let rest = (0..100).filter_map(|_| counts.admit(begin)).count();
        assert_eq!(rest, 8);
    }
}
