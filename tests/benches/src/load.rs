//! A load: so many connections, each asking as soon as it was answered, for a while.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;

/// As long as one figure is measured, after a warm-up of a quarter of it.
pub(crate) const TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) per_second: f64,
}

/// Figures of one load, each with its ratio to every earlier one.
#[derive(Default)]
pub(crate) struct Table(Vec<(String, Figure)>);

impl Table {
    pub(crate) fn add(&mut self, name: &str, figure: Figure) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let ratios: Vec<_> = self
            .0
            .iter()
            .map(|(other, base)| format!("{:.3}x {other}", micros(figure.p50) / micros(base.p50).max(0.1)))
            .collect();
        println!(
            "  {name:<22} {:>9.0} {:>9.0} {:>9.0}    {}",
            micros(figure.p50),
            micros(figure.p99),
            figure.per_second,
            ratios.join(", ")
        );
        self.0.push((name.to_owned(), figure));
    }

    pub(crate) fn title(what: &str, callers: usize) {
        println!("\n{what}, {callers} caller(s)");
        println!("  {:<22} {:>9} {:>9} {:>9}    p50 to the others", "", "p50 us", "p99 us", "per s");
    }
}

/// Something that asks, again and again, on a connection of its own.
pub(crate) trait Asker: Send + 'static {
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

pub(crate) async fn measure<A: Asker>(askers: Vec<A>) -> Result<Figure> {
    let mut tasks = JoinSet::new();
    let begin = Instant::now() + TIME / 4;
    for mut asker in askers {
        tasks.spawn(async move {
            let mut times = Vec::new();
            loop {
                let started = Instant::now();
                if started >= begin + TIME {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times);
                }
                asker.ask().await?;
                if started >= begin {
                    times.push(started.elapsed());
                }
            }
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    Ok(Figure { p50: at(50), p99: at(99), per_second: times.len() as f64 / TIME.as_secs_f64() })
}

/// A plain HTTP/1.1 client on one kept connection.
pub(crate) struct Plain {
    sender: SendRequest<Empty<Bytes>>,
    authority: String,
    path: &'static str,
}

impl Plain {
    pub(crate) async fn connect(address: std::net::SocketAddr, path: &'static str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: address.to_string(), path })
    }

    pub(crate) async fn send(&mut self) -> Result<hyper::body::Incoming> {
        let request = hyper::Request::get(self.path).header("host", &self.authority).body(Empty::new())?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            Err(format!("status {}", response.status()).into())
        }
    }
}

impl Asker for Plain {
    async fn ask(&mut self) -> Result<()> {
        self.send().await?.collect().await?;
        Ok(())
    }
}
