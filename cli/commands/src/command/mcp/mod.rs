//! `kv mcp`: kv as an MCP server on standard input and output, for the agent that started it.
//!
//! It is a thin process. It holds no secret and decides nothing: each tool becomes one request to the daemon over the
//! agents' socket, where it meets the same policy as any other call. It never starts the daemon, never opens the person's
//! socket, and writes nothing but JSON-RPC to standard output. The protocol's library is named in this folder only.
//!
//! Begin with [`server`] (what the client sees), then [`link`] (the daemon) and [`reply`] (what comes back).

mod arguments;
mod body;
mod command;
mod fault;
mod link;
mod message;
mod operations;
mod progress;
mod reply;
mod rows;
mod server;
mod servers;
mod shown;
mod store;
mod stream;
mod tools;
mod transport;
mod wait;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;

use kv_model::PrincipalName;
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};

use self::link::Link;
use self::server::Server;
use self::tools::Selection;
use self::transport::Lines;
use super::Context;
use crate::arguments::Mcp;
use crate::problem::Problem;

/// 128 and the number of SIGTERM, as a shell would say it.
const TERMINATED: u8 = 143;

pub(super) fn run(context: &Context, arguments: Mcp) -> Result<ExitCode, Problem> {
    let agent = PrincipalName::parse(&arguments.agent).map_err(|error| Problem::usage(format!("--agent: {error}")))?;
    let selection = Selection::parse(&arguments.tools)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::failed(format!("the system refused an event loop: {error}")))?;
    let server = Server::new(Arc::new(Link::new(context.home.clone(), &agent)), selection);
    let code = runtime.block_on(until_terminated(server));
    // A read of standard input that cannot be interrupted must not keep the process.
    runtime.shutdown_background();
    code
}

async fn until_terminated(server: Server) -> Result<ExitCode, Problem> {
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| Problem::failed(format!("signals: {error}")))?;
    let (input, output) = rmcp::transport::stdio_pipes();
    tokio::select! {
        ended = serve(server, input, output) => ended.map(|()| ExitCode::SUCCESS),
        _ = terminated.recv() => Ok(ExitCode::from(TERMINATED)),
    }
}

/// One session, until the client closes its end.
async fn serve<R, W>(server: Server, input: R, output: W) -> Result<(), Problem>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    match server.serve(Lines::new(input, output)).await {
        Ok(running) => match running.waiting().await {
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::failed(format!("the session ended badly: {error}"))),
        },
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        Err(error) => Err(Problem::failed(format!("the session did not begin: {error}"))),
    }
}
