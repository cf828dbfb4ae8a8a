//! Statements against a real PostgreSQL: what comes back, what cannot be changed, what is left behind.

use std::sync::Arc;

use kv_fakes::postgres_is_installed;
use kv_model::Mode;
use serde_json::{Value, json};

use super::lab::{CANARY, NOW};
use super::postgres_lab::{PgLab, Refused, WRITE, auth, send, set};
use crate::postgres::Work;
use crate::{SendError, Sent};

#[tokio::test]
async fn values_are_exact() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(
        "create type mood as enum ('sad', 'so so'); create domain age as int check (value >= 0); \
         create type pair as (a int, b text, c mood[]); create table t (id int8, p pair, m mood, g age, gs age[]); \
         grant all on t to app; insert into t values (9007199254740993, (1, 'x, \"y\"', '{sad,\"so so\"}'), 'sad', 5, '{1,2}')",
    );
    let app = pg.app();
    for (expression, type_name, json) in [
        ("9223372036854775807::int8", "bigint", "\"9223372036854775807\""),
        ("42::int8", "bigint", "42"),
        ("0.1::numeric + 1e-30::numeric", "numeric", "\"0.100000000000000000000000000001\""),
        ("0.1::float8 + 0.2::float8", "double precision", "0.30000000000000004"),
        ("'NaN'::float8", "double precision", "\"NaN\""),
        ("'-Infinity'::float4", "real", "\"-Infinity\""),
        ("'2026-01-02 03:04:05.678901+02'::timestamptz", "timestamp with time zone", "\"2026-01-02T01:04:05.678901Z\""),
        ("'infinity'::timestamptz", "timestamp with time zone", "\"infinity\""),
        ("'1 day 02:00'::interval", "interval", "\"P1DT2H\""),
        ("'\\x00ff'::bytea", "bytea", "\"\\\\x00ff\""),
        ("'{\"a\": 1.10}'::jsonb", "jsonb", "{\"a\": 1.10}"),
        ("null::jsonb", "jsonb", "null"),
        ("'{{1,2},{3,null}}'::int8[]", "bigint[]", "[[1,2],[3,null]]"),
        ("int4range(1, 5)", "int4range", "\"[1,5)\""),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "uuid", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
        ("true", "boolean", "true"),
        ("E'\\x1b[2J'", "text", "\"\\u001b[2J\""),
        ("array(select m from t)", "mood[]", "[\"sad\"]"),
        ("(select p from t)", "pair", "{\"a\":1,\"b\":\"x, \\\"y\\\"\",\"c\":[\"sad\",\"so so\"]}"),
        ("(select gs from t)", "age[]", "[1,2]"),
        ("(select array[p] from t)", "pair[]", "[{\"a\":1,\"b\":\"x, \\\"y\\\"\",\"c\":[\"sad\",\"so so\"]}]"),
    ] {
        let rows = pg.read(&app, &format!("select {expression} as c")).await.unwrap();
        assert_eq!(rows.rows, [format!("[{json}]")], "{expression}");
        assert_eq!((rows.columns[0].name.as_str(), rows.columns[0].type_name.as_str()), ("c", type_name));
    }
    // A composite that changes is read as it is, not as it was.
    pg.sql("alter type pair rename attribute a to renamed");
    assert!(pg.read(&app, "select p from t").await.unwrap().rows[0].contains("\"renamed\":1"));
    let rows = pg.read(&app, "select p.*, id, g, m from t, lateral (select (p).*) p").await.unwrap();
    assert_eq!(rows.columns.len(), 6);
    assert_eq!(rows.rows, ["[1,\"x, \\\"y\\\"\",[\"sad\",\"so so\"],\"9007199254740993\",5,\"sad\"]"]);
}

