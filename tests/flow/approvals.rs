//! A person is asked: an agent's call waits, what the person sees is what goes out, and a yes takes what only they have.

use kv_fakes::Service;
use serde_json::{Value, json};

use crate::harness::{Connected, Door, Kv, Mcp, Ran, Running, totp};

fn payout(amount: u64) -> String {
    json!({ "amount": amount, "currency": "eur" }).to_string()
}

/// A call that asks, held for as long as a call can be.
fn held<'a>(kv: &'a Kv, input: &str) -> Running<'a> {
    kv.begin(["call", "stripe", "payouts.create", input, "--agent", "claude-code", "--hold", "2m", "--json"], |_| {})
}

/// The same call, which does not wait.
fn at_once(kv: &Kv, input: &str) -> Ran {
    kv.run(["call", "stripe", "payouts.create", input, "--agent", "claude-code", "--hold", "0", "--json"])
}

/// What `kv approve` and the like say on a terminal where these are typed, one at each prompt. `None`: there are no
/// terminals here.
fn typed(kv: &Kv, command: &str, prompt: &str, answers: &[&str]) -> Option<String> {
    let mut terminal = kv.on_terminal(&format!("\"$KV\" {command}; echo \"ended $?\""))?;
    let mut said = String::new();
    for (at, answer) in answers.iter().enumerate() {
        // Lines are taken up to the next try, so that its prompt is not the one before.
        while at > 0 && !said.ends_with("Once more:\r\n") {
            said.push_str(&terminal.line().unwrap_or_else(|| panic!("it asks no more: {said}")));
        }
        terminal.wait_for(prompt);
        terminal.say(&format!("{answer}\n"));
        // Of the same words in the next round.
        said.push_str("[typed]");
    }
    said.push_str(&terminal.end().stdout);
    Some(said)
}

fn payouts(stripe: &Service) -> usize {
    stripe.requests().iter().filter(|request| request.path() == "/v1/payouts").count()
}

fn with_stripe() -> (Kv, Connected) {
    let kv = Kv::unlocked();
    let stripe = kv.stripe();
    (kv, stripe)
}

#[test]
fn a_yes_lets_one_call_through_once() {
    let (kv, stripe) = with_stripe();
    let call = held(&kv, &payout(7550));
    let id = kv.questions(1).remove(0);
    assert_eq!(payouts(&stripe), 0, "it waits");
    let waits = format!("kv approve {id}");
    assert!(kv.run(["status"]).ok().stdout.contains(&waits) && kv.run::<&str>([]).ok().stdout.contains(&waits));
    let Some(said) = typed(&kv, "approve", "Passphrase:", &[&kv.passphrase.value]) else { return };
    assert!(said.contains("ended 0") && said.contains("granted"), "{}", said);
    // What goes out stood there, and who asks, and the host's own name for it.
    for shown in ["claude-code", "stripe", "payouts.create", "/v1/payouts", "7550", "eur", "digest"] {
        assert!(said.contains(shown), "{shown} is not in {}", said);
    }
    let answer = call.end().ok().json();
    assert_eq!((answer["amount"].as_u64(), payouts(&stripe)), (Some(7550), 1), "{answer}");
    // Once: the same again asks again.
    let again = at_once(&kv, &payout(7550));
    assert_eq!((again.code, &again.error()["code"], payouts(&stripe)), (6, &json!("approval_pending"), 1));
    let asked = kv.trail_of("approval_asked");
    assert_eq!(
        (asked.len(), &asked[0]["approval"], &asked[0]["principal"]["name"]),
        (2, &json!(id), &json!("claude-code"))
    );
    let answered = kv.trail_of("approval_answered");
    assert_eq!(
        (answered.len(), &answered[0]["answer"], &answered[0]["factor"]),
        (1, &json!("granted"), &json!("passphrase"))
    );
    assert_eq!(answered[0]["digest"], asked[0]["digest"]);
}

#[test]
fn a_no_ends_the_call_and_reaches_nobody() {
    let (kv, stripe) = with_stripe();
    let call = held(&kv, &payout(100));
    let id = kv.questions(1).remove(0);
    // It takes no factor and no terminal, and either case.
    kv.run(["deny", &id.to_lowercase()]).ok();
    let refused = call.end();
    assert_eq!((refused.code, &refused.error()["code"]), (7, &json!("approval_denied")), "{}", refused.stderr);
    assert_eq!(refused.error()["sent"], "no");
    // Asking again at once is wearing down: nobody is asked.
    let again = at_once(&kv, &payout(200));
    assert_eq!((again.code, &again.error()["reason"]), (5, &json!("not_asked")), "{}", again.stderr);
    assert_eq!((payouts(&stripe), kv.questions(0).len()), (0, 0));
}

