//! Waiting for something, with an end.

use std::time::{Duration, Instant};

/// Loopback answers in microseconds; this leaves room for a machine that is busy compiling.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Polls until `look` finds something. Fails the test after [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}
