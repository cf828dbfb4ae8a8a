//! What a role could do if nobody held it to reading: for the person who connects a database and wants to know whether
//! "read" is more than a word.
//!
//! The transaction and the list of statements are walls of ours. The wall that holds without us is the role's own rights,
//! so that is what is reported, with the commands that make a role which has none.

use std::sync::Arc;

use kv_model::{Connection, Mode, Scheme, SchemeName, SettingName, SqlError};
use kv_vault::Unlocked;
use serde_json::Value;

use super::error::DatabaseError;
use super::login::AuthMethod;
use super::session::Work;
use super::{Caller, Queried, Via};
use crate::error::{SendError, Sent};
use crate::send::Egress;

/// What was found about the role that a connection logs in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleReport {
    pub role: String,
    pub database: String,
    /// As the server writes it: `15.14 (Debian 15.14-0+deb12u1)`.
    pub server_version: String,
    /// `None`: there is no TLS.
    pub tls: Option<&'static str>,
    /// How the server came to believe us, in words.
    pub auth: &'static str,
    /// In what ways the role could change something although the connection only reads; each a clause for people.
    pub can_write: Vec<String>,
    /// The role's sessions are read-only unless they say otherwise.
    pub reads_by_default: bool,
    /// Commands that make a role which can read and do nothing else, for a person to look through and run.
    pub safe_role: String,
}

impl RoleReport {
    /// The role cannot change anything, whatever is sent.
    pub fn is_read_only(&self) -> bool {
        self.can_write.is_empty()
    }
}