#[tokio::test]
async fn parameters_have_the_statements_types() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql("create type mood as enum ('sad'); create type pair as (a int, b text); create domain age as int");
    let app = pg.app();
    for (cast, value) in [
        ("int8", json!("9007199254740993")),
        ("numeric", json!("1.10")),
        ("text", json!("a'b\\c\"")),
        ("text[]", json!(["a", null, "{\"}"])),
        ("int[]", json!([[1, 2], [3, 4]])),
        ("jsonb", json!({"a": [1, "x"]})),
        ("mood", json!("sad")),
        ("mood[]", json!(["sad"])),
        ("pair", json!({"a": 1, "b": "x,\"y"})),
        ("age", json!(5)),
        ("bool", json!(false)),
        ("bytea", json!("\\x00ff")),
        ("float8", json!(0.5)),
        ("uuid", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("text", json!("")),
    ] {
        let rows = pg
            .run(&app, &format!("select $1::{cast} as v"), std::slice::from_ref(&value), 10, Mode::Read)
            .await
            .unwrap();
        let row: Value = serde_json::from_str(&rows.rows[0]).unwrap();
        assert_eq!(row, json!([value]), "{cast}");
    }
    let two = pg.run(&app, "select $1::int + $2::int", &[json!(1), json!(2)], 10, Mode::Read).await.unwrap();
    assert_eq!(two.rows, ["[3]"]);
    let Err(Refused::Database(error)) =
        pg.run(&app, "select $1::int, $2::mood", &[json!(1), json!(5)], 10, Mode::Read).await
    else {
        panic!()
    };
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("22023", "parameter $2 is a number; mood takes a string")
    );
    for (text, params, code) in [
        ("select $1::int", json!(["x"]), "22023"),
        ("select $1::int", json!([]), "08P01"),
        ("select $1::int", json!([1, 2]), "08P01"),
        ("select $1::date", json!(["no day"]), "22007"),
        ("select $1::text", json!(["a\u{0}b"]), "22023"),
        ("select 1", json!([1]), "08P01"),
    ] {
        let params = params.as_array().unwrap();
        assert_eq!(pg.run(&app, text, params, 10, Mode::Read).await.unwrap_err().code(), code, "{text} {params:?}");
    }
    // The session that refused a parameter serves the next.
    assert_eq!(pg.read(&app, "select 1").await.unwrap().rows, ["[1]"]);
    assert_eq!(pg.server.sessions().unwrap(), (1, 0));
}

/// P01 to P18: nothing of a statement's text was looked at, and still nothing is written.
#[tokio::test]
async fn the_transaction_alone_keeps_a_read_a_read() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(
        "create table t (n int); alter table t owner to app; insert into t values (1); create sequence s; \
         create function w() returns int language plpgsql security definer as 'begin insert into t values (2); return 1; end'; \
         create procedure p() language plpgsql as 'begin commit; insert into t values (3); end'",
    );
    for connection in [pg.app(), pg.admin()] {
        for text in [
            "insert into t values (9)",
            "set transaction read write",
            "select set_config('transaction_read_only', 'off', false)",
            "select set_config('transaction_read_only', 'off', true)",
            "set session characteristics as transaction read write",
            "select set_config('default_transaction_read_only', 'off', false)",
            "with x as (insert into t values (9) returning n) select * from x",
            "select w()",
            "call p()",
            "do $$ begin commit; insert into t values (9); end $$",
            "do $$ begin insert into t values (9); end $$",
            "explain analyze insert into t values (9)",
            "create temp table x (n int)",
            "create table x (n int)",
            "select * from t for update",
            "select nextval('s')",
            "select 1; insert into t values (9)",
            "commit; insert into t values (9)",
            "commit",
            "commit and chain",
            "rollback and chain",
            "rollback",
            "begin",
            "prepare x as insert into t values (9)",
            "execute x",
            "copy t from stdin",
            "copy t to stdout",
            "truncate t",
            "vacuum t",
            "listen x",
            "lock table t in access exclusive mode",
            "set local role pg_monitor",
            "",
            ";",
            "savepoint x",
            "declare c cursor with hold for select * from t",
            "select lo_create(0)",
        ] {
            let answer = pg.read(&connection, text).await;
            assert_eq!(pg.sql("select string_agg(n::text, ',') from t"), "1", "{text}: {answer:?}");
            // Whatever it was, the next call finds a session as it should be.
            let next =
                pg.read(&connection, "select current_setting('transaction_read_only'), current_setting('role')").await;
            assert_eq!(next.unwrap().rows, ["[\"on\",\"none\"]"], "{text}");
        }
    }
    assert_eq!(pg.sql("select count(*) from pg_class where relname = 'x'"), "0");
    assert_eq!(pg.sql("select count(*) from pg_largeobject_metadata"), "0");
    assert_eq!(pg.sql("select count(*) from pg_locks where mode = 'AccessExclusiveLock'"), "0");
}

