//! `kv doctor`: its first checks.

use std::os::unix::fs::MetadataExt;

use kv_api::{Check, Checks, Code};

use super::Context;
use crate::client::Request;
use crate::output::inert;
use crate::problem::Problem;

pub(super) async fn run(context: &Context) -> Result<(), Problem> {
    let mut checks = vec![binary(), core_pattern()];
    match context.running().await {
        Ok(mut client) => {
            let own: Checks = client.ask(Request::get("/v1/doctor")).await?;
            checks.extend(own.checks);
        }
        Err(problem) => checks.push(bad("daemon", problem.error().message.clone(), "kv unlock")),
    }
    checks.push(Check {
        name: "isolation".to_owned(),
        ok: true,
        message: "tier T0: kv runs as your own user. Agents see no value through kv; a program that attacks kv itself, as you, is not stopped"
            .to_owned(),
        next: vec!["kv help isolation".to_owned()],
    });
    let problems = checks.iter().filter(|check| !check.ok).count();
    context.output.show(&Checks { checks }, |checks| checks.checks.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    match problems {
        0 => Ok(()),
        1 => Err(Problem::new(Code::DoctorProblems, "one check found a problem")),
        more => Err(Problem::new(Code::DoctorProblems, format!("{more} checks found a problem"))),
    }
}

fn line(check: &Check) -> String {
    let mark = if check.ok { "ok     " } else { "PROBLEM" };
    let mut text = format!("{mark}  {:<14} {}", check.name, inert(&check.message));
    for next in &check.next {
        text.push_str(&format!("\n                        next: {}", inert(next)));
    }
    text
}

/// A program that others can replace is one that others can be.
fn binary() -> Check {
    let Ok(path) = std::env::current_exe() else {
        return bad("program", "where this program is could not be found".to_owned(), "kv --version");
    };
    let own = rustix::process::getuid().as_raw();
    for place in path.ancestors() {
        match std::fs::metadata(place) {
            Ok(found) if found.mode() & 0o002 != 0 && found.mode() & 0o1000 == 0 => {
                return bad(
                    "program",
                    format!("{} can be written by everybody", place.display()),
                    &format!("chmod o-w {}", place.display()),
                );
            }
            Ok(found) if found.uid() != 0 && found.uid() != own => {
                return bad(
                    "program",
                    format!("{} belongs to user {}", place.display(), found.uid()),
                    "install kv where only you or root can write",
                );
            }
            Ok(_) => {}
            Err(error) => return bad("program", format!("{}: {error}", place.display()), "kv --version"),
        }
    }
    fine("program", format!("{}; nobody else can replace it", path.display()))
}

fn core_pattern() -> Check {
    match std::fs::read_to_string("/proc/sys/kernel/core_pattern") {
        Ok(pattern) => {
            fine("core files", format!("the daemon forbids its own; the system's pattern is `{}`", pattern.trim()))
        }
        Err(_) => fine("core files", "the daemon forbids its own".to_owned()),
    }
}

fn fine(name: &str, message: String) -> Check {
    Check { name: name.to_owned(), ok: true, message, next: Vec::new() }
}

fn bad(name: &str, message: String, next: &str) -> Check {
    Check { name: name.to_owned(), ok: false, message, next: vec![next.to_owned()] }
}
