use kv_model::{PrincipalName, SecretId, Suggestion};
use proptest::prelude::*;

use super::*;
use crate::tests::question;
use crate::{Decision, decide};

const CREDENTIALS: &[(SecretId, u32)] = &[];

fn now(ms: u64) -> Now {
    Now { wall_ms: 1_000_000 + ms, steady_ms: ms }
}

fn held_of(agent: &str, path: &str) -> Held {
    let mut question = question("POST", path, "refunds.create", &[("refunds.create", Suggestion::Ask)]);
    question.principal = Principal::Agent { name: PrincipalName::parse(agent).unwrap(), uid: 1 };
    match decide(question) {
        Decision::Ask(held) => held,
        other => panic!("{other:?}"),
    }
}

/// A request of its own for each number.
fn held(number: usize) -> Held {
    held_of("a", &format!("/refunds?n={number}"))
}

fn granted(approvals: &mut Approvals, number: usize, at: u64) -> ApprovalId {
    let id = approvals.ask(&held(number), CREDENTIALS, 7, now(at)).unwrap().id();
    approvals.settle(id, Answer::Grant(Level::Totp), now(at)).unwrap();
    id
}

fn redeems(approvals: &mut Approvals, held: Held, at: Now) -> Result<ApprovalId, Option<State>> {
    match approvals.redeem(held, CREDENTIALS, at) {
        Redeemed::Permit(permit) => Ok(permit.approval().unwrap().id()),
        Redeemed::Not(_, state) => Err(state),
    }
}

#[test]
fn a_yes_is_good_once_for_one_request() {
    let mut approvals = Approvals::default();
    assert_eq!(redeems(&mut approvals, held(1), now(0)), Err(None));
    let id = approvals.ask(&held(1), CREDENTIALS, 7, now(0)).unwrap().id();
    assert_eq!(redeems(&mut approvals, held(1), now(1)), Err(Some(State::Pending)));
    approvals.settle(id, Answer::Grant(Level::Totp), now(2)).unwrap();
    assert_eq!(redeems(&mut approvals, held(2), now(3)), Err(None), "another request");
    assert_eq!(redeems(&mut approvals, held_of("b", "/refunds?n=1"), now(3)), Err(None), "another agent");
    assert_eq!(redeems(&mut approvals, held(1), now(3)), Ok(id));
    assert_eq!(redeems(&mut approvals, held(1), now(3)), Err(Some(State::Used)));
}

#[test]
fn another_value_of_a_secret_or_another_connection_is_another_request() {
    let mut approvals = Approvals::default();
    granted(&mut approvals, 1, 0);
    let rotated = [(SecretId::from_bytes([1; 16]), 2)];
    assert!(matches!(approvals.redeem(held(1), &rotated, now(1)), Redeemed::Not(_, None)));
    let mut edited = question("POST", "/refunds?n=1", "refunds.create", &[("refunds.create", Suggestion::Ask)]);
    let connection = std::sync::Arc::make_mut(&mut edited.connection);
    connection.settings.insert(kv_model::SettingName::parse("version").unwrap(), "2".into());
    let Decision::Ask(edited) = decide(edited) else { panic!() };
    assert_eq!(redeems(&mut approvals, edited, now(1)), Err(None));
    assert!(redeems(&mut approvals, held(1), now(1)).is_ok());
}

#[test]
fn what_was_seen_is_what_goes_out() {
    let mut approvals = Approvals::default();
    let first = held(1);
    let seen = first.request().digest();
    let id = approvals.ask(&first, CREDENTIALS, 7, now(0)).unwrap().id();
    approvals.settle(id, Answer::Grant(Level::Totp), now(0)).unwrap();
    let Redeemed::Permit(permit) = approvals.redeem(held(1), CREDENTIALS, now(1)) else { panic!() };
    assert_eq!(permit.request().digest(), seen);
    assert_eq!((permit.approval().unwrap().id(), permit.approval().unwrap().level()), (id, Level::Totp));
}

#[test]
fn the_first_answer_counts() {
    let mut approvals = Approvals::default();
    let id = approvals.ask(&held(1), CREDENTIALS, 7, now(0)).unwrap().id();
    approvals.settle(id, Answer::Refuse, now(1)).unwrap();
    let late = approvals.settle(id, Answer::Grant(Level::Totp), now(2)).unwrap_err();
    assert_eq!(late, AnswerError::Settled(State::Refused));
    assert_eq!(redeems(&mut approvals, held(1), now(2)), Err(Some(State::Refused)));
    assert_eq!(approvals.settle(ApprovalId::of(1), Answer::Refuse, now(2)).unwrap_err(), AnswerError::Unknown);
}

