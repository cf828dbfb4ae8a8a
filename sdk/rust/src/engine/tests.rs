mod protocols;

use std::cell::Cell;

use crate::asked::Answered;
use crate::test::Harness;
use crate::{Effect, Failure, FailureKind, Io, Page, Payload, Protocol, Provider, Reply, Request, Response, json};

#[kv_sdk::input]
struct Lines {
    count: usize,
}

/// Read one line after the other
#[kv_sdk::operation(name = "lines", effect = Read, suggest = Allow, endpoint = "GET /lines/{n}")]
async fn lines(io: &Io, input: Lines) -> Result<Reply, Failure> {
    let mut texts = Vec::new();
    for n in 0..input.count {
        let response = io.send(Request::get(["lines".to_owned(), n.to_string()])).await?;
        texts.push(format!("{} {:?}", response.status, response.body));
    }
    Ok(json!(texts).into())
}

/// Create and confirm
#[kv_sdk::operation(name = "twice", effect = Write, suggest = Ask, repeatable, endpoint = "POST /a", endpoint = "POST /b")]
async fn twice(io: &Io) -> Result<Reply, Failure> {
    io.send(Request::post(["a"]).header("idempotency-key", io.idempotency_key())).await?.error_for_status()?;
    io.forward_success(Request::post(["b"]).header("idempotency-key", io.idempotency_key()).summary("confirm")).await
}

thread_local! {
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

/// Ask for something else each time
#[kv_sdk::operation(name = "fickle", effect = Read, suggest = Allow, endpoint = "GET /fickle/{n}")]
async fn fickle(io: &Io) -> Result<Reply, Failure> {
    let run = RUNS.replace(RUNS.get() + 1);
    io.send(Request::get(["fickle".to_owned(), run.to_string()])).await?;
    Ok(json!(null).into())
}

/// Forget what was asked
#[kv_sdk::operation(name = "forgetful", effect = Read, suggest = Allow, endpoint = "GET /forgetful")]
async fn forgetful(io: &Io) -> Result<Reply, Failure> {
    if RUNS.replace(RUNS.get() + 1) == 0 {
        io.send(Request::get(["forgetful"])).await?;
    }
    Ok(json!(null).into())
}

/// Wait for what is no request
#[kv_sdk::operation(name = "stuck", effect = Read, suggest = Allow, endpoint = "GET /stuck")]
async fn stuck(_io: &Io) -> Result<Reply, Failure> {
    std::future::pending().await
}

/// Go on after a refusal
#[kv_sdk::operation(name = "fallback", effect = Read, suggest = Allow, endpoint = "GET /first")]
async fn fallback(io: &Io) -> Result<Reply, Failure> {
    let first: Result<u32, Failure> = io.send_as(Request::get(["first"])).await;
    match first {
        Ok(value) => Ok(json!(value).into()),
        Err(failure) if failure.kind == FailureKind::NotFound => {
            let second: u32 = io.send_as(Request::get(["second"]).delay_ms(50)).await?;
            Reply::json(&(failure.message, second))
        }
        Err(failure) => Err(failure),
    }
}

/// Collect pages
#[kv_sdk::operation(name = "collect", effect = Read, suggest = Allow, endpoint = "GET /items")]
async fn collect(io: &Io, input: Lines) -> Result<Reply, Failure> {
    let ask = |from: Option<&str>, wanted: usize| {
        Request::get(["items"]).query("limit", wanted.min(100)).query_some("after", from)
    };
    let collected = io
        .collect(input.count, ask, |response| {
            response.error_for_status()?.compact().json::<Page<Box<crate::RawValue>>>()
        })
        .await?;
    Ok(json!({ "count": collected.items.len(), "more": collected.more }).into())
}

fn failure(response: &Response) -> Failure {
    Failure::of_status(response, format!("refused: {}", response.text().unwrap_or("no text")))
}

static PROVIDER: Provider = Provider {
    protocol: Protocol::Http { failure },
    auth: &["bearer"],
    operations: &[
        <lines as crate::__private::Described>::OPERATION,
        <twice as crate::__private::Described>::OPERATION,
        <fickle as crate::__private::Described>::OPERATION,
        <forgetful as crate::__private::Described>::OPERATION,
        <stuck as crate::__private::Described>::OPERATION,
        <fallback as crate::__private::Described>::OPERATION,
        <collect as crate::__private::Described>::OPERATION,
    ],
    manifest: &[],
    version: "0.0.0",
};

fn call(operation: &str, input: crate::Value) -> crate::test::Run {
    Harness::new(&PROVIDER).call(operation, input)
}

#[test]
fn a_loop_is_run_again_with_its_answers() {
    let mut run = call("lines", json!({ "count": 3 }));
    for (n, body) in [Payload::Text("é\n\"".into()), Payload::Bytes(vec![0, 255]), Payload::Text(String::new())]
        .into_iter()
        .enumerate()
    {
        assert_eq!(run.expect_send().wire().target, format!("/lines/{n}"));
        assert_eq!((run.expect_send().effect(), run.expect_send().repeatable()), (Effect::Read, true));
        run.respond_with(200 + n as u16, [], body);
    }
    assert_eq!(run.expect_done(), json!(["200 Text(\"é\\n\\\"\")", "201 Bytes([0, 255])", "202 Text(\"\")"]));
}

#[test]
fn keys_are_the_same_in_each_run_and_differ_by_write() {
    let mut run = call("twice", json!({}));
    assert_eq!(run.expect_send().header("idempotency-key"), Some("call-1"));
    assert_eq!(run.expect_send().summary(), "Create and confirm");
    assert_eq!((run.expect_send().effect(), run.expect_send().repeatable()), (Effect::Write, true));
    assert_eq!(run.expect_send().auth(), ["bearer"]);
    run.respond(200, [], json!({}));
    let sent = run.expect_forward_success();
    assert_eq!((sent.header("idempotency-key"), sent.summary()), (Some("call-1-2"), "confirm"));
    run.respond(429, [("retry-after", "2")], json!("slow"));
    let failure = run.expect_failure();
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, Some(2000)));
    assert_eq!(failure.message, "refused: \"slow\"");
}

