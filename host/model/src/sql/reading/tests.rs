use proptest::prelude::*;

use super::*;

fn read(text: &str) -> String {
    Reading::of_read(text).map_or_else(
        |error| format!("! {error}"),
        |reading| {
            assert_eq!(reading.effect, Effect::Read, "{text}");
            reading.to_string()
        },
    )
}

fn any(text: &str) -> String {
    Reading::of_any(text).map_or_else(|error| format!("! {error}"), |reading| format!("{}: {reading}", reading.effect))
}

#[test]
fn reads() {
    for (text, shown) in [
        ("select 1", "select"),
        ("SELECT 1;", "select"),
        ("  select * from app.users  ; -- done", "select from app.users"),
        (
            "select * from app.users u join app.orders o on o.user_id = u.id where u.name = $1",
            "select from app.users, app.orders",
        ),
        ("select * from a, b, c, d, e, f, g", "select from a, b, c, d, e and 2 more"),
        ("select * from \"Odd Name\"", "select from \"Odd Name\""),
        ("select * from Users", "select from users"),
        ("table app.users", "select from app.users"),
        ("values (1, 'sk-live'), (2, 'x')", "values"),
        ("with q as (select * from a) select * from q", "select from a"),
        ("with recursive q(n) as (select 1 union all select n + 1 from q where n < 9) select * from q", "select"),
        ("select * from a where id in (select a_id from b) and exists (select 1 from c)", "select from a, b, c"),
        ("(select 1) union all (select 2) order by 1 limit 5 offset 1", "select"),
        (
            "select count(*) filter (where x > 1), sum(y) over (partition by z order by w) from t group by 1 having count(*) > 1",
            "select from t",
        ),
        (
            "select distinct on (a) a, b::text, c->>'k', d @> '{}'::jsonb from t order by a, b desc nulls last",
            "select from t",
        ),
        ("select * from generate_series(1, 10) as g(n)", "select"),
        ("select * from t cross join lateral (select * from u where u.id = t.id) x", "select from t, u"),
        (
            "select extract(epoch from now()), interval '1 day', date '2020-01-01', current_date, now() at time zone 'utc'",
            "select",
        ),
        (
            "select array[1,2], array(select id from t), (array[1,2])[1], row(1,2), case when a then 1 else 2 end from t",
            "select from t",
        ),
        (
            "select '; commit; drop table t --', E'\\'; drop', $$ ; commit $$, \"; drop\" from t /* ; /* commit */ ; */",
            "select from t",
        ),
        ("select update, delete from t", "select from t"),
        ("select 'insert into x' as \"insert\"", "select"),
        (
            "select substring(a from 1 for 2), overlay(a placing 'b' from 1 for 2), position('a' in b), trim(both 'x' from a) from t",
            "select from t",
        ),
        ("select * from t tablesample system (10)", "select from t"),
        ("select pg_size_pretty(pg_total_relation_size('t'))", "select"),
        ("select relname from pg_catalog.pg_class where pg_table_is_visible(oid)", "select from pg_catalog.pg_class"),
        ("select lo_price from lineorder where lo_price > 1", "select from lineorder"),
        (
            "select string_agg(a, ',' order by b), percentile_cont(0.5) within group (order by c) from t",
            "select from t",
        ),
        ("explain select * from a", "explain select from a"),
        ("explain analyze verbose select * from a", "explain select from a"),
        ("explain (analyze, buffers, format json) select * from a", "explain select from a"),
        ("show search_path", "show"),
        ("show server_version", "show"),
        ("select current_setting('server_version'), current_setting('app.tenant', true)", "select"),
        ("select * from t where a ~ '^x' and b !~* 'y' and c like 'z%' escape '!' and d is not null", "select from t"),
        ("select a from t fetch first 3 rows only", "select from t"),
        ("select random(), clock_timestamp(), gen_random_uuid()", "select"),
        ("select * from information_schema.columns where table_name = $1", "select from information_schema.columns"),
    ] {
        assert_eq!(read(text), shown, "{text}");
    }
}