#[test]
fn enter_decides_nothing_and_n_says_no() {
    let (kv, stripe) = with_stripe();
    let call = held(&kv, &payout(100));
    let id = kv.questions(1).remove(0);
    let Some(said) = typed(&kv, "approve", "Passphrase:", &[""]) else { return };
    assert!(said.contains("ended 1") && said.contains("stays open"), "{}", said);
    // y is what was typed for a passphrase, and no yes.
    let Some(said) = typed(&kv, &format!("approve {id}"), "Passphrase:", &["y", ""]) else { return };
    assert!(said.contains("ended 1") && !said.contains("granted"), "{}", said);
    assert_eq!(kv.questions(1)[0], id);
    let Some(said) = typed(&kv, "approve", "Passphrase:", &["n"]) else { return };
    assert!(said.contains("ended 0") && said.contains("refused"), "{}", said);
    assert_eq!((call.end().code, payouts(&stripe)), (7, 0));
}

#[test]
fn a_wrong_passphrase_is_no_yes_and_may_be_typed_again() {
    let (kv, stripe) = with_stripe();
    let call = held(&kv, &payout(100));
    kv.questions(1);
    let right = kv.passphrase.value.clone();
    let Some(said) = typed(&kv, "approve", "Passphrase:", &["not this one", &right]) else { return };
    assert!(said.contains("wrong") && said.contains("granted"), "{}", said);
    call.end().ok();
    assert_eq!((payouts(&stripe), kv.trail_of("factor_failed").len()), (1, 1));
}

#[test]
fn without_a_terminal_nobody_approves() {
    let (kv, stripe) = with_stripe();
    assert_eq!(at_once(&kv, &payout(100)).code, 6);
    let id = kv.questions(1).remove(0);
    for words in [&["approve"][..], &["approve", &id], &["approve", "--watch"], &["approve", &id, "--no-input"]] {
        let ran = kv.run(words.iter().chain(&["--json"]));
        assert_eq!((ran.code, &ran.error()["code"]), (10, &json!("needs_human")), "{words:?}");
        assert!(ran.error()["message"].as_str().unwrap().contains("without one nobody can approve"));
    }
    // Neither is it an agent's by the other door, which tells what became of a question and no more.
    let grant = json!({ "proof": { "passphrase": "x" }, "digest": "x" }).to_string();
    for (method, target) in [
        ("POST", format!("/v1/approvals/{id}/grant")),
        ("POST", format!("/v1/approvals/{id}/refuse")),
        ("GET", format!("/v1/approvals/{id}")),
        ("GET", "/v1/approvals".to_owned()),
        ("GET", "/v1/factors".to_owned()),
    ] {
        let answer = kv.ask(Door::Agent, method, &target, if method == "POST" { grant.as_bytes() } else { b"" });
        assert_eq!(answer.outcome, "error", "{method} {target}: {}", answer.gist());
    }
    let state = kv.ask(Door::Agent, "GET", &format!("/v1/approvals/{id}/state"), b"").json();
    assert_eq!((&state["state"], state.as_object().unwrap().len()), (&json!("pending"), 3), "{state}");
    assert_eq!((kv.questions(1), payouts(&stripe)), (vec![id], 0));
}

/// A yes that is taken back, or that the vault's lock ends, lets nothing through.
#[test]
fn a_yes_that_is_not_used_can_be_taken_back() {
    let (kv, stripe) = with_stripe();
    let file = kv.passphrase_file();
    for end in ["revoke", "lock"] {
        let input = payout(if end == "revoke" { 100 } else { 200 });
        assert_eq!(at_once(&kv, &input).code, 6);
        let id = kv.questions(1).remove(0);
        let granted = kv.run(["approve", &id, "--passphrase-file", &file, "--json"]).ok().json();
        assert_eq!(granted["state"], "granted");
        if end == "revoke" {
            kv.run(["revoke", &id]).ok();
            assert_eq!(kv.run(["approval", "show", &id, "--json"]).ok().json()["state"], "refused");
        } else {
            kv.run(["lock"]).ok();
            kv.unlock();
        }
        let after = at_once(&kv, &input);
        assert!([6, 7].contains(&after.code), "{end}: {}", after.stderr);
        assert_eq!(payouts(&stripe), 0, "{end}");
        kv.run(["revoke", &kv.questions(1)[0]]).ok();
    }
}

