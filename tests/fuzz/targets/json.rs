//! What is taken as JSON is taken again, unchanged, once it has been written.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = kv_model::json::parse(data, 1 << 20) {
        let written = value.to_string();
        assert_eq!(kv_model::json::parse(written.as_bytes(), 1 << 24), Ok(value));
    }
});
