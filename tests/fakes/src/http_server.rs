//! Serving a [`Fake`] over HTTP/1.1 and HTTP/2: read the request, write it down, ask the fake, send its reply.
//!
//! The fake is asked only after the request is complete and recorded, so what a test finds in the record is never behind
//! what the client was answered.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::ca::{Leaf, TestCa};
use crate::listener::{Protocols, accept};
use crate::record::{Log, Recorded};
use crate::reply::{Paced, Reply};
use crate::service::{Host, Service, Stop};
use crate::wire::Wire;

/// A pretended service: a request in, a reply out. State it keeps in a mutex of its own.
pub trait Fake: Send + Sync + 'static {
    fn reply(&self, request: &Recorded) -> Reply;
}

/// Any function will do.
impl<F: Fn(&Recorded) -> Reply + Send + Sync + 'static> Fake for F {
    fn reply(&self, request: &Recorded) -> Reply {
        self(request)
    }
}

/// Says the same to everybody.
#[derive(Clone, Debug)]
pub struct Fixed(pub Reply);

impl Fake for Fixed {
    fn reply(&self, _: &Recorded) -> Reply {
        self.0.clone()
    }
}

/// How a fake is put on the wire.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub host: Host,
    pub leaf: Leaf,
    pub protocols: Protocols,
    /// False: plain HTTP/1.1, for benchmarks that want TLS out of the picture.
    pub tls: bool,
    /// False: requests are counted but not kept.
    pub record: bool,
    /// A longer body is answered with 413.
    pub body_cap: usize,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            host: Host::Here,
            leaf: Leaf::Good,
            protocols: Protocols::Both,
            tls: true,
            record: true,
            body_cap: 128 << 20,
        }
    }
}

/// Starts a fake on a free port of 127.0.0.1.
pub fn serve(fake: impl Fake, ca: &TestCa, options: ServeOptions) -> io::Result<Service> {
    let tls = options.tls.then(|| ca.server_config(&options.leaf, options.protocols));
    let scheme = if options.tls { "https" } else { "http" };
    let host = options.host;
    let fake: Arc<dyn Fake> = Arc::new(fake);
    Service::launch(scheme, host, move |listener, log, stop| {
        let desk = Desk { fake, log: Arc::clone(&log), options: Arc::new(options), stop: stop.clone() };
        accept(listener, tls, log, stop, move |wire, number| desk.clone().talk(wire, number))
    })
}

/// All that one connection needs to answer.
#[derive(Clone)]
struct Desk {
    fake: Arc<dyn Fake>,
    log: Arc<Log>,
    options: Arc<ServeOptions>,
    stop: Stop,
}

impl Desk {
    async fn talk(self, wire: Wire, number: usize) {
        let http2 = wire.is_http2();
        let executor = self.stop.clone();
        let service = service_fn(move |request| {
            let desk = self.clone();
            async move { Ok::<_, Infallible>(desk.answer(request, number).await) }
        });
        // A connection that ends in an error has told its client as much as it could.
        if http2 {
            let mut server = http2::Builder::new(executor);
            server.timer(TokioTimer::new()).max_concurrent_streams(1024);
            let _ = server.serve_connection(TokioIo::new(wire), service).await;
        } else {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            let _ = server.serve_connection(TokioIo::new(wire), service).await;
        }
    }

    async fn answer(&self, request: http::Request<Incoming>, number: usize) -> http::Response<Paced> {
        let (head, body) = request.into_parts();
        let read = tokio::time::timeout(BODY_WITHIN, read_body(body, self.options.body_cap)).await;
        let (body, fault) = match read {
            Ok((body, None)) => (body, None),
            Ok((body, Some(fault))) => (body, Some(fault)),
            Err(_) => (Bytes::new(), Some(BodyFault::Late)),
        };
        let recorded = Arc::new(recorded(head, body, fault.is_none(), number));
        self.log.request(Arc::clone(&recorded), self.options.record);
        let reply = match fault {
            None => self.fake.reply(&recorded),
            Some(BodyFault::Broken) => Reply::bytes(400, "text/plain", "the request body broke off\n"),
            Some(BodyFault::Late) => Reply::bytes(408, "text/plain", "the request body did not come\n"),
            Some(BodyFault::Long) => Reply::bytes(413, "text/plain", "the request body is too long\n"),
        };
        if !reply.after.is_zero() {
            tokio::time::sleep(reply.after).await;
        }
        reply.into_response()
    }
}