/// Every statement that is known to get past a read-only transaction, or that hides behind one that reads.
#[test]
fn what_a_read_is_not() {
    for (text, why) in [
        ("set transaction read write", "it is a SET"),
        ("set session characteristics as transaction read write", "it is a SET"),
        ("set statement_timeout = 0", "it is a SET"),
        ("set local role other", "it is a SET"),
        ("reset all", "it is a RESET"),
        ("discard all", "it is a DISCARD"),
        ("select set_config('transaction_read_only', 'off', false)", "`set_config`"),
        ("select set_config('search_path', 'evil', false)", "`set_config`"),
        ("commit", "it is transaction control"),
        ("end", "it is transaction control"),
        ("rollback", "it is transaction control"),
        ("begin", "it is transaction control"),
        ("start transaction read write", "it is transaction control"),
        ("savepoint a", "it is transaction control"),
        ("release a", "it is transaction control"),
        ("abort", "it is transaction control"),
        ("prepare transaction 'x'", "it is a PREPARE"),
        ("commit; insert into t values (1)", "more than one"),
        ("select 1; select 2", "more than one"),
        ("select 1;;", "more than one"),
        (";", "it is empty"),
        ("", "it is empty"),
        ("-- nothing", "it is empty"),
        ("copy t to program 'id'", "it is a COPY"),
        ("copy t to '/tmp/x'", "it is a COPY"),
        ("copy t from stdin", "it is a COPY"),
        ("select lo_export(1, '/tmp/x')", "`lo_export`"),
        ("select lo_import('/etc/passwd')", "`lo_import`"),
        ("select lo_put(1, 0, 'x')", "`lo_put`"),
        ("select pg_read_file('/etc/passwd')", "`pg_read_file`"),
        ("select pg_catalog.pg_read_binary_file ('x')", "`pg_read_binary_file`"),
        ("select \"pg_read_file\" /* */ ('x')", "`pg_read_file`"),
        ("select PG_LS_DIR('.')", "`pg_ls_dir`"),
        ("select pg_stat_file('x')", "`pg_stat_file`"),
        ("select dblink_exec('dbname=x', 'insert')", "`dblink_exec`"),
        ("select * from dblink('dbname=x', 'select 1') as t(a int)", "`dblink`"),
        ("notify a", "it is a NOTIFY"),
        ("listen a", "it is a LISTEN"),
        ("unlisten *", "it is an UNLISTEN"),
        ("select pg_notify('a', 'b')", "`pg_notify`"),
        ("select pg_advisory_lock(1)", "`pg_advisory_lock`"),
        ("select pg_try_advisory_xact_lock_shared(1)", "`pg_try_advisory_xact_lock_shared`"),
        ("lock table t in access exclusive mode", "it is a LOCK"),
        ("prepare p as select 1", "it is a PREPARE"),
        ("execute p", "it is an EXECUTE"),
        ("deallocate p", "it is a DEALLOCATE"),
        ("select pg_logical_emit_message(false, 'a', 'b')", "`pg_logical_emit_message`"),
        ("select pg_terminate_backend(1)", "`pg_terminate_backend`"),
        ("select pg_cancel_backend(1)", "`pg_cancel_backend`"),
        ("select pg_reload_conf()", "`pg_reload_conf`"),
        ("select pg_switch_wal()", "`pg_switch_wal`"),
        ("select nextval('s')", "`nextval`"),
        ("select setval('s', 1)", "`setval`"),
        ("select pg_sleep(1e9)", "`pg_sleep`"),
        ("select txid_current()", "`txid_current`"),
        ("select pg_current_xact_id()", "`pg_current_xact_id`"),
        ("select pg_export_snapshot()", "`pg_export_snapshot`"),
        ("select query_to_xml('delete from t', true, true, '')", "`query_to_xml`"),
        ("select ts_stat('delete from t')", "`ts_stat`"),
        ("select (x).pg_read_file from x", "`pg_read_file`"),
        ("select x.nextval from x", "`nextval`"),
        ("select f.pg_terminate_backend from unnest(array[1]) f", "`pg_terminate_backend`"),
        ("select a.dblink_connect from unnest(array['host=x']) a", "`dblink_connect`"),
        ("select pg_catalog.pg_sleep from unnest(array[1]) pg_catalog", "`pg_catalog`"),
        ("select umoptions from information_schema._pg_user_mappings", "`_pg_user_mappings`"),
        ("select pg_not_invented_yet()", "`pg_not_invented_yet`"),
        ("select * from rows from (pg_sleep(1)) as x", "! "),
        ("select cron.schedule('a', 'b', 'c')", "`schedule`"),
        ("show all", "`all`: it may hold passwords"),
        ("show primary_conninfo", "`primary_conninfo`"),
        ("show \"primary_conninfo\"", "`primary_conninfo`"),
        ("select setting from pg_settings", "`pg_settings`"),
        ("select * from pg_show_all_settings()", "`pg_show_all_settings`"),
        ("select current_setting('primary_conninfo')", "`current_setting`"),
        ("select current_setting('PRIMARY_CONNINFO', true)", "`current_setting`"),
        ("select current_setting('primary' || '_conninfo')", "`current_setting`"),
        ("select current_setting(E'primary\\x5fconninfo')", "`current_setting`"),
        ("select current_setting($$primary_conninfo$$)", "`current_setting`"),
        ("select current_setting($1)", "`current_setting`"),
        ("select current_setting(name) from names", "`current_setting`"),
        ("select n.current_setting from unnest(array['primary_conninfo']) n", "`current_setting`"),
        ("select conninfo from pg_stat_wal_receiver", "`pg_stat_wal_receiver`"),
        ("select * from pg_stat_get_wal_receiver()", "`pg_stat_get_wal_receiver`"),
        ("select subconninfo from pg_subscription", "`pg_subscription`"),
        ("select * from pg_hba_file_rules", "`pg_hba_file_rules`"),
        ("select * from pg_ident_file_mappings", "`pg_ident_file_mappings`"),
        ("select * from pg_file_settings", "`pg_file_settings`"),
        ("select srvoptions from pg_foreign_server", "`pg_foreign_server`"),
        ("select option_value from information_schema.foreign_server_options", "`foreign_server_options`"),
        ("select umoptions from pg_user_mappings", "`pg_user_mappings`"),
        ("select setseed(0.5)", "`setseed`"),
        ("select utl_file.fopen('a', 'b', 'w')", "`fopen`"),
        ("select oracle_execute('x', 'y')", "`oracle_execute`"),
        ("select master_run_on_worker(array['x'], array[1], array['y'], true)", "`master_run_on_worker`"),
        ("select amqp.publish(1, 'a', 'b', 'c')", "`publish`"),
        ("select azure_storage.blob_put('a', 'b', 'c')", "`blob_put`"),
        ("select rolpassword from pg_authid", "`pg_authid`: it holds passwords"),
        ("select * from pg_catalog.\"pg_shadow\"", "`pg_shadow`: it holds passwords"),
        ("explain analyze insert into t values (1)", "it is an INSERT"),
        ("explain delete from t", "it is a DELETE"),
        ("explain analyze execute p", "it is an EXECUTE"),
        ("explain (analyze) create table x as select 1", "a change of the schema"),
        ("create temp table t (a int)", "temporary"),
        ("create table t as select 1", "a change of the schema"),
        ("select * into t from x", "it has an INTO"),
        ("select 1 as a into temp t", "it has an INTO"),
        ("select * from t for update", "it locks rows"),
        ("select * from t for no key update", "it locks rows"),
        ("select * from (select * from t for share) x", "it locks rows"),
        ("with a as (insert into t values (1) returning *) select * from a", "an INSERT, UPDATE"),
        ("with a as materialized (delete from t returning *) select * from a", "an INSERT, UPDATE"),
        ("with a as (select 1) update t set b = 1", "an INSERT, UPDATE"),
        ("with a as (select 1) merge into t using a on true when matched then delete", "an INSERT, UPDATE"),
        ("with a as (with b as (update t set c = 1 returning *) select * from b) select * from a", "an INSERT, UPDATE"),
        ("do $$ begin commit; end $$", "it is a DO block"),
        ("call p()", "it is a CALL"),
        ("vacuum", "it cannot run in a transaction"),
        ("analyze t", "it is an ANALYZE"),
        ("checkpoint", "it is a CHECKPOINT"),
        ("load 'x'", "it is a LOAD"),
        ("alter system set a = 1", "it is an ALTER SYSTEM"),
        ("declare c cursor for select 1", "a cursor's DECLARE"),
        ("fetch all from c", "a cursor's FETCH"),
        ("insert into t values (1)", "it is an INSERT"),
        ("update t set a = 1", "it is an UPDATE"),
        ("delete from t", "it is a DELETE"),
        ("truncate t", "it is a TRUNCATE"),
        ("merge into t using u on true when matched then delete", "it is a MERGE"),
        ("grant all on t to public", "it is a GRANT"),
        ("drop table t", "a change of the schema"),
        ("refresh materialized view m", "a change of the schema"),
        ("use x", "no statement that kv knows"),
        ("desc t", "no statement that kv knows"),
        ("pragma x", "no statement that kv knows"),
        ("from t", "no statement that kv knows"),
        ("show tables from x", "! "),
    ] {
        let shown = read(text);
        assert!(shown.starts_with("! ") && shown.contains(why), "{text}\n  {shown}\n  {why}");
    }
}

