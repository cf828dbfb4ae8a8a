//! SSH servers that misbehave on purpose, made of russh's server half: they hold the pinned key and abuse the trust.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kv_model::{CommandParts, Connection, Exit};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, Handle, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Preferred, Sig, cipher, kex, mac};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::lab::patient;
use super::ssh_lab::{NoOutput, SshLab, argv, setting, shell};
use crate::{BodyError, Limits, SendError, Sent, SshProblem};

/// What the server does once a command has been asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    /// Opens channels to us: one of each kind, and then many.
    Channels(usize),
    /// Closes without a word of how it ended.
    CloseWithoutExit,
    /// The end of the connection instead of an answer.
    Disconnect,
    ExitSignal(&'static str),
    /// Lets us open a channel, and closes it at once.
    ClosedAtOnce,
    /// Exits and says nothing more, channel and streams left open.
    HangAfterExit,
    /// More than was allowed, and then an exit.
    Output(usize),
    /// Single bytes, one message each.
    Drops(usize),
    /// What it echoes of the password, in pieces.
    Echo,
    Refuse,
    Silent,
    Honest,
}

#[derive(Clone)]
struct Rogue {
    trick: Trick,
    methods: MethodSet,
    banner: Option<usize>,
    password: &'static str,
    seen: Arc<Seen>,
}

/// What reached the server.
#[derive(Default)]
struct Seen {
    connections: AtomicU32,
    /// Method by method.
    attempts: Mutex<Vec<&'static str>>,
    commands: AtomicU32,
    /// Channels that the client let the server open.
    opened: AtomicUsize,
    refused: AtomicUsize,
    others: Mutex<Vec<&'static str>>,
}

struct Running {
    seen: Arc<Seen>,
    port: u16,
    host_key: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const PASSWORD: &str = "kvcanary_password_71c0de55";

fn usual() -> Preferred {
    Preferred { kex: Cow::Borrowed(SERVER_KEX), ..Preferred::DEFAULT }
}

const SERVER_KEX: &[kex::Name] =
    &[kex::CURVE25519, kex::EXTENSION_SUPPORT_AS_SERVER, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER];
const LAX_KEX: &[kex::Name] = &[kex::CURVE25519];

async fn start(trick: Trick) -> Running {
    start_with(trick, usual(), MethodSet::from(&[MethodKind::Password][..]), None).await
}

async fn start_with(trick: Trick, preferred: Preferred, methods: MethodSet, banner: Option<usize>) -> Running {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let host_key = key.public_key().to_openssh().unwrap();
    let config = Arc::new(server::Config {
        keys: vec![key],
        methods: methods.clone(),
        auth_rejection_time: Duration::ZERO,
        preferred,
        ..Default::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let rogue = Rogue { trick, methods, banner, password: PASSWORD, seen: Arc::clone(&seen) };
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            rogue.seen.connections.fetch_add(1, Ordering::SeqCst);
            let (config, rogue) = (Arc::clone(&config), rogue.clone());
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, tcp, rogue).await {
                    let _ = session.await;
                }
            });
        }
    });
    Running { seen, port, host_key, task }
}

fn to(lab: &SshLab, server: &Running) -> Connection {
    let mut connection = lab.bare("box", &format!("ssh://127.0.0.1:{}", server.port));
    connection.settings.insert(setting("host-keys"), server.host_key.clone());
    lab.bind(&mut connection, "password", PASSWORD);
    connection
}

fn attempt(seen: &Seen, method: &'static str) {
    seen.attempts.lock().unwrap().push(method);
}

impl server::Handler for Rogue {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok(self.banner.map(|size| "x".repeat(size)))
    }

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        attempt(&self.seen, "none");
        Ok(self.no())
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        attempt(&self.seen, "password");
        let is_taken = self.methods.contains(&MethodKind::Password);
        if is_taken && password == self.password { Ok(Auth::Accept) } else { Ok(self.no()) }
    }

    async fn auth_publickey_offered(&mut self, _: &str, _: server::PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        attempt(&self.seen, "publickey");
        Ok(self.no())
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<server::Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        attempt(&self.seen, "keyboard-interactive");
        Ok(self.no())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        if self.trick == Trick::ClosedAtOnce {
            let handle = session.handle();
            tokio::spawn(async move { handle.close(channel.id()).await });
        }
        Ok(())
    }

    async fn env_request(&mut self, _: ChannelId, _: &str, _: &str, _: &mut Session) -> Result<(), russh::Error> {
        self.seen.others.lock().unwrap().push("env");
        Ok(())
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        self.seen.others.lock().unwrap().push("agent");
        Ok(false)
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        self.seen.commands.fetch_add(1, Ordering::SeqCst);
        let (handle, seen, trick) = (session.handle(), Arc::clone(&self.seen), self.trick);
        match trick {
            Trick::Disconnect => return Err(russh::Error::Disconnect),
            Trick::Refuse => return session.channel_failure(id),
            Trick::Silent => return Ok(()),
            _ => session.channel_success(id)?,
        }
        let command = command.to_vec();
        tokio::spawn(async move { play(trick, &handle, id, &seen, &command).await });
        Ok(())
    }
}

