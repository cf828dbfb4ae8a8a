//! A stream's first byte, and a body of 100 MB.

use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderValue};
use http_body_util::BodyExt;
use kv_fakes::{Host, TestCa, bare_proxy};

use crate::kv::{Kv, Raw, text};
use crate::load::Plain;
use crate::{Result, nginx, upstream};

const ROUNDS: usize = 20;

pub(crate) async fn run() -> Result<()> {
    let service = upstream::start()?;
    let nginx = nginx::start(service)?;
    let bare = bare_proxy(
        &TestCa::new(),
        &format!("http://{service}"),
        (AUTHORIZATION, HeaderValue::from_static("Bearer sk-bench")),
        Host::Thread,
    )?;
    let kv = Kv::start(service)?;
    let mut ways = vec![("direct", service), ("bare hyper", bare.address())];
    ways.extend(nginx.as_ref().map(|nginx| ("nginx", nginx.address)));

    println!("\nstream: first byte, median of {ROUNDS}, with kv's ratio to each way");
    let path = "/v1/chat/completions";
    let mut client = Raw(kv.client().await?, path);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut answer = client.send().await?;
        answer.next().await.map_err(text)?;
        times.push(started.elapsed());
        while answer.next().await.map_err(text)?.is_some() {}
    }
    let through_kv = median(times);
    println!("  {:<10} {:>7.0} us", "kv", micros(through_kv));
    for (name, address) in &ways {
        let time = first_byte(&mut Plain::connect(*address, path).await?).await?;
        println!("  {name:<10} {:>7.0} us   {:.2}x", micros(time), micros(through_kv) / micros(time));
    }

    println!("body of {} MB, with kv's ratio to each way", upstream::LARGE >> 20);
    let path = "/v1/files/large/content";
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
    let through_kv = rate(started.elapsed());
    println!("  {:<10} {through_kv:>7.0} MB/s   (daemon at most {:.1} MiB)", "kv", kv.memory()?.1);
    for (name, address) in &ways {
        let plain = rate(large(&mut Plain::connect(*address, path).await?).await?);
        println!("  {name:<10} {plain:>7.0} MB/s   {:.2}x", through_kv / plain);
    }
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

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In MB/s.
fn rate(time: Duration) -> f64 {
    upstream::LARGE as f64 / 1e6 / time.as_secs_f64()
}
