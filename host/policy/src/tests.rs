use std::collections::BTreeMap;

use kv_model::{ConnectionName, Digest, HttpRequest, Manifest, Origin, PrincipalName, ProviderName, RawRequest};
use proptest::prelude::*;

use super::*;

const MANIFEST: &str = r#"{
    "schema": "kv.manifest/1", "name": "acme", "version": "1.0.0", "protocol": "http", "origins": ["https://api.acme.dev"],
    "endpoints": [
        {"method": "GET", "path": "/things", "operation": "things.list"},
        {"method": "POST", "path": "/refunds", "operation": "refunds.create"}
    ],
    "operations": [
        {"name": "things.list", "effect": "read", "suggest": "allow"},
        {"name": "refunds.create", "effect": "write", "suggest": "ask"}
    ]
}"#;

pub(crate) fn name(text: &str) -> OperationName {
    OperationName::parse(text).unwrap()
}

pub(crate) fn question(method: &str, path: &str, asked: &str, accepted: &[(&str, Suggestion)]) -> Question {
    let manifest = Manifest::parse(MANIFEST.as_bytes()).unwrap();
    let raw = RawRequest { method: method.into(), path: path.into(), ..Default::default() };
    let call = CallId::from_bytes([1; 16]);
    let request = HttpRequest::from_caller(raw, &manifest, call, &[]).unwrap();
    Question {
        principal: Principal::Agent { name: PrincipalName::parse("a").unwrap(), uid: 1 },
        call,
        step: 0,
        connection: Arc::new(Connection {
            name: ConnectionName::parse("acme").unwrap(),
            provider: ProviderName::parse("acme").unwrap(),
            provider_digest: Digest::ZERO,
            origin: Origin::parse("https://api.acme.dev").unwrap(),
            allow_private: false,
            ca: None,
            settings: BTreeMap::new(),
            bindings: BTreeMap::new(),
            accepted: accepted.iter().map(|(operation, suggestion)| (name(operation), *suggestion)).collect(),
            effects: BTreeMap::new(),
            created_ms: 0,
        }),
        asked: name(asked),
        declared: request.effect(),
        effect: request.effect(),
        most: Effect::Grant,
        summary: String::new(),
        request: Request::Http(request),
    }
}

fn reason(question: Question) -> Option<Reason> {
    match decide(question) {
        Decision::Allow(_) => None,
        Decision::Ask(_) => Some(Reason::Unanswered),
        Decision::Deny(denial) => Some(denial.reason),
    }
}

#[test]
fn what_was_accepted_goes_through_and_nothing_else() {
    use Suggestion::*;
    let list = |accepted: &[(&str, Suggestion)]| reason(question("GET", "/things", "things.list", accepted));
    assert_eq!(list(&[("things.list", Allow)]), None);
    assert_eq!(list(&[("things.list", Ask)]), Some(Reason::Unanswered));
    assert_eq!(list(&[("things.list", Deny)]), Some(Reason::Deny));
    assert_eq!(list(&[]), Some(Reason::NotAccepted));
}

#[test]
fn a_provider_cannot_build_another_operation_than_was_asked_for() {
    use Suggestion::*;
    let accepted = [("things.list", Allow), ("refunds.create", Ask)];
    assert_eq!(reason(question("POST", "/refunds", "things.list", &accepted)), Some(Reason::Unanswered));
    let accepted = [("things.list", Allow), ("refunds.create", Allow)];
    let mut graver = question("POST", "/refunds", "things.list", &accepted);
    graver.declared = Effect::Read;
    assert_eq!(reason(graver), Some(Reason::Graver { declared: Effect::Read }));
}

#[test]
fn a_caller_that_only_reads_only_reads() {
    let mut question = question("POST", "/refunds", "refunds.create", &[("refunds.create", Suggestion::Allow)]);
    question.most = Effect::Read;
    assert_eq!(reason(question), Some(Reason::MoreThanAsked { most: Effect::Read }));
}

fn suggestion() -> impl Strategy<Value = Option<Suggestion>> {
    prop_oneof![Just(None), Just(Some(Suggestion::Allow)), Just(Some(Suggestion::Ask)), Just(Some(Suggestion::Deny))]
}

fn effect() -> impl Strategy<Value = Effect> {
    proptest::sample::select(&Effect::ALL[..])
}

proptest! {
    /// A permit exists only where both operations were accepted and nothing is graver than it may be; a question only
    /// where one of them asks.
    #[test]
    fn allow_means_accepted(asked in suggestion(), sent in suggestion(), declared in effect(), real in effect(), most in effect()) {
        let mut accepted = Vec::new();
        accepted.extend(asked.map(|s| ("things.list", s)));
        accepted.extend(sent.map(|s| ("refunds.create", s)));
        let mut question = question("POST", "/refunds", "things.list", &accepted);
        (question.declared, question.effect, question.most) = (declared, real, most);
        let within = real <= declared && real <= most;
        let allowed = |suggestion| suggestion == Some(Suggestion::Allow);
        let no = |suggestion| matches!(suggestion, None | Some(Suggestion::Deny));
        match decide(question) {
            Decision::Allow(_) => prop_assert!(within && allowed(asked) && allowed(sent)),
            // No yes of a person lifts a no, or makes a request graver than it may be.
            Decision::Ask(_) => {
                prop_assert!(within && !no(asked) && !no(sent));
                prop_assert!(asked == Some(Suggestion::Ask) || sent == Some(Suggestion::Ask));
            }
            Decision::Deny(_) => prop_assert!(!within || no(asked) || no(sent)),
        }
    }
}
