//! The vault's parsers take nothing but what they would write.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = kv_vault::format::parse_header(data) {
        assert_eq!(&header.encode()[..], data);
    }
    let _ = kv_vault::format::parse_record(data);
    if let Ok(head) = kv_vault::format::parse_head(data) {
        assert_eq!(head.encode(), data);
    }
});
