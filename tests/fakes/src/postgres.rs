//! A real PostgreSQL server on loopback, with TLS, SCRAM, a superuser and a plain role, made for one test.
//!
//! Its files are in a directory of its own, its socket too, and it reads nothing of this machine's. It ends when it is
//! dropped, or with the process. PostgreSQL refuses to run as root; then it is run by the machine's `postgres` or `nobody`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ca::{Leaf, LeafFiles, TestCa};
use crate::last_rites::LastRites;

/// What is unlike the usual.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Which certificate the server shows.
    pub leaf: Leaf,
    /// Lines of `pg_hba.conf` before the usual ones, which ask for SCRAM from 127.0.0.1 and trust the test's own socket.
    pub hba: Vec<String>,
    /// Further settings: `max_connections=10`.
    pub settings: Vec<String>,
}

/// A server that runs. Its database is `shop`; `admin` is its superuser, and `app` a plain role that owns nothing.
pub struct RealPostgres {
    child: Child,
    port: u16,
    bin: PathBuf,
    home: PathBuf,
    owner: Option<(u32, u32)>,
    last_rites: Option<LastRites>,
}

/// The password of `admin` and of `app`, as long as nobody changes it.
pub const POSTGRES_PASSWORD: &str = "kvcanary_pg_2f9c41d07be64a58";

/// Whether a test that needs the server can run here. Where it is missing this says so once, and fails if
/// `KV_TEST_SERVERS=required` is set.
pub fn postgres_is_installed() -> bool {
    if RealPostgres::is_installed() {
        return true;
    }
    let is_required = std::env::var("KV_TEST_SERVERS").is_ok_and(|value| value == "required");
    assert!(!is_required, "PostgreSQL is missing, and KV_TEST_SERVERS=required");
    println!("skipped: PostgreSQL is missing; install postgresql");
    false
}

impl RealPostgres {
    /// Whether there is one to start, without a word about it.
    pub fn is_installed() -> bool {
        bin().is_some()
    }

    pub fn start(ca: &TestCa, options: &PostgresOptions) -> io::Result<RealPostgres> {
        let bin = bin().ok_or_else(|| io::Error::other("PostgreSQL is not installed"))?;
        let owner = owner()?;
        let home = new_home()?;
        let data = home.join("data");
        fs::create_dir(&data)?;
        own(&home, owner)?;
        own(&data, owner)?;
        let initdb = ["-D", text(&data)?, "-U", "admin", "-A", "reject", "-E", "UTF8", "--locale=C", "--no-sync"];
        run(as_owner(&bin.join("initdb"), owner).args(initdb))?;
        let LeafFiles { chain, key } = ca.leaf(&options.leaf);
        let certificates: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        write(&data.join("server.crt"), &certificates, owner)?;
        write(&data.join("server.key"), &pem("PRIVATE KEY", key.secret_der()), owner)?;
        write(&data.join("ca.crt"), &ca.ca_pem(), owner)?;
        let mut hba = options.hba.clone();
        hba.push("local all all trust".to_owned());
        hba.push("host all all 127.0.0.1/32 scram-sha-256".to_owned());
        write(&data.join("pg_hba.conf"), &format!("{}\n", hba.join("\n")), owner)?;
        for _ in 0..8 {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            if let Some(child) = spawn(&bin, &home, port, owner, options)? {
                let last_rites = Some(LastRites::over(child.id(), "QUIT", &home)?);
                let server = RealPostgres { child, port, bin, home, owner, last_rites };
                server.sql_in("postgres", "create database shop")?;
                server.sql(&format!(
                    "alter role admin password '{POSTGRES_PASSWORD}'; create role app login password '{POSTGRES_PASSWORD}'"
                ))?;
                return Ok(server);
            }
        }
        Err(io::Error::other("no port was free"))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn origin(&self) -> String {
        format!("postgres://127.0.0.1:{}", self.port)
    }

    /// Carries out statements in `shop` as the superuser, over the server's own socket.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        self.sql_in("shop", statements)
    }

