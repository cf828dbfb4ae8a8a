//! The one integration test: the real program, its daemon as a process of its own, services on loopback that speak TLS.
//!
//! Every test has a home, a passphrase, keys and services of its own, so all of them run at once. No test sleeps: what has
//! to be waited for is polled with a deadline. When a test ends, however it ends, everything that came out of kv in it
//! (output, answers, logs, trail, files) is searched for every secret of that test in every encoding, the trail is checked
//! against a second reading of its format, and nobody may have been connected to but the services that were meant.
//!
//! Begin with [`harness::Kv`], then `flow`, which is what kv is for. `attacks` goes by the rows of the list of attack cases;
//! `COVERAGE.md` says for each of them where it is tested, or why it is not.

mod attacks;
mod clients;
mod coverage;
mod flow;
mod graph;
mod harness;
