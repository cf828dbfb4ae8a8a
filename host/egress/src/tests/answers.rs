//! Answers: what passes, what stays here, and what is decoded on the way.

use std::time::Duration;

use bytes::Bytes;
use kv_fakes::compress::{self, Coding};
use kv_fakes::{Fixed, Protocols, Reply, Script, Scripted, ServeOptions, Sink, Step, serve};
use kv_model::RawRequest;

use super::lab::{CANARY, Lab, Seen, get, quick};
use crate::{BodyError, Fault, Limits};

/// H30 to H33, H67: instructions to a browser are not followed and, but for `location` and challenges, not passed on.
#[tokio::test]
async fn headers_that_stay_here() {
    let lab = Lab::new(quick());
    let elsewhere = Sink::start().unwrap();
    let link = format!("<https://{}/x>; rel=preload", elsewhere.authority());
    let head = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\nHTTP/1.1 200 Whatever {CANARY}\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n\
         Alt-Svc: h2=\"{0}\"\r\nRefresh: 0; url=https://{0}\r\nStrict-Transport-Security: max-age=1\r\nLink: {link}\r\n\
         Connection: X-Internal\r\nX-Internal: a\r\nKeep-Alive: timeout=5\r\nWWW-Authenticate: Bearer realm=\"https://{0}\"\r\n\
         X-Kept: b\r\nX-Kept: c\r\nX-Bytes: \u{fc}\r\n\r\nok\n",
        elsewhere.authority()
    );
    let service = Scripted::start(&lab.ca, Script::answering(head)).unwrap();
    let seen = Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["link", "www-authenticate", "x-kept", "x-kept", "x-bytes"]);
    assert_eq!((seen.status, &seen.body[..], elsewhere.hits()), (200, &b"ok\n"[..], 0));
    assert_eq!(service.request_count(), 1);
}

#[tokio::test]
async fn redirects_are_answers() {
    for status in [301, 302, 303, 307, 308] {
        let lab = Lab::new(quick());
        let elsewhere = Sink::start().unwrap();
        let target = format!("https://{}/next?key={CANARY}", elsewhere.authority());
        let reply = Reply::bytes(status, "text/html", "moved").with("location", &target);
        let service = serve(Fixed(reply), &lab.ca, ServeOptions::default()).unwrap();
        let seen = Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
        let location = seen.header("location").unwrap();
        assert_eq!(
            (seen.status, location),
            (status, &*format!("https://{}/next?key=[kv:redacted]", elsewhere.authority()))
        );
        assert_eq!((seen.hits, service.request_count(), elsewhere.hits()), (1, 1, 0));
    }
}

/// R02 for decoders: every coding, in pieces of every size, with the secret across them.
#[tokio::test]
async fn codings() {
    let lab = Lab::new(quick());
    let text = format!("before {} {CANARY} after {}", "lorem ipsum ".repeat(40), "dolor ".repeat(40));
    let clean = text.replace(CANARY, "[kv:redacted]");
    for coding in Coding::ALL {
        let body = compress::encode(coding, text.as_bytes());
        let script = Script::new([
            Step::ReadRequest,
            Step::decide(move |request| {
                let size: usize = request.path().trim_start_matches("/things/").parse().unwrap();
                let mut pieces = vec![Bytes::from(format!(
                    "HTTP/1.1 200 OK\r\nContent-Encoding: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
                    coding.name()
                ))];
                pieces.extend(
                    body.chunks(size)
                        .map(|part| Bytes::from([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())),
                );
                pieces.push(Bytes::from_static(b"0\r\n\r\n"));
                vec![Step::SendPieces { pieces, every: Duration::ZERO }]
            }),
            Step::Again,
        ]);
        let service = Scripted::start(&lab.ca, script).unwrap();
        let connection = lab.to(&service);
        for size in [1, 2, 3, 7, 16, 33, 64, 100_000] {
            let seen = Seen::of(lab.get(&connection, &format!("/things/{size}")).await.unwrap()).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&seen.body), clean, "{coding:?} in pieces of {size}");
            assert_eq!((seen.hits, seen.header("content-encoding")), (1, None));
        }
    }
}

/// R02, H62: what is no secret is passed on before anything more has come, compressed or not.
#[tokio::test]
async fn events_are_not_held_back() {
    let event = "data: {\"delta\":\"hello\"}\n\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, event.as_bytes()).unwrap();
    std::io::Write::flush(&mut gzip).unwrap();
    for (header, sent) in [("", event.as_bytes().to_vec()), ("Content-Encoding: gzip\r\n", gzip.get_ref().clone())] {
        let lab = Lab::new(quick());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{header}\r\n");
        let steps = [Step::send(head), Step::Send(sent.into()), Step::Hang];
        let service = Scripted::start(&lab.ca, Script::then(steps)).unwrap();
        let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
        assert_eq!(answer.body.next().await.unwrap().unwrap(), event);
        let error = answer.body.next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.fault()), ("egress.timeout.idle", Fault::Service));
        assert!(answer.body.next().await.is_none());
    }
}

