//! A small client for this crate's tests.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ca::TestCa;
use crate::listener::Protocols;
use crate::service::Service;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One request on a connection of its own, with at most so many bytes of body in the answer.
pub(crate) async fn exchange(
    service: &Service,
    config: Arc<ClientConfig>,
    request: Request<Full<Bytes>>,
    cap: usize,
) -> Result<Response<Bytes>, Failure> {
    let tcp = TcpStream::connect(service.address()).await?;
    let stream = TlsConnector::from(config).connect(ServerName::try_from("127.0.0.1")?, tcp).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let response = if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, cap).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

pub(crate) struct Client<'a> {
    pub(crate) ca: &'a TestCa,
    pub(crate) service: &'a Service,
    pub(crate) protocols: Protocols,
    pub(crate) key: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(ca: &'a TestCa, service: &'a Service, key: &str) -> Client<'a> {
        Client { ca, service, protocols: Protocols::Http1, key: key.to_owned() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
        exchange(self.service, self.ca.client_config(self.protocols), request, 256 << 20).await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let uri = match self.protocols {
            Protocols::Http2 => format!("{}{target}", self.service.origin()),
            _ => target.to_owned(),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if self.protocols != Protocols::Http2 {
            request = request.header("host", self.service.address().to_string());
        }
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    pub(crate) async fn json(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.call(method, target, &[("content-type", "application/json")], body).await;
        parsed(&response)
    }

    pub(crate) async fn form(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        parsed(&self.call(method, target, &headers, body.to_owned()).await)
    }
}

pub(crate) fn parsed(response: &Response<Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    (response.status().as_u16(), body)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}
