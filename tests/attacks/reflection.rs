//! R01, R02, R04, R05, R07, R09, R11, R14: a service that sends secrets back, and a caller that has one.

use std::sync::Arc;

use kv_fakes::{Echo, Encode, Place, Script, Split, Step, What};
use kv_redact::MARKER;
use serde_json::{Value, json};

use crate::harness::{Answer, Canary, Connected, Door, Kv, Wire, all_right, base64, contains, request};

type Form = (&'static str, fn(&[u8]) -> Vec<u8>);

fn each(secret: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    secret.iter().map(|byte| write(*byte)).collect::<String>().into_bytes()
}

/// The encodings of the first level. Those with bytes that no head of an answer has come last.
const FORMS: [Form; 26] = [
    ("as it is", <[u8]>::to_vec),
    ("lower case", <[u8]>::to_ascii_lowercase),
    ("upper case", <[u8]>::to_ascii_uppercase),
    ("percent", |s| each(s, |b| format!("%{b:02X}"))),
    ("percent in lower case", |s| each(s, |b| format!("%{b:02x}"))),
    ("percent twice", |s| each(s, |b| format!("%25{b:02X}"))),
    ("JSON", |s| each(s, |b| format!("\\u{b:04x}"))),
    ("JSON in part", |s| {
        each(s, |b| if b.is_ascii_digit() { format!("\\u{b:04X}") } else { char::from(b).to_string() })
    }),
    ("JSON in JSON", |s| each(s, |b| format!("\\\\u{b:04x}"))),
    ("HTML decimal", |s| each(s, |b| format!("&#{b};"))),
    ("HTML hex", |s| each(s, |b| format!("&#x{b:x};"))),
    ("base64", |s| base64(s).into_bytes()),
    ("base64 after one byte", |s| base64(&[b"x", s].concat()).into_bytes()),
    ("base64 after two bytes", |s| base64(&[b"xy", s].concat()).into_bytes()),
    ("base64 of a pair", |s| base64(&[b"user:", s].concat()).into_bytes()),
    ("base64 of a bearer", |s| base64(&[b"Bearer ", s].concat()).into_bytes()),
    ("base64 without padding, for URLs", |s| {
        base64(s).trim_end_matches('=').replace('+', "-").replace('/', "_").into_bytes()
    }),
    ("hex", |s| each(s, |b| format!("{b:02x}"))),
    ("hex in upper case", |s| each(s, |b| format!("{b:02X}"))),
    ("hex with colons", |s| each(s, |b| format!("{b:02x}:"))),
    ("hex with blanks", |s| each(s, |b| format!("{b:02x} "))),
    ("hex with backslashes", |s| each(s, |b| format!("\\x{b:02x}"))),
    ("backwards", |s| s.iter().rev().copied().collect()),
    ("quoted", |s| [b"'", s, b"'"].concat()),
    ("UTF-16", |s| s.iter().flat_map(|b| [*b, 0]).collect()),
    ("UTF-32", |s| s.iter().flat_map(|b| [0, 0, 0, *b]).collect()),
];
const IN_HEADS: usize = 24;

/// A service that answers `/v1/models/N` with the Nth echo of its own key, and how they are asked for.
fn echoing(kv: &Kv, name: &str, make: impl Fn(&[u8]) -> Vec<Echo>) -> (Connected, usize) {
    let key = kv.plant(Canary::openai());
    let echoes = Arc::new(make(key.value.as_bytes()));
    let count = echoes.len();
    let choose = move |request: &kv_fakes::Recorded| {
        let number: usize = request.path().trim_start_matches("/v1/models/").parse().unwrap();
        vec![Step::Echo(echoes[number].clone())]
    };
    let script = Script::new([Step::ReadRequest, Step::decide(choose), Step::Again]);
    let service = kv_fakes::Scripted::start_blocking(&kv.ca, script).unwrap();
    (kv.connect("openai", name, service, key), count)
}

fn echo(bytes: Vec<u8>, place: Place, split: Split) -> Echo {
    Echo { what: What::Fixed(bytes.into()), encode: Encode::plain(), place, split, status: 200 }
}

fn get(wire: &mut Wire<'_>, connection: &str, number: usize) -> Answer {
    let call = json!({ "connection": connection, "method": "GET", "path": format!("/v1/models/{number}") }).to_string();
    wire.send(request("POST", "/v1/api", &[("kv-agent", "tester")], call.as_bytes())).unwrap();
    Answer::read(wire).unwrap()
}

fn everything(answer: &Answer) -> Vec<u8> {
    let mut all = answer.body.clone();
    for (name, value) in &answer.headers {
        all.extend_from_slice(format!("\n{name}: {value}").as_bytes());
    }
    all.extend_from_slice(answer.error.as_ref().map_or(String::new(), Value::to_string).as_bytes());
    all
}

/// R01: every form in every place, whole and in pieces of seven bytes.
#[test]
fn every_form_in_every_place() {
    let kv = Kv::unlocked();
    let mut names = Vec::new();
    let mut echoes: Vec<(Place, Form, Split)> = Vec::new();
    for place in Place::ALL {
        let in_body = matches!(
            place,
            Place::Body(_)
                | Place::BodyCsv
                | Place::BodyHtml
                | Place::BodyJsonKey
                | Place::BodyJsonString
                | Place::BodyXml
                | Place::SseComment
                | Place::SseData
                | Place::SseEvent
                | Place::SseId
        );
        for form in FORMS.into_iter().take(if in_body { FORMS.len() } else { IN_HEADS }) {
            let splits: &[Split] = if in_body { &[Split::Whole, Split::Every(7)] } else { &[Split::Whole] };
            for split in splits {
                names.push((format!("{place:?}, {}, {split:?}", form.0), in_body));
                echoes.push((place.clone(), form, *split));
            }
        }
    }
    let (service, count) = echoing(&kv, "echo", |key| {
        echoes.iter().map(|(place, form, split)| echo(form.1(key), place.clone(), *split)).collect()
    });
    let mut wrong = Vec::new();
    let mut wire = Wire::connect(&kv, Door::Agent);
    for (number, (name, in_body)) in names.iter().enumerate() {
        let answer = get(&mut wire, "echo", number);
        if let Some(form) = service.key.found_in(&everything(&answer)) {
            wrong.push(format!("{name}: leaks {form}"));
        } else if *in_body && !answer.text().contains(MARKER_TEXT) {
            wrong.push(format!("{name}: nothing was masked: {}", answer.gist()));
        }
        if !answer.complete {
            wire = Wire::connect(&kv, Door::Agent);
        }
    }
    all_right(count, &wrong);
    assert_eq!(service.request_count(), count);
    let masked: u64 = kv.trail_of("outcome").iter().filter_map(|outcome| outcome["redactions"].as_u64()).sum();
    assert!(masked >= count as u64 / 2, "the trail counts {masked}");
}

/// The marker as text.
const MARKER_TEXT: &str = match std::str::from_utf8(MARKER_BYTES) {
    Ok(text) => text,
    Err(_) => panic!("the marker is text"),
};
const MARKER_BYTES: &[u8] = MARKER;

/// R02: cut at every byte, as it is and in base64, in a body and in an event.
#[test]
fn cut_at_every_offset() {
    let kv = Kv::unlocked();
    let cuts = |key: &[u8]| -> Vec<(Vec<u8>, Place, usize)> {
        let forms = [key.to_vec(), base64(&[b"x", key].concat()).into_bytes()];
        let places = [Place::Body("text/plain"), Place::SseData];
        forms
            .into_iter()
            .flat_map(|form| places.clone().map(|place| (form.clone(), place)))
            .flat_map(|(form, place)| (0..=form.len()).map(move |at| (form.clone(), place.clone(), at)))
            .collect()
    };
    let (service, count) = echoing(&kv, "echo", |key| {
        cuts(key).into_iter().map(|(form, place, at)| echo(form, place, Split::At(at))).collect()
    });
    let mut wrong = Vec::new();
    let mut wire = Wire::connect(&kv, Door::Agent);
    for number in 0..count {
        let answer = get(&mut wire, "echo", number).forwarded(200);
        if service.key.found_in(&everything(&answer)).is_some() || !answer.text().contains(MARKER_TEXT) {
            wrong.push(format!("{number}: {}", answer.gist()));
        }
    }
    all_right(count, &wrong);
}

/// R01: a key that a tool has written over several lines, in bodies that come whole, in pieces, and byte by byte.
#[test]
fn over_several_lines() {
    let lines = |text: &[u8], width: usize, end: &str| {
        let lines = text.chunks(width).map(|line| [line, end.as_bytes()].concat());
        lines.collect::<Vec<_>>().concat()
    };
    let kv = Kv::unlocked();
    let (_service, count) = echoing(&kv, "lines", |key| {
        let hex = each(key, |b| format!("{b:02x}"));
        let coded = base64(key).into_bytes();
        let texts = [
            // `xxd -p -c 16`, `base64 -w 20`, and the same with the line ends of mail.
            lines(&hex, 32, "\n"),
            lines(&coded, 20, "\n"),
            lines(&coded, 20, "\r\n    "),
            lines(key, 13, "\n"),
        ];
        let cuts = [Split::Whole, Split::Every(7), Split::Every(1)];
        let texts = texts.into_iter().map(|text| [b"before\n", &text[..], b"\nafter"].concat());
        texts.flat_map(|text| cuts.map(|cut| echo(text.clone(), Place::Body("text/plain"), cut))).collect()
    });
    let mut wire = Wire::connect(&kv, Door::Agent);
    let wrong: Vec<_> = (0..count)
        .map(|number| (number, get(&mut wire, "lines", number).forwarded(200)))
        .filter(|(_, answer)| {
            let text = answer.text();
            !contains(&answer.body, MARKER)
                || !text.starts_with("before")
                || !text.ends_with("after")
                || text.len() > 60
        })
        .map(|(number, answer)| format!("{number}: {}", answer.gist()))
        .collect();
    all_right(count, &wrong);
}

/// R04, R05, R07: parts of a key pass as they are, right or wrong, and the marker says nothing of what it stands for.
#[test]
fn guesses_learn_nothing() {
    let kv = Kv::unlocked();
    let parts = |key: &[u8]| -> Vec<Vec<u8>> {
        let shown = [&key[..8], b"...", &key[key.len() - 4..]].concat();
        let prefixes = (1..key.len()).map(|end| key[..end].to_vec());
        let wrong = (1..key.len()).map(|end| [&key[..end - 1], b"!"].concat());
        std::iter::once(shown).chain(prefixes).chain(wrong).collect()
    };
    let (service, count) = echoing(&kv, "echo", |key| {
        parts(key).into_iter().map(|part| echo(part, Place::Body("text/plain"), Split::Whole)).collect()
    });
    let mut wire = Wire::connect(&kv, Door::Agent);
    let expected = parts(service.key.value.as_bytes());
    let mut wrong = Vec::new();
    for (number, part) in expected.iter().enumerate() {
        let answer = get(&mut wire, "echo", number).forwarded(200);
        if answer.body != *part
            || answer.header("content-length").is_some_and(|length| length != part.len().to_string())
        {
            wrong.push(format!("{number}: {} of {} bytes", answer.gist(), part.len()));
        }
    }
    all_right(count, &wrong);
    assert_eq!(kv.trail_of("outcome").iter().filter_map(|outcome| outcome["redactions"].as_u64()).sum::<u64>(), 0);
}

/// R07: answers that hold keys of different lengths are the same answer.
#[test]
fn the_length_of_a_key_does_not_show() {
    let kv = Kv::unlocked();
    let answers: Vec<_> = [20, 60, 200]
        .map(|length| {
            let value = ["sk-", "proj-", "kvcanary", &crate::harness::random(length)].concat();
            let key = kv.plant(Canary::new("a key of another length", value));
            let script = Script::new([
                Step::ReadRequest,
                Step::decide(|request| {
                    vec![Step::Echo(echo(request.bearer().unwrap().into(), Place::BodyJsonString, Split::Whole))]
                }),
                Step::Again,
            ]);
            let service = kv_fakes::Scripted::start_blocking(&kv.ca, script).unwrap();
            let name = format!("length-{length}");
            kv.connect("openai", &name, service, key);
            let answer = kv.get(&name, "/v1/models").forwarded(200);
            (answer.body, answer.headers)
        })
        .into();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

/// R03, R09: what any service sends back is cleaned of every secret, not of the one that it was sent alone.
#[test]
fn other_connections_secrets_are_masked_too() {
    let kv = Kv::unlocked();
    let stripe = kv.stripe();
    let other = stripe.key.value.clone();
    let (service, _) = echoing(&kv, "echo", |key| {
        let both = [other.as_bytes(), b" and ", key, other.as_bytes(), key].concat();
        vec![
            echo(other.clone().into_bytes(), Place::BodyJsonString, Split::Whole),
            echo(both, Place::BodyXml, Split::Whole),
        ]
    });
    for number in 0..2 {
        let mut wire = Wire::connect(&kv, Door::Agent);
        let answer = get(&mut wire, "echo", number).forwarded(200);
        assert!(answer.text().contains(MARKER_TEXT), "{}", answer.gist());
    }
    assert_eq!(service.request_count(), 2);
}

/// R14: a value that was replaced is masked for a day more.
#[test]
fn the_value_before_is_masked_still() {
    let kv = Kv::unlocked();
    let (service, _) = echoing(&kv, "echo", |key| vec![echo(key.to_vec(), Place::BodyJsonString, Split::Whole)]);
    kv.key_is_not_counted(&service);
    let new = kv.plant(Canary::openai());
    kv.run_with(["secret", "rotate", "KEY_OF_ECHO", "--stdin"], &new.value).ok();
    for round in ["after a rotation", "after a restart"] {
        let answer = kv.get("echo", "/v1/models/0").forwarded(200);
        assert!(answer.text().contains(MARKER_TEXT), "{round}: {}", answer.gist());
        kv.stop();
        kv.start();
        kv.unlock();
    }
    assert!(service.requests().iter().all(|request| request.bearer() == Some(&new.value)));
}

/// R11: a request that holds a live secret is not sent, wherever it stands and however it is written.
#[test]
fn a_secret_in_a_request_is_refused() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let key = &openai.key.value;
    let body = |text: &str| json!({ "json": { "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] } });
    let call = |path: &str, query: Value, headers: Value, body: Value| json!({ "connection": "openai", "method": "POST", "path": path, "query": query, "headers": headers, "body": body });
    let chat = "/v1/chat/completions";
    let escaped: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let calls = [
        ("body", call(chat, json!([]), json!([]), body(key))),
        ("body, base64", call(chat, json!([]), json!([]), body(&base64(key.as_bytes())))),
        ("body, escaped", call(chat, json!([]), json!([]), body(&escaped))),
        ("body, in a sentence", call(chat, json!([]), json!([]), body(&format!("my key is {key}, thanks")))),
        ("query", call(chat, json!([["a", key]]), json!([]), body("x"))),
        ("name of a parameter", call(chat, json!([[key, "x"]]), json!([]), body("x"))),
        ("header", call(chat, json!([]), json!([["accept-language", key]]), body("x"))),
        ("path", json!({ "connection": "openai", "method": "GET", "path": format!("/v1/models/{key}") })),
        (
            "bytes",
            call(
                "/v1/files",
                json!([]),
                json!([]),
                json!({ "bytes": { "media_type": "text/plain", "data": base64(key.as_bytes()) } }),
            ),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, call) in &calls {
        let answer = kv.raw(call);
        if answer.faults() != ("policy_denied", "egress.secret_in_request", "no") || openai.connections() > 0 {
            wrong.push(format!("{name}: {}", answer.gist()));
        }
    }
    all_right(calls.len(), &wrong);
    // Refused before anything of them was written down.
    assert_eq!((kv.trail_of("intent").len(), kv.trail_of("refused").len()), (0, calls.len()));
}
