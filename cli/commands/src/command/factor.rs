//! `kv factor list|add|remove|test`: what a person proves with that it is them.
//!
//! A seed and recovery codes are shown once, on the terminal itself. No output, file or log of kv's has them.

use kv_api::{BeginTotp, ConfirmTotp, FactorKind, Factors, Hidden, ProofRequest, RecoveryCodes, Tested, TotpEnrolment};
use serde_json::Value;
use zeroize::Zeroizing;

use super::proof::{self, Typed};
use super::{Context, set};
use crate::arguments::{Factor, FactorName};
use crate::client::Request;
use crate::input::{Silent, aside, until_interrupted};
use crate::output::tell;
use crate::problem::Problem;
use crate::qr;
use crate::time::{left, now_ms, stamp};

pub(super) async fn run(context: &Context, verb: Factor) -> Result<(), Problem> {
    match verb {
        Factor::List => context.output.show(&known(context).await?, list),
        Factor::Add { factor: FactorName::Totp } => until_interrupted(add(context)).await,
        Factor::Remove { factor: FactorName::Totp } => until_interrupted(remove(context)).await,
        Factor::Test => until_interrupted(test(context)).await,
    }
}

async fn known(context: &Context) -> Result<Factors, Problem> {
    context.person().await?.ask(Request::get("/v1/factors")).await
}

async fn add(context: &Context) -> Result<(), Problem> {
    present(context)?;
    set::open(context, &mut context.person().await?).await?;
    let asking = context.asking;
    let passphrase = aside(move || asking.passphrase("Passphrase:", None)).await?;
    if !enrol(context, passphrase, "Code shown by the app:").await? {
        return Err(Problem::failed("no code was typed; nothing was set up").next("kv factor add totp"));
    }
    context.output.show(&known(context).await?, list)
}

async fn remove(context: &Context) -> Result<(), Problem> {
    let removed: Value = proven(context, "/v1/factors/totp/remove").await?;
    context.output.show(&removed, |_| {
        "removed    the authenticator app and its recovery codes; approvals take the passphrase now".to_owned()
    })
}

async fn test(context: &Context) -> Result<(), Problem> {
    let tested: Tested = proven(context, "/v1/factors/test").await?;
    context.output.show(&tested, |tested| match (tested.kind, tested.is_recovery_code) {
        (FactorKind::Passphrase, _) => "good       that is the passphrase".to_owned(),
        (FactorKind::Totp, false) => "good       that code counts, once: it is used up now".to_owned(),
        (FactorKind::Totp, true) => "good       that was a recovery code; it is used up now".to_owned(),
    })
}

/// Does what wants a proof, and lets it be typed again.
async fn proven<T: serde::de::DeserializeOwned>(context: &Context, target: &str) -> Result<T, Problem> {
    present(context)?;
    set::open(context, &mut context.person().await?).await?;
    let needs = known(context).await?.needs;
    let _silent = Silent::terminal();
    for left in (0..proof::TRIES).rev() {
        let Typed::Proof(proof) = proof::ask(context, needs, None).await? else { break };
        match context.running().await?.ask(Request::post(target, &ProofRequest { proof })?).await {
            Err(problem) if left > 0 && proof::is_mistyped(&problem) => tell(&proof::again(&problem)),
            other => return other,
        }
    }
    Err(Problem::failed("nothing was proved, and nothing was changed"))
}

fn present(context: &Context) -> Result<(), Problem> {
    if context.asking.possible() {
        return Ok(());
    }
    Err(Problem::needs_human("this is for a person at a terminal, and there is none here")
        .next("run it in a terminal of your own"))
}

/// Sets up an authenticator app: `false` when no code was typed.
pub(super) async fn enrol(context: &Context, passphrase: Hidden, prompt: &'static str) -> Result<bool, Problem> {
    let begin = Request::post("/v1/factors/totp/begin", &BeginTotp { passphrase })?;
    let begun: TotpEnrolment = context.running().await?.ask(begin).await?;
    context.asking.show_once(&to_scan(&begun, context.output.color)?)?;
    let asking = context.asking;
    let _silent = Silent::terminal();
    for left in (0..proof::TRIES).rev() {
        let typed = aside(move || asking.hidden(prompt, "kv factor add totp")).await?;
        if typed.trim().is_empty() {
            return Ok(false);
        }
        let confirm = ConfirmTotp { code: Hidden::new(typed.trim().to_owned()) };
        match context.running().await?.ask(Request::post("/v1/factors/totp/confirm", &confirm)?).await {
            Ok(codes) => {
                context.asking.show_once(&to_write_down(&codes))?;
                return Ok(true);
            }
            Err(problem) if left > 0 && proof::is_mistyped(&problem) => tell(&proof::again(&problem)),
            Err(problem) => return Err(problem),
        }
    }
    Ok(false)
}