/// A second statement, hidden where one reader sees it and another does not.
#[test]
fn nothing_hides() {
    for text in [
        "select 1 /* */ ; commit /* */",
        "select '\\' ; commit --'",
        "select E'\\'' ; commit --'",
        "select E'a'\n'\\' ; commit --'",
        "select U&'\\0027 ; commit --'",
        "select $a$ $b$ ; $a$ ; commit --$b$",
        "select a$a$ ; commit; select $a$ $a$",
        "select 1$a$ ; commit --$a$",
        "select \"a\"\"; commit --\" ; commit",
        "\u{feff}select 1; commit",
        "select 1\0; commit",
        "select 1 --\r; commit",
        "select 1 --\u{2028}; commit",
        "select 1 @-- ; \n; commit",
        "select 1 </* ; */ ; commit",
        "select b'' ; commit --'",
        "select x'\\' ; commit --'",
        "select N'\\' ; commit --'",
        "select q'[' ; commit --]'",
        "select `; commit`",
        "select 1 # ; commit",
        "select 1 // ; commit",
        "/*! commit */ ; select 1",
        "select 1 \\; commit",
        "select 1 \\g commit",
        "select 1\u{0b}; commit",
        "select 1 \u{ff1b} commit",
    ] {
        assert!(Reading::of_read(text).is_err(), "{text:?}");
        assert!(Reading::of_any(text).is_err(), "{text:?}");
    }
}