    /// The same in another database. The server does not log it: what is prepared here may have passwords in it.
    pub fn sql_in(&self, database: &str, statements: &str) -> io::Result<String> {
        let mut psql = as_owner(&self.bin.join("psql"), self.owner);
        psql.env("PGOPTIONS", "-c log_statement=none -c log_min_error_statement=panic");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "admin", "-h", text(&self.home)?]);
        run(psql.args(["-p", &self.port.to_string(), "-d", database, "-c", statements]))
    }

    /// How many sessions there are from outside, and how many of them do something right now.
    pub fn sessions(&self) -> io::Result<(usize, usize)> {
        let counts = self.sql(
            "select count(*) || ',' || count(*) filter (where state <> 'idle') from pg_stat_activity where client_addr is not null",
        )?;
        let counts =
            counts.trim().split_once(',').and_then(|(all, busy)| Some((all.parse().ok()?, busy.parse().ok()?)));
        counts.ok_or_else(|| io::Error::other("no counts"))
    }

    /// Ends every session from outside, as a crash or an administrator would.
    pub fn end_sessions(&self) -> io::Result<()> {
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where client_addr is not null").map(|_| ())
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Whom it runs as; `None`: as us.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// The directory of the server's socket, over which its superuser `admin` is trusted.
    pub fn socket_directory(&self) -> &Path {
        &self.home
    }

    /// The directory of the programs that came with the server: `psql`, `pgbench`.
    pub fn programs(&self) -> &Path {
        &self.bin
    }
}

impl Drop for RealPostgres {
    fn drop(&mut self) {
        let data = self.home.join("data");
        let stop = as_owner(&self.bin.join("pg_ctl"), self.owner)
            .arg("-D")
            .arg(&data)
            .args(["-m", "immediate", "stop"])
            .output();
        if !stop.is_ok_and(|output| output.status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
        drop(self.last_rites.take());
    }
}

/// `None`: the port was taken meanwhile.
fn spawn(
    bin: &Path,
    home: &Path,
    port: u16,
    owner: Option<(u32, u32)>,
    options: &PostgresOptions,
) -> io::Result<Option<Child>> {
    let port = port.to_string();
    let socket = text(home)?;
    let mut server = as_owner(&bin.join("postgres"), owner);
    server.arg("-D").arg(home.join("data")).args(["-p", &port, "-k", socket, "-c", "listen_addresses=127.0.0.1"]);
    for setting in
        ["ssl=on", "ssl_ca_file=ca.crt", "fsync=off", "max_connections=50", "password_encryption=scram-sha-256"]
    {
        server.args(["-c", setting]);
    }
    for setting in &options.settings {
        server.args(["-c", setting]);
    }
    let mut child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let Some(stderr) = child.stderr.take() else { return Err(io::Error::other("no log")) };
    let (sender, receiver) = mpsc::channel();
    let log = home.join("log");
    std::thread::spawn(move || {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(log).ok();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(file) = &mut file {
                let _ = io::Write::write_all(file, format!("{line}\n").as_bytes());
            }
            let _ = sender.send(line);
        }
    });
    let mut said = String::new();
    while let Ok(line) = receiver.recv_timeout(PATIENCE) {
        if line.contains("ready to accept connections") {
            return Ok(Some(child));
        }
        said.push_str(&line);
        said.push('\n');
    }
    let _ = child.kill();
    let _ = child.wait();
    if said.contains("Address already in use") { Ok(None) } else { Err(io::Error::other(said)) }
}

/// The newest version that is installed.
fn bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let bins = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    bins.max()
}

/// Whom to be: `None`, if we are somebody already.
fn owner() -> io::Result<Option<(u32, u32)>> {
    if !fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).map(Some).ok_or_else(|| io::Error::other("no user to run PostgreSQL as"))
}

pub(crate) fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

pub(crate) fn own(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(if path.is_dir() { 0o700 } else { 0o600 }))?;
    owner.map_or(Ok(()), |(uid, gid)| std::os::unix::fs::chown(path, Some(uid), Some(gid)))
}

pub(crate) fn write(path: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    fs::write(path, text)?;
    own(path, owner)
}

pub(crate) fn new_home() -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("kv-pg-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let home = std::env::temp_dir().join(name);
    fs::create_dir(&home)?;
    Ok(home)
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other("a path that is not text"))
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

const PATIENCE: Duration = Duration::from_secs(30);