fn to_scan(begun: &TotpEnrolment, color: bool) -> Result<Zeroizing<String>, Problem> {
    let mut text = Zeroizing::new(String::from("\n"));
    text.push_str(&qr::render(&begun.uri, color)?);
    text.push_str("\n  or type this into the app: ");
    text.push_str(&grouped(begun.secret.reveal()));
    text.push_str("\n\n");
    Ok(text)
}

/// In groups of four, as people copy it.
fn grouped(text: &str) -> Zeroizing<String> {
    let mut grouped = Zeroizing::new(String::with_capacity(text.len() * 2));
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            grouped.push(' ');
        }
        grouped.push(c);
    }
    grouped
}

fn to_write_down(codes: &RecoveryCodes) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::from("\n  Recovery codes, each good once in place of the app:\n\n"));
    for pair in codes.codes.chunks(2) {
        text.push_str("   ");
        for code in pair {
            text.push_str(&format!(" {:<16}", code.reveal()));
        }
        text.push('\n');
    }
    text.push_str("\n  Write them down, and keep them off this machine: they are not shown again.\n\n");
    text
}

fn list(factors: &Factors) -> String {
    let mut text = String::from("passphrase  the vault's own\n");
    match &factors.totp {
        None => text.push_str("totp        not set up: kv factor add totp\n"),
        Some(totp) => {
            let codes = totp.recovery_codes_left;
            text.push_str(&format!("totp        since {}, {codes} recovery codes left\n", stamp(totp.since_ms)));
            if totp.failures > 0 {
                text.push_str(&format!("            {} wrong in a row\n", totp.failures));
            }
            if let Some(until_ms) = totp.paused_until_ms.filter(|until| *until > now_ms()) {
                text.push_str(&format!("            paused: no code is taken for {}\n", left(until_ms)));
            }
        }
    }
    text.push_str(match factors.needs {
        FactorKind::Passphrase => "approvals take the passphrase, which a program of yours could watch you type\n",
        FactorKind::Totp => "approvals take a code of the app, or a recovery code\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_once() {
        let begun = TotpEnrolment {
            uri: Hidden::new("otpauth://totp/kv:kv-01?secret=GEZDGNBVGY3TQOJQ&issuer=kv".to_owned()),
            secret: Hidden::new("GEZDGNBVGY3TQOJQ".to_owned()),
        };
        let shown = to_scan(&begun, true).unwrap();
        assert!(shown.contains("GEZD GNBV GY3T QOJQ\n") && shown.contains('█'), "{}", *shown);
        assert!(!shown.contains("otpauth"));
        let codes = RecoveryCodes { codes: (0..8).map(|n| Hidden::new(format!("aaaa-bbbb-{n}"))).collect() };
        let shown = to_write_down(&codes);
        assert!((0..8).all(|n| shown.contains(&format!("aaaa-bbbb-{n} "))), "{}", *shown);
        assert_eq!(shown.lines().filter(|line| line.contains("aaaa")).count(), 4);
    }

    #[test]
    fn a_list_says_what_counts() {
        let none = Factors { totp: None, needs: FactorKind::Passphrase };
        assert!(list(&none).contains("kv factor add totp"));
        let totp = kv_api::TotpInfo {
            since_ms: 0,
            recovery_codes_left: 7,
            failures: 5,
            paused_until_ms: Some(now_ms() + 600_000),
        };
        let text = list(&Factors { totp: Some(totp), needs: FactorKind::Totp });
        assert!(text.contains("7 recovery codes left") && text.contains("5 wrong in a row"), "{text}");
        assert!(text.contains("paused: no code is taken for"), "{text}");
    }
}