impl Rogue {
    fn no(&self) -> Auth {
        Auth::Reject { proceed_with_methods: Some(self.methods.clone()), partial_success: false }
    }
}

async fn play(trick: Trick, handle: &Handle, id: ChannelId, seen: &Seen, command: &[u8]) {
    match trick {
        Trick::Channels(many) => intrude(handle, seen, many).await,
        Trick::CloseWithoutExit => {
            let _ = handle.data(id, &b"some"[..]).await;
            let _ = handle.close(id).await;
            return;
        }
        Trick::ExitSignal(name) => {
            let signal = if name == "KILL" { Sig::KILL } else { Sig::Custom(name.to_owned()) };
            let message = "\u{1b}]52;c;aGFjaw==\u{7}".to_owned();
            let _ = handle.exit_signal_request(id, signal, false, message, String::new()).await;
            let _ = handle.close(id).await;
            return;
        }
        Trick::HangAfterExit => {
            let _ = handle.data(id, &b"done"[..]).await;
            let _ = handle.exit_status_request(id, 3).await;
            return;
        }
        Trick::Output(size) => {
            let block = bytes::Bytes::from(vec![b'x'; 32 << 10]);
            for _ in 0..size / block.len() {
                if handle.data(id, block.clone()).await.is_err() {
                    return;
                }
            }
        }
        Trick::Drops(count) => {
            for number in 0..count {
                let sent = match number % 2 {
                    0 => handle.data(id, &b"o"[..]).await,
                    _ => handle.extended_data(id, 1, &b"e"[..]).await,
                };
                if sent.is_err() {
                    return;
                }
            }
        }
        Trick::Echo => {
            for piece in PASSWORD.as_bytes().chunks(3) {
                let _ = handle.data(id, bytes::Bytes::copy_from_slice(piece)).await;
                let _ = handle.extended_data(id, 1, bytes::Bytes::copy_from_slice(piece)).await;
            }
            let _ = handle.data(id, bytes::Bytes::copy_from_slice(command)).await;
        }
        Trick::ClosedAtOnce | Trick::Disconnect | Trick::Honest | Trick::Refuse | Trick::Silent => {}
    }
    let _ = handle.exit_status_request(id, 0).await;
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
}

/// All that a server could want of a client.
async fn intrude(handle: &Handle, seen: &Seen, many: usize) {
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
    for _ in 0..many {
        count(handle.channel_open_session().await.is_ok());
    }
}

async fn run(trick: Trick, parts: CommandParts) -> (Result<kv_model::CommandOutput, NoOutput>, Running) {
    let (lab, server) = (SshLab::new(), start(trick).await);
    let result = lab.run(&Arc::new(to(&lab, &server)), parts).await;
    (result, server)
}

