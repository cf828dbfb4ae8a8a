//! What is there: schemas, and tables with their sizes.
//!
//! Everything is named with its schema, so that nothing in a caller's search path can stand in for the server's own.

use kv_sdk::{Failure, Io, Reply, Statement, Value};

const SCHEMAS: &str = "\
select n.nspname as schema,
  pg_catalog.pg_get_userbyid(n.nspowner) as owner,
  pg_catalog.has_schema_privilege(n.oid, 'USAGE') as usable,
  (select pg_catalog.count(*) from pg_catalog.pg_class c
    where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')) as tables,
  pg_catalog.obj_description(n.oid, 'pg_namespace') as comment
from pg_catalog.pg_namespace n
where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
order by n.nspname";

const TABLES: &str = "\
select n.nspname as schema,
  c.relname as name,
  case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
    when 'm' then 'materialized view' else 'foreign table' end as kind,
  case when c.reltuples >= 0 and c.relkind <> 'v' then c.reltuples::pg_catalog.int8 end as row_estimate,
  pg_catalog.pg_total_relation_size(c.oid) as bytes,
  pg_catalog.has_table_privilege(c.oid, 'SELECT') as readable,
  pg_catalog.obj_description(c.oid, 'pg_class') as comment
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and case when $1::pg_catalog.text is null
    then n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    else n.nspname = $1::pg_catalog.text end
  and ($2::pg_catalog.text is null or c.relname ilike $2::pg_catalog.text)
order by n.nspname, c.relname";

const MAX_ROWS: u32 = 5_000;

/// List schemas
///
/// Those of the database's own, with how many tables each has and whether this role may use it.
#[kv_sdk::operation(name = "schemas", effect = Read, suggest = Allow)]
pub(crate) async fn schemas(io: &Io) -> Result<Reply, Failure> {
    io.forward_success(Statement::read(SCHEMAS).max_rows(MAX_ROWS)).await
}

#[kv_sdk::input]
pub(crate) struct Tables {
    /// Only of this schema. Without it, of all but the server's own (`pg_catalog`, `information_schema`).
    schema: Option<String>,
    /// Only names like this, in either case: `%order%`. `%` is any text, `_` any character.
    like: Option<String>,
}

/// List tables and views
///
/// Each with its kind, an estimate of its rows (null where the server has none), its size with indexes in bytes, whether
/// this role may read it, and its comment.
#[kv_sdk::operation(name = "tables", effect = Read, suggest = Allow)]
pub(crate) async fn tables(io: &Io, input: Tables) -> Result<Reply, Failure> {
    let statement = Statement::read(TABLES)
        .param(input.schema.map_or(Value::Null, Value::from))
        .param(input.like.map_or(Value::Null, Value::from))
        .max_rows(MAX_ROWS);
    io.forward_success(statement).await
}
