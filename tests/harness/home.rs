//! A home of its own for each test: directory, daemon, passphrase, and a notebook of all that came out.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kv_api::home::Home;
use kv_fakes::{Service, Sink, TestCa};
use tempfile::TempDir;

use super::canary::Canary;
use super::command::{Ran, Running};
use super::patience::eventually;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kv");

/// One test's kv. Dropping it ends the daemon and searches everything that was seen; see [`oracle`](super::oracle).
pub(crate) struct Kv {
    pub(super) directory: TempDir,
    pub(crate) ca: TestCa,
    pub(crate) passphrase: Canary,
    /// Where every proxy of the environment points.
    pub(super) sink: Sink,
    pub(super) daemon: Mutex<Option<Daemon>>,
    pub(super) canaries: Mutex<Vec<Canary>>,
    pub(super) seen: Mutex<Vec<(String, Vec<u8>)>>,
    pub(super) services: Mutex<Vec<(Arc<Service>, Option<Canary>)>>,
    /// The test has damaged the trail, or killed the daemon in the middle of a call.
    pub(super) trail_is_odd: AtomicBool,
}

/// A daemon that this test has started. Dropping it kills it, and nobody else.
pub(crate) struct Daemon(Child);

impl std::ops::Deref for Daemon {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Daemon {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kv {
    /// An empty home: no vault, no daemon.
    pub(crate) fn new() -> Self {
        // Under /tmp by name: a socket's path may have 100 bytes, and the usual directory for temporary files may be deep.
        let directory = tempfile::Builder::new().prefix("kvt").tempdir_in("/tmp").expect("there is a /tmp");
        let passphrase = Canary::passphrase();
        let kv = Self {
            ca: TestCa::new(),
            sink: Sink::start_blocking().expect("there is a free port"),
            daemon: Mutex::default(),
            canaries: Mutex::new(vec![passphrase.clone()]),
            seen: Mutex::default(),
            services: Mutex::default(),
            trail_is_odd: AtomicBool::new(false),
            directory,
            passphrase,
        };
        kv.ca.write_ca(kv.ca_file()).expect("the directory is ours");
        kv.private_file("passphrase", &kv.passphrase.value);
        DirBuilder::new().recursive(true).mode(0o700).create(&kv.home().state).expect("the directory is ours");
        kv.furnish_person();
        kv
    }

    /// A daemon, and a vault that is open.
    pub(crate) fn unlocked() -> Self {
        let kv = Self::new();
        kv.start();
        kv.init();
        kv
    }

    pub(crate) fn init(&self) {
        let file = self.passphrase_file();
        self.run(["init", "--passphrase-file", &file, "--no-2fa", "--no-input", "--throw-away"]).ok();
    }

    pub(crate) fn unlock(&self) {
        self.run(["unlock", "--passphrase-file", &self.passphrase_file()]).ok();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("kv")
    }

    pub(crate) fn home(&self) -> Home {
        Home::under(&self.root())
    }

    /// A file beside kv's own.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn private_file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.beside(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).expect("ours");
        std::io::Write::write_all(&mut file, content.as_ref()).expect("there is room");
        path.display().to_string()
    }

    pub(crate) fn passphrase_file(&self) -> String {
        self.beside("passphrase").display().to_string()
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.beside("ca.pem")
    }

    /// Remembers a secret to be searched for.
    pub(crate) fn plant(&self, canary: Canary) -> Canary {
        lock(&self.canaries).push(canary.clone());
        canary
    }

    /// Writes down what somebody got to see.
    pub(crate) fn saw(&self, what: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            lock(&self.seen).push((what.to_owned(), bytes.to_vec()));
        }
    }

    pub(crate) fn trail_is_odd(&self) {
        self.trail_is_odd.store(true, Ordering::SeqCst);
    }

    /// Becomes the parent of a daemon in the foreground, and waits until it answers.
    pub(crate) fn start(&self) {
        self.adopt(self.spawn_daemon(|_| {}));
    }

