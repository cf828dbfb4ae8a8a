//! H24, H30 to H34, H50 to H67: services that mislead, lie, dawdle, flood or break off, through the real daemon.
//!
//! The daemon's bounds of time are minutes, since models think for minutes. What it does when they are over is tested in
//! `kv-egress` with small ones; here the caller loses its patience first, and then the service has to be let go.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use kv_fakes::hostile::{Case, Ending, catalogue};
use kv_fakes::{Host, Leaf, Protocols, Reply, Script, Scripted, ServeOptions, Service, Sink, Step, serve};
use serde_json::json;

use crate::harness::{Canary, Door, Kv, Part, Wire, all_right, eventually, request};

/// As long as the caller waits, and as much as it reads.
const CALLER: Duration = Duration::from_secs(3);
const MOST: usize = 4 << 20;
const AT_ONCE: usize = 12;

#[derive(Debug, PartialEq, Eq)]
enum Came {
    Answer,
    Broken,
    /// The caller had enough.
    Left,
}

#[test]
fn the_catalogue() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let key = kv.plant(Canary::openai());
    kv.run_with(["set", "KEY", "--stdin"], &key.value).ok();
    let elsewhere = Sink::start_blocking().unwrap();
    let cases = catalogue(&elsewhere.authority());
    let (next, wrong) = (Mutex::new(cases.iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((number, case)) = next.lock().unwrap().next() else { break };
                    if let Err(why) = play(&kv, number, case) {
                        wrong.lock().unwrap().push(format!("{} {}: {why}", case.row, case.name));
                    }
                }
            });
        }
    });
    all_right(cases.len(), &wrong.into_inner().unwrap());
    assert_eq!(elsewhere.hits(), 0, "somebody was led elsewhere: {:?}", elsewhere.first_bytes());
    // Nobody else noticed, and nothing was kept.
    kv.get("openai", "/v1/models").forwarded(200);
    assert_eq!(openai.request_count(), 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", kv.daemon_pid())).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
    assert!(kilobytes.is_none_or(|most: u64| most < 512 << 10), "the daemon grew to {kilobytes:?} KiB");
}

fn play(kv: &Kv, number: usize, case: &Case) -> Result<(), String> {
    let protocols = if case.http2 { Protocols::Http2 } else { Protocols::Http1 };
    let options = ServeOptions { protocols, host: Host::Thread, ..Scripted::options() };
    let script = case.script.clone();
    let service = Scripted::start_with(&kv.ca, options, move |_| script.clone()).map_err(|error| error.to_string())?;
    let name = format!("hostile-{number}");
    kv.connect_to("openai", &name, &service.origin(), "KEY");
    let call = match case.row {
        "H24" | "H65" => json!({
            "connection": name, "method": "POST", "path": "/v1/chat/completions", "body": { "json": "x".repeat(300_000) },
        }),
        _ => json!({ "connection": name, "method": "GET", "path": "/v1/models" }),
    };
    let mut wire = Wire::connect(kv, Door::Agent);
    wire.wait_at_most(CALLER);
    wire.send(request("POST", "/v1/api", &[], call.to_string().as_bytes())).map_err(|error| error.to_string())?;
    let came = read(&mut wire);
    let fits = match case.ending {
        Ending::Answers => came == Came::Answer,
        Ending::Breaks => came != Came::Answer || TOLERATED.contains(&case.name.as_str()),
        Ending::Either => true,
    };
    if !fits {
        return Err(format!("{came:?} instead of {:?}", case.ending));
    }
    if service.request_count() > 1 {
        return Err("it was sent twice".to_owned());
    }
    drop(wire);
    // Over HTTP/2 the stream goes and the connection may stay: others use it.
    if came == Came::Left && !case.http2 {
        eventually(&format!("the end of the connection to {}", case.name), || {
            (service.open_connections() == 0).then_some(())
        });
    }
    Ok(())
}

/// The HTTP/2 library takes no notice of a request's pseudo-header on an answer; it reaches nobody.
const TOLERATED: [&str; 1] = ["request pseudo-header"];

fn read(wire: &mut Wire<'_>) -> Came {
    let Some(head) = wire.head() else { return if wire.gave_up { Came::Left } else { Came::Broken } };
    let forwarded = head.header("kv-outcome") == Some("forwarded");
    let mut length = 0;
    let begun = Instant::now();
    loop {
        // A service that trickles for ever keeps no single read waiting.
        if begun.elapsed() > CALLER {
            return Came::Left;
        }
        match wire.part() {
            Part::Data(data) => length += data.len(),
            Part::Broken => return if wire.gave_up { Came::Left } else { Came::Broken },
            Part::End(trailers) => {
                return if forwarded && trailers.is_empty() { Came::Answer } else { Came::Broken };
            }
        }
        if length > MOST {
            return Came::Left;
        }
    }
}

/// H50: a certificate that is wrong in any way ends the call before the key has left.
#[test]
fn certificates_that_are_wrong() {
    let kv = Kv::unlocked();
    let key = kv.plant(Canary::openai());
    kv.run_with(["set", "KEY", "--stdin"], &key.value).ok();
    let mut wrong = Vec::new();
    for (number, leaf) in Leaf::BAD.into_iter().enumerate() {
        let options = ServeOptions { leaf: leaf.clone(), host: Host::Thread, ..ServeOptions::default() };
        let service = serve(|_: &_| Reply::json(200, &json!({})), &kv.ca, options).unwrap();
        let name = format!("bad-{number}");
        kv.connect_to("openai", &name, &service.origin(), "KEY");
        let answer = kv.get(&name, "/v1/models");
        if answer.faults() != ("upstream", "egress.tls", "no") || service.request_count() > 0 {
            wrong.push(format!("{leaf:?}: {}", answer.gist()));
        }
    }
    // One that speaks no TLS at all.
    let plain = ServeOptions { tls: false, host: Host::Thread, ..ServeOptions::default() };
    let service = serve(|_: &_| Reply::json(200, &json!({})), &kv.ca, plain).unwrap();
    kv.connect_to("openai", "plain", &format!("https://{}", service.address()), "KEY");
    let answer = kv.get("plain", "/v1/models");
    if answer.faults() != ("upstream", "egress.tls", "no") || service.request_count() > 0 {
        wrong.push(format!("no TLS: {}", answer.gist()));
    }
    all_right(Leaf::BAD.len() + 1, &wrong);
    // Nor is there a way to say that it does not matter.
    let help = kv.run(["connect", "--help"]).ok().stdout;
    assert!(!help.contains("insecure") && !help.contains("verify"), "{help}");
}

