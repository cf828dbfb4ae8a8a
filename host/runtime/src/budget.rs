//! How much a step may take.

use std::time::Duration;

/// How long the epoch's ticker sleeps between two ticks. Short enough to tell 5 ms from 250 ms, long enough that the
/// ticker of a busy daemon takes a few thousandths of a core.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// How much a step may take. Steps are pure, so one that runs out of the small budget is run again, from the start,
/// under the large one on a thread that may be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// For a thread that serves connections, which must not be held up.
    Inline,
    /// For a thread of its own.
    Full,
}

impl Budget {
    /// Units of fuel, about one an instruction. A step of the built-in providers takes 20,000 to 200,000; three million
    /// are about 3 ms here, and the guests that were tried in JavaScript and Python lived within a hundred million.
    pub(crate) fn fuel(self) -> u64 {
        match self {
            Budget::Inline => 3_000_000,
            Budget::Full => 100_000_000,
        }
    }

    /// The backstop for what fuel does not count, such as copying: 4-6 ms and 248-250 ms. A deadline of `n` ticks comes
    /// between `n - 1` and `n` ticks from now.
    pub(crate) fn ticks(self) -> u64 {
        match self {
            Budget::Inline => 3,
            Budget::Full => 125,
        }
    }
}
