//! The list of attack cases, group by group. `COVERAGE.md` has the rows.

mod callers;
mod commands;
mod crowds;
mod held;
mod kills;
mod load;
mod mcp;
mod places;
mod postgres;
mod providers;
mod reflection;
mod requests;
mod services;
mod sockets;
mod ssh;
mod ssh_ends;
mod trail;
mod vault;
