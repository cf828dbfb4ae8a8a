//! A database and a machine, where PostgreSQL and OpenSSH are installed: throw-away servers of the demonstration's own, a
//! query and a command through kv. Where one is missing, a line says how to get it.

use std::sync::Arc;
use std::thread::JoinHandle;

use kv_fakes::{KeyPair, PostgresOptions, RealPostgres, RealSshd, SshdOptions, TestCa, current_user};

use super::Result;
use super::home::{DemoHome, random};
use super::report::Report;

/// What is installed, started. Dropping it ends the servers.
pub(super) struct Servers {
    database: Option<Database>,
    machine: Option<Machine>,
    missing: Vec<&'static str>,
}

struct Database {
    server: RealPostgres,
    password: String,
}

struct Machine {
    server: RealSshd,
    key: KeyPair,
}

/// Servers that are still on their way: a new database takes a second, in which something else can be shown.
pub(super) struct Starting(Option<JoinHandle<std::io::Result<Servers>>>);

impl Starting {
    pub(super) fn begin(ca: &Arc<TestCa>) -> Result<Self> {
        let (ca, password) = (Arc::clone(ca), random(24)?);
        Ok(Self(Some(std::thread::spawn(move || start(&ca, password)))))
    }

    pub(super) fn wait(mut self) -> Result<Servers> {
        let thread = self.0.take().ok_or("the servers have started already")?;
        Ok(thread.join().map_err(|_| "the servers did not start")??)
    }
}

/// Whoever breaks off while they start waits for them, so that they end too.
impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            drop(thread.join());
        }
    }
}

fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !RealPostgres::is_installed() {
        missing.push("postgresql");
    }
    if !RealSshd::is_installed() {
        missing.push("openssh-server");
    }
    missing
}

impl Servers {
    /// Connects to what there is and uses it, as a person would.
    pub(super) async fn show(&self, report: &mut Report, home: &DemoHome) -> Result<()> {
        report.title("A database and a machine");
        if let Some(database) = &self.database {
            database.show(report, home).await?;
        }
        if let Some(machine) = &self.machine {
            machine.show(report, home).await?;
        }
        if !self.missing.is_empty() {
            report.remark(&format!("not shown here; to see it too: apt-get install {}", self.missing.join(" ")));
        }
        Ok(())
    }

    /// What must not be in anything that was shown.
    pub(super) fn credentials(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.database.iter().map(|database| database.password.as_str()).collect();
        if let Some(machine) = &self.machine {
            // Its lines: a terminal breaks a key anywhere, and prints no line breaks of it.
            all.extend(machine.key.private.lines().filter(|line| line.len() > 40 && !line.starts_with('-')));
        }
        all
    }

    pub(super) fn are_there(&self) -> bool {
        self.database.is_some() || self.machine.is_some()
    }
}

impl Database {
    async fn show(&self, report: &mut Report, home: &DemoHome) -> Result<()> {
        let place = format!("app@127.0.0.1:{}/shop", self.server.port());
        let ca = home.ca_file.display().to_string();
        report.ran(home, &["set", "DEMO_DB_PASSWORD", "--stdin"], Some(&self.password)).await?;
        let connect = ["connect", "postgres", &place, "--ca", &ca, "--bind", "password=DEMO_DB_PASSWORD", "--yes"];
        report.ran(home, &connect, None).await?;
        let query =
            "select product, count(*) as orders, sum(price) as total from orders group by product order by product";
        report.ran(home, &["query", "postgres", query], None).await?;
        report.refused(home, &["query", "postgres", "delete from orders"]).await
    }
}

impl Machine {
    async fn show(&self, report: &mut Report, home: &DemoHome) -> Result<()> {
        let place = format!("{}@127.0.0.1:{}", current_user(), self.server.port());
        let host_key = self.server.host_keys().first().ok_or("the machine has no key")?;
        let host_key = host_key.public.split(' ').take(2).collect::<Vec<_>>().join(" ");
        report.ran(home, &["set", "DEMO_SSH_KEY", "--stdin"], Some(&self.key.private)).await?;
        let connect = ["connect", "ssh", &place, "--host-key", &host_key, "--key", "DEMO_SSH_KEY", "--yes"];
        report.ran(home, &connect, None).await?;
        report.ran(home, &["connection", "edit", "ssh", "--allow", "run"], None).await?;
        report.ran(home, &["ssh", "ssh", "--", "uname", "-sm"], None).await.map(drop)
    }
}

fn start(ca: &TestCa, password: String) -> std::io::Result<Servers> {
    let missing = missing();
    let database = match missing.contains(&"postgresql") {
        true => None,
        false => Some(Database::start(ca, password)?),
    };
    let machine = match missing.contains(&"openssh-server") {
        true => None,
        false => Some(Machine::start()?),
    };
    Ok(Servers { database, machine, missing })
}

impl Database {
    fn start(ca: &TestCa, password: String) -> std::io::Result<Self> {
        let server = RealPostgres::start(ca, &PostgresOptions::default())?;
        server.sql(&format!(
            "alter role app password '{password}'; create table orders (product text, price numeric); \
             insert into orders select (array['lamp', 'chair', 'desk'])[n % 3 + 1], n * 9.9 from generate_series(1, 30) n; \
             grant select on orders to app; revoke temporary on database shop from public; \
             alter role app set default_transaction_read_only = on"
        ))?;
        Ok(Self { server, password })
    }
}

impl Machine {
    fn start() -> std::io::Result<Self> {
        let key = KeyPair::generate("ed25519", None)?;
        let options = SshdOptions { authorized: vec![key.public.clone()], ..SshdOptions::default() };
        Ok(Self { server: RealSshd::start(&options)?, key })
    }
}
