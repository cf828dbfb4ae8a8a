//! Servers that misbehave, one script for each way, named by the row of the list of attack cases that it plays.
//!
//! A test runs over [`catalogue`] with its client; [`Ending`] says what may come out at best. The scripts differ in time:
//! some never end by themselves, so a client without deadlines hangs on them, which is the point.

mod bodies;
mod framing;
mod http2;
mod redirects;
mod slow;

use crate::script::Script;

/// One hostile server.
pub struct Case {
    /// Row of the list of attack cases.
    pub row: &'static str,
    pub name: String,
    pub script: Script,
    pub ending: Ending,
    /// Plays HTTP/2 by hand: the service must offer `h2` alone.
    pub http2: bool,
}

/// What a careful client makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A complete answer, which can be passed on.
    Answers,
    /// An error; a complete answer would be a bug.
    Breaks,
    /// Both are right; what matters is that nothing else happens.
    Either,
}

impl Case {
    fn new(row: &'static str, name: impl Into<String>, script: impl Into<Script>, ending: Ending) -> Case {
        Case { row, name: name.into(), script: script.into(), ending, http2: false }
    }

    fn http2(name: &str, script: impl Into<Script>, ending: Ending) -> Case {
        Case { http2: true, ..Case::new("H63", name, script, ending) }
    }
}

/// All cases. `elsewhere` is `host:port` of a place that nobody may be sent to: a [`Sink`](crate::Sink)'s.
pub fn catalogue(elsewhere: &str) -> Vec<Case> {
    let mut cases = redirects::cases(elsewhere);
    cases.extend(framing::cases());
    cases.extend(bodies::cases());
    cases.extend(slow::cases());
    cases.extend(http2::cases(elsewhere));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_every_row_is_played() {
        let cases = catalogue("127.0.0.1:1");
        let names: BTreeSet<String> = cases.iter().map(|case| format!("{} {}", case.row, case.name)).collect();
        assert_eq!(names.len(), cases.len());
        let rows: BTreeSet<&str> = cases.iter().map(|case| case.row).collect();
        for row in ["H24", "H30", "H31", "H32", "H33", "H51", "H60", "H61", "H62", "H63", "H65", "H66", "H67"] {
            assert!(rows.contains(row), "{row}");
        }
    }
}
