//! How long a step takes: `cargo run -p kv-runtime --example step -- COMPONENT [OPERATION [INPUT]]`.

use std::time::Instant;

use kv_model::{Call, CallId, Manifest, OperationName, Parts, Step};
use kv_runtime::{Budget, Provider, Runtime};

const ROUNDS: usize = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: step COMPONENT [OPERATION [INPUT]]")?;
    let component = std::fs::read(path)?;
    let begin = Instant::now();
    let provider = Runtime::new()?.load(&component)?;
    println!("load {:?}, {} KiB", begin.elapsed(), component.len() >> 10);
    let call = call(&provider.manifest)?;
    println!("{}: {}", call.operation, outcome(&provider, &call));
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            let _ = std::hint::black_box(provider.start(&call, Budget::Inline));
            begin.elapsed()
        })
        .collect();
    times.sort();
    for (name, at) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        println!("{name} {:?}", times[ROUNDS * at / 100]);
    }
    Ok(())
}

fn call(manifest: &Manifest) -> Result<Call, Box<dyn std::error::Error>> {
    let first = || manifest.operations.values().find(|operation| operation.input.is_some()).map(|o| o.name.to_string());
    let operation = std::env::args().nth(2).or_else(first).unwrap_or_else(|| "none".into());
    Ok(Call {
        id: CallId::from_bytes([1; 16]),
        operation: OperationName::parse(&operation)?,
        input: std::env::args().nth(3).unwrap_or_else(|| "{}".into()),
        settings: manifest.settings_with(&Default::default()),
        now_ms: 1_800_000_000_000,
        attachments: Vec::new(),
    })
}

fn outcome(provider: &Provider, call: &Call) -> String {
    match provider.start(call, Budget::Inline) {
        Ok(Step::Done(result)) => format!("done, {} bytes", result.len()),
        Ok(Step::Send { request: Parts::Http(request), .. }) => {
            format!("{} /{}", request.method, request.path.join("/"))
        }
        Ok(Step::Send { request: Parts::Sql(statement), .. }) => statement.text,
        Ok(Step::Send { request: Parts::Ssh(command), .. }) => format!("{:?}", command.line),
        Err(error) => format!("{error}"),
    }
}