#[test]
fn the_same_request_is_one_question() {
    let mut approvals = Approvals::default();
    let Asked::New(id) = approvals.ask(&held(1), CREDENTIALS, 7, now(0)).unwrap() else { panic!() };
    assert_eq!(approvals.ask(&held(1), CREDENTIALS, 8, now(1)).unwrap(), Asked::Joined(id));
    let other = approvals.ask(&held(2), CREDENTIALS, 7, now(1)).unwrap();
    assert_eq!(other, Asked::New(id.next()), "the seed's id is taken");
}

#[test]
fn time_ends_questions_and_answers_by_either_clock() {
    for (wall, steady) in [(OPEN_MS, 0), (0, OPEN_MS), (OPEN_MS, OPEN_MS)] {
        let later = Now { wall_ms: 1_000_000 + wall, steady_ms: steady };
        let mut approvals = Approvals::default();
        let id = granted(&mut approvals, 1, 0);
        assert_eq!(redeems(&mut approvals, held(1), later), Err(Some(State::Expired)));
        assert_eq!(approvals.settle(id, Answer::Refuse, later).unwrap_err(), AnswerError::Settled(State::Expired));
    }
    let mut approvals = Approvals::default();
    granted(&mut approvals, 1, 0);
    let turned_back = Now { wall_ms: 0, steady_ms: OPEN_MS };
    assert_eq!(redeems(&mut approvals, held(1), turned_back), Err(Some(State::Expired)));
}

#[test]
fn five_are_open_for_one_agent_and_twenty_in_all() {
    let mut approvals = Approvals::default();
    let ask = |approvals: &mut Approvals, agent: usize, number: usize| {
        approvals.ask(&held_of(&format!("a{agent}"), &format!("/refunds?n={number}")), CREDENTIALS, 7, now(0))
    };
    for number in 0..MAX_OPEN_OF_ONE {
        ask(&mut approvals, 0, number).unwrap();
    }
    assert_eq!(ask(&mut approvals, 0, 99), Err(AskError::TooMany { open: MAX_OPEN_OF_ONE }));
    for agent in 1..4 {
        for number in 0..MAX_OPEN_OF_ONE {
            ask(&mut approvals, agent, number).unwrap();
        }
    }
    assert_eq!(ask(&mut approvals, 9, 0), Err(AskError::TooMany { open: 0 }));
}

#[test]
fn each_no_makes_the_next_question_wait_longer() {
    let mut approvals = Approvals::default();
    let (mut at, mut waits) = (0, Vec::new());
    for number in 0..11 {
        let id = approvals.ask(&held(number), CREDENTIALS, 7, now(at)).unwrap().id();
        approvals.settle(id, Answer::Refuse, now(at)).unwrap();
        let Err(AskError::Delayed { retry_after_ms }) = approvals.ask(&held(100 + number), CREDENTIALS, 7, now(at))
        else {
            panic!("asked at once");
        };
        assert!(approvals.ask(&held_of("b", "/refunds"), CREDENTIALS, 7, now(at)).is_ok(), "another agent");
        waits.push(retry_after_ms / 1000);
        at += retry_after_ms;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
    granted(&mut approvals, 50, at);
    let id = approvals.ask(&held(51), CREDENTIALS, 7, now(at)).unwrap().id();
    approvals.settle(id, Answer::Refuse, now(at)).unwrap();
    assert!(approvals.ask(&held(52), CREDENTIALS, 7, now(at + 5_000)).is_ok(), "a yes begins anew");
}

#[test]
fn a_lock_leaves_nothing() {
    let mut approvals = Approvals::default();
    granted(&mut approvals, 1, 0);
    approvals.clear();
    assert_eq!(redeems(&mut approvals, held(1), now(1)), Err(None));
    assert!(approvals.list(now(1)).is_empty());
}

#[test]
fn what_is_taken_back_is_not_used() {
    let mut approvals = Approvals::default();
    let id = granted(&mut approvals, 1, 0);
    assert!(approvals.revoke(id, now(1)));
    assert!(!approvals.revoke(id, now(1)));
    assert_eq!(redeems(&mut approvals, held(1), now(1)), Err(Some(State::Refused)));
}

#[test]
fn the_review_shows_what_goes_out_and_nothing_that_hides() {
    let mut question =
        question("POST", "/refunds?to=a%E2%80%AEb%0Ac", "refunds.create", &[("refunds.create", Suggestion::Ask)]);
    question.summary = "harmless\u{1b}[2J\nagent approved".into();
    let Decision::Ask(held) = decide(question) else { panic!() };
    let review = Review::of(&held).unwrap();
    let shown: Vec<_> =
        review.lines().iter().map(|line| (line.label.as_str(), line.value.as_str(), line.is_claim)).collect();
    assert_eq!(
        shown,
        [
            ("asks", "agent a (its own name for itself), user 1", false),
            ("through", "acme (provider acme)", false),
            ("operation", "refunds.create, which can create or change something, or cost money", false),
            ("sends", "POST https://api.acme.dev/refunds", false),
            ("query to", "a\\u{202e}b", false),
            ("", "c", false),
            ("the provider says", "“harmless\\u{1b}[2J\\u{a}agent approved”", true),
        ]
    );
}

#[test]
fn ids_are_read_as_they_are_written() {
    for seed in [0, 1, 31, 32, 0x000f_ffff, 0x0010_0000, u32::MAX] {
        let id = ApprovalId::of(seed);
        assert_eq!(ApprovalId::parse(&id.to_string()), Some(id));
        assert_eq!(ApprovalId::parse(&id.to_string().to_lowercase()), Some(id));
    }
    for text in ["", "7F3", "7F3KK", "7F3I", "7F3 ", "７F3", "7F3\u{0}"] {
        assert_eq!(ApprovalId::parse(text), None, "{text:?}");
    }
}

/// What can be done to the machine.
#[derive(Debug, Clone)]
enum Deed {
    Ask(usize),
    Grant(usize),
    Refuse(usize),
    Redeem(usize),
    Revoke(usize),
    Clear,
    Wait(u64),
    /// The wall clock is set.
    Set(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..6_usize).prop_map(Deed::Ask),
        4 => (0..6_usize).prop_map(Deed::Grant),
        1 => (0..6_usize).prop_map(Deed::Refuse),
        4 => (0..6_usize).prop_map(Deed::Redeem),
        1 => (0..6_usize).prop_map(Deed::Revoke),
        1 => Just(Deed::Clear),
        2 => (0..OPEN_MS * 2).prop_map(Deed::Wait),
        1 => (0..10_000_000_u64).prop_map(Deed::Set),
    ]
}