    /// The same, through a shell that prepares something first.
    pub(crate) fn start_from_shell(&self, first: &str) {
        let script = format!("{first}; exec \"$0\" daemon run");
        self.adopt(self.spawn_daemon(|command| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &script, PROGRAM]).stdin(Stdio::null()).env_clear();
            for (name, value) in command.get_envs() {
                value.map(|value| shell.env(name, value));
            }
            let log = OpenOptions::new().append(true).open(self.home().log()).expect("it is there");
            shell.stdout(log.try_clone().expect("a file")).stderr(log);
            *command = shell;
        }));
    }

    fn adopt(&self, child: Daemon) {
        let pid = child.id();
        *lock(&self.daemon) = Some(child);
        let socket = self.home().human_socket();
        eventually("the daemon's first answer", || {
            let ended = lock(&self.daemon).as_mut().is_none_or(|child| child.try_wait().is_ok_and(|end| end.is_some()));
            assert!(!ended, "the daemon {pid} ended at once: {}", self.log());
            UnixStream::connect(&socket).ok()
        });
    }

    /// A daemon that nobody waits for.
    pub(crate) fn spawn_daemon(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.home().log()).expect("ours");
        let mut command = self.program(["daemon", "run"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        change(&mut command);
        Daemon(command.spawn().expect("the program starts"))
    }

    /// The pid of the daemon that this test started.
    pub(crate) fn daemon_pid(&self) -> u32 {
        lock(&self.daemon).as_ref().expect("it was started").id()
    }

    /// The pid of the daemon, unless it was stopped.
    pub(crate) fn running_pid(&self) -> Option<u32> {
        lock(&self.daemon).as_ref().map(|daemon| daemon.id())
    }

    /// Stops the daemon as a person would, and waits for its end.
    pub(crate) fn stop(&self) {
        let Some(mut child) = lock(&self.daemon).take() else { return };
        let stopped = self.run(["daemon", "stop"]);
        if stopped.code != 0 {
            let _ = child.kill();
        }
        let status = eventually("the daemon's end", || child.try_wait().expect("it is ours"));
        assert_eq!((stopped.code, status.code()), (0, Some(0)), "{}{}", stopped.stderr, self.log());
    }

    /// Kills the daemon, and waits until it is gone.
    pub(crate) fn kill(&self) {
        drop(lock(&self.daemon).take().expect("it was started"));
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home().log()).unwrap_or_default()
    }

    /// Runs a command to its end, with nothing on its standard input.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.begin(arguments, |_| {}).end()
    }

    /// The same, with something on its standard input.
    #[track_caller]
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, stdin: &str) -> Ran {
        let mut running = self.begin(arguments, |_| {});
        running.say(stdin);
        running.end()
    }

    /// A command whose output the end of the test does not look at: its caller has put a secret in itself.
    #[track_caller]
    pub(crate) fn run_unseen<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Option<i32> {
        let ran = self.program(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.expect("the program starts").code()
    }

    /// A command whose words are not repeated in a failing test: one of them is a secret.
    #[track_caller]
    pub(crate) fn run_quietly(&self, arguments: &[String]) -> Ran {
        Running::start(self, "kv ...".to_owned(), self.program(arguments)).end()
    }

    /// Starts a command.
    pub(crate) fn begin<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        change: impl FnOnce(&mut Command),
    ) -> Running<'_> {
        let mut command = self.program(arguments);
        change(&mut command);
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let line = format!("kv {}", words.join(" "));
        Running::start(self, line, command)
    }

    /// The program in this home, with an environment that tries to lead it elsewhere.
    fn program<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.directory.path()).env_clear().env("KV_HOME", self.root());
        for (name, value) in self.hostile_environment() {
            command.env(name, value);
        }
        command
    }

    /// Proxies that nobody may use, files that nobody may write or trust, databases and keys that nobody meant, and logs as
    /// loud as they get.
    fn hostile_environment(&self) -> Vec<(&'static str, String)> {
        let proxy = format!("http://user:password@{}", self.sink.authority());
        let file = |name: &str| self.beside(name).display().to_string();
        let mut environment: Vec<_> =
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
                .map(|name| (name, proxy.clone()))
                .into();
        environment.extend([
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("RUST_BACKTRACE", "full".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
            ("SSLKEYLOGFILE", file("tls-keys")),
            ("SSL_CERT_FILE", file("other-roots")),
            ("SSL_CERT_DIR", file("")),
            ("HOME", file("person")),
            ("LANG", "kvt".to_owned()),
            ("LC_ALL", "kvt".to_owned()),
            ("PGHOST", "evil.test".to_owned()),
            ("PGHOSTADDR", "203.0.113.1".to_owned()),
            ("PGOPTIONS", "-c default_transaction_read_only=off".to_owned()),
            ("PGPASSFILE", file("other-passwords")),
            ("PGSERVICE", "evil".to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
            ("PGUSER", "evil".to_owned()),
            ("SSH_AUTH_SOCK", file("other-agent")),
        ]);
        environment
    }

    /// A person's directory with a configuration for ssh that would lead every connection elsewhere.
    fn furnish_person(&self) {
        let ssh = self.beside("person/.ssh");
        DirBuilder::new().recursive(true).mode(0o700).create(&ssh).expect("the directory is ours");
        let read = self.beside("ssh-config-was-read").display().to_string();
        let config =
            format!("Host *\n  ProxyCommand touch {read}\n  StrictHostKeyChecking no\nMatch exec \"touch {read}\"\n");
        fs::write(ssh.join("config"), config).expect("the directory is ours");
    }

    /// Every file below a directory, with its content. Sockets and what cannot be read are left out.
    pub(crate) fn files(&self, below: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(below) else { return Vec::new() };
        entries
            .flatten()
            .flat_map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.files(&entry.path()),
                Ok(kind) if kind.is_file() => {
                    fs::read(entry.path()).map(|bytes| (entry.path(), bytes)).into_iter().collect()
                }
                _ => Vec::new(),
            })
            .collect()
    }
}
