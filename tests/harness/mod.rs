//! What tests stand on. Nothing here knows what is being tested; it starts, asks, writes down and compares.

mod answer;
mod call;
mod canary;
mod command;
mod databases;
mod home;
mod machines;
mod mcp;
mod oracle;
mod patience;
mod rogue;
mod services;
mod table;
mod terminal;
pub(crate) mod totp;
mod trail;
mod wire;

pub(crate) use answer::Answer;
pub(crate) use call::{Refusal, Typed};
pub(crate) use canary::{Canary, base64, contains, random};
pub(crate) use command::{Ran, Running};
pub(crate) use databases::ROLES;
pub(crate) use home::{Kv, PROGRAM};
pub(crate) use machines::{Machine, Said, bare};
pub(crate) use mcp::Mcp;
pub(crate) use patience::eventually;
pub(crate) use rogue::Rogue;
pub(crate) use services::Connected;
pub(crate) use table::{all_right, rows};
pub(crate) use wire::{Door, Part, Wire, request};
