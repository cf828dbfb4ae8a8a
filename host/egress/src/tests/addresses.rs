//! H40 to H42: names and what they resolve to.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_fakes::{Leaf, Script, Scripted, ServeOptions, Sink};

use super::lab::{Lab, bearer, quick};
use crate::{Limits, Resolve, Resolving, SendError, Sent, Shared};

/// Answers each question with the next of its answers, the last one for ever; notes the names.
struct Told {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Told {
    fn new(answers: &[&[&str]]) -> Arc<Told> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Told { answers: Mutex::new(answers.iter().map(parse).collect()), asked: Mutex::default() })
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { if answer.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(answer) } })
    }
}

struct Hangs;

impl Resolve for Hangs {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

fn lab(limits: Limits, resolver: Arc<dyn Resolve>) -> Lab {
    Lab::with(Shared::with_resolver(limits, resolver), &[bearer()])
}

/// Nothing private is connected unless the person said so, and then nothing that hands out credentials.
#[tokio::test]
async fn what_a_name_may_resolve_to() {
    let sink = Sink::start().unwrap();
    let port = sink.port();
    for (answer, allow_private, code) in [
        (&["127.0.0.1"][..], false, "egress.private_address"),
        (&["10.0.0.1"], false, "egress.private_address"),
        (&["1.1.1.1", "127.0.0.1"], false, "egress.private_address"),
        (&["::1"], false, "egress.private_address"),
        (&["::ffff:127.0.0.1"], false, "egress.private_address"),
        (&["64:ff9b::7f00:1"], false, "egress.private_address"),
        (&["169.254.169.254"], true, "egress.private_address"),
        (&["127.0.0.1", "169.254.169.254"], true, "egress.private_address"),
        (&["fd00:ec2::254"], true, "egress.private_address"),
        (&[], true, "egress.dns"),
    ] {
        let lab = lab(quick(), Told::new(&[answer]));
        let mut connection = lab.connection(&format!("https://api.example.test:{port}"));
        connection.allow_private = allow_private;
        let error = lab.get(&Arc::new(connection), "/things").await.err().unwrap();
        assert_eq!((error.code(), error.sent()), (code, Sent::No), "{answer:?}");
    }
    assert_eq!(sink.hits(), 0);
}

#[tokio::test]
async fn literal_addresses_and_localhost() {
    let sink = Sink::start().unwrap();
    let port = sink.port();
    for origin in [
        "https://127.0.0.1",
        "https://localhost",
        "https://[::1]",
        "https://10.0.0.1",
        "http://127.0.0.1",
        "https://169.254.169.254",
    ] {
        let resolver = Told::new(&[&["1.1.1.1"]]);
        let lab = lab(quick(), resolver.clone());
        let mut connection = lab.connection(&format!("{origin}:{port}"));
        connection.allow_private = false;
        let error = lab.get(&Arc::new(connection), "/things").await.err().unwrap();
        assert_eq!(error, SendError::PrivateAddress, "{origin}");
        assert!(resolver.asked.lock().unwrap().is_empty(), "{origin} is not a matter for a resolver");
    }
    assert_eq!(sink.hits(), 0);
}

/// H41: vetted at the first connection is not vetted for the next one.
#[tokio::test]
async fn a_name_that_changes_its_mind() {
    let resolver = Told::new(&[&["127.0.0.1"], &["127.0.0.1", "169.254.169.254"]]);
    let lab = lab(quick(), resolver.clone());
    let leaf = Leaf::For(vec!["api.example.test".into()]);
    let options = ServeOptions { leaf, ..Scripted::options() };
    let closing =
        Script::then([kv_fakes::Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")]);
    let service = Scripted::start_with(&lab.ca, options, move |_| closing.clone()).unwrap();
    let connection = Arc::new(lab.connection(&format!("https://api.example.test:{}", service.port())));
    assert_eq!(lab.get(&connection, "/things").await.unwrap().status, 200);
    assert_eq!(lab.get(&connection, "/things").await.err().unwrap(), SendError::PrivateAddress);
    assert_eq!(*resolver.asked.lock().unwrap(), ["api.example.test", "api.example.test"]);
    let host = service.requests()[0].header("host").map(str::to_owned);
    assert_eq!(host, Some(format!("api.example.test:{}", service.port())));
}

#[tokio::test]
async fn the_second_address_is_tried() {
    let lab = lab(quick(), Told::new(&[&["127.0.0.2", "127.0.0.1"]]));
    let leaf = Leaf::For(vec!["api.example.test".into()]);
    let script = Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let service =
        Scripted::start_with(&lab.ca, ServeOptions { leaf, ..Scripted::options() }, move |_| script.clone()).unwrap();
    let connection = Arc::new(lab.connection(&format!("https://api.example.test:{}", service.port())));
    assert_eq!(lab.get(&connection, "/things").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_resolver_that_hangs() {
    let connect = Duration::from_millis(200);
    let lab = lab(Limits { connect, ..quick() }, Arc::new(Hangs));
    let connection = Arc::new(lab.connection("https://api.example.test"));
    assert_eq!(lab.get(&connection, "/things").await.err().unwrap(), SendError::TimeoutConnect(connect));
}

#[tokio::test]
async fn nobody_listens() {
    let lab = Lab::new(quick());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = lab.get(&Arc::new(lab.connection(&format!("https://{free}"))), "/things").await.err().unwrap();
    assert_eq!((error.code(), error.sent()), ("egress.connect", Sent::No));
}
