//! The list of attack cases, group by group. `COVERAGE.md` has the rows.

mod requests;