#[tokio::test]
async fn everything_that_a_server_asks_for_is_refused() {
    let (result, server) = run(Trick::Channels(0), argv(&["true"])).await;
    assert_eq!(result.unwrap().exit, Exit::Code(0));
    assert_eq!((server.seen.opened.load(Ordering::SeqCst), server.seen.refused.load(Ordering::SeqCst)), (0, 6));
    assert!(server.seen.others.lock().unwrap().is_empty());

    let (result, server) = run(Trick::Channels(1000), argv(&["true"])).await;
    assert_eq!(result.unwrap_err(), NoOutput::Body(BodyError::Cut));
    assert_eq!(server.seen.opened.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn ends_that_are_none() {
    let (result, _) = run(Trick::CloseWithoutExit, argv(&["true"])).await;
    assert_eq!(result.unwrap_err(), NoOutput::Body(BodyError::ExitMissing));

    let (result, server) = run(Trick::Disconnect, argv(&["true"])).await;
    let NoOutput::Send(error) = result.unwrap_err() else { panic!("there was no answer") };
    assert_eq!((error.code(), error.sent()), ("egress.reset", Sent::Unknown));
    // It may have run, so it is not sent again.
    assert_eq!(server.seen.commands.load(Ordering::SeqCst), 1);

    let (result, server) = run(Trick::Refuse, argv(&["true"])).await;
    assert_eq!(result.unwrap_err(), NoOutput::Send(SendError::Ssh(SshProblem::Command)));
    assert_eq!(server.seen.commands.load(Ordering::SeqCst), 1);

    let (result, _) = run(Trick::Silent, CommandParts { timeout_ms: 300, ..argv(&["true"]) }).await;
    let NoOutput::Send(error) = result.unwrap_err() else { panic!("there was no answer") };
    assert_eq!((error.code(), error.sent()), ("egress.timeout.first_byte", Sent::Unknown));

    // Nobody waits for what a closed channel will bring.
    let since = Instant::now();
    let (result, _) = run(Trick::ClosedAtOnce, argv(&["true"])).await;
    assert!(result.is_err() && since.elapsed() < Duration::from_secs(20), "{result:?}");

    // How it ended is known when its time is over.
    let (result, _) = run(Trick::HangAfterExit, CommandParts { timeout_ms: 200, ..argv(&["true"]) }).await;
    assert_eq!(result.unwrap().exit, Exit::Code(3));

    let since = Instant::now();
    let (result, _) = run(Trick::HangAfterExit, argv(&["true"])).await;
    let output = result.unwrap();
    assert_eq!((output.exit, output.stdout.as_slice()), (Exit::Code(3), &b"done"[..]));
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn signals_are_names() {
    for (name, shown) in [("KILL", "KILL"), ("RTMIN@here", "RTMIN@here"), ("\u{1b}]52;c;x\u{7}", "?"), ("", "?")] {
        let (result, _) = run(Trick::ExitSignal(name), argv(&["true"])).await;
        assert_eq!(result.unwrap().exit, Exit::Signal(shown.to_owned()));
    }
}

#[tokio::test]
async fn output_without_end() {
    let parts = CommandParts { max_output: 70_000, ..argv(&["true"]) };
    let (result, _) = run(Trick::Output(64 << 20), parts).await;
    let output = result.unwrap();
    assert!(output.truncated && output.stdout.len() == 70_000);

    let (result, _) = run(Trick::Drops(20_000), argv(&["true"])).await;
    let output = result.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len(), output.exit), (10_000, 10_000, Exit::Code(0)));
}

#[tokio::test]
async fn a_password_that_comes_back() {
    let (lab, server) = (SshLab::new(), start(Trick::Echo).await);
    let connection = Arc::new(to(&lab, &server));
    let mut answer = lab.start(&connection, shell("echo hello")).await.unwrap();
    let output = answer.collect().await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!out.contains(PASSWORD) && !err.contains(PASSWORD) && out.ends_with("echo hello"), "{out} {err}");
    assert_eq!(answer.hits().values().sum::<u64>(), 2);
}

