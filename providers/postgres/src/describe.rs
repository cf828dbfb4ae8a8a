//! What one table is like.
//!
//! One statement, so that all of it is of one moment and one entry in the audit log; the server puts the lists together.

use kv_sdk::{Failure, FailureKind, Io, Reply, Statement, Value, json};

use crate::names::Table;

const DESCRIBE: &str = "\
select n.nspname,
  pg_catalog.pg_table_is_visible(c.oid),
  pg_catalog.json_build_object(
    'schema', n.nspname,
    'name', c.relname,
    'kind', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
      when 'm' then 'materialized view' else 'foreign table' end,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
    'row_estimate', case when c.reltuples >= 0 and c.relkind <> 'v' then c.reltuples::pg_catalog.int8 end,
    'table_bytes', pg_catalog.pg_table_size(c.oid),
    'index_bytes', pg_catalog.pg_indexes_size(c.oid),
    'row_security', c.relrowsecurity,
    'partition_key', case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end,
    'view', case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid) end),
  (select pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', a.attname,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'nullable', not a.attnotnull,
      'default', case when a.attgenerated = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
      'generated', case when a.attgenerated <> '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
      'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
      'comment', pg_catalog.col_description(c.oid, a.attnum)) order by a.attnum)
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  (select pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', k.conname,
      'kind', case k.contype when 'p' then 'primary key' when 'u' then 'unique' when 'f' then 'foreign key'
        when 'c' then 'check' when 'x' then 'exclusion' when 'n' then 'not null' else 'trigger' end,
      'definition', pg_catalog.pg_get_constraintdef(k.oid)) order by k.contype = 'p' desc, k.contype, k.conname)
    from pg_catalog.pg_constraint k where k.conrelid = c.oid),
  (select pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', rn.nspname, 'table', rc.relname, 'name', k.conname,
      'definition', pg_catalog.pg_get_constraintdef(k.oid)) order by rn.nspname, rc.relname, k.conname)
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class rc on rc.oid = k.conrelid
    join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
    where k.confrelid = c.oid and k.contype = 'f'),
  (select pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', ic.relname,
      'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
      'unique', i.indisunique,
      'primary', i.indisprimary,
      'valid', i.indisvalid,
      'bytes', pg_catalog.pg_relation_size(i.indexrelid)) order by i.indisprimary desc, ic.relname)
    from pg_catalog.pg_index i
    join pg_catalog.pg_class ic on ic.oid = i.indexrelid
    where i.indrelid = c.oid)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and c.relname = $1::pg_catalog.text
  and ($2::pg_catalog.text is null or n.nspname = $2::pg_catalog.text)
order by pg_catalog.pg_table_is_visible(c.oid) desc, n.nspname";

/// Tables of one name are in so many schemas at most, or more are not told.
const MAX_SAME_NAMES: u32 = 50;

#[kv_sdk::input]
pub(crate) struct Describe {
    /// `users` or `public.users`, as `tables` has it: not quoted, in its own case.
    table: String,
    /// The schema, for a name that has a dot in it.
    schema: Option<String>,
}

/// Schema, whether the search path finds it, its facts, columns, constraints, references to it, indexes.
type Found = (String, bool, Value, Value, Value, Value, Value);

/// Describe a table or view
///
/// Its columns with types, defaults and nullability, keys and other constraints, the tables that refer to it, indexes,
/// sizes in bytes, an estimate of its rows, and comments.
#[kv_sdk::operation(name = "describe", effect = Read, suggest = Allow)]
pub(crate) async fn describe(io: &Io, input: Describe) -> Result<Reply, Failure> {
    let table = Table::parse(input.schema, input.table)?;
    let statement = Statement::read(DESCRIBE)
        .param(table.name.as_str())
        .param(table.schema.as_deref().map_or(Value::Null, Value::from))
        .max_rows(MAX_SAME_NAMES);
    let found: Vec<Found> = io.query_as(statement).await?;
    let (_, _, mut facts, columns, constraints, references, indexes) = choose(&table, found)?;
    facts["columns"] = list(columns);
    facts["constraints"] = list(constraints);
    facts["referenced_by"] = list(references);
    facts["indexes"] = list(indexes);
    Ok(facts.into())
}

/// The one that the search path finds, or the only one.
fn choose(table: &Table, mut found: Vec<Found>) -> Result<Found, Failure> {
    let is_plain = |found: &Found| found.1 || table.schema.is_some();
    if found.len() == 1 || found.first().is_some_and(is_plain) {
        return Ok(found.swap_remove(0));
    }
    if found.is_empty() {
        let place = table.schema.as_deref().map(|schema| format!(" in the schema `{schema}`")).unwrap_or_default();
        let message = format!("there is no table or view `{}`{place}; `tables` lists those there are", table.name);
        return Err(Failure::new(FailureKind::NotFound, message).at("/table"));
    }
    let schemas: Vec<_> = found.iter().map(|(schema, ..)| schema.as_str()).collect();
    let message = format!("`{}` is in several schemas: {}; say which", table.name, schemas.join(", "));
    Err(Failure::invalid_input(message).at("/table"))
}

/// The server aggregates nothing to null.
fn list(value: Value) -> Value {
    if value.is_null() { json!([]) } else { value }
}
