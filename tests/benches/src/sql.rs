//! A small query and one of 1,000 rows: through kv, through pgbouncer, over a warm connection, and by `psql` each time.
//!
//! The direct way and pgbouncer's speak no TLS and send the bare statement; kv speaks TLS unless it says otherwise, and
//! puts every statement into a read-only transaction of its own, which it takes back.

use std::process::Command;

use kv_fakes::{POSTGRES_PASSWORD, PostgresOptions, RealPgbouncer, RealPostgres, TestCa, postgres_is_installed};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::Result;
use crate::kv::{Kv, Operation};
use crate::load::{Asker, Figure, Table, measure};
use crate::processes::Process;

/// As many sessions as one of kv's workers keeps; pgbouncer gets what kv's two workers have together.
const SESSIONS: usize = 16;
const QUERIES: [(&str, &str); 2] =
    [("SELECT 1", "select 1"), ("1,000 rows", "select id, name, price, made from items order by id limit 1000")];

pub(crate) async fn run() -> Result<()> {
    if !postgres_is_installed() {
        return Ok(());
    }
    let ca = TestCa::new();
    let options = PostgresOptions { settings: vec!["max_connections=100".to_owned()], ..PostgresOptions::default() };
    let server = RealPostgres::start(&ca, &options)?;
    server.sql(
        "create table items (id int primary key, name text, price numeric, made timestamptz); \
         insert into items select n, 'item ' || n, n * 1.25, '2026-01-01'::timestamptz + n * interval '1 minute' \
         from generate_series(1, 1000) n; analyze items; grant select on items to app",
    )?;
    let pgbouncer = RealPgbouncer::start(&server, SESSIONS)?;
    if pgbouncer.is_none() {
        println!("pgbouncer is not installed, so there is no ratio to it");
    }
    let kv = Kv::bare()?;
    kv.run(&["set", "BENCH_PASSWORD", "--stdin"], POSTGRES_PASSWORD)?;
    for (name, tls) in [("db", "verify-full"), ("db-plain", "off")] {
        let mut connection = json!({
            "provider": "postgres", "name": name, "origin": server.origin(), "allow_private": true,
            "bindings": { "password": "BENCH_PASSWORD" }, "settings": { "user": "app", "database": "shop", "tls": tls },
        });
        if tls != "off" {
            connection["ca"] = ca.ca_pem().into();
        }
        kv.connect(&connection).await?;
    }
    println!("\nsql: PostgreSQL on loopback, connections kept but psql's");
    for (what, sql) in QUERIES {
        for callers in [1, 16] {
            Table::title(what, callers);
            let mut table = Table::default();
            table.add("psql each time", psql(&server, sql, callers).await?);
            table.add("direct", direct(server.port(), sql, callers).await?);
            if let Some(pgbouncer) = &pgbouncer {
                table.add("pgbouncer", direct(pgbouncer.port(), sql, callers).await?);
            }
            table.add("kv without TLS", through(&kv, "db-plain", sql, callers).await?);
            table.add("kv", through(&kv, "db", sql, callers).await?);
        }
    }
    let (now, most) = kv.memory()?;
    println!("\ndaemon after the load: {now:.1} MiB, at most {most:.1} MiB");
    pgbench(&server, pgbouncer.as_ref())
}

async fn psql(server: &RealPostgres, sql: &str, callers: usize) -> Result<Figure> {
    let process = || Process {
        program: server.programs().join("psql").display().to_string(),
        arguments: [
            "-X",
            "-q",
            "-A",
            "-t",
            "-h",
            "127.0.0.1",
            "-p",
            &server.port().to_string(),
            "-U",
            "app",
            "-d",
            "shop",
            "-c",
            sql,
        ]
        .map(str::to_owned)
        .into(),
        environment: vec![("PGPASSWORD", POSTGRES_PASSWORD.to_owned()), ("PGSSLMODE", "disable".to_owned())],
    };
    measure((0..callers).map(|_| process()).collect()).await
}

/// A warm connection, and the bare statement over it: parsed anew each time, as kv has it done, in one round trip.
struct Warm {
    client: tokio_postgres::Client,
    sql: String,
}

async fn direct(port: u16, sql: &str, callers: usize) -> Result<Figure> {
    let mut askers = Vec::new();
    for _ in 0..callers {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user("app").password(POSTGRES_PASSWORD).dbname("shop");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        askers.push(Warm { client, sql: sql.to_owned() });
    }
    measure(askers).await
}

impl Asker for Warm {
    async fn ask(&mut self) -> Result<()> {
        if self.client.query_typed(&self.sql, &[]).await?.is_empty() { Err("no rows".into()) } else { Ok(()) }
    }
}

async fn through(kv: &Kv, connection: &'static str, sql: &str, callers: usize) -> Result<Figure> {
    let mut askers = Vec::new();
    for _ in 0..callers {
        let input = json!({ "sql": sql });
        askers.push(Operation { client: kv.client().await?, connection, operation: "query", input });
    }
    measure(askers).await
}

/// For reference: PostgreSQL's own benchmark, which shows what the server and pgbouncer can do without kv.
fn pgbench(server: &RealPostgres, pgbouncer: Option<&RealPgbouncer>) -> Result<()> {
    let program = server.programs().join("pgbench");
    if !program.exists() {
        println!("pgbench is not installed");
        return Ok(());
    }
    let bench = |arguments: &[&str], host: &str, port: u16, user: &str| -> Result<String> {
        let output = Command::new(&program)
            .args(arguments)
            .args(["-h", host, "-p", &port.to_string(), "-U", user, "shop"])
            .env_clear()
            .env("PGPASSWORD", POSTGRES_PASSWORD)
            .env("PGSSLMODE", "disable")
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    };
    bench(&["-i", "-q", "-s", "1"], "127.0.0.1", server.port(), "admin")?;
    server.sql("grant select on all tables in schema public to app")?;
    println!("\npgbench, select-only, 16 callers");
    let places = [("direct", Some(server.port())), ("pgbouncer", pgbouncer.map(RealPgbouncer::port))];
    for (name, port) in places.into_iter().filter_map(|(name, port)| Some((name, port?))) {
        let text = bench(&["-S", "-n", "-c", "16", "-j", "2", "-T", "3"], "127.0.0.1", port, "app")?;
        let lines = text.lines().filter(|line| line.starts_with("latency") || line.starts_with("tps"));
        println!("  {name:<22} {}", lines.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}