impl Egress {
    /// Logs in and asks the database what the role may do. `auth` are the schemes of the connection's provider.
    ///
    /// The outer error: there was no session. The inner one: the database would not say.
    pub async fn examine(
        &self,
        connection: &Arc<Connection>,
        auth: &[(SchemeName, Arc<Scheme>)],
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        now_ms: u64,
    ) -> Result<Result<RoleReport, SqlError>, SendError> {
        let caller = Caller { connection, auth, defaults, vault, now_ms };
        let work = Work { text: QUESTION, params: &[], calls: &[], max_rows: 1, mode: Mode::Read };
        let (Queried { response, .. }, via) = self.statement_via(&caller, &work).await?;
        match response {
            Ok(rows) => report(rows.rows.first().map_or("", String::as_str), &via)
                .map(Ok)
                .ok_or(DatabaseError::Protocol { sent: Sent::Yes }.into()),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn report(row: &str, via: &Via) -> Option<RoleReport> {
    let row: Value = serde_json::from_str(row).ok()?;
    let facts = row.get(0)?;
    let text = |name: &str| facts.get(name)?.as_str().map(str::to_owned);
    let database = text("database")?;
    Some(RoleReport {
        role: text("role")?,
        server_version: text("version")?,
        tls: via.tls,
        auth: words(via.auth),
        can_write: ways(facts),
        reads_by_default: facts.get("reads_by_default")?.as_bool()?,
        safe_role: safe_role(&database),
        database,
    })
}

fn words(auth: AuthMethod) -> &'static str {
    match auth {
        AuthMethod::Cleartext => "password in clear text",
        AuthMethod::Md5 => "md5",
        AuthMethod::NotAsked => "no password (client certificate, or none asked for)",
        AuthMethod::Scram => "SCRAM-SHA-256",
        AuthMethod::ScramBound => "SCRAM-SHA-256 with channel binding",
    }
}

/// The facts that matter, in the order of their gravity.
fn ways(facts: &Value) -> Vec<String> {
    let is = |name: &str| facts.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut ways = Vec::new();
    if is("superuser") {
        // All else follows.
        return vec![
            "it is a superuser: it can do everything, read and write the server's files and run programs".into(),
        ];
    }
    for (fact, way) in [
        ("createrole", "it may create roles, and give itself theirs"),
        ("createdb", "it may create databases"),
        ("replication", "it may start replication, which reads everything and can hold the server's log"),
        ("create_in_database", "it may create schemas in the database"),
        ("temporary", "it may create temporary tables"),
        ("dblink", "it may run `dblink_exec`, which writes over a connection of its own"),
    ] {
        if is(fact) {
            ways.push(way.to_owned());
        }
    }
    for (fact, before, after) in [
        ("member_of", "it is a member of", ""),
        ("owns", "it owns", ", which lets it do anything with them"),
        ("writes", "it may insert, update, delete or truncate in", ""),
        ("create_in", "it may create things in schema", ""),
        ("foreign_servers", "it may use foreign server", ", where a write is another database's matter"),
        ("untrusted", "it may call functions in an untrusted language:", ""),
    ] {
        let list = facts.get(fact).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> =
            list.iter().filter_map(Value::as_str).take(NAMED).map(|name| format!("`{name}`")).collect();
        if names.is_empty() {
            continue;
        }
        let count = facts.get(format!("{fact}_count")).and_then(Value::as_u64).unwrap_or(list.len() as u64);
        let more = count.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        ways.push(format!("{before} {}{more}{after}", names.join(", ")));
    }
    ways
}

/// Names are quoted: a database may be called anything.
fn safe_role(database: &str) -> String {
    let database = database.replace('"', "\"\"");
    format!(
        "\
-- Run as the owner of the tables. Repeat the four lines with `public` for each schema that is to be read.
create role kv_read login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 20;
alter role kv_read set default_transaction_read_only = on;
alter role kv_read set statement_timeout = '30s';
grant connect on database \"{database}\" to kv_read;
revoke temporary on database \"{database}\" from public;
revoke create on schema public from public;
grant usage on schema public to kv_read;
grant select on all tables in schema public to kv_read;
alter default privileges in schema public grant select on tables to kv_read;
-- Then give it a password, which psql hashes before it is sent:
-- \\password kv_read
"
    )
}

/// One row with one JSON object: a role may have rights on a hundred thousand tables, so names are counted and cut short.
const QUESTION: &str = "\
with me as (select r.* from pg_catalog.pg_roles r where r.rolname = current_user),
relation as (
  select c.oid, c.relkind, c.relowner, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
),
owned as (select name from relation where pg_catalog.pg_has_role(relowner, 'MEMBER')),
written as (
  select name from relation where relkind <> 'm' and not pg_catalog.pg_has_role(relowner, 'MEMBER') and (
    pg_catalog.has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    or pg_catalog.has_any_column_privilege(oid, 'INSERT, UPDATE'))
),
member as (
  select r.rolname as name from pg_catalog.pg_roles r, me
  where r.oid <> me.oid and pg_catalog.pg_has_role(r.oid, 'MEMBER') and (r.rolsuper or r.rolcreaterole or r.rolname in
    ('pg_write_all_data', 'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
     'pg_signal_backend', 'pg_maintain', 'pg_create_subscription', 'pg_checkpoint', 'pg_use_reserved_connections'))
),
creatable as (
  select n.nspname as name from pg_catalog.pg_namespace n
  where pg_catalog.has_schema_privilege(n.oid, 'CREATE') and n.nspname !~ '^pg_(temp|toast)'
),
untrusted as (
  select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname) as name
  from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where l.lanispl and not l.lanpltrusted and pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
)
select pg_catalog.json_build_object(
  'role', current_user, 'database', pg_catalog.current_database(),
  'version', pg_catalog.current_setting('server_version'),
  'reads_by_default', coalesce((select s.reset_val = 'on' from pg_catalog.pg_settings s
    where s.name = 'default_transaction_read_only'), false),
  'superuser', me.rolsuper, 'createrole', me.rolcreaterole, 'createdb', me.rolcreatedb, 'replication', me.rolreplication,
  'create_in_database', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
  'temporary', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
  'dblink', exists (select from pg_catalog.pg_proc p where p.proname in ('dblink_exec', 'dblink_connect_u')
    and pg_catalog.has_function_privilege(p.oid, 'EXECUTE')),
  'member_of', array(select name from member order by name limit 20),
  'member_of_count', (select pg_catalog.count(*) from member),
  'owns', array(select name from owned order by name limit 20), 'owns_count', (select pg_catalog.count(*) from owned),
  'writes', array(select name from written order by name limit 20),
  'writes_count', (select pg_catalog.count(*) from written),
  'create_in', array(select name from creatable order by name limit 20),
  'create_in_count', (select pg_catalog.count(*) from creatable),
  'foreign_servers', array(select s.srvname from pg_catalog.pg_foreign_server s
    where pg_catalog.has_server_privilege(s.oid, 'USAGE') order by 1 limit 20),
  'untrusted', array(select name from untrusted order by name limit 20),
  'untrusted_count', (select pg_catalog.count(*) from untrusted)
) from me";

/// As many as a person reads before thinking "all of them, then".
const NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_may_be_called_anything() {
        assert!(safe_role("a\"; drop").contains("on database \"a\"\"; drop\" to"));
    }

    #[test]
    fn a_superuser_needs_no_list() {
        let facts = serde_json::json!({"superuser": true, "owns": ["public.t"], "owns_count": 1});
        assert_eq!(ways(&facts).len(), 1);
        let facts = serde_json::json!({"owns": ["a", "b", "c", "d", "e", "f"], "owns_count": 9, "member_of": []});
        assert_eq!(ways(&facts), ["it owns `a`, `b`, `c`, `d`, `e` and 4 more, which lets it do anything with them"]);
    }
}
