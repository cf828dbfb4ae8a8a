//! `kv approve`: shows a request whole on the terminal, asks there for what only the person has, and sends it with the
//! digest that was shown. There is no yes without a proof, and none to what was not shown.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use kv_api::{ApprovalDetail, ApprovalState, ApprovalStatus, Approvals, Code, GrantRequest};

use super::{all, list, one, open, parse, review, said, settle, state};
use crate::arguments::Approve;
use crate::client::Request;
use crate::command::Context;
use crate::command::proof::{self, Typed};
use crate::input::{Silent, aside, columns, forget_typed, until_interrupted};
use crate::output::{inert, tell};
use crate::problem::Problem;

/// How often a watch looks whether something new waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a person made of a question.
enum Decided {
    Answered(ApprovalStatus),
    /// Enter alone: it stays open.
    Nothing,
}

pub(in crate::command) async fn approve(context: &Context, arguments: Approve) -> Result<(), Problem> {
    if !context.asking.possible() && arguments.passphrase_file.is_none() {
        return Err(nobody(arguments.id.as_deref()));
    }
    until_interrupted(async { if arguments.watch { watch(context).await } else { once(context, arguments).await } })
        .await
}

/// Nobody can say yes here, whoever runs this.
fn nobody(id: Option<&str>) -> Problem {
    let id = id.and_then(|id| parse(id).ok()).map_or(String::new(), |id| format!(" {id}"));
    Problem::needs_human(
        "approving is for a person at a terminal: without one nobody can approve, and an agent never can",
    )
    .next(format!("tell the person: kv approve{id}, in a terminal of their own"))
    .next("kv help approvals")
}

async fn once(context: &Context, arguments: Approve) -> Result<(), Problem> {
    let detail = match &arguments.id {
        Some(id) => one(context, id).await?,
        None => match pick(context, open(all(context).await?)).await? {
            Some(detail) => detail,
            None => {
                let none = Approvals { approvals: Vec::new() };
                return context.output.show(&none, |_| "nothing waits for you".to_owned());
            }
        },
    };
    match decide(context, &detail, arguments.passphrase_file.as_deref()).await? {
        Decided::Answered(status) => context.output.show(&status, said),
        Decided::Nothing => Err(Problem::failed(format!("nothing was decided, and {} stays open", detail.id))
            .next(format!("kv approve {}", detail.id))
            .next(format!("kv deny {}", detail.id))),
    }
}

/// The one that is open, or the person's choice.
async fn pick(context: &Context, mut open: Vec<ApprovalDetail>) -> Result<Option<ApprovalDetail>, Problem> {
    if open.len() <= 1 {
        return Ok(open.pop());
    }
    let shown = Approvals { approvals: open };
    tell(&list(&shown));
    let asking = context.asking;
    let answer = aside(move || asking.line("Which one, by its id", None, "kv approve ID")).await?;
    picked(shown.approvals, &answer).map(Some)
}

/// No beginning of an id, no number, no usual answer: a slip would open another question than was meant.
fn picked(open: Vec<ApprovalDetail>, answer: &str) -> Result<ApprovalDetail, Problem> {
    let id = parse(answer)?;
    open.into_iter().find(|one| one.id == id).ok_or_else(|| {
        Problem::new(Code::NotFound, format!("no open question has the id {id}")).next("kv approval list")
    })
}

async fn decide(context: &Context, detail: &ApprovalDetail, file: Option<&Path>) -> Result<Decided, Problem> {
    if detail.state != ApprovalState::Pending {
        return Err(over(detail));
    }
    let digest = shown_digest(detail)?;
    let text = review::text(detail, columns());
    match file {
        Some(_) => context.output.note(&text),
        // On the terminal itself, where the proof is typed: it may not be elsewhere than what it is for.
        None => {
            context.asking.show_once(&format!("\n{text}\n  To say no: n. To decide nothing: Enter.\n"))?;
            forget_typed();
        }
    }
    let _silent = file.is_none().then(Silent::terminal);
    for left in (0..proof::TRIES).rev() {
        let proof = match proof::ask(context, detail.needs, file).await? {
            Typed::Nothing => return Ok(Decided::Nothing),
            Typed::No => return settle(context, &detail.id, "refuse").await.map(Decided::Answered),
            Typed::Proof(proof) => proof,
        };
        let grant = GrantRequest { proof, digest: digest.to_owned() };
        let request = Request::post(format!("/v1/approvals/{}/grant", parse(&detail.id)?), &grant)?;
        match context.running().await?.ask(request).await {
            Ok(status) => return Ok(Decided::Answered(status)),
            Err(problem) if left > 0 && file.is_none() && proof::is_mistyped(&problem) => {
                let now = one(context, &detail.id).await?;
                if now.state != ApprovalState::Pending {
                    return Err(over(&now));
                }
                tell(&proof::again(&problem));
            }
            Err(problem) => return Err(problem),
        }
    }
    Err(Problem::failed("nothing was decided"))
}

