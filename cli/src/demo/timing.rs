//! What a call costs beyond a direct one: the same request, many times, both ways, in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kv_api::RawCallRequest;
use kv_commands::{Client, Door, Request};
use kv_fakes::{Protocols, Service, TestCa};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Result;
use super::home::DemoHome;

const ROUNDS: usize = 200;

/// Medians of one kept connection each way.
pub(super) struct Timing {
    pub(super) rounds: usize,
    pub(super) direct: Duration,
    pub(super) through_kv: Duration,
}

pub(super) async fn measure(home: &DemoHome, ca: &TestCa, openai: &Service, key: &str) -> Result<Timing> {
    let mut direct = connect(ca, openai).await?;
    let mut kv = Client::connect(&home.kv(), Door::Agent).await.map_err(|problem| problem.error().message.clone())?;
    let (mut direct_times, mut kv_times) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 20 {
        let started = Instant::now();
        ask_directly(&mut direct, openai, key).await?;
        let direct_time = started.elapsed();
        let started = Instant::now();
        ask_kv(&mut kv).await?;
        let kv_time = started.elapsed();
        // The first rounds warm both ways up.
        if round >= 20 {
            direct_times.push(direct_time);
            kv_times.push(kv_time);
        }
    }
    Ok(Timing { rounds: ROUNDS, direct: median(direct_times), through_kv: median(kv_times) })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn connect(ca: &TestCa, service: &Service) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(service.address()).await?;
    stream.set_nodelay(true)?;
    let name = rustls_pki_types::ServerName::from(service.address().ip());
    let tls = TlsConnector::from(Arc::clone(&ca.client_config(Protocols::Http1))).connect(name, stream).await?;
    let (sender, connection) = handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask_directly(sender: &mut SendRequest<Empty<Bytes>>, service: &Service, key: &str) -> Result<()> {
    let request = hyper::Request::get("/v1/models/gpt-4o")
        .header("host", service.address().to_string())
        .header("authorization", format!("Bearer {key}"))
        .body(Empty::new())?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    answer.into_body().collect().await?;
    Ok(())
}

async fn ask_kv(client: &mut Client) -> Result<()> {
    let call = RawCallRequest {
        connection: "openai".parse()?,
        method: "GET".to_owned(),
        path: "/v1/models/gpt-4o".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: kv_api::ApiBody::None,
        most: kv_model::Effect::Read,
    };
    let problem = |problem: kv_commands::Problem| problem.error().message.clone();
    let request = Request::post("/v1/api", &call).map_err(problem)?.agent(super::agent::NAME);
    let mut answer = client.send(request).await.map_err(problem)?;
    while answer.next().await.map_err(problem)?.is_some() {}
    Ok(())
}
