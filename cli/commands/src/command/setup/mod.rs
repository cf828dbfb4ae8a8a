//! `kv setup AGENT`: points a coding agent at kv. It shows what would change, keeps what is there, backs it up, can be
//! run again without effect, and takes back only what it wrote.

mod claude_code;
mod file;
mod probe;

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
        true => agent.undo()?,
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
        return context.output.show(&summary(&changes, true), |_| {
            "taken back; a running Claude Code notices at its next start".to_owned()
        });
    }
    let tools = probe::list_tools(&program, claude_code::AGENT).await?;
    context.output.show(&summary(&changes, true), |_| {
        format!(
            "changed    {} files (backups in {})\ntest       kv answered the way Claude Code will ask, with {tools} tools\nRestart Claude Code to use them.",
            changes.len(),
            context.home.backups().display()
        )
    })
}

fn summary(changes: &[Change], applied: bool) -> serde_json::Value {
    let files: Vec<_> = changes.iter().map(|change| change.path().display().to_string()).collect();
    serde_json::json!({ "files": files, "applied": applied })
}
