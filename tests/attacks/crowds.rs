//! I06: many at once, and large ones: what all of them together may take of the daemon.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Door, Kv, Part, Wire, eventually, request};

/// I06: many large requests at once are refused where they would not fit into memory together, and the person's are not. Those
/// that were let in and never become whole give their memory back.
#[test]
fn large_requests_together_have_a_bound() {
    const CALLERS: usize = 12;
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let before = memory(&kv);
    // Bodies that are nearly whole, and stay so: none of them is over its own bound. While others are still to be refused, a
    // byte now and then shows that they go on.
    let (settled, another) = (&Mutex::new(0), &Condvar::new());
    let mut answers: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let kv = &kv;
                scope.spawn(move || {
                    let mut wire = Wire::connect(kv, Door::Agent);
                    let length = 64 << 20;
                    let head = format!(
                        "POST /v1/call HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\nkv-head-length: 10\r\ncontent-length: {length}\r\n\r\n"
                    );
                    wire.send(head).unwrap();
                    let piece = vec![b'x'; 1 << 20];
                    // It may be refused, and closed, while we write.
                    let sent = (0..63).all(|_| wire.send(&piece).is_ok());
                    let answer = (!sent).then(|| wire.head().map(|_| wire.part()));
                    let mut count = settled.lock().unwrap();
                    *count += 1;
                    another.notify_all();
                    while sent && *count < CALLERS {
                        wire.send(b"x").unwrap();
                        count = another.wait_timeout(count, Duration::from_secs(2)).unwrap().0;
                    }
                    drop(count);
                    (sent, answer, wire)
                })
            })
            .collect();
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
        kv.run(["secret", "list"]).ok();
        answers
    });
    let refused = answers.iter().filter(|(sent, ..)| !sent).count();
    println!("{refused} of {CALLERS} requests of 64 MiB were refused; the daemon took up to {} MiB", peak(&kv) >> 20);
    assert!((CALLERS - 4..CALLERS).contains(&refused), "{refused}");
    for (_, answer, _) in &answers {
        // Closed while we were writing: what it said is lost.
        if let Some(Some(Part::Data(body))) = answer {
            assert!(String::from_utf8_lossy(body).contains("memory_full"), "{}", String::from_utf8_lossy(body));
        }
    }
    assert!(peak(&kv) < before + (700 << 20), "the daemon took {} MiB", peak(&kv) >> 20);
    for (_, _, wire) in answers.iter_mut().filter(|(sent, ..)| *sent) {
        assert_eq!(Answer::read(wire).expect("it is told why").faults(), ("usage", "request.body_too_slow", "no"));
    }
    // Their connections are still there, and only those.
    assert_eq!(openai.request_count(), 0);
    let mut wire = Wire::connect(&kv, Door::Agent);
    let body = vec![b'x'; 63 << 20];
    wire.send(request("POST", "/v1/call", &[("kv-head-length", "10")], &body)).unwrap();
    assert_eq!(Answer::read(&mut wire).unwrap().faults(), ("usage", "request.json", "no"));
    kv.get("openai", "/v1/models").forwarded(200);
    drop(answers);
}

/// I06: ten thousand idle agents, or as many as the test's own limit of files allows: all of them are kept, the person's door
/// is open, and each costs little.
#[test]
fn ten_thousand_idle_agents() {
    let limit = {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        getrlimit(Resource::Nofile).current.unwrap_or(1 << 20) as usize
    };
    let kv = Kv::unlocked();
    let openai = kv.openai();
    kv.get("openai", "/v1/models").forwarded(200);
    // The other tests of this process need files too. Of the daemon's own, agents get three quarters.
    let many = 10_000.min(limit / 2).min(limit.saturating_sub(512) / 4 * 3 - 64);
    let before = memory(&kv);
    let status = request("GET", "/v1/status", &[], b"");
    let mut idle = Vec::with_capacity(many);
    for number in 0..many {
        let mut wire = Wire::connect(&kv, Door::Agent);
        wire.send(&status).unwrap();
        let answer = Answer::read(&mut wire).unwrap_or_else(|| panic!("agent {number} was turned away"));
        assert_eq!(answer.outcome, "result", "{}", answer.gist());
        idle.push(wire);
    }
    let each = memory(&kv).saturating_sub(before) / many;
    println!("{many} idle agents after a request each: {each} bytes of the daemon's memory for one");
    assert!(each < 24 << 10, "{each} bytes for an idle connection");
    assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
    kv.get("openai", "/v1/models").forwarded(200);
    kv.run(["secret", "list"]).ok();
    for wire in idle.iter_mut().step_by(97) {
        wire.send(&status).unwrap();
        assert_eq!(Answer::read(wire).expect("it was kept").outcome, "result");
    }
    assert_eq!(openai.request_count(), 2);
}

/// I06: idle and unread connections in numbers leave the person's door open.
#[test]
fn crowds_at_the_agents_door_leave_the_persons_open() {
    let kv = Kv::unlocked();
    let openai = kv.openai();
    let idle: Vec<_> = (0..400).map(|_| UnixStream::connect(kv.home().agent_socket()).unwrap()).collect();
    // These ask for much and read nothing.
    let call = json!({ "connection": "openai", "method": "GET", "path": "/v1/models" }).to_string();
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(kv.home().agent_socket()).unwrap();
            for _ in 0..4 {
                stream.write_all(&request("POST", "/v1/api", &[], call.as_bytes())).unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(kv.ask(Door::Human, "GET", "/v1/status", b"").outcome, "result");
    kv.run(["secret", "list"]).ok();
    kv.get("openai", "/v1/models").forwarded(200);
    drop((idle, deaf));
    // Calls whose callers went have their outcomes all the same.
    eventually("outcomes", || (kv.trail_of("intent").len() == kv.trail_of("outcome").len()).then_some(()));
    assert!(openai.request_count() > 0);
}

/// What the daemon has in memory, in bytes.
fn memory(kv: &Kv) -> usize {
    of_status(kv, "VmRSS:")
}

/// The most that it ever had.
fn peak(kv: &Kv) -> usize {
    of_status(kv, "VmHWM:")
}

fn of_status(kv: &Kv, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", kv.daemon_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}
