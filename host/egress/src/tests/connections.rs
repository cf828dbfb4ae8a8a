//! Which calls share a connection, and what becomes of one whose caller or service goes away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kv_fakes::{Fixed, Protocols, Recorded, Reply, Script, Scripted, ServeOptions, Service, Step, h2, serve};
use kv_model::SlotName;

use super::lab::{CANARY, Lab, NOW, Seen, all, contains, get, patient, post, quick, soon};
use crate::{Limits, SendError, Sent};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

fn fixed(lab: &Lab, protocols: Protocols) -> Service {
    serve(Fixed(Reply::bytes(200, "text/plain", "ok")), &lab.ca, ServeOptions { protocols, ..Default::default() })
        .unwrap()
}

fn connections_of(service: &Service) -> Vec<usize> {
    service.requests().iter().map(|request| request.connection).collect()
}

#[tokio::test]
async fn calls_in_a_row_share_one() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(quick());
        let service = fixed(&lab, protocols);
        let connection = lab.to(&service);
        for _ in 0..5 {
            Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        }
        assert_eq!(connections_of(&service), [1; 5], "{protocols:?}");
    }
}

/// First calls at once do not each open a connection to a service that needs only one.
#[tokio::test]
async fn calls_at_once_share_one_http2_connection() {
    let lab = Lab::new(quick());
    let service = fixed(&lab, Protocols::Both);
    let connection = lab.to(&service);
    let calls = (0..64).map(|_| async { Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap() });
    all(calls.collect()).await;
    assert_eq!((service.connections(), service.request_count()), (1, 64));
}

/// H34: another credential, another version, other trust: another socket.
#[tokio::test]
async fn credentials_do_not_share() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(quick());
        let service = fixed(&lab, protocols);
        let first = lab.to(&service);
        let mut second = lab.connection(&service.origin());
        second.bindings.insert(SlotName::parse("key").unwrap(), lab.set("SECOND", b"kvcanary_second_98765432"));
        let second = Arc::new(second);
        let mut third = lab.connection(&service.origin());
        third.ca.as_mut().unwrap().0.push('\n');
        for connection in [&first, &second, &first, &second, &Arc::new(third)] {
            Seen::of(lab.get(connection, "/things").await.unwrap()).await.unwrap();
        }
        assert_eq!(connections_of(&service), [1, 2, 1, 2, 3], "{protocols:?}");
    }
}

/// Two names of one credential, and the same connection read anew from the vault, do share.
#[tokio::test]
async fn the_same_credential_shares() {
    let lab = Lab::new(quick());
    let service = fixed(&lab, Protocols::Http1);
    for _ in 0..3 {
        Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
    }
    assert_eq!(service.connections(), 1);
}

/// A rotation closes what the old value opened; R14: the old value is cleaned for its day all the same.
#[tokio::test]
async fn rotation_drains() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(quick());
        let body = format!("the old one was {CANARY}, the new one kvcanary_new_0123456789");
        let reply = Reply::bytes(200, "text/plain", body);
        let service = serve(Fixed(reply), &lab.ca, ServeOptions { protocols, ..Default::default() }).unwrap();
        let connection = lab.to(&service);
        Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        lab.rotate("KEY", b"kvcanary_new_0123456789");
        let seen = Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        assert_eq!(&seen.body[..], b"the old one was [kv:redacted], the new one [kv:redacted]");
        assert_eq!(connections_of(&service), [1, 2]);
        assert_eq!(service.requests()[1].bearer(), Some("kvcanary_new_0123456789"));
        soon("the old connection closes", || service.open_connections() == 1).await;
        let in_two_days = lab.send_at(&connection, get("/things"), NOW + 48 * 3_600_000).await.unwrap();
        let seen = Seen::of(in_two_days).await.unwrap();
        assert_eq!(seen.body, format!("the old one was {CANARY}, the new one [kv:redacted]"));
    }
}