/// An event that ends in what could begin a secret is complete all the same, soon; a line that goes on is not let go.
#[tokio::test]
async fn an_event_that_ends_like_a_secret() {
    let lab = Lab::new(quick());
    let head = Step::send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    let steps = [
        head,
        Step::send("data: kv\n\n"),
        Step::Rest(Duration::from_millis(200)),
        Step::send("data: kvcan"),
        Step::Hang,
    ];
    let service = Scripted::start(&lab.ca, Script::then(steps)).unwrap();
    let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
    let mut seen = Vec::new();
    let error = loop {
        match answer.body.next().await.unwrap() {
            Ok(piece) => seen.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!((String::from_utf8_lossy(&seen), error.code()), ("data: kv\n\ndata: ".into(), "egress.timeout.idle"));
}

#[tokio::test]
async fn answers_without_a_body() {
    let lab = Lab::new(quick());
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 700\r\n\r\n";
    let service = Scripted::start(&lab.ca, Script::answering(head)).unwrap();
    let raw = RawRequest { method: "HEAD".into(), ..get("/things") };
    for _ in 0..2 {
        let seen = Seen::of(lab.send(&lab.to(&service), raw.clone()).await.unwrap()).await.unwrap();
        assert_eq!((seen.status, seen.body.len()), (200, 0));
    }
    assert_eq!(service.connections(), 1);
    for head in [
        "HTTP/1.1 204 No\r\nContent-Encoding: br\r\n\r\n",
        "HTTP/1.1 304 No\r\nContent-Encoding: x-odd\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    ] {
        let service = Scripted::start(&lab.ca, Script::answering(head)).unwrap();
        let seen = Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
        assert_eq!(seen.body.len(), 0);
    }
}

/// Each bound at its edge: just within it passes, one more does not.
#[tokio::test]
async fn bounds() {
    let limits = Limits { body_bytes: 100_000, head_bytes: 16_384, headers: 20, decode_free: 1000, ..quick() };
    let lab = Lab::new(limits);
    let sized = |bytes: usize| Reply::bytes(200, "text/plain", "x".repeat(bytes));
    let zeros = |bytes: usize| {
        Reply::bytes(200, "text/plain", compress::encode(Coding::Gzip, &vec![0; bytes]))
            .with("content-encoding", "gzip")
    };
    let headers = |count: usize| (0..count).fold(sized(1), |reply, number| reply.with(&format!("x-{number}"), "y"));
    let cases = [
        (sized(100_000), None),
        (sized(100_001), Some("egress.too_large")),
        (zeros(3000), None),
        (zeros(90_000), Some("egress.bomb")),
        (headers(15), None),
        (headers(30), Some("egress.too_large")),
        (sized(1).with("x-long", "y".repeat(15_000)), None),
        (sized(1).with("x-long", "y".repeat(17_000)), Some("egress.too_large")),
    ];
    for protocols in [Protocols::Http1, Protocols::Http2] {
        for (number, (reply, code)) in cases.iter().enumerate() {
            let service =
                serve(Fixed(reply.clone()), &lab.ca, ServeOptions { protocols, ..Default::default() }).unwrap();
            let found = match lab.get(&lab.to(&service), "/things").await {
                Ok(answer) => Seen::of(answer).await.err().map(BodyError::code),
                Err(error) => Some(error.code()),
            };
            // hyper's HTTP/2 tells a header list over the bound as a reset of the stream.
            let reset_for_too_large =
                protocols == Protocols::Http2 && found == Some("egress.reset") && *code == Some("egress.too_large");
            assert!(found == *code || reset_for_too_large, "{protocols:?} case {number}: {found:?} for {code:?}");
        }
    }
}

/// The caller's own bound on what it wants to hold.
#[tokio::test]
async fn collecting_has_a_cap() {
    let lab = Lab::new(quick());
    let service =
        serve(Fixed(Reply::bytes(200, "text/plain", "x".repeat(1001))), &lab.ca, ServeOptions::default()).unwrap();
    let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
    assert_eq!(answer.body.collect(1000).await.unwrap_err(), BodyError::TooLarge { limit: 1000 });
    let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
    assert_eq!(answer.body.collect(1001).await.unwrap().len(), 1001);
    assert_eq!(answer.body.received(), 1001);
}
