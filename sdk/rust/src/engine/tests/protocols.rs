//! Statements and commands: the same engine, other words.

use crate::test::{Harness, Run, rows};
use crate::{
    Command, CommandLine, Effect, Exit, Failure, FailureKind, Io, Output, Protocol, Provider, Reply, Request, SqlError,
    Statement, json,
};

/// Ask once, and once more for each row
#[kv_sdk::operation(name = "walk", effect = Read, suggest = Allow)]
async fn walk(io: &Io) -> Result<Reply, Failure> {
    let names: Vec<(String,)> = io.query_as(Statement::read("select name from t")).await?;
    let mut counts = Vec::new();
    for (name,) in names {
        let rows = io.query(Statement::read("select count(*) from t where name = $1").param(name).max_rows(1)).await?;
        counts.push(rows.first::<(u64,)>()?.map(|(count,)| count));
    }
    Ok(json!(counts).into())
}

/// Change
#[kv_sdk::operation(name = "change", effect = Write, suggest = Ask)]
async fn change(io: &Io) -> Result<Reply, Failure> {
    let changed = io.execute(Statement::write("update t set a = 1").max_changes(5)).await?;
    Ok(json!({ "changed": changed }).into())
}

/// Hand on
#[kv_sdk::operation(name = "hand", effect = Read, suggest = Allow)]
async fn hand(io: &Io) -> Result<Reply, Failure> {
    io.forward_success(Statement::read("select\nnmae from t")).await
}

/// Mistake the protocol
#[kv_sdk::operation(name = "mistake", effect = Read, suggest = Allow)]
async fn mistake(io: &Io) -> Result<Reply, Failure> {
    io.forward(Request::get(["t"])).await
}

fn refused(error: &SqlError) -> Failure {
    let place = error.excerpt().map(|place| format!("\n{place}")).unwrap_or_default();
    Failure::new(FailureKind::Upstream, format!("{}{place}", error.message)).code(&error.code)
}

static DATABASE: Provider = Provider {
    protocol: Protocol::Sql { failure: refused },
    auth: &["login"],
    operations: &[
        <walk as crate::__private::Described>::OPERATION,
        <change as crate::__private::Described>::OPERATION,
        <hand as crate::__private::Described>::OPERATION,
        <mistake as crate::__private::Described>::OPERATION,
    ],
    manifest: &[],
    version: "0.0.0",
};

/// Look, then do
#[kv_sdk::operation(name = "look", effect = Write, suggest = Ask)]
async fn look(io: &Io) -> Result<Reply, Failure> {
    let found = io.run(Command::argv(["ls", "--", "-x"]).effect(Effect::Read)).await?.error_for_exit()?;
    let text = found.text().trim().to_owned();
    io.forward(Command::argv(["touch", "--", &text]).stdin("in").timeout(std::time::Duration::from_secs(2))).await
}

/// Say how it ended
#[kv_sdk::operation(name = "end", effect = Read, suggest = Allow)]
async fn end(io: &Io) -> Result<Reply, Failure> {
    let output = io.run(Command::shell("kill $$").max_output(9)).await?;
    let again = io.run(Command::argv(["cat", "x"])).await?;
    Ok(json!([format!("{:?} {:?}", output.exit, output.stdout), again.truncated]).into())
}

fn ended(output: &Output) -> Failure {
    Failure::new(FailureKind::NotFound, format!("{:?}: {}", output.line(), output.error_text()))
}

static MACHINE: Provider = Provider {
    protocol: Protocol::Ssh { failure: ended },
    auth: &["login"],
    operations: &[<look as crate::__private::Described>::OPERATION, <end as crate::__private::Described>::OPERATION],
    manifest: &[],
    version: "0.0.0",
};

fn ask(operation: &str) -> Run {
    Harness::new(&DATABASE).call(operation, json!({}))
}

fn run(operation: &str) -> Run {
    Harness::new(&MACHINE).call(operation, json!({}))
}

#[test]
fn statements_are_asked_one_after_the_other() {
    let mut run = ask("walk");
    let sent = run.expect_send();
    assert_eq!((sent.statement().text(), sent.effect(), sent.repeatable()), ("select name from t", Effect::Read, true));
    assert_eq!(
        (sent.auth(), sent.summary()),
        (["login".to_owned()].as_slice(), "Ask once, and once more for each row")
    );
    run.respond_rows(rows(&[("name", "text")], [json!(["a"]), json!(["é\""])]));
    for (name, count) in [("\"a\"", 3), ("\"é\\\"\"", 0)] {
        let statement = run.expect_send().statement();
        assert_eq!((statement.param_texts(), statement.row_limit()), ([name.to_owned()].as_slice(), 1));
        run.respond_rows(rows(&[("count", "int8")], [json!([count])]));
    }
    assert_eq!(run.expect_done(), json!([3, 0]));
}

#[test]
fn a_change_is_counted_and_bounded() {
    let mut run = ask("change");
    let sent = run.expect_send();
    assert_eq!((sent.effect(), sent.repeatable()), (Effect::Write, false));
    assert_eq!(sent.options(), [("max-changes".to_owned(), "5".to_owned())]);
    run.respond_rows(crate::Rows { affected: 4, ..Default::default() });
    assert_eq!(run.expect_done(), json!({ "changed": 4 }));
}

#[test]
fn an_error_shows_the_statement_that_was_asked() {
    for operation in ["walk", "hand"] {
        let mut run = ask(operation);
        run.respond_error(SqlError::new("42703", "no such column", Some(8)));
        let failure = run.expect_failure();
        assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Upstream, Some("42703")));
        let excerpt = if operation == "hand" { "nmae from t\n^" } else { "select name from t\n       ^" };
        assert_eq!(failure.message, format!("no such column\n{excerpt}"));
    }
}

#[test]
fn a_provider_asks_in_its_own_protocol() {
    let failure = ask("mistake");
    assert_eq!(failure.expect_failure().kind, FailureKind::Internal);
    assert!(failure.expect_failure().message.contains("another protocol"));
}

#[test]
fn commands_run_and_the_last_streams() {
    let mut run = run("look");
    assert_eq!((run.expect_send().effect(), run.expect_send().repeatable()), (Effect::Read, true));
    run.respond_output(Output::new(Exit::Code(0), "name\n", ""));
    let sent = run.expect_forward();
    assert_eq!((sent.effect(), sent.repeatable()), (Effect::Write, false));
    let command = sent.command();
    assert_eq!(command.line(), &CommandLine::Argv(vec!["touch".into(), "--".into(), "name".into()]));
    assert_eq!((command.input(), command.timeout_ms()), (b"in".as_slice(), 2000));
}

#[test]
fn a_bad_end_names_the_command() {
    let mut run = run("look");
    run.respond_output(Output::new(Exit::Code(2), "", "no\n"));
    assert_eq!(run.expect_failure().message, "Argv([\"ls\", \"--\", \"-x\"]): no\n");
}

#[test]
fn an_output_is_kept_whole() {
    let mut run = run("end");
    let sent = run.expect_send().command();
    assert_eq!((sent.line(), sent.output_limit()), (&CommandLine::Shell("kill $$".into()), 9));
    run.respond_output(Output::new(Exit::Signal("TERM".into()), vec![255, 0], "x"));
    let mut output = Output::new(Exit::TimedOut, "", "");
    output.truncated = true;
    run.respond_output(output);
    assert_eq!(run.expect_done(), json!(["Signal(\"TERM\") [255, 0]", true]));
}
