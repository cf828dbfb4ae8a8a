//! No document makes the reading of a manifest panic.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = kv_model::Manifest::parse(data);
});
