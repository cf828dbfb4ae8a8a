use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::echo::{Echo, Encode, Place, Split, What};
use crate::hostile::{Ending, catalogue};
use crate::http_server::{Fixed, ServeOptions, serve};
use crate::reply::Reply;
use crate::testing::{Client, block_on};
use crate::{Protocols, Script, Scripted, Service, Sink, Step, TestCa};

/// Sends bytes over TLS and reads until the end, whatever it is.
async fn raw(ca: &TestCa, service: &Service, request: &str) -> (Vec<u8>, std::io::Result<()>) {
    let tcp = TcpStream::connect(service.address()).await.unwrap();
    let connector = TlsConnector::from(ca.client_config(Protocols::Http1));
    let mut stream = connector.connect("127.0.0.1".to_owned().try_into().unwrap(), tcp).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await.map(|_| ());
    (answer, end)
}

#[test]
fn the_record_has_the_bytes_that_were_sent() {
    block_on(async {
        let ca = TestCa::new();
        let service = Scripted::start(&ca, Script::then([Step::send("HTTP/1.1 200 OK\r\n\r\n")])).unwrap();
        let sent = "POST /a//b?c=%2F&c HTTP/1.1\r\nHost: x\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n";
        raw(&ca, &service, sent).await.1.unwrap();
        let seen = service.wait_for(1).await.unwrap();
        assert_eq!(seen[0].raw, sent.as_bytes());
        assert_eq!(seen[0].target, "/a//b?c=%2F&c");
        assert_eq!(&seen[0].body[..], b"abcde");
        assert!(seen[0].complete);
        let names: Vec<&str> = seen[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Host", "X-B", "x-a", "X-B", "Transfer-Encoding"]);
        assert_eq!(seen[0].headers_named("x-b").count(), 2);
    });
}

#[test]
fn endings_differ_on_the_wire() {
    block_on(async {
        let ca = TestCa::new();
        let end = async |step| {
            let service = Scripted::start(&ca, Script::then([Step::send("hello"), step])).unwrap();
            raw(&ca, &service, "GET / HTTP/1.1\r\n\r\n").await
        };
        let (answer, closed) = end(Step::Close).await;
        assert!(closed.is_ok());
        assert_eq!(answer, b"hello");
        let (_, cut) = end(Step::Cut).await;
        assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        let (_, reset) = end(Step::Reset).await;
        assert_eq!(reset.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn scripts_are_chosen_by_connection_and_go_round() {
    block_on(async {
        let ca = TestCa::new();
        let service = Scripted::start_with(&ca, Scripted::options(), |number| {
            Script::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"))
        })
        .unwrap();
        let two = "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n";
        let client = async {
            // The script goes on for ever: what ends this is the client that goes away.
            let _ = tokio::time::timeout(Duration::from_millis(300), raw(&ca, &service, two)).await;
        };
        client.await;
        let targets: Vec<String> = service.wait_for(2).await.unwrap().iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(targets, ["/1", "/2"]);
        let answer = Client::new(&ca, &service, "").call("GET", "/", &[], "").await;
        assert_eq!(&answer.body()[..], b"2");
        assert_eq!(service.connections(), 2);
    });
}

#[test]
fn a_script_without_a_pause_cannot_spin() {
    block_on(async {
        let ca = TestCa::new();
        let service = Scripted::start(&ca, Script::new([Step::decide(|_| vec![]), Step::Again])).unwrap();
        let (_, end) = raw(&ca, &service, "").await;
        assert!(end.is_ok());
    });
}

#[test]
fn an_endless_answer_ends_with_its_client() {
    block_on(async {
        let ca = TestCa::new();
        let head = Step::send("HTTP/1.1 200 OK\r\n\r\n");
        let hourly =
            Step::Repeat { bytes: Bytes::from_static(b"x"), times: u64::MAX, every: Duration::from_secs(3600) };
        for last in [Step::endless("x".repeat(1000)), hourly, Step::Hang] {
            let service = Scripted::start(&ca, Script::then([head.clone(), last])).unwrap();
            let asking = raw(&ca, &service, "GET / HTTP/1.1\r\n\r\n");
            let _ = tokio::time::timeout(Duration::from_millis(100), asking).await;
            let gone = async {
                while service.open_connections() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        }
    });
}

#[test]
fn every_place_echoes_at_every_offset() {
    block_on(async {
        let ca = TestCa::new();
        let canary = "canary-0123456789";
        for place in Place::ALL {
            for split in std::iter::once(Split::Whole).chain((0..=canary.len()).map(Split::At)).chain([Split::Every(1)])
            {
                let what = What::Header("x-canary".to_owned());
                let echo = Echo { what, encode: Encode::plain(), place: place.clone(), split, status: 200 };
                let service = Scripted::start(&ca, Script::then([Step::Echo(echo.clone())])).unwrap();
                let request = format!("GET / HTTP/1.1\r\nX-Canary: {canary}\r\n\r\n");
                let (answer, end) = raw(&ca, &service, &request).await;
                assert!(end.is_ok(), "{place:?} {split:?}");
                let chunked = place != Place::ChunkExtension && !matches!(place, Place::Trailer(_));
                let shown = String::from_utf8_lossy(&answer);
                let seen = if chunked { joined(&shown) } else { shown.into_owned() };
                assert!(seen.contains(canary), "{place:?} {split:?}: {seen}");
            }
        }
    });
}

/// The text without the sizes of chunks.
fn joined(text: &str) -> String {
    let Some((head, body)) = text.split_once("chunked\r\n\r\n") else { return text.to_owned() };
    let mut out = head.to_owned();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        out.push_str(&after[..size]);
        rest = &after[(size + 2).min(after.len())..];
    }
    out
}

#[test]
fn echoes_parse_over_both_protocols() {
    block_on(async {
        let ca = TestCa::new();
        for protocols in [Protocols::Http1, Protocols::Http2] {
            for place in Place::ALL {
                let what = What::Fixed(Bytes::from_static(b"canary"));
                let echo = Echo {
                    what,
                    encode: Encode::with(|bytes| bytes.repeat(2)),
                    place: place.clone(),
                    split: Split::At(3),
                    status: 418,
                };
                let service = serve(echo, &ca, ServeOptions { protocols, ..ServeOptions::default() }).unwrap();
                let client = Client { protocols, ..Client::new(&ca, &service, "") };
                let answer = client.call("GET", "/", &[], "").await;
                assert_eq!(answer.status(), 418);
                let text = format!("{:?} {:?}", answer.headers(), answer.body());
                let outside = matches!(place, Place::ChunkExtension | Place::Trailer(_) | Place::Reason);
                assert_eq!(text.contains("canarycanary"), !outside, "{protocols:?} {place:?} {text}");
            }
        }
    });
}

#[test]
fn a_scripted_service_can_play_a_fake() {
    block_on(async {
        let ca = TestCa::new();
        let service = Scripted::start(&ca, Script::serving(Fixed(Reply::bytes(201, "text/plain", "made")))).unwrap();
        let answer = Client::new(&ca, &service, "").call("POST", "/x", &[], "body").await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (201, &b"made"[..]));
        assert!(service.requests()[0].raw.ends_with(b"\r\n\r\nbody"));
    });
}

/// hyper alone is the client here: it decodes nothing, follows nothing and has no deadlines but ours.
#[test]
fn the_catalogue_plays_as_it_says() {
    block_on(async {
        let ca = TestCa::new();
        let sink = Sink::start().unwrap();
        let mut wrong = Vec::new();
        // Side by side: the ones that never end all take the whole deadline.
        let mut tasks = tokio::task::JoinSet::new();
        for case in catalogue(&sink.authority()) {
            let protocols = if case.http2 { Protocols::Http2 } else { Protocols::Http1 };
            let script = case.script.clone();
            let options = ServeOptions { protocols, ..Scripted::options() };
            let service = Scripted::start_with(&ca, options, move |_| script.clone()).unwrap();
            let config = ca.client_config(protocols);
            tasks.spawn(async move {
                let uri = if case.http2 { service.origin() + "/v1/x" } else { "/v1/x".to_owned() };
                let request = Request::post(uri).body(Full::new(Bytes::from_static(b"hello"))).unwrap();
                let outcome = crate::testing::exchange(&service, config, request, 1 << 20);
                let answered =
                    tokio::time::timeout(Duration::from_secs(3), outcome).await.is_ok_and(|outcome| outcome.is_ok());
                (case.row, case.name, case.ending, answered)
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            let (row, name, ending, answered) = outcome.unwrap();
            let right = match ending {
                Ending::Answers => answered,
                // What is wrong inside an encoded body only a client that decodes it can see, and hyper hands a 101 on
                // to its user, who has to notice that nobody asked for it.
                Ending::Breaks => !answered || row == "H60" || name == "unasked upgrade",
                Ending::Either => true,
            };
            if !right {
                wrong.push(format!("{row} {name}: {ending:?}, answered: {answered}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(sink.hits(), 0);
    });
}
