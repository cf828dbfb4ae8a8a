//! A lock under a call: what is said of what had left by then.

use std::future::pending;

use kv_api::Sent;

use super::*;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// The vault is locked while the call is in this stage. What egress then makes of the call: its error, if it stops.
#[track_caller]
fn locked_in(stage: Stage, stops: Option<Fault>) -> (kv_api::Code, Sent, bool) {
    let ended = watch::Sender::new(false);
    let progress = Progress::default();
    let carrying = async {
        progress.0.set(stage);
        ended.send_replace(true);
        // The lock is seen before anything that follows it.
        tokio::task::yield_now().await;
        match stops {
            Some(fault) => Err::<(), _>(fault),
            None => pending().await,
        }
    };
    let fault = block_on(unless_ended(ended.subscribe(), &progress, carrying)).unwrap_err();
    (fault.error().code, fault.error().sent, fault.is_recorded())
}

#[test]
fn a_lock_says_what_had_been_sent() {
    use kv_api::Code::Locked;
    assert_eq!(locked_in(Stage::Before, None), (Locked, Sent::No, false));
    assert_eq!(locked_in(Stage::Answered, None), (Locked, Sent::Yes, true));
    // Egress did not say in time.
    assert_eq!(locked_in(Stage::Sending, None), (Locked, Sent::Unknown, true));
    for (known, sent) in [(kv_egress::Sent::No, Sent::No), (kv_egress::Sent::Unknown, Sent::Unknown)] {
        let stopped = Fault::send(&kv_egress::SendError::Locked { sent: known });
        assert_eq!(locked_in(Stage::Sending, Some(stopped)), (Locked, sent, true));
    }
}

#[test]
fn a_step_that_is_no_sending_is_not_waited_for() {
    let late = Fault::usage("it came to its end after the lock");
    assert_eq!(locked_in(Stage::Before, Some(late)), (kv_api::Code::Locked, Sent::No, false));
}

#[test]
fn an_answer_that_comes_after_the_lock_is_not_given_out() {
    let ended = watch::Sender::new(true);
    let progress = Progress::default();
    progress.0.set(Stage::Sending);
    let carrying = async {
        progress.0.set(Stage::Answered);
        Ok("an answer")
    };
    let fault = block_on(unless_ended(ended.subscribe(), &progress, carrying)).unwrap_err();
    assert_eq!((fault.error().code, fault.error().sent), (kv_api::Code::Locked, Sent::Yes));
}

#[test]
fn without_a_lock_a_call_ends_as_it_ends() {
    let ended = watch::Sender::new(false);
    let reply = block_on(unless_ended(ended.subscribe(), &Progress::default(), async { Ok(7) }));
    assert_eq!(reply.ok(), Some(7));
}
