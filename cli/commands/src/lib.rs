//! The commands of `kv`. They speak to the daemon over its sockets and know its API, nothing else: no command can open
//! the vault, since nothing here can name it.
//!
//! [`main`] parses, runs one command of [`command`] and turns what it came to into an exit code. What a program cannot do
//! through the API (be the daemon, play the demo's services) comes in from outside as [`Hooks`].

mod arguments;
mod client;
mod command;
mod inert;
mod input;
mod output;
mod problem;
mod qr;
mod spawn;
mod time;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ContextValue;
use clap::{CommandFactory, FromArgMatches};
use kv_api::home::Home;

pub use arguments::Arguments;
pub use client::{Answer, Client, Door, Request};
pub use problem::Problem;

/// What the program that links these commands brings along.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Becomes the daemon; returns when it has ended.
    pub daemon: fn(Home) -> Result<(), String>,
    /// Runs the demonstration.
    pub demo: fn(DemoOptions) -> ExitCode,
}

/// How the demonstration is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct DemoOptions {
    pub json: bool,
    pub color: bool,
}

/// Runs one command line.
pub fn main(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let parsed =
        Arguments::command().try_get_matches_from(&arguments).and_then(|matches| Arguments::from_arg_matches(&matches));
    match parsed {
        Ok(parsed) => command::run(parsed, hooks),
        Err(error) => usage(error, &arguments),
    }
}

/// A command line that clap refuses, or help that was asked for. An argument is not repeated when it may be a value: what
/// a person typed in the wrong place would stand in a log or an agent's context next.
fn usage(error: clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // When the terminal has gone there is nobody to tell.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let mut text = error.render().to_string();
    for (_, context) in error.context() {
        if let ContextValue::String(argument) = context
            && !is_plain(argument)
        {
            text = text.replace(argument.as_str(), "…");
        }
    }
    let _ = write!(std::io::stderr(), "{text}");
    ExitCode::from(if has_own_codes(arguments) { command::RUN_FAILED } else { 2 })
}

/// Whether this would have been `kv run` or `kv ssh`, whose exit codes are their command's.
fn has_own_codes(arguments: &[OsString]) -> bool {
    let matches = Arguments::command().ignore_errors(true).try_get_matches_from(arguments);
    matches.is_ok_and(|matches| matches!(matches.subcommand_name(), Some("run" | "ssh")))
}

/// A flag or a short word, as commands have them; no key or passphrase worth the name is one.
fn is_plain(argument: &str) -> bool {
    argument.len() <= 24 && argument.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        || argument.starts_with("--") && argument.contains('<')
        || argument.starts_with('<')
}
