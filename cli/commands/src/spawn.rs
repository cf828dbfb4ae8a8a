//! Starting the daemon. Only commands of the person's do that; an agent's is told to ask the person.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kv_api::home::Home;
use kv_api::{Code, Status};

use crate::client::{Client, Door, Request};
use crate::problem::Problem;

/// As long as a daemon may take to answer for the first time.
const START: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the daemon is started with from this environment: where its files are, and nothing else.
const KEPT: [&str; 9] = [
    "HOME",
    "KV_HOME",
    "LANG",
    "PATH",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// A connection to the person's socket; starts the daemon if it does not run.
pub(crate) async fn connect(home: &Home) -> Result<Client, Problem> {
    match Client::connect(home, Door::Human).await {
        Err(problem) if problem.error().reason.as_deref() == Some("not_running") => {
            start(home).await?;
            Client::connect(home, Door::Human).await
        }
        other => other,
    }
}

/// Starts the daemon as a process of its own and waits until it answers.
pub(crate) async fn start(home: &Home) -> Result<Status, Problem> {
    let log = open_log(home)?;
    let error = |error: std::io::Error| Problem::failed(format!("the daemon was not started: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(error)?);
    command
        .args(["daemon", "run"])
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| KEPT.iter().any(|kept| name == kept)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(error)?)
        .stderr(log)
        // Signals of the terminal's are for its own programs.
        .process_group(0);
    let mut child = command.spawn().map_err(error)?;
    let begun = Instant::now();
    loop {
        if let Ok(mut client) = Client::connect(home, Door::Human).await {
            return client.ask(Request::get("/v1/status")).await;
        }
        if let Some(status) = child.try_wait().map_err(error)? {
            return Err(Problem::new(
                Code::DaemonUnreachable,
                format!("the daemon ended at once ({status}): {}", last_line(home)),
            )
            .next("kv daemon logs"));
        }
        if begun.elapsed() > START {
            return Err(Problem::new(Code::DaemonUnreachable, "the daemon does not answer").next("kv daemon logs"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn open_log(home: &Home) -> Result<std::fs::File, Problem> {
    let error = |error: std::io::Error| Problem::failed(format!("{}: {error}", home.state.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&home.state).map_err(error)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(home.log())
        .map_err(error)
}

fn last_line(home: &Home) -> String {
    let text = std::fs::read_to_string(home.log()).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").to_owned()
}
