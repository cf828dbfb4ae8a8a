//! The way out: the only code that opens connections to services. It puts a secret onto a request, sends it, and cleans
//! what comes back of every secret that the vault holds.
//!
//! It sends nothing without a [`Recorded`](kv_audit::Recorded) permit, to nothing but the origin of the permit's
//! connection. It follows no redirect, keeps no cookie, reads no proxy from the environment, answers no challenge and
//! repeats nothing that may have left. It writes no log line with a header, a body or a query in it.
//!
//! Begin with [`Egress::send`]; the steps of one call stand there in order, and [`Egress::query`] keeps to them for a
//! database. `inject` and `patterns` are the two places that read a value.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod answer;
mod body;
mod connect;
mod decode;
mod error;
mod exchange;
mod inject;
mod limits;
mod meter;
mod patterns;
mod pool;
mod postgres;
mod request;
mod resolve;
mod send;
mod shared;
mod ssh;
mod tls;
mod vet;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use body::Body;
pub use error::{BodyError, Fault, SendError, Sent, TlsProblem, Unfit};
pub use limits::Limits;
pub use postgres::{AuthRequest, Blind, DatabaseError, Queried, RoleReport};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use send::Egress;
pub use shared::Shared;
pub use ssh::{CertificateProblem, CommandAnswer, CommandChunk, Enrolment, JumpProblem, Jumps, SshProblem, host_keys};
pub use tls::check_ca;