/// What is left behind by one caller is gone before the next.
#[tokio::test]
async fn sessions_are_clean() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    let app = pg.app();
    let process = "select pg_backend_pid()";
    let first = pg.read(&app, process).await.unwrap().rows;
    for text in [
        "select pg_advisory_lock(7)",
        "prepare evil as select 1",
        "set search_path = evil",
        "set application_name = 'evil'",
        "listen evil",
        "create temp table evil (n int)",
        "set statement_timeout = 0",
        "set timezone = 'Asia/Tokyo'",
        "set datestyle = 'German'",
    ] {
        pg.write(&app, text).await.unwrap();
    }
    let left = "select (select count(*) from pg_locks where locktype = 'advisory'), (select count(*) from pg_prepared_statements), \
        current_setting('search_path'), current_setting('application_name'), (select count(*) from pg_listening_channels()), \
        to_regclass('evil'), current_setting('statement_timeout'), '2026-01-02'::timestamptz";
    let rows = pg.read(&app, left).await.unwrap().rows;
    assert_eq!(rows, ["[0,0,\"\\\"$user\\\", public\",\"kv\",0,null,\"30s\",\"2026-01-02T00:00:00Z\"]"]);
    assert_eq!(pg.read(&app, process).await.unwrap().rows, first, "one session served them all");
    let mut fixed = pg.connection("app");
    set(&mut fixed, "search-path", "it's, pg_catalog");
    let rows = pg.read(&Arc::new(fixed), "select current_setting('search_path')").await.unwrap().rows;
    assert_eq!(rows, ["[\"it's, pg_catalog\"]"]);
}

#[tokio::test]
async fn changes_are_counted_before_they_stand() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(
        "create table a (n int primary key); create table b (n int references a on delete cascade); \
         grant all on a, b to app; insert into a select generate_series(1, 100); insert into b select generate_series(1, 100); \
         create table d (n int, constraint u unique (n) deferrable initially deferred); grant all on d to app",
    );
    let app = pg.app();
    let at_most = |most| Mode::Write { max_changes: Some(most) };
    let count = |table: &str| pg.sql(&format!("select count(*) from {table}"));
    // By its tag, by its cascades, and by what its `with` does.
    for text in [
        "delete from a where n <= 11",
        "delete from a where n <= 6",
        "with x as (delete from a returning n) select count(*) from x",
        "do $$ begin delete from b where n < 50; end $$",
    ] {
        let Err(Refused::Us(error)) = pg.run(&app, text, &[], 10, at_most(10)).await else { panic!("{text}") };
        assert_eq!((error.code(), error.sent()), ("egress.too_many_changes", Sent::Yes));
        assert_eq!((count("a").as_str(), count("b").as_str()), ("100", "100"), "{text}");
    }
    let deleted = pg.run(&app, "delete from a where n <= $1 returning n", &[json!(5)], 3, at_most(10)).await.unwrap();
    assert_eq!((deleted.affected, deleted.rows.len(), deleted.truncated), (5, 3, true));
    assert_eq!((count("a").as_str(), count("b").as_str()), ("95", "95"));
    // What would fail at the commit fails, and nothing stands.
    let error = pg.write(&app, "insert into d values (1), (1)").await.unwrap_err();
    assert_eq!((error.code(), count("d").as_str()), ("23505", "0"));
    // A preview counts all and leaves nothing.
    let preview = pg.run(&app, "delete from a where n <= 10", &[], 10, Mode::Preview).await.unwrap();
    assert_eq!((preview.affected, count("a").as_str(), count("b").as_str()), (10, "95", "95"));
    // None of these may end the transaction that counts.
    for text in
        ["commit", "rollback", "commit and chain", "select 1; delete from a", "copy a from stdin", "copy a to stdout"]
    {
        let answer = pg.run(&app, text, &[], 10, at_most(10)).await;
        assert!(answer.is_err() || text == "commit and chain", "{text}: {answer:?}");
        assert_eq!(count("a"), "95", "{text}");
    }
    assert_eq!(pg.write(&app, "create table if not exists public.no ()").await.unwrap_err().code(), "42501");
    pg.sql("alter role app set default_transaction_read_only = on");
    assert_eq!(
        pg.write(&app, "insert into a values (1)").await.unwrap().affected,
        1,
        "the role's default is a default"
    );
}

