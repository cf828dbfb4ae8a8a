//! How often a passphrase or a code may be tried: pure, over two numbers that the file keeps.
//!
//! Three tries of a passphrase are free; then each has to wait, one second at first and twice as long after each failure, five minutes at most.
//! A try is counted before it is judged, so killing the process does not make it undone.
//!
//! The clock is the caller's. If it stands before the last try, nothing is known of the time that has passed: the wait begins
//! anew from there. So turning a clock back never shortens a wait, and never makes one longer than five minutes.
//! The numbers are not sealed (they must be readable while locked): whoever can write the file can clear them, and whoever can
//! copy the file guesses elsewhere. Against both stands the cost of the key derivation alone.

/// Failed tries since the last success, and when the last was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub(crate) failed: u32,
    pub(crate) last_ms: u64,
}

/// What the counters say to one more try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Go on, with these counters stored first.
    Counted(Attempts),
    /// Not yet; these counters are stored when they differ.
    TooSoon { retry_after_ms: u64, keep: Attempts },
}

/// How many tries are free, and how long the next ones wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) free: u32,
    pub(crate) first_ms: u64,
    pub(crate) longest_ms: u64,
}

impl Attempts {
    pub(crate) const NONE: Attempts = Attempts { failed: 0, last_ms: 0 };

    pub(crate) fn gate(self, now_ms: u64) -> Gate {
        self.gate_by(PASSPHRASE, now_ms)
    }

    pub(crate) fn gate_by(self, pace: Pace, now_ms: u64) -> Gate {
        let wait = self.wait_ms(pace);
        let (passed, last_ms) = match now_ms.checked_sub(self.last_ms) {
            Some(passed) => (passed, self.last_ms),
            None => (0, now_ms),
        };
        if passed < wait {
            return Gate::TooSoon { retry_after_ms: wait - passed, keep: Attempts { failed: self.failed, last_ms } };
        }
        Gate::Counted(Attempts { failed: self.failed.saturating_add(1), last_ms: now_ms })
    }

    /// Until when the next has to wait, if it has to.
    pub(crate) fn paused_until_ms(self, pace: Pace) -> Option<u64> {
        match self.wait_ms(pace) {
            0 => None,
            wait => Some(self.last_ms.saturating_add(wait)),
        }
    }

    fn wait_ms(self, pace: Pace) -> u64 {
        match self.failed.checked_sub(pace.free) {
            None => 0,
            Some(doublings) => {
                let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
                pace.first_ms.saturating_mul(factor).min(pace.longest_ms)
            }
        }
    }
}

/// Three are a person's typing errors. At five minutes each there are about 100,000 tries a year, while a person who forgot
/// which passphrase it was can still go through a few.
const PASSPHRASE: Pace = Pace { free: 3, first_ms: 1_000, longest_ms: 300_000 };

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_after(failed: u32) -> u64 {
        match (Attempts { failed, last_ms: 1_000_000 }).gate(1_000_000) {
            Gate::Counted(_) => 0,
            Gate::TooSoon { retry_after_ms, .. } => retry_after_ms,
        }
    }

    #[test]
    fn three_are_free_then_it_doubles_to_five_minutes() {
        let waits: Vec<_> = (0..14).map(wait_after).collect();
        assert_eq!(
            waits,
            [0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]
        );
        for failed in [62, 66, 67, 68, 100, u32::MAX] {
            assert_eq!(wait_after(failed), 300_000, "{failed}");
        }
    }

    #[test]
    fn a_clock_that_went_back_starts_the_wait_anew() {
        let before = Attempts { failed: 4, last_ms: 50_000 };
        let Gate::TooSoon { retry_after_ms: 2_000, keep } = before.gate(10_000) else { panic!("let through") };
        assert_eq!(keep, Attempts { failed: 4, last_ms: 10_000 });
        assert!(matches!(keep.gate(11_999), Gate::TooSoon { retry_after_ms: 1, .. }));
        assert_eq!(keep.gate(12_000), Gate::Counted(Attempts { failed: 5, last_ms: 12_000 }));
    }
}