#[test]
fn writes() {
    for (text, shown) in [
        ("insert into app.users (name) values ('sk-live')", "write: insert into app.users"),
        (
            "insert into t select * from u on conflict (id) do update set a = excluded.a returning id",
            "write: insert into t (reads u)",
        ),
        ("insert into http_log (a, b) values (1, 2)", "write: insert into http_log"),
        ("update app.users set name = 'x' where id = 1", "write: update app.users"),
        ("update t set a = b.a from b where b.id = t.id", "write: update t (reads b)"),
        ("update t set a = 1", "write: update t, every row"),
        ("update t set a = 1 where true", "write: update t, every row"),
        ("update t set a = 1 where 1 = 1", "write: update t, every row"),
        ("update t set a = 1 where id = id", "write: update t, every row"),
        ("update t set a = 1 where t.id = id", "write: update t, every row"),
        ("update t set a = 1 where (t.id) >= (t.id)", "write: update t, every row"),
        ("update t set a = 1 where id is not distinct from id", "write: update t, every row"),
        ("update t set a = 1 where id is null or (id is not null)", "write: update t, every row"),
        ("update t set a = 1 where name like '%'", "write: update t, every row"),
        ("update t set a = 1 where (id = 1 or true) and id = id", "write: update t, every row"),
        ("update t set a = 1 where id = other", "write: update t"),
        ("update t set a = 1 where t.id = u.id", "write: update t"),
        ("update t set a = 1 where id = id and id < 5", "write: update t"),
        ("update t set a = 1 where id is null or name is not null", "write: update t"),
        ("update t set a = 1 where name like 'a%'", "write: update t"),
        ("delete from t where id = id", "destroy: delete from t, every row"),
        ("delete from t where id in (select id from u)", "destroy: delete from t (reads u)"),
        ("delete from t", "destroy: delete from t, every row"),
        ("delete from t using u where t.id = u.id", "destroy: delete from t (reads u)"),
        ("with a as (delete from t returning *) select * from a", "destroy: delete from t, every row"),
        (
            "with a as (delete from t where x returning *) insert into log select * from a",
            "destroy: delete from t, log",
        ),
        ("merge into t using u on t.id = u.id when matched then update set a = 1", "write: merge into t (reads u)"),
        ("merge into t using u on t.id = u.id when matched then delete", "destroy: merge into t (reads u)"),
        ("truncate app.users, b", "destroy: truncate app.users, b, every row"),
        ("select nextval('s')", "write: select"),
        ("select * from t for update", "write: select from t"),
        ("explain analyze delete from t where id = 1", "destroy: explain delete from t"),
        ("show search_path", "read: show"),
        ("create table app.t (id bigint primary key, u int references http_x (id))", "write: create table app.t"),
        ("create table t as select * from u", "write: create table t"),
        ("create unique index i on app.t (lower(a))", "write: create index app.t"),
        ("create or replace view v as select * from t", "write: create view v"),
        ("create schema s", "write: create schema"),
        ("create schema s authorization bob", "grant: create schema"),
        ("create type mood as enum ('a', 'b')", "write: create type mood"),
        ("create sequence s", "write: create sequence s"),
        ("alter table t add column a int", "write: alter table t"),
        ("alter table t drop column a", "destroy: alter table t"),
        ("alter table t alter column a type text using ''", "destroy: alter table t"),
        ("alter table t owner to bob", "grant: alter table t"),
        ("alter table t disable row level security", "grant: alter table t"),
        ("alter table t rename to u", "write: alter table t"),
        ("drop table if exists t, app.u cascade", "destroy: drop table t, app.u"),
        ("drop view v", "destroy: drop view v"),
        ("drop schema s cascade", "destroy: drop schema s"),
        ("drop role bob", "grant: drop role bob"),
        ("comment on table t is 'x'", "write: comment on t"),
        ("grant select on t to bob", "grant: grant"),
        ("grant admin to bob", "grant: grant"),
        ("revoke all on t from bob", "grant: revoke"),
        ("create role bob with login password 'sk-live'", "grant: create role"),
        ("alter role bob with superuser", "grant: alter role"),
        ("create policy p on t using (true)", "grant: create policy t"),
        ("create function f() returns int language sql as $$ select 1 $$", "write: create function f"),
        ("create function f() returns int language sql security definer as $$ select 1 $$", "grant: create function f"),
        ("refresh materialized view m", "write: refresh materialized view m"),
    ] {
        assert_eq!(any(text), shown, "{text}");
    }
}

