//! An SSH server that a person has come to trust, and that then wants things of its client. It is made of russh's server
//! half; OpenSSH's asks for none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, Handle, Msg, Session};
use russh::{Channel, ChannelId};

/// As long as it runs, it listens.
pub(crate) struct Rogue {
    pub(crate) port: u16,
    /// `ssh-ed25519 AAAA...`
    pub(crate) host_key: String,
    seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Seen {
    commands: AtomicUsize,
    opened: AtomicUsize,
    refused: AtomicUsize,
}

impl Rogue {
    /// For every command it tries to open a channel of each kind, and then so many more.
    pub(crate) fn start(password: &str, more: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let host_key = key.public_key().to_openssh().unwrap();
        let config = server::Config { keys: vec![key], auth_rejection_time: Duration::ZERO, ..Default::default() };
        let (config, seen) = (Arc::new(config), Arc::new(Seen::default()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let session = Serving { password: password.to_owned(), more, seen: Arc::clone(&seen) };
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (config, session) = (Arc::clone(&config), session.clone());
                tokio::spawn(async move {
                    if let Ok(running) = server::run_stream(config, tcp, session).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Self { port, host_key, seen, _runtime: runtime }
    }

    /// Commands that came, channels that it was let open, and those that it was not.
    pub(crate) fn seen(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.seen.commands), count(&self.seen.opened), count(&self.seen.refused))
    }
}

#[derive(Clone)]
struct Serving {
    password: String,
    more: usize,
    seen: Arc<Seen>,
}

impl server::Handler for Serving {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(if password == self.password { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, _: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        self.seen.commands.fetch_add(1, Ordering::SeqCst);
        session.channel_success(id)?;
        let (handle, seen, more) = (session.handle(), Arc::clone(&self.seen), self.more);
        tokio::spawn(async move {
            want(&handle, &seen, more).await;
            let _ = handle.data(id, &b"done\n"[..]).await;
            let _ = handle.exit_status_request(id, 0).await;
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        });
        Ok(())
    }
}

async fn want(handle: &Handle, seen: &Seen, more: usize) {
    let count = |is_open: bool| {
        let counter = if is_open { &seen.opened } else { &seen.refused };
        counter.fetch_add(1, Ordering::SeqCst);
    };
    count(handle.channel_open_session().await.is_ok());
    count(handle.channel_open_agent().await.is_ok());
    count(handle.channel_open_x11("127.0.0.1", 6000).await.is_ok());
    count(handle.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_ok());
    count(handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_ok());
    count(handle.channel_open_forwarded_streamlocal("/run/docker.sock").await.is_ok());
    for _ in 0..more {
        count(handle.channel_open_session().await.is_ok());
    }
}
