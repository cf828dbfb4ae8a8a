//! The byte form, and what is said of it in the reference.

use kv_model::{
    CallId, ConnectionName, Digest, OperationName, Origin, Principal, PrincipalName, ProviderName, SettingName,
    SlotName, Suggestion, VaultId,
};
use kv_policy::approval::ApprovalId;
use proptest::prelude::*;

use super::*;
use std::collections::BTreeMap;

use crate::event::{Answer, Attempt, FactorUsed, LockCause, StopCause};
use crate::format::{parse_line, write_line};
use crate::setup::{Decided, MAX_NAMED, Setup};
use crate::text::{Claim, Code};
use crate::{Denied, Entry, Intent, Later, LineError, OutcomeOf, Record, Repair, SegmentReason, SegmentStart};

fn line(record: &Record) -> Vec<u8> {
    let mut line = Vec::new();
    write_line(&mut line, 7, T0, 0, Digest::of(b"before"), record);
    line.pop();
    line
}

fn principal() -> impl Strategy<Value = Principal> {
    ("[a-z0-9][a-z0-9._-]{0,39}", any::<u32>(), any::<bool>()).prop_map(|(name, uid, agent)| match agent {
        true => Principal::Agent { name: PrincipalName::parse(&name).unwrap(), uid },
        false => Principal::Operator { uid },
    })
}

fn claim() -> impl Strategy<Value = Claim> {
    prop_oneof![any::<String>().prop_map(|text| Claim::cut(&text)), "[ -~]{0,400}".prop_map(|text| Claim::cut(&text))]
}

fn secrets() -> impl Strategy<Value = Vec<SecretName>> {
    prop::collection::vec("[A-Z_][A-Z0-9_]{0,20}".prop_map(|name| SecretName::parse(&name).unwrap()), 0..5)
}

