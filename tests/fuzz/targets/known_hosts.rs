//! Whatever a `known_hosts` holds, reading it ends, and no key that it revokes is among those that it gives.
#![no_main]
use kv_model::{Origin, PinnedKeys, known_hosts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (Ok(plain), Ok(other)) = (Origin::parse("ssh://a.test"), Origin::parse("ssh://a.test:2222")) else { return };
    for origin in [plain, other] {
        let found = known_hosts(text, &origin);
        for pinned in &found.keys {
            assert!(!found.revoked.contains(pinned.key()));
            assert!(PinnedKeys::parse(&pinned.to_string()).is_ok_and(|keys| keys.iter().eq([pinned])));
        }
    }
    let _ = PinnedKeys::parse(text);
});
