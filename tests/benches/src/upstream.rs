//! The service that all ways lead to: 1 KB of JSON, a slow stream, a large body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Result;

pub(crate) const LARGE: usize = 100 << 20;
const CHUNK: usize = 64 << 10;

type Body = BoxBody<Bytes, Infallible>;

/// Listens on a free port, on a thread and an event loop of its own.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve(listener))
    });
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request| async move { answer(request).await });
            // A client that goes away is the end of its connection.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    // The whole request is read, as a service would.
    let _ = request.into_body().collect().await;
    let body = match path.as_str() {
        "/v1/chat/completions" => stream(),
        "/v1/files/large/content" => large(),
        _ => Full::new(small()).boxed(),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn small() -> Bytes {
    let filler = "x".repeat(900);
    format!("{{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"system\",\"note\":\"{filler}\"}}").into()
}

/// Ten events, 20 ms apart, the first at once.
fn stream() -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for number in 0..10 {
            if number > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if sender.send(Bytes::from(format!("data: {{\"n\":{number}}}\n\n"))).await.is_err() {
                return;
            }
        }
    });
    channel(receiver)
}

fn large() -> Body {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let chunk = Bytes::from("{\"object\": \"line\", \"text\": \"The quick brown fox\"}\n".repeat(CHUNK / 49));
        let mut left = LARGE;
        while left > 0 {
            let piece = chunk.slice(..chunk.len().min(left));
            left -= piece.len();
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    channel(receiver)
}

fn channel(mut receiver: mpsc::Receiver<Bytes>) -> Body {
    let stream = futures(move |context| receiver.poll_recv(context));
    BodyExt::boxed(StreamBody::new(stream))
}

/// A stream of frames from a poll function.
fn futures(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>>,
) -> impl futures_util::Stream<Item = std::result::Result<Frame<Bytes>, Infallible>> {
    futures_util::stream::poll_fn(move |context| poll(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))))
}
