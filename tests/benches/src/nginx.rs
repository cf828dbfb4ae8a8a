//! nginx that sets a header and keeps its connections, as people would put it in front of a service.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

/// `None` where there is no nginx.
pub(crate) fn start(upstream: SocketAddr) -> Result<Option<Nginx>> {
    let directory = tempfile::tempdir()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let place = directory.path().display();
    let configuration = format!(
        "worker_processes 2; daemon off; pid {place}/pid; error_log {place}/error.log crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f;\n\
         uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         upstream service {{ server {upstream}; keepalive 128; }}\n\
         server {{ listen {address}; keepalive_requests 1000000; location / {{ proxy_pass http://service; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Authorization \"Bearer sk-bench\"; proxy_buffering off; }} }} }}\n"
    );
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let spawned =
        Command::new("nginx").arg("-c").arg(&file).arg("-p").arg(directory.path()).stderr(Stdio::null()).spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let nginx = Nginx { child, address, _directory: directory };
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(5) {
            return Err("nginx does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Some(nginx))
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers when it is asked to, not when it is killed.
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) || self.child.wait().is_err() {
            eprintln!("nginx (pid {}) did not end", self.child.id());
        }
    }
}
