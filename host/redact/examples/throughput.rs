//! Prints how fast streams are cleaned, for several kinds of text and numbers of secrets.
//!
//! `cargo run -p kv-redact --example throughput`

use std::sync::Arc;
use std::time::Instant;

use kv_redact::{Patterns, PatternsBuilder, Stream};

const SIZE: usize = 16 << 20;
const CHUNK: usize = 16 << 10;

/// A text and what it is.
type Sample = (&'static str, Vec<u8>);

fn main() {
    let samples: [Sample; 5] = [
        (
            "compact json",
            fill(&|i| {
                format!(
                    r#"{{"id":"obj_{i:08}","amount":{},"currency":"usd","ok":true,"note":"paid at the till"}},"#,
                    i * 37
                )
            }),
        ),
        (
            "json with escapes",
            fill(&|i| {
                format!(
                    r#"{{"id":"chatcmpl-{i}","choices":[{{"delta":{{"content":"line {i}\nsays \"hello\" & goes"}}}}]}},"#
                )
            }),
        ),
        (
            "pretty json",
            fill(&|i| {
                format!(
                    "  {{\n    \"id\": \"obj_{i:08}\",\n    \"amount\": {},\n    \"url\": \"https://example.com/a?b={i}&c=1\"\n  }},\n",
                    i * 37
                )
            }),
        ),
        ("base64", fill(&|i| format!("{:016x}QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo{:016x}", mix(i), mix(i + 7)))),
        ("json in json", fill(&|i| format!(r#""{{\"id\":\"obj_{i:08}\",\"note\":\"a \\\"b\\\" c\",\"n\":{i}}}","#))),
    ];
    for secrets in [1, 10, 100, 1000] {
        let start = Instant::now();
        let patterns = Arc::new(patterns(secrets));
        println!("{secrets} secrets, {} forms, built in {:?}", patterns.forms(), start.elapsed());
        for (name, text) in &samples {
            println!("  {name:<20} {:>8.0} MB/s", best_of_three(&patterns, text));
        }
        println!("  {:<20} {:>8.2} us each", "answers of 1 KiB", one_kibibyte(&patterns, &samples[1].1));
    }
}

/// Microseconds for a short answer with a stream of its own.
fn one_kibibyte(patterns: &Arc<Patterns>, text: &[u8]) -> f64 {
    let (start, mut out, mut answers) = (Instant::now(), Vec::with_capacity(2048), 0);
    for answer in text.chunks(1024) {
        out.clear();
        let mut stream = Stream::new(Arc::clone(patterns));
        stream.push(answer, &mut out);
        stream.finish(&mut out);
        answers += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(answers)
}

fn best_of_three(patterns: &Arc<Patterns>, text: &[u8]) -> f64 {
    let once = || {
        let (mut stream, mut out, start) =
            (Stream::new(Arc::clone(patterns)), Vec::with_capacity(2 * CHUNK), Instant::now());
        for chunk in text.chunks(CHUNK) {
            out.clear();
            stream.push(chunk, &mut out);
        }
        stream.finish(&mut out);
        text.len() as f64 / start.elapsed().as_secs_f64() / 1e6
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

fn patterns(secrets: usize) -> Patterns {
    let mut builder = PatternsBuilder::new();
    for i in 0..secrets {
        builder.add(format!("sk-proj-{:016x}{:016x}", mix(i), mix(i + 1_000_000)).as_bytes());
    }
    builder.build()
}

fn fill(line: &dyn Fn(usize) -> String) -> Vec<u8> {
    let mut text = Vec::with_capacity(SIZE + 1024);
    for i in 0.. {
        if text.len() >= SIZE {
            break;
        }
        text.extend_from_slice(line(i).as_bytes());
    }
    text
}

fn mix(i: usize) -> u64 {
    let mut x = (i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        x = (x ^ x >> 30).wrapping_mul(factor);
    }
    x ^ x >> 31
}