/// What a yes is to: the value of the host's own line.
fn shown_digest(detail: &ApprovalDetail) -> Result<&str, Problem> {
    let line = detail.review.iter().rev().find(|line| !line.claim && line.label == "digest");
    line.map(|line| line.value.as_str())
        .ok_or_else(|| Problem::new(Code::Integrity, "the daemon does not say which request this is"))
}

fn over(detail: &ApprovalDetail) -> Problem {
    let code = match detail.state {
        ApprovalState::Expired | ApprovalState::Refused => Code::ApprovalDenied,
        ApprovalState::Granted | ApprovalState::Pending | ApprovalState::Used => Code::Conflict,
    };
    Problem::new(code, format!("approval {} is {} already", detail.id, state(detail.state))).next("kv approval list")
}

/// One question after another as they come, until Ctrl-C.
async fn watch(context: &Context) -> Result<(), Problem> {
    context.output.note("waiting for questions; Ctrl-C ends it");
    let mut seen = HashSet::new();
    loop {
        // An id may come again, for another question.
        let new = open(all(context).await?).into_iter().find(|one| !seen.contains(&(one.id.clone(), one.asked_ms)));
        let Some(detail) = new else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        seen.insert((detail.id.clone(), detail.asked_ms));
        match decide(context, &detail, None).await {
            Ok(Decided::Answered(status)) => context.output.show(&status, said)?,
            Ok(Decided::Nothing) => context.output.note(&format!("passed over {}; it stays open", detail.id)),
            Err(problem) if problem.code() == Code::Interrupted => return Err(problem),
            // Of this question; if kv itself is the matter, the next look says so.
            Err(problem) => tell(&format!("error: {}", inert(&problem.error().message))),
        }
    }
}

#[cfg(test)]
mod tests {
    use kv_api::{FactorKind, ReviewLine};
    use kv_model::{ConnectionName, Effect, OperationName};

    use super::*;

    fn question(id: &str, review: &[(&str, &str, bool)]) -> ApprovalDetail {
        let line = |(label, value, claim): &(&str, &str, bool)| ReviewLine {
            label: (*label).to_owned(),
            value: (*value).to_owned(),
            claim: *claim,
        };
        ApprovalDetail {
            id: id.to_owned(),
            state: ApprovalState::Pending,
            remaining_ms: 1,
            asked_ms: 1,
            agent: "a".to_owned(),
            connection: ConnectionName::parse("stripe").unwrap(),
            operation: OperationName::parse("refunds.create").unwrap(),
            effect: Effect::Write,
            endpoint: String::new(),
            review: review.iter().map(line).collect(),
            needs: FactorKind::Passphrase,
        }
    }

    #[test]
    fn picking_wants_the_whole_id() {
        let open = || vec![question("7F3K", &[]), question("7F3M", &[])];
        assert_eq!(picked(open(), "7f3m").unwrap().id, "7F3M");
        for (answer, code) in [
            ("7F3", Code::Usage),
            ("1", Code::Usage),
            ("y", Code::Usage),
            ("AAAA", Code::NotFound),
            ("../.", Code::Usage),
        ] {
            assert_eq!(picked(open(), answer).unwrap_err().code(), code, "{answer}");
        }
    }

    #[test]
    fn the_digest_is_the_hosts_own_line() {
        let detail = question(
            "7F3K",
            &[("digest", "aa", true), ("field digest", "bb", false), ("digest", "cc", false), ("digest", "dd", true)],
        );
        assert_eq!(shown_digest(&detail).unwrap(), "cc");
        assert_eq!(shown_digest(&question("7F3K", &[("digest", "aa", true)])).unwrap_err().code(), Code::Integrity);
    }

    #[test]
    fn what_is_over_says_how() {
        for (state, code) in [
            (ApprovalState::Expired, Code::ApprovalDenied),
            (ApprovalState::Refused, Code::ApprovalDenied),
            (ApprovalState::Granted, Code::Conflict),
            (ApprovalState::Used, Code::Conflict),
        ] {
            assert_eq!(over(&ApprovalDetail { state, ..question("7F3K", &[]) }).code(), code);
        }
    }

    #[test]
    fn without_a_terminal_nobody_approves() {
        let problem = nobody(Some("7f3k"));
        assert_eq!((problem.code().exit(), problem.code()), (10, Code::NeedsHuman));
        assert!(problem.error().message.contains("without one nobody can approve"));
        assert!(problem.error().next[0].contains("kv approve 7F3K"));
        assert!(!nobody(Some("x\u{1b}[2J")).error().next[0].contains('\u{1b}'));
    }
}
