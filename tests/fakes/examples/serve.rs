//! Runs the fake OpenAI and Stripe until standard input ends, for trying any client against them by hand.
//!
//! `cargo run -p kv-fakes --example serve -- CA_FILE` writes the authority's certificate to CA_FILE and prints one line of
//! JSON with the two origins and the keys that they accept.

use std::io::Read;

use kv_fakes::{FakeOpenAi, FakeStripe, OpenAiOptions, StripeOptions, TestCa};

fn main() -> std::io::Result<()> {
    let Some(ca_file) = std::env::args_os().nth(1) else {
        return Err(std::io::Error::other("name the file that the authority's certificate is to be written to"));
    };
    let ca = TestCa::new();
    ca.write_ca(ca_file)?;
    let (openai, stripe) = (OpenAiOptions::default(), StripeOptions::default());
    let (openai_key, stripe_key) = (openai.key.clone(), stripe.key.clone());
    let openai = FakeOpenAi::start_blocking(&ca, openai)?;
    let stripe = FakeStripe::start_blocking(&ca, stripe)?;
    let line = serde_json::json!({
        "openai": {"origin": openai.origin(), "key": openai_key},
        "stripe": {"origin": stripe.origin(), "key": stripe_key},
    });
    println!("{line}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