#[test]
fn never_sent() {
    for (text, why) in [
        ("commit", "transaction control"),
        ("prepare transaction 'x'", "a PREPARE"),
        ("set role bob", "a SET"),
        ("copy t from '/etc/passwd'", "a COPY"),
        ("do $$ begin end $$", "a DO block"),
        ("call p()", "a CALL"),
        ("lock table t", "a LOCK"),
        ("alter system set x = 1", "an ALTER SYSTEM"),
        ("create extension dblink", "a CREATE EXTENSION"),
        ("create function f() returns int language plpython3u as $$ $$", "another language"),
        ("create function f() returns int as 'lib', 'f' language c", "another language"),
        ("create function f() returns int as $$ $$ language 'plpgsql'", "another language"),
        ("create server s foreign data wrapper postgres_fdw", "a CREATE SERVER"),
        ("create user mapping for bob server s options (password 'x')", "a CREATE USER MAPPING"),
        ("create subscription s connection 'x' publication p", "a CREATE SUBSCRIPTION"),
        ("create database d", "it cannot run in a transaction"),
        ("create index concurrently i on t (a)", "it cannot run in a transaction"),
        ("drop index concurrently i", "it cannot run in a transaction"),
        ("vacuum full t", "it cannot run in a transaction"),
        ("update t set a = pg_read_file('/etc/passwd')", "`pg_read_file`"),
        ("insert into t select * from dblink('x', 'y') as a(b int)", "`dblink`"),
        ("select pg_terminate_backend(1)", "`pg_terminate_backend`"),
        ("select lo_import('/etc/passwd')", "`lo_import`"),
        ("update pg_authid set rolpassword = 'x'", "`pg_authid`"),
        ("delete from t where id = 1 limit 1", "! "),
        ("insert into t values (1); delete from t", "more than one"),
    ] {
        let shown = any(text);
        assert!(shown.starts_with("! ") && shown.contains(why), "{text}\n  {shown}\n  {why}");
    }
}

