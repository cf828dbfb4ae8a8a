//! `kv help`, `kv completions`, `kv man`

use std::path::Path;
use std::process::ExitCode;

use kv_api::Code;

use super::{Context, command_line};
use crate::output::print;
use crate::problem::Problem;

/// Explains a command, a topic or an error's code.
pub(super) fn run(_context: &Context, words: &[String]) -> Result<ExitCode, Problem> {
    let Some(first) = words.first() else { return command_help(&[]) };
    if let Some(text) = topic(first).or_else(|| code(first)) {
        print(text)?;
        return Ok(ExitCode::SUCCESS);
    }
    command_help(words)
}

fn command_help(words: &[String]) -> Result<ExitCode, Problem> {
    let mut command = command_line();
    for word in words {
        let Some(found) = command.find_subcommand(word).cloned() else {
            return Err(Problem::new(
                Code::NotFound,
                format!("there is no command or topic `{}`", crate::output::inert(word)),
            )
            .next("kv help")
            .next("topics: approvals, calls, isolation; codes: locked, policy_denied, upstream, ..."));
        };
        command = found;
    }
    print(&command.render_long_help().to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn topic(word: &str) -> Option<&'static str> {
    Some(match word {
        "approvals" => APPROVALS,
        "isolation" => {
            "Isolation\n\n\
             Here kv runs as your own user (tier T0). What holds: no answer, log, file or argument that kv makes shows a value; \
             each use is recorded; what you did not accept is refused. The daemon's memory cannot be read by other programs of \
             yours once it has started, and it writes no core files.\n\n\
             What does not hold: a program that runs as you can copy the vault's file and guess at the passphrase, end the \
             daemon, pretend to be kv, or read what you type. kv at T0 keeps credentials out of an agent's sight; it is no wall \
             against a program that attacks kv itself. docs/SECURITY.md has the tiers."
        }
        "calls" => {
            "Calls\n\n\
             kv api CONNECTION METHOD PATH    a raw request; it must be one that the provider lists\n\
             kv call CONNECTION OPERATION     an operation with a typed input: kv operation show CONNECTION/OPERATION\n\
             kv query CONNECTION SQL          rows of a database\n\
             kv sql CONNECTION SQL            a change to a database, looked at first\n\
             kv ssh CONNECTION -- COMMAND     a command on a machine\n\n\
             All are decided, recorded and sent in the same way. The answer goes to standard output as it comes; exit 9 for a \
             status from 400 on, after the body."
        }
        _ => return None,
    })
}

const APPROVALS: &str = "\
Approvals

What asks: an operation that you accepted as one that asks (kv operation list). Whoever calls it, you included, waits:
55 s for a command (--hold), 45 s for an agent's tool. After that the caller is told, and makes the same call again.

kv approve          what waits, whole: who asks, which connection, the request as it will go out, made by kv itself
kv approve --watch  one after another as they come; kv alone and kv status show them too
kv deny ID          no, without a factor; kv revoke ID takes back a yes that is not used yet
kv approval list    what is open, and what became of the rest

A yes takes a code of your authenticator app (kv factor add totp) or a recovery code, each good once. While no app is
set up, it takes the vault's passphrase. y or --yes is never enough, and without a terminal nobody can approve.

A yes is for that one request, once, and for two minutes: another amount, connection or agent asks anew, and a question
that is not answered in two minutes has ended. After a no the same agent waits longer each time. kv lock, the end of the
daemon, and a change of the connection or its secret end every question and every yes that is not used.

Not promised: at the same user (kv help isolation), a program that reads your terminal sees what you type. It gets the
passphrase that way, but a code only once: yours is used by then. Words marked ? are an agent's or a provider's own.";

fn code(word: &str) -> Option<&'static str> {
    let code = Code::ALL.into_iter().find(|code| code.as_str() == word)?;
    Some(match code {
        Code::ApprovalDenied => {
            "approval_denied (exit 7)\n\nThe person was asked and said no, or did not answer in time. Nothing was sent. After a no, asking again \
             at once is refused. Read: kv help approvals"
        }
        Code::ApprovalPending => {
            "approval_pending (exit 6)\n\nThe person has been asked and has not answered yet. Nothing was sent. Try: kv approve, then the \
             same call again. Read: kv help approvals"
        }
        Code::Conflict => {
            "conflict (exit 11)\n\nIt is there already with other content. kv overwrites nothing unless it is told to."
        }
        Code::DaemonUnreachable => {
            "daemon_unreachable (exit 8)\n\nThe daemon does not run, or is another version, or the socket is not yours. Any command \
             of yours that needs it starts it; an agent's call does not. Try: kv daemon start, kv daemon logs"
        }
        Code::DoctorProblems => "doctor_problems (exit 13)\n\nA check found something; each problem has its next step.",
        Code::Failed => {
            "failed (exit 1)\n\nkv itself or the system failed. If the trail takes no entries, nothing is sent: kv doctor"
        }
        Code::Integrity => {
            "integrity (exit 12)\n\nThe vault, the trail or the process is not as kv left it. kv audit verify names the first bad entry."
        }
        Code::Interrupted => "interrupted (exit 130)\n\nYou ended it.",
        Code::Locked => {
            "locked (exit 4)\n\nThe vault is locked, there is none, or the passphrase is wrong. Try: kv unlock, kv init"
        }
        Code::NeedsHuman => {
            "needs_human (exit 10)\n\nA question would have to be asked, and there is no terminal or --no-input was given."
        }
        Code::NotFound => {
            "not_found (exit 3)\n\nThere is no such secret, connection, operation or provider. Try: kv secret list, kv connection list"
        }
        Code::PolicyDenied => {
            "policy_denied (exit 5)\n\nWhat was asked for was not accepted for this connection, or no endpoint lists it. Nothing was sent. \
             Try: kv operation list CONNECTION, kv connection edit CONNECTION --allow OPERATION"
        }
        Code::Upstream => {
            "upstream (exit 9)\n\nThe service or its provider failed. The message says whether anything was sent."
        }
        Code::Usage => {
            "usage (exit 2)\n\nAn argument or an input is not of its form. For inputs the message has the JSON pointer."
        }
    })
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Problem> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "kv", &mut out);
    print(String::from_utf8_lossy(&out).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(directory: &Path) -> Result<ExitCode, Problem> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command_line(), directory))
        .map_err(|error| Problem::failed(format!("{}: {error}", directory.display())))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference has every code, and no other for it.
    #[test]
    fn the_exit_codes_are_those_of_the_reference() {
        let page = include_str!("../../../../docs/reference/exit-codes.md");
        for code in Code::ALL {
            let row = format!("| {} | `{code}` |", code.exit());
            assert!(page.contains(&row), "{row}");
            assert!(super::code(code.as_str()).is_some_and(|text| text.contains(&format!("(exit {})", code.exit()))));
        }
        assert_eq!(page.lines().filter(|line| line.contains("| `")).count(), Code::ALL.len());
    }

    #[test]
    fn topics_fit_a_window() {
        for word in ["approvals", "calls", "isolation"] {
            let text = topic(word).unwrap();
            assert!(text.lines().count() <= 24, "{word}");
        }
        assert!(topic("approvals").unwrap().lines().all(|line| line.chars().count() <= 120));
    }
}
