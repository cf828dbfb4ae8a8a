//! What the caller writes: one statement, and its parameters.

use kv_sdk::{Failure, FailureKind, Io, RawValue, Reply, Statement, json};

/// What goes before a statement to be explained. The line break leaves the statement its own columns, so that the place
/// of a mistake is the caller's.
pub(crate) const EXPLAIN: &str = "explain (costs on)\n";
pub(crate) const EXPLAIN_ANALYZE: &str = "explain (analyze, buffers)\n";

/// A plan's lines; a plan of a hundred joins has some 500.
const MAX_PLAN_LINES: u32 = 2_000;
/// As many characters of a statement as a summary repeats.
const SUMMARY_CHARS: usize = 80;

const DEFAULT_ROWS: u32 = 1_000;

#[kv_sdk::input]
pub(crate) struct Query {
    /// One statement that only reads, such as `select id, name from users where created_at > $1`. No semicolon is needed.
    sql: String,
    /// Values for `$1`, `$2`, ...: text, number, boolean, null, array or object. Numbers over 2^53 go as text.
    #[schemars(with = "Option<Vec<kv_sdk::Value>>", length(max = 1000))]
    params: Option<Vec<Box<RawValue>>>,
    /// How many rows to return, 1 to 10000; 1000 when not said. `truncated` says whether there were more.
    #[schemars(range(min = 1, max = 10000))]
    max_rows: Option<u32>,
}

/// Read rows
///
/// Runs one statement in a read-only transaction that is rolled back. Values belong in `params`, never in the text. The
/// result has `columns` with names and types, and `rows` as arrays in their order. int8 beyond 2^53 and every numeric
/// come as text, so that no digit is lost.
#[kv_sdk::operation(name = "query", effect = Read, suggest = Allow)]
pub(crate) async fn query(io: &Io, input: Query) -> Result<Reply, Failure> {
    let statement = Statement::read(input.sql)
        .params(input.params.iter().flatten())
        .max_rows(input.max_rows.unwrap_or(DEFAULT_ROWS));
    io.forward_success(statement).await.map_err(in_the_text)
}

#[kv_sdk::input]
pub(crate) struct Execute {
    /// One statement that changes something. With `returning` it gives rows.
    sql: String,
    /// Values for `$1`, `$2`, ...: text, number, boolean, null, array or object. Numbers over 2^53 go as text.
    #[schemars(with = "Option<Vec<kv_sdk::Value>>", length(max = 1000))]
    params: Option<Vec<Box<RawValue>>>,
    /// How many rows it may change; 1000 when not said. If it changes more, it is rolled back and nothing has changed. Rows
    /// that `truncate`, `drop` or a changed column take away are not counted: with a limit such a statement is refused.
    max_changes: Option<u64>,
}

/// Add or change rows, define tables
///
/// Runs one insert, update, merge, `create` or plain `alter` in a transaction of its own, which is committed if it changed no
/// more rows than `max_changes`. `affected` in the result is how many it changed. It is not repeated after a lost connection.
/// `preview` tells beforehand what it would touch. What removes something is `destroy`, what gives rights is `administer`.
#[kv_sdk::operation(name = "execute", effect = Write, suggest = Ask, facts(max_changes = "/max_changes"))]
pub(crate) async fn execute(io: &Io, input: Execute) -> Result<Reply, Failure> {
    change(io, input).await
}

/// Remove rows, tables or columns
///
/// As `execute`, and for what removes something, too: delete, a merge that deletes, truncate, drop, an `alter table` that drops
/// a column or gives it another type.
#[kv_sdk::operation(name = "destroy", effect = Destroy, suggest = Ask, facts(max_changes = "/max_changes"))]
pub(crate) async fn destroy(io: &Io, input: Execute) -> Result<Reply, Failure> {
    change(io, input).await
}

/// Say who may do what
///
/// As `destroy`, and for roles and rights, too: grant, revoke, create, alter or drop a role or a policy, another owner.
#[kv_sdk::operation(name = "administer", effect = Grant, suggest = Deny, facts(max_changes = "/max_changes"))]
pub(crate) async fn administer(io: &Io, input: Execute) -> Result<Reply, Failure> {
    change(io, input).await
}

async fn change(io: &Io, input: Execute) -> Result<Reply, Failure> {
    let mut summary = one_line(&input.sql);
    let mut statement = Statement::write(input.sql).params(input.params.iter().flatten()).max_rows(DEFAULT_ROWS);
    // Where none is given the host sets its own, for what it can count.
    if let Some(most) = input.max_changes {
        summary.push_str(&format!(", up to {most} rows"));
        statement = statement.max_changes(most);
    }
    io.forward_success(statement.summary(summary)).await.map_err(in_the_text)
}

#[kv_sdk::input]
pub(crate) struct Preview {
    /// The statement that `execute`, `destroy` or `administer` would get.
    sql: String,
    /// Values for `$1`, `$2`, ..., as they would get them.
    #[schemars(with = "Option<Vec<kv_sdk::Value>>", length(max = 1000))]
    params: Option<Vec<Box<RawValue>>>,
}

/// See what a change would touch
///
/// Runs the statement under a time limit and rolls it back; `affected` is how many rows it would change, and with
/// `returning` the rows are there. Until the rollback it holds its locks, its triggers and functions run, and what those
/// do outside of the transaction (sequences, calls to other servers) stays done.
//
// It is suggested to ask, not to allow: for the reason in the last sentence a preview can have effects, and the person
// who is asked about `execute` is shown a preview anyway.
#[kv_sdk::operation(name = "preview", effect = Write, suggest = Ask)]
pub(crate) async fn preview(io: &Io, input: Preview) -> Result<Reply, Failure> {
    let summary = format!("try and roll back: {}", one_line(&input.sql));
    let statement = Statement::write(input.sql).params(input.params.iter().flatten()).preview().summary(summary);
    io.forward_success(statement).await.map_err(in_the_text)
}

#[kv_sdk::input]
pub(crate) struct Explain {
    /// One statement that reads.
    sql: String,
    /// Values for `$1`, `$2`, ...
    #[schemars(with = "Option<Vec<kv_sdk::Value>>", length(max = 1000))]
    params: Option<Vec<Box<RawValue>>>,
    /// Run it too, and measure: the plan then has real times and row counts.
    analyze: Option<bool>,
}

/// Explain a query
///
/// The plan as PostgreSQL writes it, one text. With `analyze` the query is run, in a read-only transaction, and its rows
/// are thrown away. For a plan as JSON, use `query` with `explain (format json) ...`.
#[kv_sdk::operation(name = "explain", effect = Read, suggest = Allow)]
pub(crate) async fn explain(io: &Io, input: Explain) -> Result<Reply, Failure> {
    let before = if input.analyze.unwrap_or_default() { EXPLAIN_ANALYZE } else { EXPLAIN };
    let statement = Statement::read(format!("{before}{}", input.sql))
        .params(input.params.iter().flatten())
        .max_rows(MAX_PLAN_LINES);
    let lines: Vec<(String,)> = io.query_as(statement).await.map_err(in_the_text)?;
    let lines: Vec<_> = lines.into_iter().map(|(line,)| line).collect();
    Ok(json!({ "plan": lines.join("\n") }).into())
}

/// What the caller can mend in these operations is the statement.
fn in_the_text(failure: Failure) -> Failure {
    if failure.kind == FailureKind::InvalidInput && failure.field.is_none() { failure.at("/sql") } else { failure }
}

/// The beginning of a statement, for a summary.
fn one_line(sql: &str) -> String {
    let words: Vec<_> = sql.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SUMMARY_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
