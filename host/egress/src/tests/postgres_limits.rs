//! P20 and P21: answers without end, statements without end, callers and servers that go away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_fakes::{PostgresOptions, postgres_is_installed};
use kv_model::Mode;

use super::lab::soon;
use super::postgres_lab::{PgLab, Refused, WRITE};
use crate::postgres::DatabaseError;
use crate::{Limits, SendError, Sent};

fn quick() -> Limits {
    Limits { statement: Duration::from_millis(400), preview: Duration::from_millis(200), ..Limits::default() }
}

/// Nobody is busy at the server, as far as callers from outside go.
async fn nobody_is_busy(pg: &PgLab) {
    soon("the server stops", || pg.server.sessions().unwrap().1 == 0).await;
}

#[tokio::test]
async fn answers_without_end() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    let app = pg.app();
    let rows = pg.run(&app, "select generate_series(1, 1000000000000)", &[], 10, Mode::Read).await.unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (10, true));
    let rows = pg.run(&app, "select generate_series(1, 10)", &[], 10, Mode::Read).await.unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (10, false));
    // 10,000 rows of 1 MiB: as much as fits, and the server is told to stop.
    let rows = pg
        .run(&app, "select repeat('x', 1 << 20) from generate_series(1, 10000)", &[], 9_999, Mode::Read)
        .await
        .unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (7, true));
    nobody_is_busy(&pg).await;
    // One field of 1 GB less a little: its length is enough to refuse it.
    let error = pg.run(&app, "select repeat('x', 1000000000)", &[], 1, Mode::Read).await.unwrap_err();
    assert_eq!(error, Refused::Us(SendError::Database(DatabaseError::RowTooLarge { limit: 8 << 20 })));
    nobody_is_busy(&pg).await;
    // Control characters become six times as long in JSON.
    let rows =
        pg.run(&app, "select repeat(E'\\x01', 1 << 20) from generate_series(1, 4)", &[], 10, Mode::Read).await.unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (1, true));
    // A statement that writes is read to its end, within bounds, or rolled back.
    pg.sql("create table t (n int); grant all on t to app");
    let wide = "insert into t select generate_series(1, 999) returning repeat('x', 1 << 20)";
    let error = pg.write(&app, wide).await.unwrap_err();
    assert_eq!(error.code(), "egress.too_large");
    soon("it is rolled back", || pg.sql("select count(*) from t") == "0").await;
    nobody_is_busy(&pg).await;
}

#[tokio::test]
async fn statements_without_end() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::with(quick(), &PostgresOptions::default());
    pg.sql("create table t (n int); grant all on t to app; insert into t values (1)");
    let app = pg.app();
    // The server says so itself, and the session stays.
    for mode in [Mode::Read, WRITE, Mode::Preview] {
        assert_eq!(pg.run(&app, "select pg_sleep(100)", &[], 1, mode).await.unwrap_err().code(), "57014", "{mode:?}");
    }
    assert_eq!(pg.server.sessions().unwrap(), (1, 0));
    // It was talked out of it: the host's own clock runs on.
    let stubborn = "do $$ begin set local statement_timeout = 0; loop begin perform pg_sleep(100); \
        exception when query_canceled then null; end; end loop; end $$";
    for mode in [Mode::Read, WRITE] {
        let since = Instant::now();
        let error = pg.run(&app, stubborn, &[], 1, mode).await.unwrap_err();
        assert_eq!(error.code(), "egress.timeout.statement", "{mode:?}");
        assert!(since.elapsed() < Duration::from_secs(3));
    }
    pg.server.end_sessions().unwrap();
    // A lock that somebody else holds.
    let (first, second) = (pg.app(), pg.app());
    let hold = pg.run(&first, "update t set n = 2 where pg_sleep(0.3) is not null", &[], 1, WRITE);
    let wait = pg.run(&second, "update t set n = n + 1", &[], 1, WRITE);
    let (held, waited) = tokio::join!(hold, wait);
    assert!(held.is_ok() || waited.is_ok());
    nobody_is_busy(&pg).await;
}

#[tokio::test]
async fn callers_leave() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    let app = pg.app();
    for mode in [Mode::Read, WRITE] {
        let call = pg.run(&app, "select pg_sleep(1000)", &[], 1, mode);
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            () = busy(&pg) => {}
        }
        nobody_is_busy(&pg).await;
        soon("the session is gone", || pg.server.sessions().unwrap().0 == 0).await;
    }
    // A lock of the vault does the same, and says so.
    let lock = async {
        busy(&pg).await;
        pg.lab.shared.forget();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        answer = pg.run(&app, "select pg_sleep(1000)", &[], 1, Mode::Read) => answer.unwrap_err(),
        () = lock => unreachable!(),
    };
    assert_eq!(error, Refused::Us(SendError::Locked { sent: Sent::Unknown }));
    nobody_is_busy(&pg).await;
}

async fn busy(pg: &PgLab) {
    let since = Instant::now();
    while pg.server.sessions().unwrap().1 == 0 {
        assert!(since.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn servers_leave() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    pg.sql("create table t (n int); grant all on t to app");
    let app = pg.app();
    // Between two statements: nothing of the second was sent into the first session, so it goes into another.
    pg.read(&app, "select 1").await.unwrap();
    pg.server.end_sessions().unwrap();
    // The server only passes the order on; a session goes when it has read it.
    soon("it has gone", || pg.server.sessions().unwrap().0 == 0).await;
    // The asking blocks this thread; a worker looks at its sockets before it gets to a call.
    tokio::task::yield_now().await;
    assert_eq!(pg.read(&app, "select 1").await.unwrap().rows, ["[1]"]);
    // In the middle of one: the server's last word, and the statement is not repeated.
    let end = async {
        busy(&pg).await;
        pg.server.end_sessions().unwrap();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        answer = pg.write(&app, "with x as (insert into t values (1) returning n) select pg_sleep(1000) from x") => answer.unwrap_err(),
        () = end => unreachable!(),
    };
    assert_eq!(error.code(), "57P01");
    assert_eq!(pg.sql("select count(*) from t"), "0");
    // All at once share the places there are.
    let calls = (0..40).map(|number| {
        let app = Arc::clone(&app);
        let pg = &pg;
        async move { pg.read(&app, &format!("select {number}")).await.unwrap().rows }
    });
    let answers = super::lab::all(calls.collect()).await;
    assert!(answers.iter().enumerate().all(|(number, rows)| *rows == [format!("[{number}]")]));
    assert!(pg.server.sessions().unwrap().0 <= Limits::default().sessions);
}
