//! R01, R02, R04: a service that sends the secret back, in every place of an answer, in every form, cut everywhere.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kv_fakes::{
    Echo, Encode, Place, Protocols, Recorded, Script, Scripted, ServeOptions, Service, Split, Step, What, serve,
};

use super::lab::{CANARY, Lab, Seen, contains, quick};

type Form = (&'static str, fn(&[u8]) -> Vec<u8>);

fn each(secret: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    secret.iter().map(|byte| write(*byte)).collect::<String>().into_bytes()
}

const FORMS: [Form; 17] = [
    ("raw", <[u8]>::to_vec),
    ("lower", |s| s.to_ascii_lowercase()),
    ("upper", |s| s.to_ascii_uppercase()),
    ("percent", |s| each(s, |b| format!("%{b:02X}"))),
    ("percent twice", |s| each(s, |b| format!("%25{b:02x}"))),
    ("json", |s| each(s, |b| format!("\\u{b:04x}"))),
    ("json in json", |s| each(s, |b| format!("\\\\u{b:04x}"))),
    ("html decimal", |s| each(s, |b| format!("&#{b};"))),
    ("html hex", |s| each(s, |b| format!("&#x{b:x};"))),
    ("base64", |s| STANDARD.encode(s).into_bytes()),
    ("base64 of a pair", |s| STANDARD.encode([b"user:", s].concat()).into_bytes()),
    ("base64 of a bearer", |s| URL_SAFE_NO_PAD.encode([b"Bearer ", s].concat()).into_bytes()),
    ("hex", |s| each(s, |b| format!("{b:02x}"))),
    ("hex with colons", |s| each(s, |b| format!("{b:02X}:"))),
    ("backslash x", |s| each(s, |b| format!("\\x{b:02x}"))),
    ("reversed", |s| s.iter().rev().copied().collect()),
    ("quoted", |s| [b"'", s, b"'"].concat()),
];

/// Only in a body: the head of an answer has no bytes of zero.
const WIDE: [Form; 2] = [
    ("utf-16le", |s| s.iter().flat_map(|b| [*b, 0]).collect()),
    ("utf-32be", |s| s.iter().flat_map(|b| [0, 0, 0, *b]).collect()),
];

/// Each request names its echo by number.
fn echoing(lab: &Lab, protocols: Protocols, echoes: Vec<Echo>) -> Service {
    let echoes = Arc::new(echoes);
    let which = move |request: &Recorded| {
        let number: usize = request.path().trim_start_matches("/things/").parse().unwrap();
        echoes[number].clone()
    };
    let options = ServeOptions { protocols, ..ServeOptions::default() };
    if protocols == Protocols::Http2 {
        return serve(move |request: &Recorded| kv_fakes::Fake::reply(&which(request), request), &lab.ca, options)
            .unwrap();
    }
    let script =
        Script::new([Step::ReadRequest, Step::decide(move |request| vec![Step::Echo(which(request))]), Step::Again]);
    Scripted::start_with(&lab.ca, options, move |_| script.clone()).unwrap()
}

/// Nothing of the secret is in what the caller sees: not in the form sent, nor raw in any case of letters.
fn check(seen: &Seen, secret: &[u8], sent: &[u8], what: &str) {
    let all = seen.bytes();
    // Base64 mixes up to six bits of a neighbour in at each edge; the middle must be gone.
    let middle = &sent[sent.len() / 4..sent.len() * 3 / 4];
    for part in [secret, &secret.to_ascii_lowercase(), middle] {
        assert!(!contains(&all, part), "{what}: {}", String::from_utf8_lossy(&all));
    }
}

async fn reflect(secret: &[u8], protocols: Protocols, places: &[Place], forms: &[Form], splits: &[Split]) {
    let lab = Lab::new(quick());
    lab.rotate("KEY", secret);
    let mut cases = Vec::new();
    for place in places {
        for (form, encode) in forms {
            for split in splits {
                let what = What::Fixed(secret.to_vec().into());
                let echo =
                    Echo { what, encode: Encode::with(*encode), place: place.clone(), split: *split, status: 200 };
                cases.push((echo, encode(secret), format!("{form} in {place:?} cut {split:?} over {protocols:?}")));
            }
        }
    }
    let service = echoing(&lab, protocols, cases.iter().map(|(echo, ..)| echo.clone()).collect());
    let connection = lab.to(&service);
    for (number, (_, sent, what)) in cases.iter().enumerate() {
        let answer = lab.get(&connection, &format!("/things/{number}")).await;
        // A name of odd characters is no header: the whole answer is refused.
        let Ok(answer) = answer else {
            assert!(what.contains("HeaderName"), "{what}");
            continue;
        };
        let seen = Seen::of(answer).await.unwrap();
        check(&seen, secret, sent, what);
        let kept = !["Reason", "ChunkExtension", "SetCookie", "HeaderName"].iter().any(|place| what.contains(place));
        assert!(!kept || seen.hits > 0, "{what}: nothing was counted");
    }
}

#[tokio::test]
async fn every_form_in_every_place() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        reflect(CANARY.as_bytes(), protocols, &Place::ALL, &FORMS, &[Split::Whole]).await;
        reflect(
            CANARY.as_bytes(),
            protocols,
            &[Place::Body("application/octet-stream"), Place::BodyJsonString],
            &WIDE,
            &[Split::Whole],
        )
        .await;
    }
}

