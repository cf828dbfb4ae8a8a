//! Steps of guests that mean well: what goes in, what comes out, and what stays.

use kv_model::{Attachment, HttpResponse, Payload, Response, Step};
use kv_runtime::{Budget, Provider, Runtime, StepError};

use crate::guest::{self, call};

/// A guest whose `start` and `resume` have these bodies, each leaving the address of a result.
fn load(start: &str, resume: &str) -> Provider {
    let wat = format!(
        r#"(module
  (type $start (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))
  (global $steps (mut i32) (i32.const 0))
  (data (i32.const 512) "0123456789")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 3))))
  ;; ok(done(text))
  (func $done (param $text i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 1032) (i32.const 1))
    (i32.store (i32.const 1036) (local.get $text))
    (i32.store (i32.const 1040) (local.get $length))
    (i32.const 1024))
  (func (export "kv:provider/http@0.1.0#start") (type $start) (local $n i32) {start})
  (func (export "kv:provider/http@0.1.0#resume") (param $in i32) (result i32) {resume}))"#
    );
    Runtime::new().unwrap().load(&guest::provider(&wat)).unwrap()
}

fn done(outcome: Result<Step, StepError>) -> String {
    match outcome {
        Ok(Step::Done(result)) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_reaches_the_guest() {
    let mut call = call();
    call.settings.push((kv_model::SettingName::parse("org").unwrap(), "\"acme\"".into()));
    call.attachments.push(Attachment {
        name: "\"file\"".into(),
        media_type: "text/plain".into(),
        data: vec![0; 7].into(),
    });
    let field = |body: &str| done(load(body, "unreachable").start(&call, Budget::Inline));
    assert_eq!(field("(call $done (local.get 4) (local.get 5))"), call.input);
    let in_list = |list: u32, at: u32| {
        let at = |offset| format!("(i32.load (i32.add (local.get {list}) (i32.const {})))", at + offset);
        field(&format!("(call $done {} {})", at(0), at(4)))
    };
    assert_eq!(in_list(6, 8), "\"acme\"");
    assert_eq!(in_list(9, 0), "\"file\"");
    // The size of the attachment, and of a call whose clock is right: a digit out of ten.
    let digit = |number: &str| field(&format!("(call $done (i32.add (i32.const 512) {number}) (i32.const 1))"));
    assert_eq!(digit("(i32.load (i32.add (local.get 9) (i32.const 16)))"), "7");
    assert_eq!(digit("(i64.eq (local.get 8) (i64.const 1800000000000))"), "1");
    assert_eq!(digit("(i32.eq (local.get 1) (i32.const 32))"), "1");
    assert_eq!(digit("(local.get 12)"), "0");
}

#[test]
fn a_response_reaches_the_guest() {
    let at = |offset: u32| format!("(i32.load (i32.add (local.get $in) (i32.const {offset})))");
    let text = |body: Payload, result: String| {
        let response =
            Response::Http(HttpResponse { status: 409, headers: vec![("etag".into(), "\"e\"".into())], body });
        done(load("unreachable", &result).resume(&call(), "\"state\"", &response, Budget::Inline))
    };
    let field = |offset| format!("(call $done {} {})", at(offset), at(offset + 4));
    assert_eq!(text(Payload::Text("{}".into()), field(56)), "\"state\"");
    assert_eq!(text(Payload::Text("{\"a\":1}".into()), field(80)), "{\"a\":1}");
    assert_eq!(text(Payload::Bytes(b"[1]".to_vec()), field(80)), "[1]");
    let value = format!("(i32.load (i32.add {} (i32.const 8)))", at(68));
    assert_eq!(text(Payload::Text(String::new()), format!("(call $done {value} (i32.const 3))")), "\"e\"");
    let status = format!("(call $done (i32.add (i32.const 512) (i32.eq {} (i32.const 409))) (i32.const 1))", at(64));
    assert_eq!(text(Payload::Text(String::new()), status), "1");
}

#[test]
fn each_step_has_an_instance_of_its_own() {
    let provider = load(
        "(global.set $steps (i32.add (global.get $steps) (i32.const 1)))
         (call $done (i32.add (i32.const 512) (global.get $steps)) (i32.const 1))",
        "(call $done (i32.add (i32.const 512) (global.get $steps)) (i32.const 1))",
    );
    let response =
        Response::Http(HttpResponse { status: 200, headers: Vec::new(), body: Payload::Text(String::new()) });
    for _ in 0..3 {
        assert_eq!(done(provider.start(&call(), Budget::Inline)), "1");
        assert_eq!(done(provider.resume(&call(), "", &response, Budget::Inline)), "0");
    }
}

#[test]
fn the_large_budget_goes_further_and_both_have_an_end() {
    let counting = |rounds: u32| {
        load(
            &format!(
                "(loop $again
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $again (i32.lt_u (local.get $n) (i32.const {rounds}))))
                 (call $done (i32.const 512) (i32.const 1))"
            ),
            "unreachable",
        )
    };
    let (short, long, endless) = (counting(10_000), counting(2_000_000), counting(1_000_000_000));
    assert!(short.start(&call(), Budget::Inline).is_ok());
    assert!(long.start(&call(), Budget::Inline).unwrap_err().wants_full_budget());
    assert!(long.start(&call(), Budget::Full).is_ok());
    assert!(endless.start(&call(), Budget::Full).unwrap_err().wants_full_budget());
}

#[test]
fn a_guest_that_crashed_leaves_the_next_step_alone() {
    let provider = load(
        "(if (i32.eq (local.get 5) (i32.const 2)) (then unreachable)) (call $done (local.get 4) (local.get 5))",
        "unreachable",
    );
    let (good, mut bad) = (call(), call());
    bad.input = "{}".into();
    for _ in 0..100 {
        assert!(matches!(provider.start(&bad, Budget::Inline), Err(StepError::Trap(_))));
        assert_eq!(done(provider.start(&good, Budget::Inline)), good.input);
    }
}

#[test]
fn steps_run_side_by_side() {
    let provider = load("(call $done (local.get 4) (local.get 5))", "unreachable");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let provider = provider.clone();
            scope.spawn(move || {
                let mut call = call();
                call.input = format!("{{\"thread\":{number}}}");
                for _ in 0..500 {
                    assert_eq!(done(provider.start(&call, Budget::Full)), call.input);
                }
            });
        }
    });
}

#[test]
fn a_large_input_arrives_or_is_refused() {
    let provider =
        load("(drop (memory.grow (i32.const 40))) (call $done (i32.const 512) (i32.const 1))", "unreachable");
    let mut call = call();
    // The guest's allocator does not grow its memory, so this lies beyond it.
    call.input = format!("\"{}\"", "x".repeat(1 << 20));
    assert!(matches!(provider.start(&call, Budget::Full), Err(StepError::Trap(_))));
}