/// What is shown and what is said about a refusal goes into logs: no literal may be in it.
#[test]
fn no_literal_is_repeated() {
    for text in [
        "drop view v, 'sk-CANARY'",
        "select 1 as 'sk-CANARY'",
        "select * from 'sk-CANARY'",
        "select 'sk-CANARY' from t",
        "select $$sk-CANARY$$::int",
        "select 'sk-CANARY' 'x'",
        "select from from 'sk-CANARY'",
        "selec 'sk-CANARY'",
        "select (1 'sk-CANARY'",
        "insert into t values ('sk-CANARY')",
        "create role bob password 'sk-CANARY'",
        "comment on table t is 'sk-CANARY'",
        "alter role bob password 'sk-CANARY",
        "select E'sk-CANARY\\xff'",
        "select interval 'sk-CANARY' foo bar baz",
        "select date 'sk-CANARY' limit limit",
        "create table t (a int default 'sk-CANARY' 'b')",
        "drop table 'sk-CANARY'",
    ] {
        for shown in [read(text), any(text)] {
            assert!(!shown.contains("CANARY"), "{text}: {shown}");
        }
    }
}

#[test]
fn a_line_is_bounded_and_inert() {
    let name = "n".repeat(5_000);
    let text = format!("select * from \"{name}\".\"{name}\", b, c, d, e, f");
    let shown = read(&text);
    assert!(shown.len() < 700 && shown.ends_with("and 1 more"), "{shown}");
    let many = (0..300).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(Reading::of_read(&format!("select * from {many}")).unwrap().tables.len(), 20);
}

/// Half of what a thread usually has.
const STACK: usize = 1 << 20;

