//! A real OpenSSH server on loopback, with keys and a configuration of its own, run by whoever runs the test.
//!
//! It reads nothing of this machine's: no system configuration, no user's keys, no PAM. It ends when it is dropped.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::last_rites::LastRites;

/// What is unlike the usual.
#[derive(Debug, Clone, Default)]
pub struct SshdOptions {
    /// Public keys that may log in, as in `authorized_keys`.
    pub authorized: Vec<String>,
    /// Public keys of authorities whose user certificates may log in.
    pub user_authorities: Vec<String>,
    /// The kinds of host key; none: `ed25519`.
    pub host_keys: Vec<&'static str>,
    /// Signs the host keys, for these names.
    pub host_certificate: Option<(KeyPair, HostCertificate)>,
    /// Further lines of the configuration. The first mention of a word counts.
    pub config: Vec<String>,
    /// The port to listen on, where a server is started once more.
    pub port: Option<u16>,
}

/// What a host certificate says.
#[derive(Debug, Clone)]
pub struct HostCertificate {
    pub names: String,
    /// As `ssh-keygen -V` takes it.
    pub validity: String,
    /// A user's rather than a host's.
    pub is_user: bool,
}

/// A server that runs.
pub struct RealSshd {
    child: Child,
    port: u16,
    host_keys: Vec<KeyPair>,
    log: Arc<Log>,
    home: Home,
    last_rites: Option<LastRites>,
}

/// A key of OpenSSH's making.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// PEM.
    pub private: String,
    /// `ssh-ed25519 AAAA...`
    pub public: String,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

struct Home(PathBuf);

/// Whether a test that needs these programs can run here. Where they are missing it says so once, and fails if
/// `KV_TEST_SERVERS=required` is set.
pub fn sshd_is_installed() -> bool {
    let missing = missing();
    if missing.is_empty() {
        return true;
    }
    let is_required = std::env::var("KV_TEST_SERVERS").is_ok_and(|value| value == "required");
    assert!(!is_required, "{} missing, and KV_TEST_SERVERS=required", missing.join(" and "));
    println!("skipped: {} missing; install openssh-server", missing.join(" and "));
    false
}

fn missing() -> Vec<&'static str> {
    [SSHD, "ssh-keygen"].into_iter().filter(|program| !is_there(program)).collect()
}

impl RealSshd {
    /// Whether there is one to start, without a word about it.
    pub fn is_installed() -> bool {
        missing().is_empty()
    }

    pub fn start(options: &SshdOptions) -> io::Result<RealSshd> {
        let home = Home::new("sshd")?;
        if is_root() {
            // Where the server locks itself in before a login.
            fs::create_dir_all("/run/sshd")?;
        }
        let kinds = if options.host_keys.is_empty() { vec!["ed25519"] } else { options.host_keys.clone() };
        let mut host_keys = Vec::new();
        let mut config = options.config.clone();
        for kind in kinds {
            let path = home.0.join(format!("host_{kind}"));
            host_keys.push(KeyPair::make(kind, None, &path)?);
            config.push(format!("HostKey {}", path.display()));
            if let Some((authority, says)) = &options.host_certificate {
                let certificate = authority.sign_file(&path, says)?;
                config.push(format!("HostCertificate {}", certificate.display()));
            }
        }
        let authorized = home.write("authorized", &options.authorized.join("\n"), 0o600)?;
        let authorities = home.write("authorities", &options.user_authorities.join("\n"), 0o600)?;
        config.extend([
            "ListenAddress 127.0.0.1".to_owned(),
            format!("AuthorizedKeysFile {}", authorized.display()),
            format!("TrustedUserCAKeys {}", authorities.display()),
        ]);
        config.extend(USUAL.iter().map(|line| (*line).to_owned()));
        // The port may be taken between being found and being used.
        for _ in 0..8 {
            let port = options.port.map_or_else(free_port, Ok)?;
            let text = format!("Port {port}\n{}\n", config.join("\n"));
            let path = home.write("config", &text, 0o600)?;
            let mut child = Command::new(SSHD)
                .args(["-D", "-e", "-f"])
                .arg(&path)
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            let log = Arc::new(Log::default());
            if let Some(stderr) = child.stderr.take() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || log.read(stderr));
            }
            if log.wait(|text| text.contains("Server listening on") || text.contains("Cannot bind"))
                && !log.text().contains("Cannot bind")
            {
                let last_rites = Some(LastRites::over(child.id(), "KILL", &home.0)?);
                return Ok(RealSshd { child, port, host_keys, log, home, last_rites });
            }
            let _ = child.kill();
            let _ = child.wait();
            if options.port.is_none() && log.text().contains("Cannot bind") {
                continue;
            }
            return Err(io::Error::other(format!("sshd did not start: {}", log.text())));
        }
        Err(io::Error::other("no port was free"))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn origin(&self) -> String {
        format!("ssh://127.0.0.1:{}", self.port)
    }

    /// In the order in which they were asked for.
    pub fn host_keys(&self) -> &[KeyPair] {
        &self.host_keys
    }

    /// Lets a further key log in.
    pub fn authorize(&self, public: &str) -> io::Result<()> {
        let path = self.home.0.join("authorized");
        let mut text = fs::read_to_string(&path)?;
        text.push_str(&format!("\n{public}\n"));
        fs::write(path, text)
    }

    /// What the server has written so far; with debug messages if `LogLevel` was set so.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log is as it should be.
    pub fn wait_for(&self, is_so: impl Fn(&str) -> bool) -> bool {
        self.log.wait(is_so)
    }

    /// Nobody has tried to log in, as far as the log says. With `LogLevel DEBUG1` it says so at once, else when a
    /// connection ends.
    pub fn was_not_asked(&self) -> bool {
        let log = self.log();
        ["userauth-request", "authenticating user", "Accepted ", "Failed "].iter().all(|sign| !log.contains(sign))
    }

    /// The id of the server's process, whose children serve connections.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The children that serve connections.
    pub fn connections(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// Ends all connections, without a word to the other side.
    pub fn cut_connections(&self) {
        self.connections().into_iter().for_each(kill_tree);
    }
}

