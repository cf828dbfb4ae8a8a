//! The least that a proxy can do: set one header and pass everything on. Benchmarks measure kv against it.
//!
//! It checks nothing, redacts nothing and records nothing. Each client connection keeps one upstream connection of its
//! own, which measured better than a shared pool.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::ca::TestCa;
use crate::listener::{Protocols, accept};
use crate::service::{Host, Service, Stop};

/// Forwards plain HTTP/1.1 on a free port to `upstream` (an origin, `http` or `https`), with `header` set on each request.
pub fn bare_proxy(ca: &TestCa, upstream: &str, header: (HeaderName, HeaderValue), host: Host) -> io::Result<Service> {
    let upstream = Upstream::parse(upstream, ca)?;
    let shared = Arc::new((upstream, header));
    Service::launch("http", host, move |listener, log, stop| {
        let stop_of_each = stop.clone();
        accept(listener, None, log, stop, move |wire, _| {
            let hop =
                Arc::new(Hop { shared: Arc::clone(&shared), sender: Mutex::new(None), stop: stop_of_each.clone() });
            async move {
                let service = service_fn(move |request| {
                    let hop = Arc::clone(&hop);
                    async move { hop.forward(request).await }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new());
                // The client sees the error as a closed connection.
                let _ = server.serve_connection(TokioIo::new(wire), service).await;
            }
        })
    })
}

struct Upstream {
    authority: String,
    host_header: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Upstream {
    fn parse(origin: &str, ca: &TestCa) -> io::Result<Upstream> {
        let uri: Uri = origin.parse().map_err(io::Error::other)?;
        let authority = uri.authority().ok_or_else(|| io::Error::other("an origin has a host"))?;
        let tls = match uri.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(authority.host().to_owned()).map_err(io::Error::other)?;
                Some((TlsConnector::from(ca.client_config(Protocols::Http1)), name))
            }
            _ => None,
        };
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
        Ok(Upstream { authority: authority.to_string(), host_header, tls })
    }

    async fn connect(&self, stop: &Stop) -> io::Result<SendRequest<Incoming>> {
        let tcp = TcpStream::connect(&self.authority).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => talk(tcp, stop).await,
            Some((connector, name)) => talk(connector.connect(name.clone(), tcp).await?, stop).await,
        }
    }
}

async fn talk<T>(stream: T, stop: &Stop) -> io::Result<SendRequest<Incoming>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    stop.spawn(async move {
        // Its error reaches the request that waits on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// One client connection and its upstream.
struct Hop {
    shared: Arc<(Upstream, (HeaderName, HeaderValue))>,
    sender: Mutex<Option<SendRequest<Incoming>>>,
    stop: Stop,
}

impl Hop {
    async fn forward(&self, mut request: Request<Incoming>) -> io::Result<Response<BoxBody<Bytes, hyper::Error>>> {
        let (upstream, (name, value)) = &*self.shared;
        request.headers_mut().insert(name, value.clone());
        request.headers_mut().insert(HOST, upstream.host_header.clone());
        let mut kept = self.sender.lock().await;
        let mut sender = match kept.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => upstream.connect(&self.stop).await?,
        };
        // HTTP/1.1 answers in order: the sender is ready again when the answer before has been read.
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        *kept = Some(sender);
        Ok(match answer {
            Ok(response) => response.map(BodyExt::boxed),
            Err(_) => {
                let body = Full::new(Bytes::from_static(b"bad gateway\n")).map_err(|never| match never {}).boxed();
                let mut response = Response::new(body);
                *response.status_mut() = http::StatusCode::BAD_GATEWAY;
                response
            }
        })
    }
}
