//! One file a command, or a family of commands.

mod api;
mod approval;
mod audit;
mod connect;
mod connection;
mod daemon;
mod doctor;
mod factor;
mod help;
mod init;
mod mcp;
mod operation;
mod passwd;
mod proof;
mod provider;
mod query;
mod rows;
mod run;
mod secret;
mod set;
mod setup;
mod sql;
mod ssh;
mod statement;
mod status;
mod typed;
mod unlock;

use std::future::Future;
use std::process::ExitCode;

use clap::CommandFactory;
use kv_api::home::Home;

use crate::arguments::{Arguments, Command, Global, Operation};
use crate::client::{Client, Door};
use crate::input::Asking;
use crate::output::Output;
use crate::problem::Problem;
use crate::{DemoOptions, Hooks, spawn};

pub(crate) use run::{ATTACH as RUN_ON_TERMINAL, FAILED as RUN_FAILED};

/// What every command is given.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) output: Output,
    pub(crate) asking: Asking,
}

impl Context {
    fn new(global: &Global) -> Result<Self, Problem> {
        let home = Home::from_env().map_err(|error| Problem::usage(error.to_string()))?;
        Ok(Self { home, output: Output::new(global), asking: Asking::new(global.no_input) })
    }

    /// The person's socket; the daemon is started if need be.
    pub(crate) async fn person(&self) -> Result<Client, Problem> {
        spawn::connect(&self.home).await
    }

    /// The person's socket of a daemon that runs already.
    pub(crate) async fn running(&self) -> Result<Client, Problem> {
        Client::connect(&self.home, Door::Human).await
    }

    /// The agents' socket. An agent's call never starts the daemon.
    pub(crate) async fn agent(&self) -> Result<Client, Problem> {
        Client::connect(&self.home, Door::Agent).await
    }
}

/// Runs a command line to its exit code.
pub(crate) fn run(arguments: Arguments, hooks: Hooks) -> ExitCode {
    let json = arguments.global.json;
    // Before anything is looked at: this is the command's own process already, in the command's own environment.
    if let Some(Command::RunOnTerminal { command }) = &arguments.command {
        return run::attach(command);
    }
    match execute(arguments, hooks) {
        Ok(code) => code,
        Err(problem) => problem.report(json),
    }
}

fn execute(arguments: Arguments, hooks: Hooks) -> Result<ExitCode, Problem> {
    let context = Context::new(&arguments.global)?;
    let context = &context;
    let Some(command) = arguments.command else { return wait(status::overview(context)) };
    match command {
        Command::Init(arguments) => wait(init::run(context, arguments)),
        Command::Set(arguments) => wait(set::run(context, arguments)),
        Command::Setup(arguments) => wait(setup::run(context, arguments)),
        Command::Run(arguments) => Ok(run::run(context, arguments)),
        Command::Status => wait(status::run(context)),
        Command::Unlock(arguments) => wait(unlock::run(context, arguments)),
        Command::Lock => wait(unlock::lock(context)),
        Command::Approve(arguments) => wait(approval::approve(context, arguments)),
        Command::Deny { id } => wait(approval::deny(context, &id)),
        Command::Revoke { id } => wait(approval::revoke(context, &id)),
        Command::Approval(verb) => wait(approval::run(context, verb)),
        Command::Factor(verb) => wait(factor::run(context, verb)),
        Command::Audit(arguments) => wait(audit::run(context, arguments)),
        Command::Doctor => wait(doctor::run(context)),
        Command::Secret(verb) => wait(secret::run(context, verb)),
        Command::Connect(arguments) => wait(connect::run(context, arguments)),
        Command::Connection(verb) => wait(connection::run(context, verb)),
        Command::Operation(Operation::Call { operation, input, call }) => {
            wait(api::call_operation(context, &operation, input, call))
        }
        Command::Operation(verb) => wait(operation::run(context, verb)),
        Command::Provider(verb) => wait(provider::run(context, verb)),
        Command::Call(arguments) => wait(api::call(context, arguments)),
        Command::Api(arguments) => wait(api::api(context, arguments)),
        Command::Query(arguments) => wait(query::run(context, arguments)),
        Command::Sql(arguments) => wait(sql::run(context, arguments)),
        Command::Ssh(arguments) => Ok(ssh::run(context, arguments)),
        Command::Mcp(arguments) => mcp::run(context, arguments),
        Command::Daemon(verb) => daemon::run(context, verb, hooks),
        Command::Passwd(arguments) => wait(passwd::run(context, arguments)),
        Command::Demo => Ok((hooks.demo)(DemoOptions { json: context.output.json, color: context.output.color })),
        Command::Completions { shell } => help::completions(shell),
        Command::Man { directory } => help::man(&directory),
        Command::Help { words } => help::run(context, &words),
        Command::RunOnTerminal { .. } => Err(Problem::failed("a command is started elsewhere")),
        Command::Get { .. } | Command::Export { .. } | Command::Print { .. } => Err(no_values()),
    }
}

/// Runs a command's future on one thread, until it is done or interrupted.
fn wait(work: impl Future<Output = Result<(), Problem>>) -> Result<ExitCode, Problem> {
    wait_for(work).map(|()| ExitCode::SUCCESS)
}

fn wait_for<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(format!("the system refused an event loop: {error}")))?;
    runtime.block_on(work)
}

fn no_values() -> Problem {
    Problem::usage("kv prints no value: what uses a secret goes through kv, and the value stays")
        .next("kv run --secret NAME -- COMMAND   gives a command a value, after the passphrase")
        .next("kv api CONNECTION METHOD PATH     uses it without handing it out")
}

/// The command line's own description, for completions, manual pages and help.
fn command_line() -> clap::Command {
    Arguments::command()
}