fn origin() -> impl Strategy<Value = Origin> {
    prop::sample::select(vec![
        "https://api.acme.dev",
        "https://api.acme.dev:8443",
        "http://127.0.0.1:80",
        "https://[::1]:9",
    ])
    .prop_map(|text| Origin::parse(text).unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn id() -> impl Strategy<Value = CallId> {
    any::<[u8; 16]>().prop_map(CallId::from_bytes)
}

fn connection() -> ConnectionName {
    ConnectionName::parse("stripe-test").unwrap()
}

fn provider() -> ProviderName {
    ProviderName::parse("stripe").unwrap()
}

fn operation() -> OperationName {
    OperationName::parse("charges.create").unwrap()
}

fn later<T>(uid: u32, value: T) -> Later<T> {
    if uid.is_multiple_of(3) { Later::Unknown } else { Later::Known(value) }
}

fn setup(secrets: &[SecretName], text: &Claim, digest: Digest) -> Setup {
    let slot = |index: usize| SlotName::parse(&format!("slot{index}")).unwrap();
    Setup {
        private: secrets.len().is_multiple_of(2),
        ca: (secrets.len() > 1).then_some(digest),
        settings: BTreeMap::from([(SettingName::parse("org").unwrap(), text.clone())]),
        bindings: secrets.iter().enumerate().map(|(index, secret)| (slot(index), secret.clone())).collect(),
    }
}

fn decided(more: u64) -> Decided {
    Decided { allow: vec![operation(), operation()], ask: Vec::new(), deny: vec![operation()], more }
}

fn approval(seed: u32) -> ApprovalId {
    let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |place: u32| digits.chars().nth((seed >> (5 * place) & 31) as usize).unwrap();
    ApprovalId::parse(&[digit(0), digit(1), digit(2), digit(3)].iter().collect::<String>()).unwrap()
}

/// Every record there is, filled at random.
fn record() -> impl Strategy<Value = Record> {
    use Event::*;
    let small = (any::<u32>(), any::<u64>(), any::<Option<i32>>(), any::<u16>());
    let texts = (claim(), claim(), secrets(), principal(), origin());
    let rest = (digest(), id(), prop::sample::select(&Effect::ALL[..]));
    (0..27, small, texts, rest).prop_map(
        |(kind, (uid, big, signed, short), (text, other, secrets, principal, origin), (digest, call, effect))| {
            let secret = SecretName::parse("OPENAI_API_KEY").unwrap();
            let maybe = |text: &Claim| (uid % 2 == 0).then(|| text.clone());
            Record::Event(match kind {
                0 => ConnectionEdited {
                    connection: connection(),
                    provider: provider(),
                    origin,
                    setup: later(uid, setup(&secrets, &text, digest)),
                    decided: later(uid, decided(big)),
                    secrets,
                    uid,
                },
                1 => ConnectionMade {
                    connection: connection(),
                    provider: provider(),
                    provider_digest: digest,
                    origin,
                    setup: later(uid, setup(&secrets, &text, digest)),
                    secrets,
                    uid,
                },
                2 => ConnectionRemoved { connection: connection(), uid },
                3 => DaemonStarted { version: text, pid: uid, uid },
                4 => DaemonStopped { cause: StopCause::ALL[uid as usize % StopCause::ALL.len()] },
                5 => Locked { cause: LockCause::ALL[uid as usize % LockCause::ALL.len()] },
                6 => PassphraseChanged { uid },
                7 => Refused {
                    call: (uid % 2 == 0).then_some(call),
                    principal,
                    connection: maybe(&text),
                    operation: maybe(&other),
                    code: Code::new("unlisted"),
                },
                8 => RunEnded {
                    run: call,
                    exit_code: signed,
                    signal: signed.map(|code| code.wrapping_neg()),
                    redactions: big,
                },
                9 => RunStarted { run: call, command: text, secrets, uid },
                10 => SecretRemoved { secret, uid },
                11 => SecretRenamed { secret: secret.clone(), to: secret, uid },
                12 => SecretRotated { secret, version: uid, uid },
                13 => SecretSet { secret, version: uid, uid },
                14 => UnlockFailed { failures: uid, wait_ms: big, uid },
                15 => Unlocked { until_ms: (uid % 2 == 0).then_some(big), uid },
                16 => VaultCreated { vault: VaultId::from_bytes(*call.as_bytes()), uid },
                17 if uid % 2 == 0 => Attempted { what: Attempt::ALL[uid as usize % Attempt::ALL.len()], uid },
                17 if uid % 3 == 0 => Refusal { principal, reason: Code::new("verb"), more: big },
                17 if uid % 5 == 0 => HostKeysAsked { origin, jump: (uid % 25 == 0).then(connection), uid },
                17 if uid % 7 == 0 => RoleExamined { connection: connection(), uid },
                17 => return Record::Repair(Repair { segment: uid, bytes: big }),
                18 => {
                    let reason = SegmentReason::ALL[uid as usize % SegmentReason::ALL.len()];
                    return Record::Segment(SegmentStart { format: 1, segment: uid, reason, durable: big });
                }
                19 | 20 => {
                    return Record::Denied(Denied {
                        call,
                        step: uid,
                        principal,
                        connection: connection(),
                        provider: provider(),
                        operation: operation(),
                        effect,
                        endpoint: text,
                        reason: Code::new("ask"),
                        most: (uid % 2 == 0).then_some(effect),
                    });
                }
                23 => ApprovalAsked {
                    approval: approval(uid),
                    digest,
                    call,
                    principal,
                    connection: connection(),
                    operation: operation(),
                    effect,
                    endpoint: text,
                },
                24 => ApprovalAnswered {
                    approval: approval(uid),
                    digest,
                    answer: Answer::ALL[uid as usize % Answer::ALL.len()],
                    factor: (uid % 2 == 0).then_some(FactorUsed::Totp),
                    uid,
                },
                25 if uid % 2 == 0 => ApprovalExpired { approval: approval(uid) },
                25 => FactorAdded { factor: FactorUsed::Totp, uid },
                26 if uid % 3 == 0 => FactorRemoved { factor: FactorUsed::Recovery, uid },
                26 if uid % 3 == 1 => FactorProved { what: Attempt::FactorTest, factor: FactorUsed::Passphrase, uid },
                26 => FactorFailed { what: Attempt::Approve, reason: Code::new("used"), wait_ms: big, uid },
                21 => {
                    return Record::Outcome(OutcomeOf {
                        intent: big,
                        call,
                        step: uid,
                        sent: Sent::ALL[uid as usize % 3],
                        status: (uid % 2 == 0).then_some(short),
                        bytes_in: big,
                        bytes_out: big,
                        duration_us: big,
                        redactions: big,
                        error: (uid % 2 == 1).then_some(Code::new("egress.connect")),
                    });
                }
                _ => {
                    let mut intent = Intent::of(&permit(effect, text.as_str()));
                    (intent.path, intent.endpoint, intent.secrets, intent.origin) = (other, text, secrets, origin);
                    (intent.request, intent.call, intent.principal) = (digest, call, principal);
                    intent.approval = later(uid, (uid % 2 == 0).then(|| approval(uid)));
                    return Record::Intent(intent);
                }
            })
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in record(), seq in any::<u64>(), time_ms in any::<u64>(), clock_back_ms in any::<u64>(), prev in digest()) {
        let mut line = Vec::new();
        let hash = write_line(&mut line, seq, time_ms, clock_back_ms, prev, &record);
        prop_assert_eq!(line.pop(), Some(b'\n'));
        prop_assert!(!line.contains(&b'\n'));
        let entry = Entry { seq, time_ms, clock_back_ms, prev, record, hash };
        prop_assert_eq!(parse_line(&line), Ok(entry.clone()));
        prop_assert_eq!(entry.line().into_bytes(), line.clone());
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(json["kind"].as_str(), Some(entry.record.kind()));
    }

    #[test]
    fn anything_can_be_read_without_harm(line in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse_line(&line).is_err());
    }

    /// With the hash made right again, as somebody would who invents entries.
    #[test]
    fn nothing_but_the_one_form_is_read(record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(), what in 0..3) {
        let line = line(&record);
        let mut body = line[..line.len() - 75].to_vec();
        let at = at.index(body.len());
        match what {
            0 => body[at] = byte,
            1 => body.insert(at, byte),
            _ => drop(body.remove(at)),
        }
        let forged = with_hash(&body);
        if let Ok(entry) = parse_line(&forged) {
            prop_assert_eq!(entry.line().into_bytes(), forged);
        }
    }

    /// Any events at all make a chain that verifies, and comes back as it was.
    #[test]
    fn any_events_make_a_chain(records in prop::collection::vec((record(), 0..3_i64), 1..30)) {
        let disk = MemoryDisk::default();
        let log = open_with(&disk, small_segments());
        let mut events = Vec::new();
        for (index, (record, jump)) in records.into_iter().enumerate() {
            if let Record::Event(event) = record {
                let now = T0.saturating_add_signed(jump * 1000 - index as i64);
                events.push((log.record_event(event.clone(), now).unwrap(), event));
            }
        }
        drop(log);
        intact(&disk);
        let read = crate::read::entries_of(Box::new(disk), crate::Filter::default()).unwrap();
        let read: Vec<_> = read.map(Result::unwrap).filter_map(|entry| match entry.record {
            Record::Event(event) => Some((entry.seq, event)),
            _ => None,
        }).collect();
        prop_assert_eq!(read, events);
    }
}

fn with_hash(body: &[u8]) -> Vec<u8> {
    [body, b",\"hash\":\"", Digest::of(body).to_string().as_bytes(), b"\"}"].concat()
}

#[test]
fn other_ways_to_write_the_same_are_refused() {
    let good = line(&Record::Event(Event::Locked { cause: LockCause::Asked }));
    let good = String::from_utf8(good[..good.len() - 75].to_vec()).unwrap();
    assert!(parse_line(&with_hash(good.as_bytes())).is_ok());
    for (from, to) in [
        ("\"seq\":7", "\"seq\":07"),
        ("\"seq\":7", "\"seq\": 7"),
        ("\"seq\":7", "\"seq\":7.0"),
        ("\"seq\":7", "\"seq\":18446744073709551616"),
        ("{\"seq\"", " {\"seq\""),
        ("\"asked\"", "\"ask\\u0065d\""),
        ("\"asked\"", "\"bored\""),
        ("\"kind\":\"locked\"", "\"kind\":\"unheard_of\""),
        (",\"prev\"", ",\"clock_back_ms\":0,\"prev\""),
        ("\"cause\":\"asked\"", "\"cause\":\"asked\",\"note\":\"x\""),
        (",\"cause\":\"asked\"", ""),
    ] {
        assert!(good.contains(from), "{from}");
        let forged = with_hash(good.replacen(from, to, 1).as_bytes());
        assert_eq!(parse_line(&forged), Err(LineError::Malformed), "{to}");
    }
    assert_eq!(parse_line(&vec![b'x'; 1 << 20]), Err(LineError::TooLong));
}

/// Lines as an older kv wrote them, byte for byte.
#[test]
fn entries_older_than_a_field_are_read_without_it() {
    let before = r#"{"seq":7,"time_ms":1700000000000,"prev":"DIGEST","kind":"#;
    for (rest, whole) in [
        (
            concat!(
                r#""connection_made","connection":"acme","provider":"acme","provider_digest":"DIGEST","#,
                r#""origin":"https://api.acme.dev","secrets":["ACME_KEY"],"uid":1000"#
            ),
            r#","setup":{"private":false,"ca":null,"settings":{},"bindings":{"key":"ACME_KEY"}}"#,
        ),
        (
            concat!(
                r#""connection_edited","connection":"acme","provider":"acme","#,
                r#""origin":"https://api.acme.dev","secrets":["ACME_KEY"],"uid":1000"#
            ),
            concat!(
                r#","setup":{"private":true,"ca":"DIGEST","settings":{"org":"x"},"bindings":{}},"#,
                r#""decided":{"allow":["charges.create"],"ask":[],"deny":[],"more":0}"#
            ),
        ),
    ] {
        let digest = Digest::of(b"x").to_string();
        for text in [format!("{before}{rest}"), format!("{before}{rest}{whole}")] {
            let line = with_hash(text.replace("DIGEST", &digest).as_bytes());
            let entry = parse_line(&line).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(entry.line().into_bytes(), line);
        }
        // Half of it is no entry of any age.
        let cut = format!("{before}{rest},\"setup\":{{\"private\":true}}").replace("DIGEST", &digest);
        assert_eq!(parse_line(&with_hash(cut.as_bytes())), Err(LineError::Malformed));
    }
}

#[test]
fn an_edit_names_what_it_changed_and_counts_the_rest() {
    let connection = |decisions: &[(String, Suggestion)]| {
        let mut connection = kv_model::Connection::clone(permit(Effect::Read, "").connection());
        let named = decisions.iter().map(|(name, decision)| (OperationName::parse(name).unwrap(), *decision));
        connection.accepted = named.collect();
        connection
    };
    let all = |decision| (0..100).map(|n| (format!("op{n:03}"), decision)).collect::<Vec<_>>();
    let before = connection(&all(Suggestion::Deny));
    let mut some = all(Suggestion::Deny);
    (some[3].1, some[5].1) = (Suggestion::Allow, Suggestion::Ask);
    let decided = Decided::between(&before, &connection(&some));
    let names = |names: &[OperationName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((names(&decided.allow), names(&decided.ask)), (vec!["op003".to_owned()], vec!["op005".to_owned()]));
    assert_eq!((decided.deny.len(), decided.more), (0, 0));
    let mut most = all(Suggestion::Ask);
    most[99].1 = Suggestion::Allow;
    let decided = Decided::between(&before, &connection(&most));
    // What was allowed is never among the rest while there is room for it.
    assert_eq!(names(&decided.allow), ["op099"]);
    assert_eq!((decided.ask.len(), decided.more), (MAX_NAMED - 1, 36));
    let lost = Decided::between(&before, &connection(&[]));
    assert_eq!((lost.deny.len(), lost.more), (MAX_NAMED, 36));
}

#[test]
fn the_reference_names_every_kind_and_field() {
    let reference = include_str!("../../../../docs/reference/audit-format.md");
    let own = [
        (Denied::KIND, Denied::FIELDS),
        (Intent::KIND, Intent::FIELDS),
        (OutcomeOf::KIND, OutcomeOf::FIELDS),
        (Repair::KIND, Repair::FIELDS),
        (SegmentStart::KIND, SegmentStart::FIELDS),
    ];
    for (kind, fields) in own.iter().chain(Event::KINDS) {
        let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        let row = format!("| `{kind}` | {} |", fields.join(", "));
        assert!(reference.contains(&row), "audit-format.md has no row that begins with: {row}");
    }
}