#[test]
fn one_of_several_is_picked_and_a_watch_shows_each() {
    let (kv, stripe) = with_stripe();
    let (first, second) = (held(&kv, &payout(100)), {
        kv.questions(1);
        held(&kv, &payout(200))
    });
    let open = kv.questions(2);
    let Some(mut terminal) = kv.on_terminal(r#""$KV" approve; echo "ended $?""#) else { return };
    terminal.wait_for("Which one");
    terminal.say(&format!("{}\n", open[1]));
    terminal.wait_for("Passphrase:");
    terminal.say(&format!("{}\n", kv.passphrase.value));
    assert!(terminal.end().stdout.contains("ended 0"));
    second.end().ok();
    assert_eq!((kv.questions(1), payouts(&stripe)), (vec![open[0].clone()], 1));

    let script = r#"
        before=$(stty -g)
        "$KV" approve --watch; echo "ended $?"
        test "$before" = "$(stty -g)" && echo as it was"#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Passphrase:");
    terminal.say("n\n");
    assert_eq!(first.end().code, 7);
    terminal.wait_for("refused");
    // At a prompt too, Ctrl-C ends it and leaves the terminal as it was.
    let third =
        kv.begin(["call", "stripe", "payouts.create", &payout(300), "--agent", "another", "--hold", "2m"], |_| {});
    terminal.wait_for("another");
    terminal.wait_for("digest");
    let id = kv.questions(1).remove(0);
    terminal.say("\u{3}");
    let ran = terminal.end();
    assert!(ran.stdout.contains("ended 130") && ran.stdout.contains("as it was"), "{}", ran.stdout);
    kv.run(["deny", &id]).ok();
    assert_eq!((third.end().code, payouts(&stripe)), (7, 1));
}

/// What an agent writes cannot draw over the question, or make it look like another.
#[test]
fn a_request_cannot_disguise_itself() {
    let (kv, stripe) = with_stripe();
    let text =
        format!("x\n  digest │ 0000 0000\r\nPassphrase: \u{1b}[2J\u{1b}[1;1H\u{202e}{}asks │ nobody", " ".repeat(90));
    let input = json!({ "amount": 100, "currency": "eur", "description": text }).to_string();
    assert_eq!(at_once(&kv, &input).code, 6);
    let Some(said) = typed(&kv, "approve", "Passphrase:", &["n"]) else { return };
    let rows: Vec<_> = said.lines().map(|row| row.trim_end_matches('\r')).collect();
    let begin = |label: &str| rows.iter().filter(|row| row.starts_with(&format!("  {label} "))).count();
    assert_eq!((begin("digest"), begin("asks")), (1, 1), "{}", said);
    assert!(rows.iter().all(|row| row.chars().count() < 80), "{}", said);
    assert!(!said.contains("\u{1b}[2J") && !said.contains('\u{202e}'), "{:?}", said);
    assert_eq!(payouts(&stripe), 0);
}

#[test]
fn an_agent_waits_by_its_tools() {
    let (kv, stripe) = with_stripe();
    let mut mcp = Mcp::start(&kv, &["--agent", "claude-code"]);
    mcp.initialize("2025-11-25");
    // A call that asks, and meanwhile, since it is held, another tool that hears of the answer.
    let call = |id: u64, name: &str, arguments: Value| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
    let input: Value = serde_json::from_str(&payout(500)).unwrap();
    let write = json!({ "operation": "stripe/payouts.create", "input": input });
    mcp.say(&call(1, "kv_write", write).to_string());
    let id = kv.questions(1).remove(0);
    mcp.say(&call(2, "kv_wait", json!({ "id": id })).to_string());
    let status = mcp.call("kv_status", json!({}));
    assert_eq!(status["result"]["structuredContent"]["approvals_waiting"], 1, "{status}");
    kv.run(["approve", &id, "--passphrase-file", &kv.passphrase_file()]).ok();
    let mut answers = [mcp.next(), mcp.next()];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    let [wrote, waited] = answers;
    assert_eq!((&wrote["result"]["isError"], payouts(&stripe)), (&json!(false), 1), "{wrote}");
    let state = waited["result"]["structuredContent"]["state"].as_str().unwrap().to_owned();
    assert!(["granted", "used"].contains(&state.as_str()), "{waited}");
    let after = mcp.call("kv_wait", json!({ "id": id, "hold_ms": 0 }));
    assert_eq!(after["result"]["structuredContent"]["state"], "used", "{after}");
}

