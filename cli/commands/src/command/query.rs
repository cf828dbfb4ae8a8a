//! `kv query CONNECTION SQL`: rows of a database, as a table, as CSV, or as they came.

use std::io::IsTerminal;

use kv_model::{Effect, Protocol};

use super::rows::{Rows, csv};
use super::statement::Typed;
use super::typed::{self, Target};
use super::{Context, connection};
use crate::arguments::Query;
use crate::output::{inert, print, print_json, write_out};
use crate::problem::Problem;

pub(super) async fn run(context: &Context, arguments: Query) -> Result<(), Problem> {
    if arguments.csv && context.output.json {
        return Err(Problem::usage("--csv and --json exclude each other"));
    }
    let typed = Typed::new(arguments.statement)?;
    let name = connection::parse(&arguments.connection)?;
    let mut input = typed.input();
    input.extend(arguments.max_rows.map(|most| ("max_rows".to_owned(), most.into())));
    let target =
        Target { connection: &name, protocol: Protocol::Sql, agent: &arguments.agent, hold_ms: arguments.hold.ms() };
    let answer = typed::call(context, &target, "query", input.into(), Effect::Read)
        .await
        .map_err(|problem| typed.explained(problem))?;
    let text = answer.text().await?;
    if context.output.json {
        return print_json(&text);
    }
    let rows = Rows::read(&text)?;
    if arguments.csv {
        let text = csv(&rows)?;
        // A file gets every byte of it.
        let shown = if std::io::stdout().is_terminal() { inert(&text.replace("\r\n", "\n")) } else { text };
        write_out(std::io::Write::write_all(&mut std::io::stdout().lock(), shown.as_bytes()))?;
    } else {
        let table = rows.table()?;
        print(&table.text)?;
        context.output.note(&rows.count());
        table.cut.iter().for_each(|cut| context.output.note(cut));
    }
    if rows.truncated {
        context.output.note("there are more rows: --max-rows N, or a narrower statement");
    }
    Ok(())
}
