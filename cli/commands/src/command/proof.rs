//! Asking the person for what only they have. What is typed is shown nowhere, goes to the daemon, and is judged there.

use std::path::Path;

use kv_api::{FactorKind, Hidden, Proof};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::client::{Client, Request};
use crate::input::{Silent, aside, until_interrupted};
use crate::output::{inert, tell};
use crate::problem::Problem;

/// As often as somebody may mistype before the command ends.
pub(super) const TRIES: usize = 3;

/// What was typed.
#[derive(Debug)]
pub(super) enum Typed {
    /// Enter alone.
    Nothing,
    /// `n`
    No,
    Proof(Proof),
}

/// Asks for the factor that is needed. A file stands in for a passphrase only.
pub(super) async fn ask(context: &Context, needs: FactorKind, file: Option<&Path>) -> Result<Typed, Problem> {
    if let Some(file) = file {
        return match needs {
            FactorKind::Passphrase => {
                context.asking.passphrase(prompt(needs), Some(file)).map(Proof::Passphrase).map(Typed::Proof)
            }
            FactorKind::Totp => {
                Err(Problem::usage("a code of the authenticator app is needed, and a file holds none that is good")
                    .next("leave --passphrase-file out, and type the code"))
            }
        };
    }
    let asking = context.asking;
    let text = aside(move || asking.hidden(prompt(needs), "run it in a terminal of your own")).await?;
    Ok(typed(needs, &text))
}

fn prompt(needs: FactorKind) -> &'static str {
    match needs {
        FactorKind::Passphrase => "Passphrase:",
        FactorKind::Totp => "Code (authenticator app or recovery code):",
    }
}

fn typed(needs: FactorKind, text: &str) -> Typed {
    match (text.trim(), needs) {
        ("", _) => Typed::Nothing,
        ("n" | "N" | "no", _) => Typed::No,
        // A passphrase is what it is, with its spaces.
        (_, FactorKind::Passphrase) => Typed::Proof(Proof::Passphrase(Hidden::new(text.to_owned()))),
        (code, FactorKind::Totp) => Typed::Proof(Proof::Code(Hidden::new(code.to_owned()))),
    }
}

/// Sends what may give more than there was. Where the daemon wants a code with it, and somebody is there, asks for one.
pub(super) async fn send<T: DeserializeOwned>(
    context: &Context,
    client: &mut Client,
    target: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    let answer = client.ask(Request::post(target, body)?).await;
    match answer {
        Err(problem) if problem.error().reason.as_deref() == Some("factor_required") && context.asking.possible() => {
            until_interrupted(with_code(context, target, body)).await
        }
        other => other,
    }
}

async fn with_code<T: DeserializeOwned>(context: &Context, target: &str, body: &impl Serialize) -> Result<T, Problem> {
    let _silent = Silent::terminal();
    for left in (0..TRIES).rev() {
        let Typed::Proof(Proof::Code(code)) = ask(context, FactorKind::Totp, None).await? else { break };
        let request = Request { code: Some(code), ..Request::post(target, body)? };
        // The first connection may have been idle for longer than the daemon keeps one.
        match context.running().await?.ask(request).await {
            Err(problem) if left > 0 && is_mistyped(&problem) => tell(&again(&problem)),
            other => return other,
        }
    }
    Err(Problem::failed("no code was typed; nothing was changed"))
}

/// What a slip of the finger, or a code a moment too old, comes to.
const MISTYPED: [&str; 4] = ["factor.not_a_code", "factor.used", "factor.wrong", "wrong_passphrase"];

/// Whether it may help to type it again, at once.
pub(super) fn is_mistyped(problem: &Problem) -> bool {
    let error = problem.error();
    error.retry_after_ms.is_none() && error.reason.as_deref().is_some_and(|reason| MISTYPED.contains(&reason))
}

/// What the daemon has against a proof, before the next try.
pub(super) fn again(problem: &Problem) -> String {
    format!("{}. Once more:", inert(&problem.error().message))
}

#[cfg(test)]
mod tests {
    use kv_api::{ApiError, Code};

    use super::*;

    #[test]
    fn what_is_typed() {
        for kind in [FactorKind::Passphrase, FactorKind::Totp] {
            assert!(matches!(typed(kind, " "), Typed::Nothing));
            assert!(matches!(typed(kind, "n"), Typed::No));
        }
        let Typed::Proof(Proof::Passphrase(text)) = typed(FactorKind::Passphrase, " a b ") else { panic!() };
        assert_eq!(text.reveal(), " a b ");
        let Typed::Proof(Proof::Code(text)) = typed(FactorKind::Totp, " 123456 ") else { panic!() };
        assert_eq!(text.reveal(), "123456");
        // Nothing that says yes is one.
        for yes in ["y", "yes", "Y"] {
            assert!(matches!(typed(FactorKind::Totp, yes), Typed::Proof(Proof::Code(_))));
        }
    }

    #[test]
    fn only_what_was_mistyped_is_asked_for_again() {
        let mistyped = |error: ApiError| is_mistyped(&error.into());
        assert!(mistyped(ApiError::new(Code::Locked, "the code is wrong").reason("factor.wrong")));
        assert!(!mistyped(ApiError::new(Code::Locked, "wait").reason("factor.paused").retry_after(1000)));
        assert!(mistyped(ApiError::new(Code::Usage, "no code").reason("factor.not_a_code")));
        assert!(!mistyped(ApiError::new(Code::Locked, "too weak").reason("factor.weaker")));
        assert!(!mistyped(ApiError::new(Code::Locked, "the vault is locked").next("kv unlock")));
        assert!(!mistyped(ApiError::new(Code::Conflict, "expired").reason("settled")));
    }
}