impl Drop for RealSshd {
    fn drop(&mut self) {
        self.cut_connections();
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.last_rites.take());
    }
}

impl KeyPair {
    /// `kind` is what `ssh-keygen -t` takes, with the size after a dash: `rsa-2048`, `ecdsa-384`, `ed25519`.
    pub fn generate(kind: &str, passphrase: Option<&str>) -> io::Result<KeyPair> {
        let home = Home::new("key")?;
        KeyPair::make(kind, passphrase, &home.0.join("key"))
    }

    fn make(kind: &str, passphrase: Option<&str>, path: &Path) -> io::Result<KeyPair> {
        let (name, bits) = kind.split_once('-').unwrap_or((kind, ""));
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", name, "-C", "test", "-N", passphrase.unwrap_or_default(), "-f"]).arg(path);
        if !bits.is_empty() {
            command.args(["-b", bits]);
        }
        run(&mut command)?;
        KeyPair::read(path)
    }

    fn read(path: &Path) -> io::Result<KeyPair> {
        Ok(KeyPair {
            private: fs::read_to_string(path)?,
            public: fs::read_to_string(path.with_extension("pub"))?.trim().to_owned(),
        })
    }

    /// The same key in another form: `PEM` or `PKCS8`, as `ssh-keygen -m` takes it.
    pub fn in_form(&self, form: &str) -> io::Result<KeyPair> {
        let home = Home::new("key")?;
        let path = home.write("key", &self.private, 0o600)?;
        run(Command::new("ssh-keygen").args(["-q", "-p", "-m", form, "-N", "", "-f"]).arg(&path))?;
        Ok(KeyPair { private: fs::read_to_string(path)?, public: self.public.clone() })
    }

    /// A user certificate of this authority for a key, for these names.
    pub fn certify(&self, key: &KeyPair, names: &str, validity: &str) -> io::Result<String> {
        let home = Home::new("ca")?;
        let path = home.write("key.pub", &key.public, 0o600)?;
        let says = HostCertificate { names: names.to_owned(), validity: validity.to_owned(), is_user: true };
        let made = self.sign_file(&path.with_extension(""), &says)?;
        fs::read_to_string(made)
    }

    /// Beside the key whose path this is.
    fn sign_file(&self, key: &Path, says: &HostCertificate) -> io::Result<PathBuf> {
        let home = Home::new("ca")?;
        let authority = home.write("ca", &self.private, 0o600)?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-s"]).arg(&authority).args(["-I", "test", "-V", &says.validity]);
        if !says.names.is_empty() {
            command.args(["-n", &says.names]);
        }
        if !says.is_user {
            command.arg("-h");
        }
        run(command.arg(key.with_extension("pub")))?;
        let name = key.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(key.with_file_name(format!("{name}-cert.pub")))
    }
}

impl Log {
    fn read(&self, from: impl io::Read) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
            self.grown.notify_all();
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait(&self, is_so: impl Fn(&str) -> bool) -> bool {
        let until = Instant::now() + crate::PATIENCE;
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if is_so(&text) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            text = self
                .grown
                .wait_timeout(text, left.min(Duration::from_secs(1)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Home {
    fn new(what: &str) -> io::Result<Home> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kv-{what}-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Home(path))
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Who runs the test, and so who may log in.
pub fn current_user() -> String {
    let output = Command::new("id").arg("-un").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// The processes that one has started and that still run.
pub fn children(of: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may have anything in it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn kill_tree(pid: u32) {
    let below = children(pid);
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    below.into_iter().for_each(kill_tree);
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("-?").stdin(Stdio::null()).output().is_ok()
}

/// OpenSSH carries no signals to the commands of root's logins.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

const SSHD: &str = "/usr/sbin/sshd";
const USUAL: [&str; 9] = [
    "StrictModes no",
    "UsePAM no",
    "PidFile none",
    "PermitRootLogin yes",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    // More would go to a command's stderr as well: the process that becomes the command still logs.
    "LogLevel VERBOSE",
    "MaxStartups 200",
    "LoginGraceTime 30",
];
