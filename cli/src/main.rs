//! `kv`: the commands, and the daemon that only this program can become.

mod daemon;
mod demo;

use std::process::ExitCode;

use kv_commands::Hooks;

/// Every block of memory is wiped as it is freed, in the daemon and in the commands alike: both see values pass.
#[global_allocator]
static ALLOCATOR: kv_harden::WipingAllocator = kv_harden::WipingAllocator;

fn main() -> ExitCode {
    kv_commands::main(std::env::args_os(), Hooks { daemon: daemon::run, demo: demo::run })
}
