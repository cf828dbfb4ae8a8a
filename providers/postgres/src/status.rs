use kv_sdk::{Failure, FailureKind, Io, Reply, Statement};

const STATUS: &str = "\
select pg_catalog.version() as version,
  current_user as \"user\",
  pg_catalog.current_database() as database,
  pg_catalog.pg_is_in_recovery() as standby";

/// What is told of a server.
#[kv_sdk::data]
struct Status {
    version: String,
    user: String,
    database: String,
    /// It follows another server and cannot be written to.
    standby: bool,
}

/// Say which server, role and database this is
#[kv_sdk::operation(name = "status", effect = Read, suggest = Allow)]
pub(crate) async fn status(io: &Io) -> Result<Reply, Failure> {
    let rows: Vec<Status> = io.query_as(Statement::read(STATUS).max_rows(1)).await?;
    let status = rows.first().ok_or_else(|| Failure::new(FailureKind::Upstream, "the server gave no row"))?;
    Reply::json(status)
}
