//! `kv_wait`: what became of a question to the person. It is told here; answered it is on the person's socket only.

use std::sync::Arc;

use kv_api::{ApprovalState, ApprovalStatus};
use serde_json::{Value, json};

use super::arguments::{HOLD_MS, Wait};
use super::link::Link;
use crate::command::approval;
use crate::problem::Problem;

/// As long as the daemon holds an answer.
const MAX_HOLD_MS: u64 = 120_000;

pub(super) async fn wait(link: &Arc<Link>, arguments: Wait) -> Result<Value, Problem> {
    let id = approval::parse(&arguments.id)?;
    let hold = arguments.hold_ms.unwrap_or(HOLD_MS);
    if hold > MAX_HOLD_MS {
        return Err(Problem::usage(format!("`hold_ms` is {MAX_HOLD_MS} at most")));
    }
    let status: ApprovalStatus = link.ask(format!("/v1/approvals/{id}/state?hold_ms={hold}")).await?;
    Ok(told(&status))
}

fn told(status: &ApprovalStatus) -> Value {
    let next: &[String] = &match status.state {
        ApprovalState::Pending => vec![
            format!("ask the person to run: kv approve {}", status.id),
            format!("kv_wait with id `{}` waits on", status.id),
        ],
        ApprovalState::Granted => vec!["repeat the very same call now: it goes through once".to_owned()],
        ApprovalState::Refused => vec!["the person said no: do not repeat the call unless they ask for it".to_owned()],
        ApprovalState::Expired => vec!["tell the person, then repeat the call: it asks anew".to_owned()],
        ApprovalState::Used => vec!["the call has gone through; another one asks anew".to_owned()],
    };
    json!({ "id": status.id, "state": status.state, "remaining_ms": status.remaining_ms, "next": next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_says_what_to_do() {
        for (state, word, next) in [
            (ApprovalState::Pending, "pending", "kv approve 7F3K"),
            (ApprovalState::Granted, "granted", "very same call"),
            (ApprovalState::Refused, "refused", "said no"),
            (ApprovalState::Expired, "expired", "asks anew"),
            (ApprovalState::Used, "used", "gone through"),
        ] {
            let told = told(&ApprovalStatus { id: "7F3K".to_owned(), state, remaining_ms: 5 });
            assert_eq!((&told["id"], &told["state"]), (&"7F3K".into(), &word.into()));
            assert!(told["next"][0].as_str().unwrap().contains(next), "{told}");
        }
    }
}
