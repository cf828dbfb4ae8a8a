//! A real PostgreSQL for the tests: one server for the whole run, and in it a database and roles of each test's own.
//!
//! What the server itself says (its log, its sessions, its tables) is the second half of every refusal, and is searched
//! for the passwords like everything else.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kv_fakes::{PostgresOptions, RealPostgres, TestCa, postgres_is_installed};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Refusal, Typed};
use super::canary::{Canary, random};
use super::home::Kv;
use super::patience::eventually;
use super::wire::Door;

/// Who can be connected as. Each is a connection of that name, and a role with a password of its own.
pub(crate) const ROLES: [&str; 3] = ["app", "owner", "super"];

struct Server {
    ca: TestCa,
    postgres: RealPostgres,
}

/// A database of one test's own, with the connections `app` (a plain role, which may write to the tables and owns none),
/// `owner` (of the database and of every table) and `super` (a superuser).
pub(crate) struct Database<'a> {
    kv: &'a Kv,
    server: &'static Server,
    pub(crate) name: String,
    passwords: Vec<Canary>,
    /// The test makes the server say a password itself.
    log_has_secrets: AtomicBool,
}

/// What a database is made of before a test changes it: rows, a sequence, and functions that people write.
const FURNITURE: &str = "\
create table items (id int primary key, name text not null, price numeric); \
insert into items select n, 'item ' || n, n * 1.5 from generate_series(1, 100) n; \
create table counter (n int); \
create sequence tickets; \
create function sneaky() returns int language plpgsql as 'begin insert into counter values (1); return 1; end'; \
create function sneaky_as_owner() returns int language plpgsql security definer as 'begin insert into counter values (1); return 1; end'; \
create procedure committing() language plpgsql as 'begin commit; insert into counter values (1); commit; end';";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let ca = TestCa::new();
        let settings = [
            "log_statement=all",
            "log_connections=on",
            "log_line_prefix=%u|%m [%p] ",
            "max_connections=100",
            // Nobody by that name ever comes, so a role that waits for it waits in the middle of its commit.
            "synchronous_commit=local",
            "synchronous_standby_names=nobody",
            "max_prepared_transactions=10",
        ];
        let options = PostgresOptions { settings: settings.map(str::to_owned).to_vec(), ..PostgresOptions::default() };
        let postgres = RealPostgres::start(&ca, &options).expect("PostgreSQL starts");
        Server { ca, postgres }
    })
}

impl Kv {
    /// `None` where PostgreSQL is not installed.
    #[track_caller]
    pub(crate) fn database(&self) -> Option<Database<'_>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !postgres_is_installed() {
            return None;
        }
        let name = format!("kvt_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let passwords = ROLES.map(|role| {
            let name = match role {
                "app" => "the password of the plain role",
                "owner" => "the password of the owner",
                _ => "the password of the superuser",
            };
            // A quote and a percent sign: what puts it somewhere unescaped is found.
            self.plant(Canary::new(name, format!("kvcanary'{}%{}", random(12), random(12))))
        });
        let database = Database {
            kv: self,
            server: server(),
            name,
            passwords: passwords.into(),
            log_has_secrets: AtomicBool::new(false),
        };
        database.make();
        Some(database)
    }
}