enum BodyFault {
    Broken,
    Late,
    Long,
}

async fn read_body(mut body: Incoming, cap: usize) -> (Bytes, Option<BodyFault>) {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (read.freeze(), Some(BodyFault::Broken)) };
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > cap {
            return (read.freeze(), Some(BodyFault::Long));
        }
        read.extend_from_slice(&data);
    }
    (read.freeze(), None)
}

fn recorded(head: http::request::Parts, body: Bytes, complete: bool, connection: usize) -> Recorded {
    let target = match head.uri.path_and_query() {
        Some(target) => target.as_str().to_owned(),
        None => head.uri.to_string(),
    };
    let mut headers: Vec<(String, Bytes)> = Vec::with_capacity(head.headers.len() + 1);
    // HTTP/2 says it in a pseudo-header; tests want to ask for one thing in both.
    if let (http::Version::HTTP_2, Some(authority)) = (head.version, head.uri.authority()) {
        headers.push((":authority".to_owned(), Bytes::copy_from_slice(authority.as_str().as_bytes())));
    }
    headers.extend(
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))),
    );
    Recorded {
        connection,
        version: head.version,
        method: head.method.as_str().to_owned(),
        target,
        headers,
        body,
        complete,
        raw: Bytes::new(),
    }
}

/// A client that stalls in its own body is ended, so that a forgotten one does not hold its connection for ever.
const BODY_WITHIN: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::bare_proxy;
    use crate::reply::{Content, End, Pieces};
    use crate::sink::Sink;
    use crate::testing::{Client, block_on};
    use http::header::{AUTHORIZATION, HeaderValue};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn ok() -> Fixed {
        Fixed(Reply::bytes(200, "text/plain", "ok"))
    }

    #[test]
    fn requests_are_recorded_in_both_protocols() {
        block_on(async {
            let ca = TestCa::new();
            for (protocols, version) in
                [(Protocols::Http1, http::Version::HTTP_11), (Protocols::Http2, http::Version::HTTP_2)]
            {
                let service = serve(ok(), &ca, ServeOptions::default()).unwrap();
                let client = Client { protocols, ..Client::new(&ca, &service, "k") };
                client.call("PUT", "/a%2Fb?x=1&x=%20", &[("x-one", "1"), ("x-two", "2")], "body").await;
                let seen = service.wait_for(1).await.unwrap();
                let request = &seen[0];
                assert_eq!(
                    (request.version, request.method.as_str(), request.target.as_str()),
                    (version, "PUT", "/a%2Fb?x=1&x=%20")
                );
                assert_eq!((request.path(), request.query(), request.bearer()), ("/a%2Fb", "x=1&x=%20", Some("k")));
                assert_eq!((&request.body[..], request.connection, request.complete), (&b"body"[..], 1, true));
                assert!(!format!("{request:?}").contains("Bearer"));
            }
        });
    }

    #[test]
    fn bodies_in_pieces_arrive_whole_or_break() {
        block_on(async {
            let ca = TestCa::new();
            for protocols in [Protocols::Http1, Protocols::Http2] {
                for (end, arrives) in [(End::Proper, true), (End::Cut, false)] {
                    let pieces = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
                    let pieces = Pieces { pieces, end, every: Duration::from_millis(1), ..Pieces::default() };
                    let service =
                        serve(Fixed(Reply::new(200, Content::Pieces(pieces))), &ca, ServeOptions::default()).unwrap();
                    let client = Client { protocols, ..Client::new(&ca, &service, "") };
                    let uri = if protocols == Protocols::Http2 { service.origin() } else { "/".to_owned() };
                    let answer =
                        client.send(http::Request::get(uri).body(http_body_util::Full::default()).unwrap()).await;
                    assert_eq!(answer.is_ok(), arrives, "{protocols:?} {end:?}");
                    if let Ok(answer) = answer {
                        assert_eq!(&answer.body()[..], b"ab");
                    }
                }
            }
        });
    }

    #[test]
    fn strange_clients_leave_it_standing() {
        block_on(async {
            let ca = TestCa::new();
            let service =
                serve(ok(), &ca, ServeOptions { tls: false, body_cap: 10, ..ServeOptions::default() }).unwrap();
            let long = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n{}", "x".repeat(11));
            for (text, status) in [
                ("garbage\r\n\r\n", " 400"),
                ("\0\0\0\0", ""),
                ("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab", ""),
                (long.as_str(), " 413"),
            ] {
                let mut tcp = TcpStream::connect(service.address()).await.unwrap();
                tcp.write_all(text.as_bytes()).await.unwrap();
                tcp.shutdown().await.unwrap();
                let mut answer = String::new();
                let _ = tcp.read_to_string(&mut answer).await;
                assert!(answer.lines().next().unwrap_or("").contains(status), "{text:?}: {answer}");
            }
            assert_eq!(service.connections(), 4);
            assert!(service.requests().iter().all(|request| !request.complete));
        });
    }

    #[test]
    fn a_service_in_a_thread_serves_and_ends() {
        let ca = TestCa::new();
        let service = serve(ok(), &ca, ServeOptions { host: Host::Thread, ..ServeOptions::default() }).unwrap();
        let address = service.address();
        let answer = block_on(async { Client::new(&ca, &service, "").call("GET", "/", &[], "").await });
        assert_eq!(answer.status(), 200);
        assert_eq!(service.wait_for_blocking(1).unwrap().len(), 1);
        service.stop();
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn dropping_it_ends_its_tasks_and_connections() {
        block_on(async {
            let ca = TestCa::new();
            let reply = Reply { after: Duration::from_secs(3600), ..ok().0 };
            let service = serve(Fixed(reply), &ca, ServeOptions { tls: false, ..ServeOptions::default() }).unwrap();
            let mut tcp = TcpStream::connect(service.address()).await.unwrap();
            tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            service.wait_for(1).await.unwrap();
            drop(service);
            assert_eq!(tcp.read(&mut [0; 10]).await.unwrap_or(0), 0);
        });
    }

    #[test]
    fn starting_here_needs_a_runtime() {
        assert!(serve(ok(), &TestCa::new(), ServeOptions::default()).is_err());
    }

    #[test]
    fn the_bare_proxy_sets_its_header_and_keeps_its_connection() {
        block_on(async {
            let ca = TestCa::new();
            let upstream = serve(ok(), &ca, ServeOptions::default()).unwrap();
            let header = (AUTHORIZATION, HeaderValue::from_static("Bearer real"));
            let proxy = bare_proxy(&ca, &upstream.origin(), header, Host::Here).unwrap();
            let mut tcp = TcpStream::connect(proxy.address()).await.unwrap();
            for _ in 0..2 {
                tcp.write_all(
                    b"POST /x HTTP/1.1\r\nhost: kv\r\nauthorization: Bearer fake\r\ncontent-length: 2\r\n\r\nhi",
                )
                .await
                .unwrap();
                let mut answer = vec![0; 4096];
                let length = tcp.read(&mut answer).await.unwrap();
                assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            }
            let seen = upstream.requests();
            assert_eq!((seen.len(), upstream.connections()), (2, 1));
            assert_eq!((seen[1].bearer(), seen[1].headers_named("authorization").count()), (Some("real"), 1));
            assert_eq!(&seen[1].body[..], b"hi");
        });
    }

    #[test]
    fn the_sink_counts_and_keeps_first_bytes() {
        block_on(async {
            let sink = Sink::start().unwrap();
            assert_eq!(sink.hits(), 0);
            let mut tcp = TcpStream::connect(sink.authority()).await.unwrap();
            tcp.write_all(b"hello").await.unwrap();
            let _ = tcp.read(&mut [0]).await;
            assert_eq!((sink.hits(), sink.first_bytes()), (1, vec![Bytes::from_static(b"hello")]));
        });
    }
}