/// H50: a connection trusts the authority that it was given and no other, and one without its own trusts the system's.
#[test]
fn authorities_are_a_connections_own() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let body = json!({
        "provider": "openai", "name": "without", "origin": openai.origin(), "bindings": { "key": "KEY_OF_OPENAI" },
        "allow_private": true,
    });
    kv.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes());
    let answer = kv.get("without", "/v1/models");
    assert_eq!((answer.fault("reason"), answer.fault("sent")), ("egress.tls", "no"), "{}", answer.gist());
    assert_eq!(openai.request_count(), 0);
}

/// H34: two keys never share a connection, and a new key does not go out on the old one's.
#[test]
fn keys_do_not_share_connections() {
    let kv = Kv::unlocked();
    let (first, second) = (kv.plant(Canary::openai()), kv.plant(Canary::openai()));
    for (name, key) in [("FIRST", &first), ("SECOND", &second)] {
        kv.run_with(["set", name, "--stdin"], &key.value).ok();
    }
    let options = ServeOptions { host: Host::Thread, ..ServeOptions::default() };
    let service: Service = serve(|_: &_| Reply::json(200, &json!({})), &kv.ca, options).unwrap();
    kv.connect_to("openai", "first", &service.origin(), "FIRST");
    kv.connect_to("openai", "second", &service.origin(), "SECOND");
    // One connection to the daemon, so that one worker has them all.
    let mut wire = Wire::connect(&kv, Door::Agent);
    let mut get = |name: &str| {
        let call = json!({ "connection": name, "method": "GET", "path": "/v1/models" }).to_string();
        wire.send(request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
        crate::harness::Answer::read(&mut wire).unwrap().forwarded(200);
    };
    get("first");
    get("second");
    get("first");
    get("second");
    let third = kv.plant(Canary::openai());
    kv.run_with(["secret", "rotate", "FIRST", "--stdin"], &third.value).ok();
    get("first");
    get("second");
    let seen: Vec<_> =
        service.requests().iter().map(|request| (request.connection, request.bearer().unwrap().to_owned())).collect();
    let on = |key: &Canary| -> std::collections::BTreeSet<usize> {
        seen.iter().filter(|(_, bearer)| *bearer == key.value).map(|(connection, _)| *connection).collect()
    };
    assert_eq!((on(&first).len(), on(&second).len(), on(&third).len()), (1, 1, 1), "{}", seen.len());
    assert_eq!(service.connections(), 3);
}

/// H67, H33: cookies and hints of where else to go stay here, and nothing comes of them.
#[test]
fn cookies_are_not_kept() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    for _ in 0..2 {
        let answer = kv.get("openai", "/v1/models").forwarded(200);
        for name in ["set-cookie", "alt-svc", "strict-transport-security"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    assert!(openai.requests().iter().all(|request| request.header("cookie").is_none()));
}

/// H62: when the caller goes, the service's connection goes within a second.
#[test]
fn a_caller_that_goes_takes_the_connection_along() {
    let kv = Kv::unlocked();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let forever = Step::Repeat { bytes: "data: x\n\n".into(), times: u64::MAX, every: Duration::from_millis(20) };
    let service = kv.scripted("forever", Script::then([Step::send(head), forever]));
    let call = json!({ "connection": "forever", "method": "GET", "path": "/v1/models" }).to_string();
    let mut wire = Wire::connect(&kv, Door::Agent);
    wire.send(request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
    wire.head().unwrap();
    assert!(matches!(wire.part(), Part::Data(_)));
    assert_eq!(service.open_connections(), 1);
    drop(wire);
    eventually("the end of the connection", || (service.open_connections() == 0).then_some(()));
    let outcome = eventually("the outcome", || kv.trail_of("outcome").pop());
    assert_eq!((&outcome["sent"], &outcome["error"]), (&json!("yes"), &json!("cut_off")));
}

/// H30: a redirect is an answer, with its place cleaned, and nobody goes there.
#[test]
fn redirects_are_handed_on_and_not_followed() {
    let kv = Kv::unlocked();
    let sink = Sink::start_blocking().unwrap();
    let location = format!("{}/?key=", sink.origin());
    let script = Script::new([
        Step::ReadRequest,
        Step::decide(move |request| {
            let key = request.bearer().unwrap_or_default();
            vec![Step::send(format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}{key}\r\nContent-Length: 0\r\n\r\n"
            ))]
        }),
        Step::Again,
    ]);
    let service = kv.scripted("away", script);
    let answer = kv.get("away", "/v1/models").forwarded(307);
    let location = answer.header("location").expect("it is told");
    assert!(location.starts_with(&sink.origin()), "{location}");
    assert_eq!((sink.hits(), service.request_count()), (0, 1));
    let ran = kv.run(["api", "away", "GET", "/v1/models", "-i"]).ok();
    assert!(ran.stdout.starts_with("HTTP 307\n"), "{}", ran.stdout);
}
