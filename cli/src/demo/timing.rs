//! What each of the agent's calls costs beyond a direct one: the same request both ways in turn, over a kept connection each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kv_api::{ApiBody, RawCallRequest};
use kv_commands::{Client, Door, Request};
use kv_fakes::{Protocols, Service, TestCa};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Result;
use super::home::{DemoHome, Keys};

/// Of each call at most; the first few warm both ways up and do not count.
const ROUNDS: usize = 60;
const WARM: usize = 3;
/// A stream takes its time, so there are fewer rounds of it.
const ENOUGH: Duration = Duration::from_millis(500);

/// Medians of one call, each way.
pub(super) struct Timing {
    pub(super) call: &'static str,
    /// `None`: there is no direct call to compare it with.
    pub(super) direct: Option<Times>,
    pub(super) through_kv: Times,
}

#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) first_byte: Duration,
    pub(super) whole: Duration,
}

/// One of the agent's calls, as both ways send it.
struct Subject<'a> {
    call: &'static str,
    connection: &'static str,
    service: &'a Service,
    key: &'a str,
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    /// How the service takes the body.
    encoded: (&'static str, String),
    is_refused: bool,
}

pub(super) async fn measure(
    home: &DemoHome,
    ca: &TestCa,
    openai: &Service,
    stripe: &Service,
    keys: &Keys,
) -> Result<Vec<Timing>> {
    let chat = json!({ "model": "gpt-4o", "stream": true, "messages": [{ "role": "user", "content": "Say hello in five words." }] });
    let none = ("", String::new());
    let form = |text: &str| ("application/x-www-form-urlencoded", text.to_owned());
    let subjects = [
        Subject {
            call: "list the models",
            method: "GET",
            path: "/v1/models",
            encoded: none.clone(),
            ..Subject::of("openai", openai, &keys.openai)
        },
        Subject {
            call: "chat, streamed",
            path: "/v1/chat/completions",
            encoded: ("application/json", chat.to_string()),
            body: Some(chat),
            ..Subject::of("openai", openai, &keys.openai)
        },
        Subject {
            call: "take a payment",
            path: "/v1/payment_intents",
            body: Some(json!({ "amount": 1999, "currency": "eur", "payment_method": "pm_card_visa", "confirm": true })),
            encoded: form("amount=1999&currency=eur&payment_method=pm_card_visa&confirm=true"),
            ..Subject::of("stripe", stripe, &keys.stripe)
        },
        Subject {
            call: "a payout, refused",
            path: "/v1/payouts",
            body: Some(json!({ "amount": 50_000, "currency": "eur" })),
            encoded: none,
            is_refused: true,
            ..Subject::of("stripe", stripe, &keys.stripe)
        },
    ];
    let mut timings = Vec::new();
    for subject in subjects {
        timings.push(subject.measure(home, ca).await?);
    }
    Ok(timings)
}

impl<'a> Subject<'a> {
    fn of(connection: &'static str, service: &'a Service, key: &'a str) -> Self {
        let encoded = ("", String::new());
        Self { call: "", connection, service, key, method: "POST", path: "", body: None, encoded, is_refused: false }
    }

    async fn measure(&self, home: &DemoHome, ca: &TestCa) -> Result<Timing> {
        let mut direct = connect(ca, self.service).await?;
        let mut kv = Client::connect(&home.kv(), Door::Agent).await.map_err(text)?;
        let (mut direct_times, mut kv_times) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        for round in 0..ROUNDS + WARM {
            if round > WARM && begun.elapsed() > ENOUGH {
                break;
            }
            let directly = if self.is_refused { None } else { Some(self.ask_directly(&mut direct).await?) };
            let through_kv = self.ask_kv(&mut kv).await?;
            if round >= WARM {
                direct_times.extend(directly);
                kv_times.push(through_kv);
            }
        }
        let direct = (!self.is_refused).then(|| medians(&direct_times));
        Ok(Timing { call: self.call, direct, through_kv: medians(&kv_times) })
    }

    async fn ask_directly(&self, sender: &mut SendRequest<Full<Bytes>>) -> Result<Times> {
        let (media_type, body) = &self.encoded;
        let started = Instant::now();
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("host", self.service.address().to_string())
            .header("authorization", format!("Bearer {}", self.key));
        if !media_type.is_empty() {
            request = request.header("content-type", *media_type);
        }
        sender.ready().await?;
        let answer = sender.send_request(request.body(Full::from(body.clone()))?).await?;
        if !answer.status().is_success() {
            return Err(format!("{} answered {} to a direct call", self.connection, answer.status()).into());
        }
        let mut body = answer.into_body();
        body.frame().await.transpose()?;
        let first_byte = started.elapsed();
        body.collect().await?;
        Ok(Times { first_byte, whole: started.elapsed() })
    }

    async fn ask_kv(&self, client: &mut Client) -> Result<Times> {
        let started = Instant::now();
        let call = RawCallRequest {
            connection: self.connection.parse()?,
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: self.body.clone().map_or(ApiBody::None, ApiBody::Json),
            most: kv_model::Effect::Grant,
            hold_ms: 0,
        };
        let request = Request::post("/v1/api", &call).map_err(text)?.agent(super::agent::NAME);
        match client.send(request).await {
            Ok(_) if self.is_refused => Err(format!("{} was not refused", self.call).into()),
            Err(problem) if !self.is_refused => Err(text(problem).into()),
            Err(_) => Ok(Times { first_byte: started.elapsed(), whole: started.elapsed() }),
            Ok(mut answer) => {
                answer.next().await.map_err(text)?;
                let first_byte = started.elapsed();
                while answer.next().await.map_err(text)?.is_some() {}
                Ok(Times { first_byte, whole: started.elapsed() })
            }
        }
    }
}

fn medians(times: &[Times]) -> Times {
    let median = |of: fn(&Times) -> Duration| {
        let mut list: Vec<_> = times.iter().map(of).collect();
        list.sort();
        list.get(list.len() / 2).copied().unwrap_or_default()
    };
    Times { first_byte: median(|times| times.first_byte), whole: median(|times| times.whole) }
}

async fn connect(ca: &TestCa, service: &Service) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(service.address()).await?;
    stream.set_nodelay(true)?;
    let name = rustls_pki_types::ServerName::from(service.address().ip());
    let tls = TlsConnector::from(Arc::clone(&ca.client_config(Protocols::Http1))).connect(name, stream).await?;
    let (sender, connection) = handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn text(problem: kv_commands::Problem) -> String {
    problem.error().message.clone()
}