#[test]
fn a_run_that_asks_otherwise_is_an_internal_failure() {
    for operation in ["fickle", "forgetful"] {
        RUNS.set(0);
        let mut run = call(operation, json!({}));
        run.respond(200, [], json!({}));
        assert_eq!(run.expect_failure().kind, FailureKind::Internal, "{operation}");
        assert!(run.expect_failure().message.contains("asked for something else"), "{operation}");
    }
}

#[test]
fn waiting_for_nothing_is_an_internal_failure() {
    assert!(call("stuck", json!({})).expect_failure().message.contains("no request"));
    assert!(call("unheard", json!({})).expect_failure().message.contains("`unheard`"));
}

#[test]
fn a_failure_that_was_handled_is_kept_too() {
    let mut run = call("fallback", json!({}));
    run.respond(404, [], json!("gone"));
    assert_eq!((run.expect_send().wire().target.as_str(), run.expect_send().delay_ms()), ("/second", 50));
    run.respond(200, [], json!(7));
    assert_eq!(run.expect_done(), json!(["refused: \"gone\"", 7]));

    let mut run = call("fallback", json!({}));
    run.respond(200, [], json!("no number"));
    assert_eq!(run.expect_failure().kind, FailureKind::Upstream);
}

#[test]
fn pages_are_collected_up_to_the_bound() {
    let page = |from: usize, count: usize, next: bool| json!({ "items": vec![json!("x"); count], "next": next.then(|| (from + count).to_string()) });
    let mut run = call("collect", json!({ "count": 250 }));
    for (from, target) in
        [(0, "/items?limit=100"), (100, "/items?limit=100&after=100"), (200, "/items?limit=50&after=200")]
    {
        assert_eq!(run.expect_send().wire().target, target);
        run.respond(200, [], page(from, if from == 200 { 50 } else { 100 }, true));
    }
    assert_eq!(run.expect_done(), json!({ "count": 250, "more": true }));

    let mut run = call("collect", json!({ "count": 250 }));
    run.respond(200, [], page(0, 3, false));
    assert_eq!(run.expect_done(), json!({ "count": 3, "more": false }));

    let mut run = call("collect", json!({ "count": 250 }));
    run.respond(200, [], page(0, 0, true));
    assert_eq!(run.expect_done(), json!({ "count": 0, "more": true }));
}

#[test]
fn pages_stop_when_the_state_is_full() {
    let item = "x".repeat(6000);
    let mut run = call("collect", json!({ "count": 1000 }));
    let mut rounds = 0;
    while run.is_sending() {
        assert!(run.expect_send().state_bytes() <= crate::transcript::MAX_STATE_BYTES);
        run.respond(200, [], json!({ "items": vec![json!(item); 100], "next": "n" }));
        rounds += 1;
    }
    assert_eq!((run.expect_done(), rounds), (json!({ "count": 200, "more": true }), 2));
}

#[test]
fn a_state_over_the_limit_is_an_internal_failure() {
    let mut run = call("lines", json!({ "count": 3 }));
    run.respond_with(200, [], Payload::Bytes(vec![0; 600_000]));
    assert!(run.expect_failure().message.contains("over the limit"));
}

#[test]
fn a_damaged_state_is_an_internal_failure() {
    let call = crate::Call { operation: "lines".into(), input: r#"{"count":1}"#.into(), ..Default::default() };
    let response = || Answered::Http(Response::new(200, Vec::new(), Payload::Text(String::new())));
    for state in ["", "{}", "[]", r#"{"entries":[[1,{"Ok":1}]],"asked":2}"#, r#"{"entries":[],"asked":2}"#] {
        assert_eq!(
            super::resume(&PROVIDER, call.clone(), state, response()).unwrap_err().kind,
            FailureKind::Internal,
            "{state}"
        );
    }
}
