//! `kv setup AGENT`: points a coding agent at kv. It shows what would change, keeps what is there, backs it up, can be
//! run again without effect, and takes back only what it wrote.

mod claude_code;
mod file;
mod probe;

use std::path::Path;

use super::Context;
use crate::arguments::{Setup, SetupAgent};
use crate::problem::Problem;
use file::Change;

pub(super) async fn run(context: &Context, arguments: Setup) -> Result<(), Problem> {
    let program =
        std::env::current_exe().map_err(|error| Problem::failed(format!("where this program is: {error}")))?;
    let agent = match arguments.agent {
        SetupAgent::ClaudeCode => claude_code::Places::from_env()?,
    };
    let changes = match arguments.undo {
        true => agent.undo(&context.home)?,
        false => agent.setup(&program, &context.home, arguments.force)?,
    };
    let changes: Vec<_> = changes.into_iter().filter(Change::changes_something).collect();
    if changes.is_empty() {
        context.output.note("Nothing to change.");
    } else {
        changes.iter().for_each(|change| context.output.note(&change.diff(context.output.color)));
    }
    if arguments.dry_run {
        return context.output.show(&summary(&changes, false), |_| "Nothing was changed.".to_owned());
    }
    if !changes.is_empty() && !arguments.yes && !context.asking.confirm("Apply?")? {
        return Err(Problem::failed("nothing was changed"));
    }
    for change in &changes {
        change.apply(&context.home.backups())?;
    }
    if arguments.undo {
        return context.output.show(&summary(&changes, true), |_| match changes.is_empty() {
            true => "taken back nothing: there is nothing of kv's".to_owned(),
            false => format!(
                "taken back from {}; a running Claude Code notices at its next start",
                count(&context.home.backups(), &changes)
            ),
        });
    }
    let tools = probe::list_tools(&program, claude_code::AGENT).await?;
    context.output.show(&summary(&changes, true), |_| {
        format!(
            "changed    {}\ntest       kv answered the way Claude Code will ask, with {tools} tools\nRestart Claude Code to use them.",
            count(&context.home.backups(), &changes)
        )
    })
}

/// How many files, and where those are kept that were there before.
fn count(backups: &Path, changes: &[Change]) -> String {
    let files = match changes.len() {
        0 => return "nothing".to_owned(),
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    match changes.iter().filter(|change| change.replaces()).count() {
        0 => files,
        kept if kept == changes.len() => format!("{files} (backups in {})", backups.display()),
        kept => format!("{files} (backups of {kept} in {}; the rest is new)", backups.display()),
    }
}

fn summary(changes: &[Change], applied: bool) -> serde_json::Value {
    let files: Vec<_> = changes.iter().map(|change| change.path().display().to_string()).collect();
    serde_json::json!({ "files": files, "applied": applied })
}