#[tokio::test]
async fn only_what_is_enrolled_is_offered() {
    for methods in [
        &[MethodKind::KeyboardInteractive][..],
        &[MethodKind::HostBased],
        &[MethodKind::None],
        &[MethodKind::PublicKey, MethodKind::KeyboardInteractive],
        &[],
    ] {
        let (lab, server) = (SshLab::new(), start_with(Trick::Honest, usual(), MethodSet::from(methods), None).await);
        let error = lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await.unwrap_err();
        assert!(matches!(&error, NoOutput::Send(SendError::Ssh(SshProblem::Login | SshProblem::Broken))), "{error:?}");
        let attempts = server.seen.attempts.lock().unwrap().clone();
        assert!(attempts.iter().all(|attempt| *attempt == "password") && attempts.len() <= 1, "{attempts:?}");
        assert_eq!(server.seen.commands.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn banners() {
    let methods = || MethodSet::from(&[MethodKind::Password][..]);
    let (lab, server) = (SshLab::new(), start_with(Trick::Honest, usual(), methods(), Some(2_000)).await);
    assert!(lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await.is_ok());
    let (lab, server) = (SshLab::new(), start_with(Trick::Honest, usual(), methods(), Some(200_000)).await);
    assert!(lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await.is_ok());
    let (lab, server) = (SshLab::new(), start_with(Trick::Honest, usual(), methods(), Some(10 << 20)).await);
    let error = lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await.unwrap_err();
    assert!(matches!(&error, NoOutput::Send(SendError::Ssh(SshProblem::Flood | SshProblem::Broken))), "{error:?}");
}

#[tokio::test]
async fn terrapin() {
    let methods = || MethodSet::from(&[MethodKind::Password][..]);
    let lax = |ciphers: &'static [cipher::Name], macs: &'static [mac::Name]| Preferred {
        kex: Cow::Borrowed(LAX_KEX),
        cipher: Cow::Borrowed(ciphers),
        mac: Cow::Borrowed(macs),
        ..Preferred::DEFAULT
    };
    let any: &'static [mac::Name] = &[mac::HMAC_SHA256];
    for (preferred, is_safe) in [
        (lax(&[cipher::CHACHA20_POLY1305], any), false),
        (lax(&[cipher::AES_256_CTR], &[mac::HMAC_SHA256_ETM]), false),
        (lax(&[cipher::AES_256_CTR], any), true),
        (lax(&[cipher::AES_256_GCM], any), true),
    ] {
        let (lab, server) = (SshLab::new(), start_with(Trick::Honest, preferred, methods(), None).await);
        let result = lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await;
        if is_safe {
            assert_eq!(result.unwrap().exit, Exit::Code(0));
        } else {
            assert_eq!(result.unwrap_err(), NoOutput::Send(SendError::Ssh(SshProblem::NotStrict)));
            assert!(server.seen.attempts.lock().unwrap().is_empty());
        }
    }
    // With it, all of them.
    for cipher in [cipher::CHACHA20_POLY1305, cipher::AES_256_CTR] {
        let preferred = Preferred { cipher: Cow::Owned(vec![cipher]), ..usual() };
        let (lab, server) = (SshLab::new(), start_with(Trick::Honest, preferred, methods(), None).await);
        assert!(lab.run(&Arc::new(to(&lab, &server)), argv(&["true"])).await.is_ok());
    }
}

/// Servers that are no SSH servers at all, or not for long.
#[tokio::test]
async fn bytes_that_are_no_ssh() {
    let floods: [(&str, Vec<u8>); 6] = [
        ("nothing", Vec::new()),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("an endless line", vec![b'x'; 1 << 20]),
        ("endless lines", b"hello\r\n".repeat(100_000)),
        ("an old version", b"SSH-1.5-old\r\n".to_vec()),
        ("a packet of 4 GiB", [&b"SSH-2.0-x\r\n\xff\xff\xff\xff\x04"[..], &[20; 64]].concat()),
    ];
    for (what, bytes) in floods {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let _ = tcp.write_all(&bytes).await;
                let _ = tcp.shutdown().await;
                let _ = tcp.read_to_end(&mut Vec::new()).await;
            }
        });
        let lab = SshLab::new();
        let mut connection = lab.bare("box", &format!("ssh://127.0.0.1:{port}"));
        connection.settings.insert(setting("host-keys"), PINNED.to_owned());
        lab.bind(&mut connection, "password", PASSWORD);
        let error = lab.run(&Arc::new(connection), argv(&["true"])).await.unwrap_err();
        assert!(
            matches!(&error, NoOutput::Send(SendError::Ssh(SshProblem::Broken | SshProblem::Flood))),
            "{what}: {error:?}"
        );
        task.abort();
    }
}

/// A server that lets nobody finish.
#[tokio::test]
async fn a_server_that_says_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lab = SshLab::with(Limits { connect: Duration::from_millis(500), ..patient() });
    let mut connection = lab.bare("box", &format!("ssh://127.0.0.1:{port}"));
    connection.settings.insert(setting("host-keys"), PINNED.to_owned());
    lab.bind(&mut connection, "password", PASSWORD);
    let connection = Arc::new(connection);
    let (result, socket) = tokio::join!(lab.run(&connection, argv(&["true"])), listener.accept());
    assert_eq!(result.unwrap_err(), NoOutput::Send(SendError::TimeoutConnect(Duration::from_millis(500))));
    // The connection does not outlive the call.
    let mut seen = Vec::new();
    socket.unwrap().0.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"SSH-2.0-kv\r\n");
}

#[tokio::test]
async fn one_login_for_many_commands() {
    let (lab, server) = (SshLab::new(), start(Trick::Honest).await);
    let connection = Arc::new(to(&lab, &server));
    for _ in 0..3 {
        assert!(lab.run(&connection, argv(&["true"])).await.is_ok());
    }
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 1);
    assert_eq!(*server.seen.attempts.lock().unwrap(), ["password"]);
}

const PINNED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