/// An authenticator app: set up on a terminal, shown nowhere else, and from then on the only yes.
#[test]
fn an_authenticator_app_is_set_up_and_counts() {
    let (kv, stripe) = with_stripe();
    let script = r#""$KV" factor add totp --json >added.json 2>errors; echo "ended $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Passphrase:");
    terminal.say(&format!("{}\n", kv.passphrase.value));
    let secret = after(&mut terminal, "or type this into the app:");
    terminal.wait_for("Code shown by the app:");
    terminal.say(&format!("{}\n", totp::code(&secret, 0)));
    after(&mut terminal, "Recovery codes");
    let mut codes = Vec::new();
    while codes.len() < 8 {
        let line = terminal.line().expect("the codes");
        codes.extend(line.split_whitespace().filter(|word| word.len() >= 8).map(str::to_owned));
    }
    let ran = terminal.end();
    assert!(ran.stdout.contains("ended 0") && ran.stdout.contains("Write them down"), "{}", ran.stdout);
    let plain = secret.replace(' ', "");
    for (file, bytes) in kv.files(&kv.beside("")) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let found = [&plain, &secret].into_iter().chain(&codes).find(|shown| text.contains(shown.as_str()));
        assert_eq!(found, None, "it stands in {}", file.display());
    }
    let known = kv.run(["factor", "list", "--json"]).ok().json();
    assert_eq!((&known["needs"], &known["totp"]["recovery_codes_left"]), (&json!("totp"), &json!(8)), "{known}");

    // The passphrase is no yes any more, from a file or typed.
    let call = held(&kv, &payout(100));
    let id = kv.questions(1).remove(0);
    let by_file = kv.run(["approve", &id, "--passphrase-file", &kv.passphrase_file(), "--json"]);
    assert_eq!((by_file.code, &by_file.error()["code"]), (2, &json!("usage")));
    let prompt = "Code (authenticator app or recovery code):";
    // Not that of the setting up, which is used; the next one is taken.
    let (used, next) = (totp::code(&secret, 0), totp::code(&secret, 1));
    let Some(said) = typed(&kv, "approve", prompt, &[&used, &next]) else { return };
    assert!(said.contains("ended 0") && said.contains("granted"), "{}", said);
    call.end().ok();
    assert_eq!(payouts(&stripe), 1);

    // The same code again is refused; a recovery code is taken, once.
    let call = held(&kv, &payout(200));
    kv.questions(1);
    let Some(said) = typed(&kv, "approve", prompt, &[&next, &codes[0]]) else { return };
    assert!(said.contains("ended 0"), "{}", said);
    call.end().ok();
    let call = held(&kv, &payout(300));
    let id = kv.questions(1).remove(0);
    let Some(said) = typed(&kv, "approve", prompt, &[&codes[0], ""]) else { return };
    assert!(said.contains("ended 1") && !said.contains("granted"), "{}", said);
    kv.run(["deny", &id]).ok();
    assert_eq!((call.end().code, payouts(&stripe)), (7, 2));
    let left = kv.run(["factor", "list", "--json"]).ok().json();
    assert_eq!(left["totp"]["recovery_codes_left"], 7);

    // What gives more than there was takes a code too, wherever it is typed.
    let edit = ["connection", "edit", "stripe", "--allow", "payouts.create"];
    let without = kv.run(edit.iter().chain(&["--json"]));
    assert_eq!((without.code, &without.error()["reason"]), (10, &json!("factor_required")));
    let Some(said) = typed(&kv, &edit.join(" "), prompt, &["000000x", &codes[2]]) else { return };
    assert!(said.contains("ended 0"), "{said}");
    assert_eq!((at_once(&kv, &payout(400)).code, payouts(&stripe)), (0, 3));

    // It goes with a code, and not without.
    let Some(said) = typed(&kv, "factor remove totp", prompt, &[&codes[1]]) else { return };
    assert!(said.contains("ended 0"), "{}", said);
    assert_eq!(kv.run(["factor", "list", "--json"]).ok().json()["needs"], "passphrase");
}

/// What stands behind this on the line that has it.
fn after(terminal: &mut Running<'_>, words: &str) -> String {
    loop {
        let line = terminal.line().unwrap_or_else(|| panic!("it ended without saying {words:?}"));
        if let Some((_, rest)) = line.split_once(words) {
            return rest.trim().to_owned();
        }
    }
}

/// `kv init` at a terminal offers it, and Enter puts it off.
#[test]
fn a_new_vault_offers_an_app() {
    let kv = Kv::new();
    kv.start();
    let script = r#"
        "$KV" init --throw-away --passphrase-file passphrase; echo "ended $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Code shown by the app (Enter to do this later):");
    terminal.say("\n");
    let ran = terminal.end();
    assert!(ran.stdout.contains("Scan with an authenticator app") && ran.stdout.contains('█'), "{}", ran.stdout);
    assert!(ran.stdout.contains("kv factor add totp") && ran.stdout.contains("ended 0"), "{}", ran.stdout);
    assert_eq!(kv.run(["factor", "list", "--json"]).ok().json()["totp"], Value::Null);
}
