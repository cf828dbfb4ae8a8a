//! `kv daemon start|stop|restart|status|logs|run`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kv_api::{Code, Status, Stopping};
use serde_json::{Value, json};

use super::{Context, status, wait};
use crate::Hooks;
use crate::arguments::Daemon;
use crate::client::{Client, Door, Request};
use crate::output::print;
use crate::problem::Problem;
use crate::spawn;

/// As long as a daemon may take to end: calls under way are cut, the trail is anchored.
const STOP: Duration = Duration::from_secs(10);
/// The person may have meant it to stay away.
const AGAIN: &str = "\nits sockets are a service manager's, which starts it again, locked, at the next call\n  to keep it away: systemctl --user stop kv.socket kv.service";
/// As much of the log as is shown.
const LOG_LINES: usize = 200;

pub(super) fn run(context: &Context, verb: Daemon, hooks: Hooks) -> Result<ExitCode, Problem> {
    match verb {
        Daemon::Run => match (hooks.daemon)(context.home.clone()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(why) => Err(Problem::failed(why)),
        },
        Daemon::Start => wait(start(context)),
        Daemon::Stop => wait(async {
            let again = stop(context).await?;
            let stopped = json!({ "stopped": true, "socket_activated": again });
            context.output.show(&stopped, |_| {
                let note = if again { AGAIN } else { "" };
                format!("stopped; the vault is locked{note}")
            })
        }),
        Daemon::Restart => wait(async {
            stop(context).await?;
            start(context).await
        }),
        Daemon::Status => wait(status::run(context)),
        Daemon::Logs => logs(context),
    }
}

async fn start(context: &Context) -> Result<(), Problem> {
    let status: Status = match Client::connect(&context.home, Door::Human).await {
        Ok(mut running) => running.ask(Request::get("/v1/status")).await?,
        Err(_) => spawn::start(&context.home).await?,
    };
    context.output.show(&status, |status| format!("running, pid {}", status.pid))
}

/// `true`: whoever holds its sockets starts another as soon as somebody connects.
async fn stop(context: &Context) -> Result<bool, Problem> {
    let mut client = match context.running().await {
        Err(problem) if problem.error().reason.as_deref() == Some("not_running") => return Ok(false),
        other => other?,
    };
    let stopping: Stopping = client.ask(Request::post("/v1/daemon/stop", &Value::Null)?).await?;
    let begun = Instant::now();
    while is_there(context, stopping).await {
        if begun.elapsed() > STOP {
            return Err(Problem::new(Code::Failed, "the daemon did not end in 10 s"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(stopping.socket_activated)
}

async fn is_there(context: &Context, stopping: Stopping) -> bool {
    if !stopping.socket_activated {
        return Client::connect(&context.home, Door::Human).await.is_ok();
    }
    // Connecting would start the next one.
    let pid = i32::try_from(stopping.pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn logs(context: &Context) -> Result<ExitCode, Problem> {
    let path = context.home.log();
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.map_err(|error| Problem::failed(format!("{}: {error}", path.display())))?,
    };
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().iter().try_for_each(|line| print(&crate::output::inert(line)))?;
    Ok(ExitCode::SUCCESS)
}