/// The tree of a long chain is as deep as the chain is long: it has to be refused, or to fit a thread's stack.
#[test]
fn deep_texts_end_in_a_refusal_and_not_in_the_stack() {
    let check = |text: String| {
        let _ = Reading::of_read(&text);
        let _ = Reading::of_any(&text);
    };
    let run = move || {
        for links in [10, 1_400, 1_499, 5_000, 40_000] {
            check(format!("select 1{}", " + 1".repeat(links / 2)));
            check(format!("select a{}", "::int".repeat(links / 3)));
            check(format!("select a{}", "[1]".repeat(links / 3)));
            check(format!("select a{}", " is null".repeat(links / 2)));
            check(format!("select a{}", " collate x".repeat(links / 2)));
            check(format!("select {} a", "not".to_owned() + &" not".repeat(links)));
            check(format!("select {} 1", "- ".repeat(links)));
            check(format!("select {}1{}", "(".repeat(links), ")".repeat(links)));
            check(format!("select * from {}t{}", "(".repeat(links), ")".repeat(links)));
            check(format!("{}select 1{}", "(".repeat(links), ")".repeat(links)));
            check(format!("select 1{}", " union select 1, 2".repeat(links)));
            check(format!("select * from t{}", " join t on a".repeat(links / 4)));
            check(format!("select {}1{}", "case when 1 then ".repeat(links / 4), " end".repeat(links / 4)));
            check(format!("select a{} from t", ".b".repeat(links)));
            check(format!("select {}1{}", "array[".repeat(links), "]".repeat(links)));
            check(format!("select a{} 1", " between 1 and".repeat(links / 3)));
            check(format!("{} select 1", "explain ".repeat(links)));
            check(format!("select x in {}1{}", "(x in ".repeat(links), ")".repeat(links)));
            check(format!("select {}1{}", "f(".repeat(links), ")".repeat(links)));
            check(format!("select a::int{}", "[]".repeat(links)));
            check(format!("select {} 1", "interval ".repeat(links)));
        }
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

#[test]
fn long_lists_are_read() {
    let values = (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(read(&format!("select * from t where id in ({values})")), "select from t");
    let conditions = (0..300).map(|n| format!("(a = {n} and b = 1)")).collect::<Vec<_>>().join(" or ");
    assert_eq!(read(&format!("select * from t where {conditions}")), "select from t");
}

/// Pieces that open, close and hide things, for the tests that put them together at random.
pub(in super::super) const PIECES: &[&str] = &[
    " ",
    "\n",
    "\r",
    ";",
    "'",
    "''",
    "\\'",
    "\\",
    "E'",
    "U&'",
    "B'",
    "N'",
    "\"",
    "$$",
    "$a$",
    "$1",
    "/*",
    "*/",
    "--",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "::",
    "@",
    "-",
    "1",
    "1.5",
    "a",
    "select ",
    "select 1",
    "from canary",
    "commit",
    "insert into canary values (666)",
    "delete from canary",
    "update canary set id = 666",
    "with x as (",
    "returning *",
    "union ",
    "for update",
    "into stolen ",
    "drop table canary",
    "explain ",
    "analyze ",
    "values (1)",
    "table canary",
    "é",
    "\u{a0}",
    "\u{feff}",
    "nextval('counter')",
    "* ",
    " as ",
    " where ",
    "id",
    "=",
    "set_config('a.b', 'c', false)",
    "lo_create(0)",
    "notify x",
    "exists ",
];

proptest! {
    #[test]
    fn any_soup_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24)) {
        let text = pieces.concat();
        if let Ok(reading) = Reading::of_read(&text) {
            prop_assert_eq!(reading.effect, Effect::Read);
            prop_assert!(Reading::of_any(&text).is_ok(), "{} is a read, but not anything", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Reading::of_read(&text);
        let _ = Reading::of_any(&format!("select {text}"));
    }

    #[test]
    fn a_literal_is_never_shown(literal in "[a-z;'$\\\\-]{0,12}") {
        let text = format!("select 'SEEN{}' from t", literal.replace('\'', "''"));
        prop_assert!(!read(&text).contains("SEEN"));
    }
}

/// Rows of the server's own catalog are changed by definitions, which say what they are.
#[test]
fn the_catalog_is_not_changed_by_hand() {
    for text in [
        "update pg_proc set prosrc = 'x'",
        "update pg_catalog.pg_class set relname = 'x' where oid = 1",
        "delete from \"pg_class\"",
        "insert into information_schema.sql_parts values ('x')",
        "with gone as (delete from pg_catalog.pg_depend returning 1) select * from gone",
    ] {
        assert!(any(text).contains("the server's own catalog"), "{text}: {}", any(text));
    }
    assert_eq!(any("update app.class set a = 1 where id = 1"), "write: update app.class");
}

#[test]
fn words_of_the_language_are_not_looked_up() {
    for text in [
        "explain (costs on)\nselect * from t where a in (1, 2) and not exists (select 1 from u)",
        "select * from t tablesample system (10)",
        "with x(n) as materialized (select 1) select count(*) filter (where n > 1) over (partition by n) from x",
    ] {
        let calls = Reading::of_read(text).unwrap().calls;
        assert!(calls.is_empty() || calls == ["x"], "{text}: {calls:?}");
    }
}

/// A limit of rows is one that is held, or there is none.
#[test]
fn what_is_not_counted_says_so() {
    for text in ["truncate t", "drop table t", "alter table t drop column a", "alter table t alter column a type text"]
    {
        assert!(Reading::of_any(text).unwrap().uncounted().is_some(), "{text}");
    }
    for text in
        ["delete from t", "insert into t values (1)", "create table u as select * from t", "grant all on t to x"]
    {
        assert!(Reading::of_any(text).unwrap().uncounted().is_none(), "{text}");
    }
}
