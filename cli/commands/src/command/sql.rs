//! `kv sql CONNECTION SQL`: a change that a person looks at first. It is tried and rolled back, shown with what it would
//! touch, and carried out when the person says so.
//!
//! Both steps are calls like any other, decided and recorded by the daemon. The question is this command's own and no
//! check: what a connection refuses stays refused.

use kv_api::Code;
use kv_model::{Effect, Protocol};

use super::rows::Rows;
use super::statement::Typed;
use super::typed::{self, Target};
use super::{Context, connection};
use crate::arguments::Sql;
use crate::output::{inert, print, print_json, tell};
use crate::problem::Problem;

/// As many rows of a preview as a person reads.
const SHOWN_ROWS: usize = 20;

pub(super) async fn run(context: &Context, arguments: Sql) -> Result<(), Problem> {
    let typed = Typed::new(arguments.statement)?;
    let name = connection::parse(&arguments.connection)?;
    if !arguments.yes && !context.asking.possible() {
        return Err(Problem::needs_human("a change is looked at before it is made, and nobody is there to look")
            .next("give --yes if the change is meant"));
    }
    let target =
        Target { connection: &name, protocol: Protocol::Sql, agent: &arguments.agent, hold_ms: arguments.hold.ms() };
    let would = preview(context, &target, &typed).await?;
    if !(arguments.yes && context.output.quiet) {
        tell(&shown(&typed, &would));
    }
    if let (Would::Touch(rows), Some(most)) = (&would, arguments.max_changes)
        && rows.affected > most
    {
        return Err(Problem::usage(format!(
            "it would change {} rows, over the limit of {most}; nothing was changed",
            rows.affected
        )));
    }
    if !arguments.yes && !context.asking.confirm("Run it?")? {
        return Err(Problem::failed("nothing was changed"));
    }
    let mut input = typed.input();
    input.extend(arguments.max_changes.map(|most| ("max_changes".to_owned(), most.into())));
    let answer = typed::call(context, &target, typed.operation(), input.into(), Effect::Grant)
        .await
        .map_err(|problem| typed.explained(problem))?;
    let text = answer.text().await?;
    if context.output.json {
        return print_json(&text);
    }
    let rows = Rows::read(&text)?;
    if !rows.columns.is_empty() {
        let table = rows.table()?;
        print(&table.text)?;
        table.cut.iter().for_each(|cut| context.output.note(cut));
    }
    print(&format!("changed    {}", typed.counted(rows.affected)))
}

/// What is known of a change before it is made.
enum Would {
    Touch(Rows),
    /// The connection allows no preview, for this reason.
    Unknown(String),
}

async fn preview(context: &Context, target: &Target<'_>, typed: &Typed) -> Result<Would, Problem> {
    // The person would approve a look first and the change after it, with a code each.
    if typed::asks(context, target, "preview").await {
        return Ok(Would::Unknown("a look at it would have to be approved too".to_owned()));
    }
    match typed::call(context, target, "preview", typed.input().into(), Effect::Grant).await {
        Ok(answer) => Rows::read(&answer.text().await?).map(Would::Touch),
        // It was not tried, so nothing is known against it either; the call itself has its own decision to come.
        Err(problem) if problem.code() == Code::PolicyDenied => Ok(Would::Unknown(problem.error().message.clone())),
        Err(problem) => Err(typed.explained(problem)),
    }
}

fn shown(typed: &Typed, would: &Would) -> String {
    let mut text = format!("statement  {}\n", typed.sql.trim().replace('\n', "\n           "));
    for (index, value) in typed.params.iter().enumerate() {
        text.push_str(&format!("${:<9} {value}\n", index + 1));
    }
    match would {
        Would::Unknown(why) => text.push_str(&format!("touches    unknown: {why}")),
        Would::Touch(rows) => {
            text.push_str(&format!("touches    {} (tried, and rolled back)", typed.counted(rows.affected)));
            if typed.is_of_everything() {
                text.push_str("\n           nothing in it chooses among the rows of a table: it is every one");
            }
            if !rows.columns.is_empty()
                && let Ok(table) = rows.table()
            {
                let lines: Vec<_> = table.text.lines().collect();
                lines.iter().take(SHOWN_ROWS + 1).for_each(|line| text.push_str(&format!("\n           {line}")));
                if lines.len() > SHOWN_ROWS + 1 {
                    text.push_str(&format!("\n           and {} more", lines.len() - SHOWN_ROWS - 1));
                }
            }
        }
    }
    inert(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_what_would_be_touched() {
        let typed = Typed { sql: "update t\nset a = $1\u{1b}[2J".to_owned(), params: vec![json!("x\u{202e}")] };
        let rows = Rows::read(r#"{"columns":[],"rows":[],"affected":3,"truncated":false}"#).unwrap();
        let text = shown(&typed, &Would::Touch(rows));
        assert!(text.contains("statement  update t\n           set a = $1�[2J\n$1         \"x�\"\n"), "{text}");
        assert!(text.ends_with("touches    3 rows (tried, and rolled back)"), "{text}");
        let touches = |sql: &str| {
            let rows = Rows::read(r#"{"columns":[],"rows":[],"affected":0,"truncated":false}"#).unwrap();
            shown(&Typed { sql: sql.to_owned(), params: Vec::new() }, &Would::Touch(rows))
        };
        assert!(touches("truncate t").contains("touches    what it names, of which no rows are counted (tried"));
        assert!(touches("delete from t where id = id").contains("\n           nothing in it chooses among the rows"));
        assert!(!touches("delete from t where id = 1").contains("nothing in it chooses"));
        let text = shown(&typed, &Would::Unknown("refused".to_owned()));
        assert!(text.ends_with("touches    unknown: refused"), "{text}");
    }
}
