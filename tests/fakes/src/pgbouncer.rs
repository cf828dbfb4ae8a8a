//! pgbouncer in front of a [`RealPostgres`], as people would pool its sessions: by transaction, over TCP, without TLS.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::last_rites::LastRites;
use crate::postgres::{POSTGRES_PASSWORD, RealPostgres, as_owner, new_home, own, write};

/// A pooler that runs. Whoever says that it is `app` gets a session of `app` in `shop`, unasked.
pub struct RealPgbouncer {
    child: Child,
    port: u16,
    home: PathBuf,
    last_rites: Option<LastRites>,
}

const PROGRAM: &str = "/usr/sbin/pgbouncer";

impl RealPgbouncer {
    /// `None` where it is not installed.
    pub fn start(server: &RealPostgres, sessions: usize) -> io::Result<Option<RealPgbouncer>> {
        if !Path::new(PROGRAM).exists() {
            return Ok(None);
        }
        let (home, owner) = (new_home()?, server.owner());
        own(&home, owner)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let users = home.join("users");
        write(&users, &format!("\"app\" \"{POSTGRES_PASSWORD}\"\n\"admin\" \"{POSTGRES_PASSWORD}\"\n"), owner)?;
        let file = home.join("pgbouncer.ini");
        let text = format!(
            "[databases]\nshop = host=127.0.0.1 port={} dbname=shop\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {sessions}\n\
             max_client_conn = 200\nserver_tls_sslmode = disable\nlog_connections = 0\nlog_disconnections = 0\n",
            server.port(),
            users.display()
        );
        write(&file, &text, owner)?;
        let mut command = as_owner(Path::new(PROGRAM), owner);
        let mut child = command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                let _ = std::fs::remove_dir_all(&home);
                return Err(io::Error::other("pgbouncer does not answer"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let last_rites = Some(LastRites::over(child.id(), "INT", &home)?);
        Ok(Some(RealPgbouncer { child, port, home, last_rites }))
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RealPgbouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
        drop(self.last_rites.take());
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