/// P24, R: neither the vault's values nor what a terminal would act on come out of errors, rows or names.
#[tokio::test]
async fn answers_are_clean() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(&format!(
        "create table leak (v text, n int8); grant select on leak to app; insert into leak values ('key={CANARY};', 1); \
         create function f() returns int language plpgsql as $f$ begin raise exception E'\\x1b[31m {CANARY}' \
         using detail = '{CANARY}', hint = 'x {CANARY}'; end $f$; create function g() returns text language plpgsql as \
         $f$ begin raise notice '{CANARY}'; return 'ok'; end $f$; create view odd as select 1 as \"{CANARY}\"; grant select on odd to app"
    ));
    let app = pg.app();
    let rows = pg
        .read(&app, "select v, array[v], row(v)::text, to_json(v), encode(v::bytea, 'base64'), v::bytea from leak")
        .await
        .unwrap();
    let text = format!("{rows:?}");
    assert!(!text.contains(CANARY) && text.contains("key=[kv:redacted];"), "{text}");
    assert!(!text.contains(&CANARY.bytes().map(|b| format!("{b:02x}")).collect::<String>()), "{text}");
    for text in ["select v::int from leak", "select f()", "select * from odd"] {
        let answer = format!("{:?}", pg.read(&app, text).await);
        assert!(answer.contains("[kv:redacted]") && !answer.contains(CANARY) && !answer.contains('\u{1b}'), "{answer}");
    }
    let noted =
        send(&pg.lab, &app, &Work { text: "select g()", params: &[], calls: &[], max_rows: 1, mode: Mode::Read })
            .await
            .unwrap();
    assert_eq!((noted.notices, noted.redactions), (1, 0));
    let counted =
        send(&pg.lab, &app, &Work { text: "table leak", params: &[], calls: &[], max_rows: 1, mode: Mode::Read })
            .await
            .unwrap();
    assert_eq!(
        (counted.redactions, counted.response.unwrap().rows),
        (1, vec!["[\"key=[kv:redacted];\",1]".to_owned()])
    );
    // A value in the statement itself is not sent.
    let before = pg.server.log();
    for (text, params) in [(format!("select '{CANARY}'"), vec![]), ("select $1".to_owned(), vec![json!({"a": CANARY})])]
    {
        let error = pg.run(&app, &text, &params, 1, Mode::Read).await.unwrap_err();
        assert_eq!(error, Refused::Us(SendError::SecretInRequest));
    }
    assert_eq!(pg.server.log(), before);
    let position = pg.read(&app, "select 'äöü', nothing").await.unwrap_err();
    let Refused::Database(position) = position else { panic!() };
    assert_eq!((position.code.as_str(), position.position), ("42703", Some(15)));
}

#[tokio::test]
async fn roles_are_examined() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(
        "revoke create on schema public from public; revoke temporary on database shop from public; create table a (n int); \
         create table b (n int); create role owner_role; alter table b owner to owner_role; grant select on a to app; \
         create role reader login password 'kvcanary_pg_2f9c41d07be64a58'; alter role reader set default_transaction_read_only = on",
    );
    let examine = async |user: &str| {
        let connection = Arc::new(pg.connection(user));
        pg.lab.egress.examine(&connection, &auth(), &[], &pg.lab.vault, NOW).await.unwrap().unwrap()
    };
    let report = examine("app").await;
    assert_eq!((report.role.as_str(), report.database.as_str(), report.tls), ("app", "shop", Some("TLS 1.3")));
    assert_eq!((report.auth, report.reads_by_default), ("SCRAM-SHA-256 with channel binding", false));
    assert!(report.is_read_only(), "{report:?}");
    assert!(examine("reader").await.reads_by_default);
    pg.sql("grant owner_role to app; grant insert on a to app; grant pg_write_all_data to app; grant create on schema public to app");
    let report = examine("app").await;
    assert_eq!(
        report.can_write,
        [
            "it is a member of `pg_write_all_data`",
            "it owns `public.b`, which lets it do anything with them",
            "it may insert, update, delete or truncate in `public.a`",
            "it may create things in schema `public`",
        ]
    );
    assert!(examine("admin").await.can_write[0].starts_with("it is a superuser"));
    // The commands that it prints do what they say.
    let commands: String = report.safe_role.lines().filter(|line| !line.starts_with("--")).collect();
    pg.sql(&format!("{commands}; alter role kv_read password 'kvcanary_pg_2f9c41d07be64a58'"));
    let safe = examine("kv_read").await;
    assert!(safe.is_read_only() && safe.reads_by_default, "{safe:?}");
    let connection = Arc::new(pg.connection("kv_read"));
    assert_eq!(pg.read(&connection, "select count(*) from a").await.unwrap().rows, ["[0]"]);
    assert_eq!(pg.run(&connection, "insert into a values (1)", &[], 1, WRITE).await.unwrap_err().code(), "42501");
}
