//! `true` on another machine: a fresh `ssh` each time, one through a shared connection, a warm connection of russh's, and
//! kv.
//!
//! The machine is this one, and the user whoever runs this, with a shell that reads none of that user's files.

use std::sync::Arc;

use kv_fakes::{KeyPair, RealSshd, SshdOptions, current_user, sshd_is_installed};
use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, SshId};
use serde_json::json;

use crate::Result;
use crate::kv::{Kv, Operation};
use crate::load::{Asker, Figure, Table, measure};
use crate::processes::Process;

pub(crate) async fn run() -> Result<()> {
    if !sshd_is_installed() {
        return Ok(());
    }
    let key = KeyPair::generate("ed25519", None)?;
    let server = RealSshd::start(&SshdOptions {
        authorized: vec![key.public.clone()],
        // A shell that takes itself for one within another reads none of its user's files: bash would at each command.
        config: ["MaxSessions 64", "LogLevel INFO", "SetEnv SHLVL=2"].map(str::to_owned).into(),
        ..SshdOptions::default()
    })?;
    let kv = Kv::bare()?;
    kv.run(&["set", "BENCH_SSH_KEY", "--stdin"], &key.private)?;
    let pinned = server.host_keys().first().map(|key| key.public.split(' ').take(2).collect::<Vec<_>>().join(" "));
    kv.connect(&json!({
        "provider": "ssh", "name": "box", "origin": server.origin(), "allow_private": true,
        "bindings": { "key": "BENCH_SSH_KEY" }, "settings": { "user": current_user(), "host-keys": pinned },
    }))
    .await?;
    kv.run(&["connection", "edit", "box", "--allow", "run"], "")?;
    let ssh = Ssh::new(&server, &key)?;
    println!("\nssh: `true` as `{}`, whose shell is {}, without its files", current_user(), shell());
    for callers in [1, 16] {
        Table::title("true", callers);
        let mut table = Table::default();
        table.add("fresh ssh", ssh.measure(callers, false).await?);
        match ssh.measure(callers, true).await {
            Ok(figure) => table.add("ControlMaster", figure),
            Err(error) => println!("  ControlMaster           {error}"),
        }
        table.add("warm russh", warm(&server, &key, callers).await?);
        let mut askers = Vec::new();
        for _ in 0..callers {
            let input = json!({ "argv": ["true"] });
            askers.push(Operation { client: kv.client().await?, connection: "box", operation: "run", input });
        }
        table.add("kv", measure(askers).await?);
    }
    ssh.end_master();
    Ok(())
}

fn shell() -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = format!("{}:", current_user());
    let line = users.lines().find(|line| line.starts_with(&own)).unwrap_or_default();
    line.rsplit(':').next().unwrap_or_default().to_owned()
}

/// OpenSSH's own client, with nothing of this machine's configuration.
struct Ssh {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Ssh {
    fn new(server: &RealSshd, key: &KeyPair) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix("kv-bench-ssh-").tempdir_in("/tmp")?;
        let (identity, known) = (directory.path().join("key"), directory.path().join("known"));
        std::fs::write(&identity, &key.private)?;
        std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o600))?;
        let host = server.host_keys().first().map(|key| key.public.clone()).unwrap_or_default();
        std::fs::write(&known, format!("[127.0.0.1]:{} {host}\n", server.port()))?;
        let arguments = vec![
            "-F".to_owned(),
            "/dev/null".to_owned(),
            "-i".to_owned(),
            identity.display().to_string(),
            "-o".to_owned(),
            format!("UserKnownHostsFile={}", known.display()),
            "-o".to_owned(),
            format!("ControlPath={}", directory.path().join("master").display()),
            "-o".to_owned(),
            "BatchMode=yes".to_owned(),
            "-p".to_owned(),
            server.port().to_string(),
            format!("{}@127.0.0.1", current_user()),
        ];
        Ok(Self { directory, arguments })
    }

    async fn measure(&self, callers: usize, is_shared: bool) -> Result<Figure> {
        let mut askers = Vec::new();
        for _ in 0..callers {
            let master = if is_shared {
                ["-o", "ControlMaster=auto", "-o", "ControlPersist=60"].as_slice()
            } else {
                &["-S", "none"]
            };
            let mut arguments: Vec<String> = master.iter().map(|word| (*word).to_owned()).collect();
            arguments.extend(self.arguments.clone());
            arguments.push("true".to_owned());
            askers.push(Process { program: "/usr/bin/ssh".to_owned(), arguments, environment: Vec::new() });
        }
        if is_shared && let Some(first) = askers.first_mut() {
            first.ask().await?;
        }
        measure(askers).await
    }

    /// The shared connection is a process of its own.
    fn end_master(&self) {
        let path = self.directory.path().join("master");
        let end = std::process::Command::new("/usr/bin/ssh")
            .args(["-F", "/dev/null", "-O", "exit", "-S"])
            .arg(path)
            .arg("127.0.0.1")
            .output();
        if let Err(error) = end {
            eprintln!("the shared connection was not told to end: {error}");
        }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.end_master();
    }
}

/// Takes the one server that there is for what it says it is: this is a measurement.
struct Any;

impl client::Handler for Any {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> std::result::Result<bool, Self::Error> {
        Ok(true)
    }
}

struct Warm(Arc<Handle<Any>>);

async fn warm(server: &RealSshd, key: &KeyPair, callers: usize) -> Result<Figure> {
    let config = client::Config {
        client_id: SshId::Standard("SSH-2.0-bench".into()),
        nodelay: true,
        ..client::Config::default()
    };
    let mut handle = client::connect(Arc::new(config), ("127.0.0.1", server.port()), Any).await?;
    let key = Arc::new(russh::keys::decode_secret_key(&key.private, None)?);
    let login = handle.authenticate_publickey(current_user(), PrivateKeyWithHashAlg::new(key, None)).await?;
    if !login.success() {
        return Err("the server refused the login".into());
    }
    let handle = Arc::new(handle);
    measure((0..callers).map(|_| Warm(Arc::clone(&handle))).collect()).await
}

impl Asker for Warm {
    async fn ask(&mut self) -> Result<()> {
        let mut channel = self.0.channel_open_session().await?;
        channel.exec(true, "true").await?;
        let mut status = None;
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                status = Some(exit_status);
            }
        }
        if status == Some(0) { Ok(()) } else { Err(format!("`true` ended with {status:?}").into()) }
    }
}
