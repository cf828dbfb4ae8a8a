//! Of the world `ssh-provider`.

use super::{call_in, delivery_out, failure_out};
use crate::asked::{Answered, Asked, other_protocol};
use crate::engine::{self, Outgoing, Sending, Step};
use crate::export::bindings::ssh::exports::kv::provider::ssh as wire;
use crate::{CommandLine, Exit, Failure, Output, Provider};

pub fn start(provider: &'static Provider, call: wire::Call) -> Result<wire::Step, wire::Failure> {
    engine::start(provider, call_in(call)).and_then(step_out).map_err(failure_out)
}

pub fn resume(
    provider: &'static Provider,
    call: wire::Call,
    state: &str,
    output: wire::Output,
) -> Result<wire::Step, wire::Failure> {
    let answered = Answered::Ssh(output_in(output));
    engine::resume(provider, call_in(call), state, answered).and_then(step_out).map_err(failure_out)
}

fn output_in(output: wire::Output) -> Output {
    let exit = match output.exit {
        wire::Exit::Code(code) => Exit::Code(code),
        wire::Exit::Signal(name) => Exit::Signal(name),
        wire::Exit::TimedOut => Exit::TimedOut,
    };
    let truncated = output.truncated;
    let mut output = Output::new(exit, output.stdout, output.stderr);
    output.truncated = truncated;
    output
}

fn step_out(step: Step) -> Result<wire::Step, Failure> {
    match step {
        Step::Done(text) => Ok(wire::Step::Done(text)),
        Step::Send(sending) => send_out(*sending).map(wire::Step::Send),
    }
}

fn send_out(Sending { outgoing, state }: Sending) -> Result<wire::Send, Failure> {
    let Outgoing { asked: Asked::Ssh(command), auth: _, effect, summary, repeatable, then, digest: _ } = outgoing
    else {
        return Err(other_protocol());
    };
    Ok(wire::Send {
        delivery: delivery_out(command.delivery, effect, summary, repeatable, then, state),
        command: wire::Command {
            line: match command.line {
                CommandLine::Argv(argv) => wire::CommandLine::Argv(argv),
                CommandLine::Shell(text) => wire::CommandLine::Shell(text),
            },
            stdin: command.stdin,
            timeout_ms: command.timeout_ms,
            max_output: command.max_output,
        },
    })
}