/// H62: a caller that goes takes the call with it.
#[tokio::test]
async fn a_caller_that_goes() {
    let lab = Lab::new(patient());
    let events = [
        Step::send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
        Step::send("data: 1\n\n"),
        Step::Hang,
    ];
    let service = Scripted::start(&lab.ca, Script::then(events)).unwrap();
    let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
    answer.body.next().await.unwrap().unwrap();
    assert_eq!(service.open_connections(), 1);
    drop(answer);
    soon("the connection closes with its caller", || service.open_connections() == 0).await;

    let silent = Scripted::start(&lab.ca, Script::then([Step::Hang])).unwrap();
    let connection = lab.to(&silent);
    tokio::select! {
        _ = lab.get(&connection, "/things") => panic!("it never answers"),
        _ = silent.wait_for(1) => {}
    }
    soon("the connection closes with a caller that did not wait", || silent.open_connections() == 0).await;
}

/// The same over HTTP/2: the stream ends, the connection stays for others.
#[tokio::test]
async fn a_caller_that_goes_from_http2() {
    let lab = Lab::new(patient());
    let endless = Reply::events(vec!["data: x\n\n".into(); 100_000], Duration::from_millis(1));
    let service =
        serve(Fixed(endless), &lab.ca, ServeOptions { protocols: Protocols::Http2, ..Default::default() }).unwrap();
    let connection = lab.to(&service);
    for _ in 0..3 {
        let mut answer = lab.get(&connection, "/things").await.unwrap();
        answer.body.next().await.unwrap().unwrap();
    }
    assert_eq!((service.connections(), service.open_connections()), (1, 1));
}

/// H63: what a service sends on an HTTP/2 connection after its caller left is bounded, and a connection whose service does
/// not stop is given up. A service that does stop keeps it, as above.
#[tokio::test]
async fn a_flood_after_the_caller_left() {
    let head = h2::headers(1, &[(":status", b"200")], false);
    let data = h2::data(1, &[b'x'; 1000], false);
    let floods = [
        ("pings", h2::ping()),
        ("settings", h2::settings(&[(h2::INITIAL_WINDOW_SIZE, 65_535)])),
        ("a body that nobody reads", data.clone()),
        ("frames of no kind", h2::frame(0x42, 0, 0, &[0; 1000])),
    ];
    for (name, flood) in floods {
        let limits = Limits { unasked: 64 << 10, ..patient() };
        let lab = Lab::new(limits);
        let steps = [Step::ReadHttp2, Step::Send(head.clone()), Step::Send(data.clone())];
        // In lots, since a pause is never shorter than a millisecond.
        let flood = Step::Repeat { bytes: flood.repeat(256).into(), times: u64::MAX, every: Duration::from_micros(10) };
        let script = Script::new(steps.into_iter().chain([flood]).collect::<Vec<_>>());
        let options = ServeOptions { protocols: Protocols::Http2, ..Scripted::options() };
        let service = Scripted::start_with(&lab.ca, options, move |_| script.clone()).unwrap();
        let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
        answer.body.next().await.unwrap().unwrap();
        assert_eq!(service.open_connections(), 1, "{name}");
        drop(answer);
        let since = std::time::Instant::now();
        while service.open_connections() > 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "{name} go on");
            tokio::task::yield_now().await;
        }
    }
}

/// I6, H65: whatever a service does with its connections, no request arrives twice, and none is lost silently.
#[tokio::test]
async fn nothing_is_sent_twice() {
    type End = fn() -> Vec<Step>;
    let ends: [(&str, End); 6] = [
        ("answers and closes", || vec![Step::send(OK), Step::Close]),
        ("answers and cuts", || vec![Step::send(OK), Step::Cut]),
        ("answers and resets", || vec![Step::send(OK), Step::Reset]),
        ("resets", || vec![Step::Reset]),
        ("closes", || vec![Step::Close]),
        ("answers one, resets the next", || vec![Step::send(OK), Step::ReadRequest, Step::Reset]),
    ];
    for (name, end) in ends {
        let lab = Lab::new(quick());
        let service = Scripted::start(&lab.ca, Script::then(end())).unwrap();
        let connection = lab.to(&service);
        let mut answered = 0;
        for number in 0..40 {
            match lab.send(&connection, post(&format!("/things/{number}"), "pay")).await {
                Ok(answer) => answered += usize::from(Seen::of(answer).await.is_ok()),
                Err(error) => {
                    assert!(matches!(error, SendError::Reset if error.sent() == Sent::Unknown), "{name}: {error:?}")
                }
            }
        }
        let mut times: HashMap<String, usize> = HashMap::new();
        service.requests().iter().for_each(|request| *times.entry(request.target.clone()).or_default() += 1);
        assert!(times.values().all(|times| *times == 1), "{name}: {times:?}");
        assert!(times.len() >= answered, "{name}");
        if name.starts_with("answers and") {
            assert_eq!(answered, 40, "{name}: a connection that is known to be closed costs nobody a call");
        }
    }
}

