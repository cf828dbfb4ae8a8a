//! However a text is cut into pieces, it comes out the same, and without the secret.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], Vec<u16>)| {
    let (secret, text, cuts) = input;
    let cuts: Vec<usize> = cuts.into_iter().map(usize::from).collect();
    kv_redact::check::check(secret, text, &cuts);
});
