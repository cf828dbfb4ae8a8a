//! A daemon that answers as it is told, on a real socket, and remembers what it was asked.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kv_api::home::Home;
use kv_api::{ApiError, wire};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(super) type Reply = Response<BoxBody<Bytes, Infallible>>;
type Answer = Box<dyn Fn(&Asked) -> Told + Send + Sync>;

/// What the fake does with a request.
pub(super) enum Told {
    /// Closes the connection without a word.
    Hang,
    Reply(Reply),
}

#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) agent: String,
    pub(super) head_length: Option<usize>,
    pub(super) body: Vec<u8>,
}

pub(super) struct Daemon {
    pub(super) home: Home,
    _directory: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: watch::Sender<usize>,
    task: Option<JoinHandle<()>>,
    answer: Arc<Answer>,
}

impl Daemon {
    pub(super) fn new(answer: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::under(directory.path());
        std::fs::create_dir(&home.runtime).unwrap();
        std::fs::set_permissions(&home.runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (connections, _) = watch::channel(0);
        let mut daemon = Self {
            home,
            _directory: directory,
            asked: Arc::default(),
            connections,
            task: None,
            answer: Arc::new(Box::new(answer)),
        };
        daemon.start();
        daemon
    }

    pub(super) fn start(&mut self) {
        let socket = self.home.agent_socket();
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(socket).unwrap();
        let (asked, answer, connections) =
            (Arc::clone(&self.asked), Arc::clone(&self.answer), self.connections.clone());
        self.task = Some(tokio::spawn(async move {
            // Ended with this task, as those of a process are.
            let mut served = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                served.spawn(serve(stream, Arc::clone(&asked), Arc::clone(&answer), connections.clone()));
            }
        }));
    }

    /// Ends it with all its connections.
    pub(super) async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        self.quiet().await;
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn targets(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.target).collect()
    }

    /// Waits until no connection is open.
    pub(super) async fn quiet(&self) {
        let mut open = self.connections.subscribe();
        tokio::time::timeout(Duration::from_secs(5), open.wait_for(|open| *open == 0))
            .await
            .expect("a connection stays open")
            .unwrap();
    }
}

struct Open(watch::Sender<usize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn serve(
    stream: UnixStream,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
    connections: watch::Sender<usize>,
) {
    connections.send_modify(|open| *open += 1);
    let _open = Open(connections);
    let service = service_fn(move |request: Request<Incoming>| {
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        async move {
            let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let mut heard = Asked {
                target: request.uri().to_string(),
                agent: header(wire::AGENT_HEADER).unwrap_or_default(),
                head_length: header(wire::HEAD_LENGTH_HEADER).map(|length| length.parse().unwrap()),
                body: Vec::new(),
            };
            heard.body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            asked.lock().unwrap().push(heard.clone());
            match answer(&heard) {
                Told::Hang => Err(std::io::Error::other("hang up")),
                Told::Reply(reply) => Ok(reply),
            }
        }
    });
    // A client that goes away in the middle is what some tests are about.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn whole(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

pub(super) fn result(value: Value) -> Told {
    Told::Reply(
        Response::builder().header(wire::OUTCOME_HEADER, wire::OUTCOME_RESULT).body(whole(value.to_string())).unwrap(),
    )
}

pub(super) fn error(error: ApiError) -> Told {
    let body = serde_json::to_vec(&wire::ErrorBody::new(error)).unwrap();
    Told::Reply(
        Response::builder().status(400).header(wire::OUTCOME_HEADER, wire::OUTCOME_ERROR).body(whole(body)).unwrap(),
    )
}

pub(super) fn forwarded(status: u16, media_type: &str, body: impl Into<Bytes>) -> Told {
    Told::Reply(head(status, media_type).body(whole(body)).unwrap())
}

/// An answer that comes as the test sends it.
pub(super) fn streamed(media_type: &str, mut chunks: mpsc::UnboundedReceiver<Bytes>) -> Told {
    let stream = futures_util::stream::poll_fn(move |context| chunks.poll_recv(context));
    let frames = futures_util::StreamExt::map(stream, |chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    // `BoxBody` must be `Sync`, which a stream of a channel is.
    Told::Reply(head(200, media_type).body(BodyExt::boxed(StreamBody::new(frames))).unwrap())
}

/// What a command writes, as the test sends it.
pub(super) fn command(mut lines: mpsc::UnboundedReceiver<Bytes>) -> Told {
    let stream = futures_util::stream::poll_fn(move |context| lines.poll_recv(context));
    let frames = futures_util::StreamExt::map(stream, |line| Ok::<_, Infallible>(Frame::data(line)));
    let head = Response::builder()
        .header(wire::OUTCOME_HEADER, wire::OUTCOME_COMMAND)
        .header(wire::CALL_HEADER, "0123456789abcdef0123456789abcdef");
    Told::Reply(head.body(BodyExt::boxed(StreamBody::new(frames))).unwrap())
}

fn head(status: u16, media_type: &str) -> hyper::http::response::Builder {
    let headers = json!([["content-type", media_type], ["x-request-id", "req_1"], ["set-cookie", "no"]]);
    Response::builder()
        .header(wire::OUTCOME_HEADER, wire::OUTCOME_FORWARDED)
        .header(wire::STATUS_HEADER, status)
        .header(wire::HEADERS_HEADER, headers.to_string())
        .header(wire::CALL_HEADER, "0123456789abcdef0123456789abcdef")
}