/// The service closes while nobody looks: a connection that has rested is looked at before it is used.
#[tokio::test]
async fn a_kept_connection_that_was_closed_unnoticed() {
    for end in [Step::Close, Step::Cut, Step::Reset] {
        let lab = Lab::new(quick());
        let service = Scripted::start_blocking(&lab.ca, Script::then([Step::send(OK), end])).unwrap();
        let connection = lab.to(&service);
        for number in 0..5 {
            // A read: its intent is recorded without a wait, so no other task runs between here and the request.
            let answer = lab.get(&connection, &format!("/things/{number}")).await.unwrap();
            assert_eq!(&Seen::of(answer).await.unwrap().body[..], b"ok\n");
            // Blocks this thread, and with it the task that would notice.
            let since = std::time::Instant::now();
            while service.open_connections() > 0 || since.elapsed() < Duration::from_millis(120) {
                assert!(since.elapsed() < Duration::from_secs(5));
                std::thread::yield_now();
            }
        }
        let targets: Vec<String> = service.requests().iter().map(|request| request.target.clone()).collect();
        assert_eq!(targets, ["/things/0", "/things/1", "/things/2", "/things/3", "/things/4"]);
    }
}

/// A kept connection that ends between the look and the request: the request comes back unwritten and goes on a new one.
#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(quick());
        let service = fixed(&lab, protocols);
        let connection = lab.to(&service);
        for number in 0..5 {
            let answer = lab.get(&connection, &format!("/things/{number}")).await.unwrap();
            assert_eq!(&Seen::of(answer).await.unwrap().body[..], b"ok");
            lab.egress.pool.break_kept();
        }
        assert_eq!(connections_of(&service), [1, 2, 3, 4, 5], "{protocols:?}");
    }
}

/// H66: a connection on which more came than was asked for is not used again.
#[tokio::test]
async fn a_second_answer_answers_nobody() {
    let lab = Lab::new(quick());
    let twice = format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nother\n");
    let script = Script::new([Step::ReadRequest, Step::send(twice), Step::Again]);
    let service = Scripted::start(&lab.ca, script).unwrap();
    let connection = lab.to(&service);
    for _ in 0..5 {
        let seen = Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        assert_eq!(&seen.body[..], b"ok\n");
    }
    assert_eq!(service.connections(), 5);
}

/// H24, H66: an answer before the request has been read is an answer, and ends the connection.
#[tokio::test]
async fn an_early_answer() {
    let lab = Lab::new(quick());
    let early = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno\n";
    let service = Scripted::start(&lab.ca, Script::new([Step::ReadHead, Step::send(early), Step::Hang])).unwrap();
    let connection = lab.to(&service);
    let body = "x".repeat(20 << 20);
    for _ in 0..2 {
        let seen = Seen::of(lab.send(&connection, post("/things", body.clone())).await.unwrap()).await.unwrap();
        assert_eq!((seen.status, &seen.body[..]), (413, &b"no\n"[..]));
    }
    assert_eq!(service.connections(), 2);
}

/// H64: many at once, each with its own answer.
#[tokio::test]
async fn a_thousand_calls_at_once() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(patient());
        let echo =
            |request: &Recorded| Reply::bytes(200, "text/plain", [request.path().as_bytes(), &request.body].concat());
        let service = serve(echo, &lab.ca, ServeOptions { protocols, ..Default::default() }).unwrap();
        let connection = lab.to(&service);
        let call = async |number: usize| {
            let mark = format!("canary body {number};").repeat(50);
            let answer = lab.send(&connection, post(&format!("/things/{number}"), mark.clone())).await.unwrap();
            assert_eq!(Seen::of(answer).await.unwrap().body, format!("/things/{number}{mark}"));
        };
        all((0..1000).map(call).collect()).await;
        assert_eq!(service.request_count(), 1000);
        assert!(service.connections() <= Limits::default().calls, "{} connections", service.connections());
    }
}

