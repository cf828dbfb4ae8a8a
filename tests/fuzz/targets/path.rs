//! A path or an origin that is taken is sent as it was written.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(path) = kv_model::Segments::parse(text) {
        assert_eq!(path.encode(), text);
        assert!(path.as_slice().iter().all(|segment| segment != "." && segment != ".."));
    }
    if let Ok(origin) = kv_model::Origin::parse(text) {
        assert_eq!(kv_model::Origin::parse(&origin.to_string()), Ok(origin));
    }
    if let Ok(template) = kv_model::PathTemplate::parse(text) {
        assert_eq!(template.to_string(), text);
    }
    let _ = kv_model::Template::parse(text);
});
