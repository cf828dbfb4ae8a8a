//! A stream's first byte, and a body of 100 MB.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;

use crate::kv::{Kv, Raw, text};
use crate::load::Plain;
use crate::{Result, nginx, upstream};

const ROUNDS: usize = 20;

pub(crate) async fn run() -> Result<()> {
    let service = upstream::start()?;
    let nginx = nginx::start(service)?;
    let kv = Kv::start(service)?;
    println!("\nstream: first byte, median of {ROUNDS}");
    let path = "/v1/chat/completions";
    report("direct", first_byte(&mut Plain::connect(service, path).await?).await?);
    if let Some(nginx) = &nginx {
        report("nginx", first_byte(&mut Plain::connect(nginx.address, path).await?).await?);
    }
    let mut client = Raw(kv.client().await?, path);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut answer = client.send().await?;
        answer.next().await.map_err(text)?;
        times.push(started.elapsed());
        while answer.next().await.map_err(text)?.is_some() {}
    }
    report("kv", median(times));

    println!("body of {} MB", upstream::LARGE >> 20);
    let path = "/v1/files/large/content";
    rate("direct", large(&mut Plain::connect(service, path).await?).await?);
    if let Some(nginx) = &nginx {
        rate("nginx", large(&mut Plain::connect(nginx.address, path).await?).await?);
    }
    let mut client = Raw(kv.client().await?, path);
    let started = Instant::now();
    let mut answer = client.send().await?;
    let mut bytes = 0;
    while let Some(chunk) = answer.next().await.map_err(text)? {
        bytes += chunk.len();
    }
    if bytes != upstream::LARGE {
        return Err(format!("{bytes} bytes came through kv").into());
    }
    rate("kv", started.elapsed());
    println!("  daemon at most {:.1} MiB", kv.memory()?.1);
    Ok(())
}

async fn first_byte(client: &mut Plain) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut body = client.send().await?;
        let _ = body.frame().await;
        times.push(started.elapsed());
        body.collect().await?;
    }
    Ok(median(times))
}

async fn large(client: &mut Plain) -> Result<Duration> {
    let started = Instant::now();
    let mut body = client.send().await?;
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(started.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn report(name: &str, time: Duration) {
    println!("  {name:<8} {:>7.0} us", time.as_secs_f64() * 1e6);
}

fn rate(name: &str, time: Duration) {
    println!("  {name:<8} {:>7.0} MB/s", (upstream::LARGE as f64 / 1e6) / time.as_secs_f64());
}