proptest! {
    /// Whatever happens in whatever order: a permit takes a yes of its own, given to this request, that nothing has ended
    /// since, and at most [`OPEN_MS`] ago by the clock that only runs.
    #[test]
    fn a_permit_takes_a_yes_of_its_own(deeds in proptest::collection::vec(deed(), 0..60)) {
        let mut approvals = Approvals::default();
        let mut at = now(0);
        // When each request was last granted, and not used, refused or taken back since.
        let mut yes: BTreeMap<usize, u64> = BTreeMap::new();
        let id_of = |approvals: &mut Approvals, number: usize, at| {
            let digest = held(number).digest(CREDENTIALS);
            let fits = |one: &&Approval| one.digest == digest && matches!(one.state, State::Pending | State::Granted);
            approvals.list(at).into_iter().find(fits).map(|one| one.id)
        };
        for (seed, deed) in deeds.into_iter().enumerate() {
            match deed {
                Deed::Ask(number) => {
                    let _ = approvals.ask(&held(number), CREDENTIALS, u32::try_from(seed).unwrap(), at);
                }
                Deed::Grant(number) | Deed::Refuse(number) => {
                    let is_grant = matches!(deed, Deed::Grant(_));
                    let answer = if is_grant { Answer::Grant(Level::Totp) } else { Answer::Refuse };
                    if let Some(id) = id_of(&mut approvals, number, at) && approvals.settle(id, answer, at).is_ok() && is_grant {
                        yes.insert(number, at.steady_ms);
                    }
                }
                Deed::Redeem(number) => {
                    if redeems(&mut approvals, held(number), at).is_ok() {
                        let since = yes.remove(&number);
                        prop_assert!(since.is_some_and(|since| at.steady_ms - since < OPEN_MS), "{since:?} at {at:?}");
                    }
                }
                Deed::Revoke(number) => {
                    if let Some(id) = id_of(&mut approvals, number, at) && approvals.revoke(id, at) {
                        yes.remove(&number);
                    }
                }
                Deed::Clear => {
                    approvals.clear();
                    yes.clear();
                }
                Deed::Wait(ms) => at = Now { wall_ms: at.wall_ms + ms, steady_ms: at.steady_ms + ms },
                Deed::Set(wall_ms) => at.wall_ms = wall_ms,
            }
        }
    }

    /// Different askers, requests and credentials have different digests.
    #[test]
    fn digests_are_one_to_one(
        a in ("[a-c]{1,2}", "[a-c]{0,3}", 1..3_u32, 0..2_u8), b in ("[a-c]{1,2}", "[a-c]{0,3}", 1..3_u32, 0..2_u8),
    ) {
        let of = |(agent, query, version, id): &(String, String, u32, u8)| {
            held_of(agent, &format!("/refunds?{query}=")).digest(&[(SecretId::from_bytes([*id; 16]), *version)])
        };
        prop_assert_eq!(a == b, of(&a) == of(&b));
    }
}
