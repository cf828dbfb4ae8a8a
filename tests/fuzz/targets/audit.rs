//! A line that is taken as an entry is the one line that the entry is written as.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = kv_audit::format::parse_line(data) {
        assert_eq!(entry.line().as_bytes(), data);
    }
});
