//! The parts: a provider's step, the search for secrets, the start of a command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_model::{Call, CallId};
use kv_redact::{PatternsBuilder, Stream};
use kv_runtime::{Budget, Runtime};

use crate::kv::Kv;
use crate::{Result, upstream};

pub(crate) fn steps() -> Result<()> {
    println!("\nstep: a fresh instance each, median and p99 of 5,000");
    let runtime = Runtime::new()?;
    for builtin in kv_bundle::builtins() {
        let provider = runtime.load_trusted(builtin.component, builtin.compiled)?;
        let operation = provider.manifest.test.clone().ok_or("the provider names no operation to test with")?;
        let call = Call {
            id: CallId::from_bytes([1; 16]),
            operation: operation.clone(),
            input: "{}".to_owned(),
            settings: provider.manifest.settings_with(&Default::default()),
            now_ms: 0,
            attachments: Vec::new(),
        };
        let mut times = Vec::new();
        for _ in 0..5_000 {
            let started = Instant::now();
            provider.start(&call, Budget::Inline)?;
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "  {:<24} {:>6.1} us {:>6.1} us",
            format!("{}/{operation}", builtin.name),
            micros(times[2_500]),
            micros(times[4_950])
        );
    }
    Ok(())
}

pub(crate) fn redaction() {
    println!("\nredaction: 64 MB of JSON lines in pieces of 64 KB");
    let text = "{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n".repeat(600);
    for secrets in [1, 100, 1_000] {
        let mut builder = PatternsBuilder::new();
        for number in 0..secrets {
            builder.add(format!("sk-proj-{number:08}-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef").as_bytes());
        }
        let patterns = Arc::new(builder.build());
        let mut stream = Stream::new(patterns);
        let mut out = Vec::with_capacity(text.len() * 2);
        let started = Instant::now();
        let mut bytes = 0;
        while bytes < 64 << 20 {
            out.clear();
            stream.push(text.as_bytes(), &mut out);
            bytes += text.len();
        }
        let rate = bytes as f64 / 1e6 / started.elapsed().as_secs_f64();
        println!("  {secrets:>5} secrets {rate:>7.0} MB/s");
    }
}

pub(crate) async fn start() -> Result<()> {
    println!("\nstart: a command that only asks the daemon, median of 50");
    let kv = Kv::start(upstream::start()?)?;
    for arguments in [&["status"][..], &["connection", "list"], &["--version"]] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let started = Instant::now();
            let output = kv.command().args(arguments).output()?;
            times.push(started.elapsed());
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        times.sort();
        println!("  kv {:<16} {:>6.1} ms", arguments.join(" "), micros(times[25]) / 1000.0);
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
