//! A statement is read or refused; one that is taken as a read is one that a call may be, and its line is one.
#![no_main]
use kv_model::{Effect, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let any = Reading::of_any(text);
    for reading in Reading::of_read(text).iter().chain(&any) {
        let line = reading.to_string();
        assert!(line.len() < 4_000 && !line.contains(char::is_control), "{line}");
    }
    if let Ok(reading) = Reading::of_read(text) {
        assert_eq!(reading.effect, Effect::Read);
        assert!(any.is_ok(), "a read, and not anything: {any:?}");
    }
});
