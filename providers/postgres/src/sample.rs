use kv_sdk::{Failure, Io, Reply, Statement};

use crate::names::Table;

const DEFAULT_ROWS: u32 = 10;

#[kv_sdk::input]
pub(crate) struct Sample {
    /// `users` or `public.users`, as `tables` has it: not quoted, in its own case.
    table: String,
    /// The schema, for a name that has a dot in it.
    schema: Option<String>,
    /// How many rows, 1 to 100; 10 when not said.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

/// Look at some rows of a table
///
/// Whole rows, those that the server finds first: to see what values look like, not a random choice.
#[kv_sdk::operation(name = "sample", effect = Read, suggest = Allow)]
pub(crate) async fn sample(io: &Io, input: Sample) -> Result<Reply, Failure> {
    let table = Table::parse(input.schema, input.table)?.quoted()?;
    let limit = input.limit.unwrap_or(DEFAULT_ROWS);
    // The limit is a number and the name is quoted, so nothing of the caller's is text here.
    let statement = Statement::read(format!("select * from {table} limit {limit}")).max_rows(limit);
    io.forward_success(statement).await
}
