//! What kv is for, from the outside: a person sets it up, an agent uses services through it, and holds nothing.

mod approvals;
mod bad_input;
mod connections;
mod databases;
mod locking;
mod machines;
mod recorded;
mod services;
mod terminal;