#[tokio::test]
async fn every_cut() {
    let places =
        [Place::BodyJsonString, Place::SseData, Place::Header("x-echo"), Place::Trailer("x-echo"), Place::BodyHtml];
    let splits: Vec<Split> = (0..=CANARY.len()).map(Split::At).chain([1, 2, 3, 5].map(Split::Every)).collect();
    reflect(CANARY.as_bytes(), Protocols::Http1, &places, &FORMS[..1], &splits).await;
    reflect(CANARY.as_bytes(), Protocols::Http2, &[Place::SseData], &FORMS[..1], &splits).await;
    let every: Vec<Split> = [1, 3, 7, 16].map(Split::Every).into();
    reflect(CANARY.as_bytes(), Protocols::Http1, &[Place::Body("text/plain")], &FORMS, &every).await;
}

#[tokio::test]
async fn lengths() {
    let long: String = (0..4096).map(|n: u32| char::from(b'a' + (n * n % 26) as u8)).collect();
    for length in [12, 16, 40, 200, 4096] {
        let secret = &long.as_bytes()[17 * length % 50..][..length.min(4000)];
        let splits = [Split::Whole, Split::Every(100)];
        reflect(secret, Protocols::Http1, &[Place::Body("text/plain"), Place::Header("x-echo")], &FORMS[..4], &splits)
            .await;
    }
}

/// Errors and redirects are cleaned like any answer.
#[tokio::test]
async fn every_status() {
    let lab = Lab::new(quick());
    let echo = |status| Echo { status, ..Echo::all() };
    let statuses = [201, 400, 401, 403, 404, 429, 500, 503, 599, 302];
    let service = echoing(&lab, Protocols::Http1, statuses.map(echo).into());
    for (number, status) in statuses.into_iter().enumerate() {
        let seen = Seen::of(lab.get(&lab.to(&service), &format!("/things/{number}")).await.unwrap()).await.unwrap();
        assert_eq!(seen.status, status);
        assert!(contains(&seen.body, b"Bearer [kv:redacted]"), "{}", String::from_utf8_lossy(&seen.body));
        check(&seen, CANARY.as_bytes(), CANARY.as_bytes(), "the request sent back");
    }
}

/// R04, R05: a part of a value passes, right or wrong alike.
#[tokio::test]
async fn parts_pass() {
    let lab = Lab::new(quick());
    let parts = [&CANARY[..8], &CANARY[..CANARY.len() - 1], &CANARY[1..], "sk-...b3e1"];
    let echo = |part: &str| Echo { what: What::Fixed(part.as_bytes().to_vec().into()), ..Echo::all() };
    let service = echoing(&lab, Protocols::Http1, parts.map(echo).into());
    for (number, part) in parts.into_iter().enumerate() {
        let seen = Seen::of(lab.get(&lab.to(&service), &format!("/things/{number}")).await.unwrap()).await.unwrap();
        assert_eq!((&seen.body[..], seen.hits), (part.as_bytes(), 0));
    }
}

/// Answers are cleaned of every value of the vault, not only of the one that was sent.
#[tokio::test]
async fn other_secrets() {
    let lab = Lab::new(quick());
    let other = b"kvcanary_of_another_service";
    let id = lab.set("OTHER", other).id;
    let echo = Echo { what: What::Fixed(other.to_vec().into()), ..Echo::all() };
    let service = echoing(&lab, Protocols::Http1, vec![echo]);
    let mut answer = lab.get(&lab.to(&service), "/things/0").await.unwrap();
    assert_eq!(&answer.body.collect(100).await.unwrap()[..], b"[kv:redacted]");
    assert_eq!(answer.body.hits().iter().collect::<Vec<_>>(), [(&id, &1)]);
}

/// A short password is found in the form in which it went out, though not by itself in every form.
#[tokio::test]
async fn a_short_password() {
    let scheme = serde_json::json!({"type": "basic", "user": "{setting:account}", "password": "{key}"});
    let lab = Lab::with(crate::Shared::new(quick()), &[scheme]);
    lab.rotate("KEY", b"s3cret");
    let service = echoing(&lab, Protocols::Http1, vec![Echo::all()]);
    let seen = Seen::of(lab.get(&lab.to(&service), "/things/0").await.unwrap()).await.unwrap();
    assert!(contains(&seen.body, b"authorization: Basic [kv:redacted]"), "{}", String::from_utf8_lossy(&seen.body));
}