impl Database<'_> {
    #[track_caller]
    fn make(&self) {
        let postgres = &self.server.postgres;
        for (role, password) in ROLES.iter().zip(&self.passwords) {
            let may = if *role == "super" { "superuser" } else { "" };
            let text = password.value.replace('\'', "''");
            self.admin("postgres", &format!("create role {} login {may} password '{text}'", self.role(role)));
        }
        let (app, owner) = (self.role("app"), self.role("owner"));
        self.admin("postgres", &format!("create database {} owner {owner}", self.name));
        self.sql("create extension if not exists dblink");
        self.sql(&format!("set role {owner}; {FURNITURE} grant all on all tables in schema public to {app}; grant usage on sequence tickets to {app}"));
        for (role, password) in ROLES.iter().zip(&self.passwords) {
            let secret = format!("PASSWORD_OF_{}", role.to_ascii_uppercase());
            self.kv.run_with(["set", &secret, "--stdin"], &password.value).ok();
            self.connect(role, &self.role(role), &secret, &postgres.origin(), json!({}));
        }
    }

    /// Makes a connection, with further settings, as the person's commands do.
    #[track_caller]
    pub(crate) fn connect(&self, name: &str, role: &str, secret: &str, origin: &str, settings: Value) {
        let made = self.try_connect(name, role, secret, origin, settings);
        assert_eq!(made.outcome, "result", "{}", made.gist());
    }

    #[track_caller]
    pub(crate) fn try_connect(&self, name: &str, role: &str, secret: &str, origin: &str, more: Value) -> Answer {
        let mut settings = json!({ "user": role, "database": self.name });
        for (key, value) in more.as_object().into_iter().flatten() {
            settings[key] = value.clone();
        }
        let mut body = json!({
            "provider": "postgres", "name": name, "origin": origin, "bindings": { "password": secret },
            "settings": settings, "allow_private": true,
        });
        // Whoever speaks no TLS has no use for an authority.
        if body["settings"]["tls"] != "off" {
            body["ca"] = self.server.ca.ca_pem().into();
        }
        self.kv.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes())
    }

    pub(crate) fn origin(&self) -> String {
        self.server.postgres.origin()
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.postgres.port()
    }

    /// The authority of the server's certificate.
    pub(crate) fn ca_pem(&self) -> String {
        self.server.ca.ca_pem()
    }

    pub(crate) fn role(&self, role: &str) -> String {
        format!("{}_{role}", self.name)
    }

    pub(crate) fn password(&self, role: &str) -> &Canary {
        let at = ROLES.iter().position(|known| *known == role).expect("a role that there is");
        &self.passwords[at]
    }

    /// What the server itself answers, asked by its own superuser over its own socket.
    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.admin(&self.name, statements)
    }

    #[track_caller]
    fn admin(&self, database: &str, statements: &str) -> String {
        let said = self.server.postgres.sql_in(database, statements);
        said.unwrap_or_else(|error| panic!("{}: {error}", statements.chars().take(80).collect::<String>()))
            .trim()
            .to_owned()
    }

    /// What the server has logged of one role, its log read up to this moment.
    #[track_caller]
    pub(crate) fn log_of(&self, role: &str) -> Vec<String> {
        let mark = random(16);
        self.sql(&format!("do $$ begin raise log 'mark {mark}'; end $$"));
        let log = eventually("the server's log", || {
            Some(self.server.postgres.log()).filter(|log| log.contains(&format!("mark {mark}")))
        });
        let prefix = format!("{}|", self.role(role));
        log.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect()
    }

    /// Everything that a statement could have changed, as one text.
    #[track_caller]
    pub(crate) fn state(&self) -> String {
        self.sql(
            "select (select json_agg(i order by id) from items i)::text || \
             (select count(*) from counter) || '|' || (select last_value || ',' || is_called from tickets) || '|' || \
             (select count(*) from pg_largeobject_metadata) || '|' || (select count(*) from pg_class where relnamespace = 'public'::regnamespace) || '|' || \
             (select count(*) from pg_proc where pronamespace = 'public'::regnamespace) || '|' || \
             (select count(*) from pg_roles where starts_with(rolname, current_database() || '_')) || '|' || \
             (select coalesce(string_agg(setconfig::text, ','), '') from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where starts_with(rolname, current_database() || '_')) || '|' || \
             (select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())) || '|' || \
             (select count(*) from pg_prepared_xacts where database = current_database())",
        )
    }

    /// What a session of this database shows of itself to every other role.
    #[track_caller]
    pub(crate) fn activity(&self) -> String {
        self.sql("select string_agg(a::text, e'\\n') from pg_stat_activity a where datname = current_database() and pid <> pg_backend_pid()")
    }

    /// How many of this database's sessions from outside do something right now.
    #[track_caller]
    pub(crate) fn busy(&self) -> usize {
        let count = "select count(*) from pg_stat_activity where datname = current_database() and client_addr is not null and state <> 'idle'";
        self.sql(count).parse().expect("a number")
    }

    /// The end of all that the server has logged, for the message of a failing test.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.server.postgres.log();
        // The test's own questions go over the server's socket, and are many.
        let lines: Vec<_> =
            log.lines().filter(|line| !line.contains("host=[local]") && !line.contains("user=admin")).collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub(crate) fn log_is_not_searched(&self) {
        self.log_has_secrets.store(true, Ordering::Relaxed);
    }

    /// Waits until a statement runs that has this in it, and says its backend.
    #[track_caller]
    pub(crate) fn running(&self, part: &str) -> String {
        let query = format!(
            "select pid from pg_stat_activity where datname = current_database() and client_addr is not null \
             and state = 'active' and position('{part}' in query) > 0 limit 1"
        );
        eventually("the statement to run", || Some(self.sql(&query)).filter(|pid| !pid.is_empty()))
    }

    /// Ends one backend, as an administrator does.
    #[track_caller]
    pub(crate) fn terminate(&self, backend: &str) {
        self.sql(&format!("select pg_terminate_backend({backend})"));
    }

    #[track_caller]
    pub(crate) fn query(&self, connection: &str, sql: &str) -> Answer {
        self.query_with(connection, sql, json!([]))
    }

    #[track_caller]
    pub(crate) fn query_with(&self, connection: &str, sql: &str, params: Value) -> Answer {
        self.kv.call(Typed { connection, operation: "query", input: json!({ "sql": sql, "params": params }) })
    }

    #[track_caller]
    pub(crate) fn execute(&self, connection: &str, sql: &str) -> Answer {
        self.kv.call(Typed { connection, operation: "execute", input: json!({ "sql": sql }) })
    }

    /// The person lets agents call this without being asked.
    #[track_caller]
    pub(crate) fn allow(&self, connection: &str, operation: &str) {
        self.kv.run(["connection", "edit", connection, "--allow", operation]).ok();
    }

    /// Whether `attempt` is refused as expected, and the server neither heard of it nor is changed by it.
    #[track_caller]
    pub(crate) fn is_refused(
        &self,
        role: &str,
        expect: &Refusal,
        attempt: impl FnOnce() -> Answer,
    ) -> Result<(), String> {
        self.kv.is_refused_unseen(|| (self.log_of(role), self.state()), expect, attempt)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.kv.saw("pg_stat_activity", self.activity().as_bytes());
        // Of all databases: a password that is logged is logged without regard to whose it is.
        if !self.log_has_secrets.load(Ordering::Relaxed) {
            self.kv.saw("the log of PostgreSQL", self.server.postgres.log().as_bytes());
        }
        self.kv.saw_processes();
        for connection in ROLES {
            self.kv.run(["connection", "remove", connection, "--yes"]);
        }
        let _ = self.server.postgres.sql_in("postgres", &format!("drop database {} with (force)", self.name));
    }
}
