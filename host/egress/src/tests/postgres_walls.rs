//! What stands beside the transaction: functions that it does not hold back, and counts that see nothing.

use std::sync::Arc;

use kv_fakes::{Leaf, POSTGRES_PASSWORD, PostgresOptions, postgres_is_installed};
use kv_model::{CustomCa, Mode};

use super::lab::soon;
use super::postgres_lab::{PgLab, Refused, WRITE, send, set};
use crate::postgres::{Blind, DatabaseError, Work};
use crate::{Limits, SendError, Sent};

/// A function of an extension, or in a language beyond the database's own, is not called in a read unless it promises to
/// change nothing.
#[tokio::test]
async fn functions_beyond_the_transaction() {
    if !postgres_is_installed() {
        return;
    }
    let options = PostgresOptions { settings: vec!["log_statement=all".to_owned()], ..Default::default() };
    let pg = PgLab::with(Limits::default(), &options);
    pg.sql(
        "create extension pg_trgm; create schema odd; \
         create function beyond() returns int language internal volatile as 'pg_backend_pid'; \
         create function odd.\"Be\"\"yond\"() returns int language internal volatile as 'pg_backend_pid'; \
         create function still() returns int language internal stable as 'pg_backend_pid'; \
         create function own() returns int language plpgsql volatile as 'begin return 5; end'; \
         grant usage on schema odd to app",
    );
    let app = pg.app();
    for (text, calls, named) in [
        ("select beyond()", &["beyond"][..], "beyond"),
        ("select still(), beyond()", &["still", "beyond"], "beyond"),
        ("select odd.\"Be\"\"yond\"()", &["Be\"yond"], "Be\"yond"),
        ("select set_limit(0.5)", &["set_limit"], "set_limit"),
    ] {
        let refused = DatabaseError::BeyondReading { name: named.to_owned() };
        assert_eq!((refused.sent(), refused.code()), (Sent::No, "egress.function"));
        let error = pg.calls(&app, text, calls, Mode::Read).await.unwrap_err();
        assert_eq!(error, Refused::Us(SendError::Database(refused)), "{text}");
        assert!(!pg.server.log().contains(text), "the server never heard of it");
        // The person's yes to a change is one to this.
        assert!(pg.calls(&app, text, calls, WRITE).await.is_ok(), "{text}");
    }
    let process = "select pg_backend_pid()";
    let first = pg.read(&app, process).await.unwrap().rows;
    for (text, call) in
        [("select still()", "still"), ("select similarity('a', 'b')", "similarity"), ("select md5('a')", "md5")]
    {
        assert!(pg.calls(&app, text, &[call], Mode::Read).await.is_ok(), "{text}");
        assert_eq!(pg.read(&app, process).await.unwrap().rows, first, "{text}: the session is kept");
    }
    // What may leave something behind does so in a session that nobody gets.
    assert_eq!(pg.calls(&app, "select own()", &["own"], Mode::Read).await.unwrap().rows, ["[5]"]);
    assert_ne!(pg.read(&app, process).await.unwrap().rows, first);
    // A name that there is not is the server's to refuse.
    let error = pg.calls(&app, "select nothing_here()", &["nothing_here"], Mode::Read).await.unwrap_err();
    assert_eq!(error.code(), "42883");
    let with_parameter = ["beyond".to_owned()];
    let work = Work {
        text: "select beyond() + $1",
        params: &[serde_json::json!(1)],
        calls: &with_parameter,
        max_rows: 1,
        mode: Mode::Read,
    };
    let error = send(&pg.lab, &app, &work).await.unwrap_err();
    assert_eq!(error.code(), "egress.function");
    // Asked about in the transaction that goes on.
    let known = ["md5".to_owned(), "no_such_function".to_owned()];
    let work = Work { text: "select md5($1)", params: &[serde_json::json!("a")], calls: &known, ..work };
    let rows = send(&pg.lab, &app, &work).await.unwrap().response.unwrap().rows;
    assert_eq!(rows, ["[\"0cc175b9c0f1b6a831c399e269772661\"]"]);
}

/// A limit that cannot be held is no limit: the change is taken back.
#[tokio::test]
async fn changes_that_nobody_counts() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql(&format!(
        "create table here (n int); create table there (n int); grant all on here, there to app; \
         create extension postgres_fdw; create server loop foreign data wrapper postgres_fdw \
           options (host '127.0.0.1', port '{}', dbname 'shop', sslmode 'require'); \
         create user mapping for app server loop options (user 'app', password '{POSTGRES_PASSWORD}'); \
         create foreign table away (n int) server loop options (table_name 'there'); grant all on away to app; \
         create function also() returns trigger language plpgsql as 'begin insert into away values (new.n); return new; end'; \
         create table loud (n int); grant all on loud to app; \
         create trigger t after insert on loud for each row execute function also()",
        pg.server.port()
    ));
    let app = pg.app();
    let uncounted = |why| Refused::Us(SendError::Database(DatabaseError::Uncounted { why, limit: 1_000 }));
    for text in [
        "insert into away values (1)",
        "with x as (insert into away values (1) returning n) select * from x",
        "insert into loud values (1)",
    ] {
        assert_eq!(pg.write(&app, text).await.unwrap_err(), uncounted(Blind::Foreign), "{text}");
        assert_eq!(pg.sql("select (select count(*) from there) + (select count(*) from loud)"), "0", "{text}");
    }
    // Reading from there is no change there.
    assert_eq!(pg.write(&app, "insert into here select count(*) from away").await.unwrap().affected, 1);
    pg.sql("alter role app set track_counts = off");
    pg.server.end_sessions().unwrap();
    soon("it has gone", || pg.server.sessions().unwrap().0 == 0).await;
    // The asking blocks this thread; a worker looks at its sockets before it gets to a call.
    tokio::task::yield_now().await;
    assert_eq!(pg.write(&app, "insert into here values (1)").await.unwrap_err(), uncounted(Blind::Off));
    assert_eq!(pg.sql("select count(*) from here"), "1");
    // Where there is no limit, none has to be held.
    let unlimited = Mode::Write { max_changes: None };
    assert!(pg.run(&app, "truncate here", &[], 1, unlimited).await.is_ok());
    assert_eq!(pg.sql("select count(*) from here"), "0");
}

/// The server as its manual has people make it: a certificate that signs itself as an authority.
#[tokio::test]
async fn a_server_that_is_its_own_authority() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::with(Limits::default(), &PostgresOptions { leaf: Leaf::OwnAuthority, ..Default::default() });
    let certificate = std::fs::read_to_string(pg.server.socket_directory().join("data/server.crt")).unwrap();
    let other = PgLab::with(Limits::default(), &PostgresOptions { leaf: Leaf::OwnAuthority, ..Default::default() });
    let others = std::fs::read_to_string(other.server.socket_directory().join("data/server.crt")).unwrap();
    let mut connection = pg.connection("app");
    let refused = Err(Refused::Us(SendError::Database(DatabaseError::OwnAuthority)));
    // Neither the authority of somebody else, nor another certificate of the same name.
    assert_eq!(pg.read(&Arc::new(connection.clone()), "select 1").await, refused);
    connection.ca = Some(CustomCa(others));
    assert!(pg.read(&Arc::new(connection.clone()), "select 1").await.is_err());
    assert_eq!(pg.server.sessions().unwrap().0, 0);
    connection.ca = Some(CustomCa(certificate));
    for tls in ["verify-full", "verify-ca"] {
        set(&mut connection, "tls", tls);
        assert_eq!(pg.read(&Arc::new(connection.clone()), "select 1").await.unwrap().rows, ["[1]"], "{tls}");
    }
}
