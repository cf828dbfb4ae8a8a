//! The daemon: it composes the other crates and does nothing of its own. It does not parse, decide, inject or redact.
//!
//! Begin with [`pipeline`], which is one call from the asking to the answer. [`gate`] is the vault's door: while it is
//! locked there is nothing in this process that could open a secret. [`start`] is how a process becomes the daemon.

mod answer;
mod approvals;
mod budget;
mod calls;
mod catalog;
mod claims;
mod clock;
mod connection_string;
mod connections;
mod desk;
mod factors;
mod fault;
mod gate;
mod host_keys;
mod ongoing;
mod pace;
mod pipeline;
mod places;
mod providers;
mod refusals;
mod renewal;
mod request;
mod route;
mod run;
mod secrets;
mod settings;
mod shared;
mod socket;
mod start;
mod status;
mod trail;
mod vault;
mod worker;

pub use providers::Builtin;
pub use start::{Options, StartError, run};