/// One slow service takes its own places and nobody else's.
#[tokio::test]
async fn places_are_bounded() {
    let limits = Limits { calls: 2, connect: Duration::from_millis(300), ..patient() };
    let lab = Lab::new(limits);
    let slow = Scripted::start(&lab.ca, Script::then([Step::Hang])).unwrap();
    let quick = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let (slow_one, quick_one) = (lab.to(&slow), lab.to(&quick));
    let mut held = [Box::pin(lab.get(&slow_one, "/things")), Box::pin(lab.get(&slow_one, "/things"))];
    let [first, second] = &mut held;
    tokio::select! {
        _ = first => panic!("it never answers"),
        _ = second => panic!("it never answers"),
        _ = slow.wait_for(2) => {}
    }
    let error = lab.get(&slow_one, "/things").await.err().unwrap();
    assert_eq!((error.code(), error.sent()), ("egress.busy", Sent::No));
    assert_eq!(lab.get(&quick_one, "/things").await.unwrap().status, 200);
    drop(held);
    tokio::select! {
        _ = lab.get(&slow_one, "/things") => panic!("it never answers"),
        _ = slow.wait_for(3) => {}
    }
}

/// All connections together have a bound too. One that only waits for its next use gives way.
#[tokio::test]
async fn sockets_are_bounded() {
    let limits = Limits { sockets: 1, connect: Duration::from_millis(300), ..patient() };
    let lab = Lab::new(limits);
    let hanging = Scripted::start(&lab.ca, Script::then([Step::Hang])).unwrap();
    let answering = Scripted::start(&lab.ca, Script::answering(OK)).unwrap();
    let (held, other) = (lab.to(&hanging), lab.to(&answering));
    Seen::of(lab.get(&other, "/things").await.unwrap()).await.unwrap();
    assert_eq!(answering.open_connections(), 1, "it is not kept");
    let mut call = Box::pin(lab.get(&held, "/things"));
    tokio::select! {
        _ = &mut call => panic!("it never answers"),
        _ = hanging.wait_for(1) => {}
    }
    let error = lab.get(&other, "/things").await.err().unwrap();
    assert_eq!((error.code(), error.sent(), answering.request_count()), ("egress.busy", Sent::No, 1));
    drop(call);
    Seen::of(lab.get(&other, "/things").await.unwrap()).await.unwrap();
}

/// Kept connections are closed when their time is over, without a further call.
#[tokio::test]
async fn kept_connections_close() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(Limits { keep: Duration::from_millis(100), ..quick() });
        let service = fixed(&lab, protocols);
        Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
        assert_eq!(service.open_connections(), 1);
        soon("the kept connection closes", || service.open_connections() == 0).await;
    }
}

/// `keep-alive: timeout=1` says that the service is about to close: the connection is not kept.
#[tokio::test]
async fn the_service_says_how_long() {
    let lab = Lab::new(quick());
    let head = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=100\r\nContent-Length: 3\r\n\r\nok\n";
    let service = Scripted::start(&lab.ca, Script::answering(head)).unwrap();
    for _ in 0..2 {
        let seen = Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
        assert!(contains(&seen.body, b"ok"));
    }
    assert_eq!(service.connections(), 2);
}

/// Plain text, to this machine only, and only if the person said so.
#[tokio::test]
async fn plain_text_to_this_machine() {
    let lab = Lab::new(quick());
    let service =
        Scripted::start_with(&lab.ca, ServeOptions { tls: false, ..Scripted::options() }, |_| Script::answering(OK))
            .unwrap();
    for _ in 0..2 {
        let seen = Seen::of(lab.get(&lab.to(&service), "/things").await.unwrap()).await.unwrap();
        assert_eq!(seen.status, 200);
    }
    assert_eq!(connections_of(&service), [1, 1]);
}

/// The daemon may move a call to another thread.
#[test]
fn calls_can_move() {
    fn is_send<T: Send>(_: &T) {}
    fn check(lab: &Lab, connection: &Arc<kv_model::Connection>) {
        is_send(&lab.get(connection, "/things"));
    }
    let _ = check;
    fn is_send_type<T: Send>() {}
    is_send_type::<crate::Answer>();
    is_send_type::<crate::Egress>();
}
