//! The list of attack cases, group by group. `COVERAGE.md` has the rows.

mod callers;
mod commands;
mod kills;
mod load;
mod mcp;
mod postgres;
mod providers;
mod reflection;
mod requests;
mod services;
mod sockets;
mod ssh;
mod trail;
mod vault;
