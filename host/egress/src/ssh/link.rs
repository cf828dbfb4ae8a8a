//! One connection to an SSH server: vetted addresses or a jump host, the key exchange, the check of the host key, one
//! login. Commands share it.
//!
//! The server gets nothing from it but what a command needs: every channel that it opens is refused, every request of
//! its own as well; no agent, no forwarding, no terminal, no environment.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_model::Exit;
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_encoding::Decode as _;
use russh::{Channel, ChannelId, ChannelOpenFailure, Names, Preferred, SshId, cipher, compression, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};

use super::inbox::{Inbox, Stream, signal_name};
use super::login::Login;
use super::problem::{SshProblem, sort};
use super::stream::{Cord, Corded};
use super::trust::Trust;
use crate::error::SendError;

/// A connection with a login. Dropping it closes it.
pub(super) struct Link {
    handle: Handle<Watch>,
    board: Arc<Board>,
    cord: Arc<Cord>,
}

/// Where what comes in goes.
#[derive(Default)]
pub(super) struct Board {
    places: Mutex<HashMap<ChannelId, Pigeonhole>>,
    /// Why it ended, if we ended it.
    cause: Mutex<Option<SendError>>,
    is_down: AtomicBool,
    /// For the one who waits for the connection's end.
    fell: Notify,
}

/// One channel's. Its command may not have asked for it yet when the server has closed the channel again.
#[derive(Default)]
struct Pigeonhole {
    inbox: Arc<Inbox>,
    is_claimed: bool,
}

/// Who looks at the host key, and decides what becomes of it.
pub(super) enum Guard {
    /// For use.
    Trust(Trust),
    /// For a person who enrols: the key is written down, and the connection ends.
    Note(oneshot::Sender<PublicKeyOrCertificate>),
    /// It has been written down.
    Noted,
}

/// russh's view of us.
pub(super) struct Watch {
    guard: Guard,
    board: Arc<Board>,
    cord: Arc<Cord>,
    exchanges: u32,
    intrusions: u32,
}

/// Why we end a connection.
#[derive(Debug)]
pub(super) struct Halt(pub(super) SendError);

impl From<russh::Error> for Halt {
    fn from(error: russh::Error) -> Self {
        Halt(sort(&error))
    }
}

impl Link {
    /// Over a stream that leads to the server. The caller sets the deadline.
    pub(super) async fn open<S>(stream: S, trust: Trust, login: Login) -> Result<Self, SendError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = config(trust.algorithms(), trust.certificate_algorithms());
        let cord = Cord::new();
        // Until the login is done, a future that is dropped takes the connection with it.
        let fuse = Fuse(Some(Arc::clone(&cord)));
        let board = Arc::new(Board::default());
        let mut handle = handshake(stream, config, Guard::Trust(trust), &board, &cord).await?;
        refuse_sha1(&handle)?;
        if let Err(error) = login.authenticate(&mut handle).await {
            // A connection that ended looks like a refused login.
            return Err(board.cause(&cord).unwrap_or(error));
        }
        fuse.keep();
        Ok(Link { handle, board, cord })
    }

    pub(super) fn is_down(&self) -> bool {
        self.board.is_down.load(Ordering::Relaxed) || self.cord.is_cut() || self.handle.is_closed()
    }

    pub(super) fn cut(&self) {
        self.cord.cut();
    }

    pub(super) fn cord(&self) -> &Arc<Cord> {
        &self.cord
    }

    /// What outlives the link's owners, for the one who waits for its end.
    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// A channel for one command.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Channel<Msg>, russh::Error> {
        let link = Arc::clone(self);
        self.opened(async move { link.handle.channel_open_session().await }).await
    }

    /// A way through this host to another one. Of us it says nothing.
    pub(super) async fn through(self: &Arc<Self>, host: String, port: u16) -> Result<Channel<Msg>, russh::Error> {
        let link = Arc::clone(self);
        let opening = async move { link.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await };
        self.opened(opening).await
    }

    /// A caller who leaves meanwhile leaves no channel behind.
    async fn opened(
        self: &Arc<Self>,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Result<Channel<Msg>, russh::Error> {
        let (sender, receiver) = oneshot::channel();
        let board = Arc::clone(&self.board);
        tokio::spawn(async move {
            if let Err(Ok(unwanted)) = sender.send(opening.await) {
                let _ = unwanted.close().await;
                board.forget(unwanted.id());
            }
        });
        receiver.await.map_err(|_| russh::Error::Disconnect)?
    }

    /// What comes over a channel that was opened here.
    pub(super) fn inbox(&self, id: ChannelId) -> Arc<Inbox> {
        let inbox = self.board.claim(id);
        if self.is_down() {
            inbox.broken();
        }
        inbox
    }

    pub(super) fn forget(&self, id: ChannelId) {
        self.board.forget(id);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cord.cut();
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, Pigeonhole>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        self.lock().get(&id).map(|place| Arc::clone(&place.inbox))
    }

    fn open(&self, id: ChannelId) {
        self.lock().entry(id).or_default();
    }

    /// What has come for a command so far, which may be all that ever will.
    fn claim(&self, id: ChannelId) -> Arc<Inbox> {
        let mut places = self.lock();
        let Some(place) = places.get_mut(&id) else { return Arc::default() };
        place.is_claimed = true;
        let inbox = Arc::clone(&place.inbox);
        if inbox.is_gone() {
            places.remove(&id);
        }
        inbox
    }

    fn close(&self, id: ChannelId) {
        let mut places = self.lock();
        let Some(place) = places.get(&id) else { return };
        let (inbox, is_claimed) = (Arc::clone(&place.inbox), place.is_claimed);
        if is_claimed {
            places.remove(&id);
        }
        drop(places);
        inbox.closed();
    }

    fn forget(&self, id: ChannelId) {
        self.lock().remove(&id);
    }

    /// Ends when the connection has, by whomever.
    pub(super) async fn fallen(&self) {
        while !self.is_down.load(Ordering::Relaxed) {
            self.fell.notified().await;
        }
    }

    fn halt(&self, why: &SendError) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why.clone());
    }

    fn cause(&self, cord: &Cord) -> Option<SendError> {
        if cord.is_exhausted() {
            return Some(SendError::Ssh(SshProblem::Flood));
        }
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cause.or_else(|| self.is_down.load(Ordering::Relaxed).then_some(SendError::Ssh(SshProblem::Broken)))
    }

    fn down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        self.lock().drain().for_each(|(_, place)| place.inbox.broken());
        self.fell.notify_one();
    }
}

/// When russh's task ends, however it does, so does what waits for it.
impl Drop for Watch {
    fn drop(&mut self) {
        self.board.down();
    }
}

/// Cuts the connection unless it is told to keep it.
struct Fuse(Option<Arc<Cord>>);

impl Fuse {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if let Some(cord) = self.0.take() {
            cord.cut();
        }
    }
}

async fn handshake<S>(
    stream: S,
    config: client::Config,
    guard: Guard,
    board: &Arc<Board>,
    cord: &Arc<Cord>,
) -> Result<Handle<Watch>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Watch { guard, board: Arc::clone(board), cord: Arc::clone(cord), exchanges: 0, intrusions: 0 };
    let corded = Corded::new(stream, Arc::clone(cord));
    client::connect_stream(Arc::new(config), corded, watch)
        .await
        .map_err(|Halt(error)| if cord.is_exhausted() { SendError::Ssh(SshProblem::Flood) } else { error })
}

/// The key of the kind `algorithms` that the server has, without a login. Whether it has one is its own claim.
pub(super) async fn note_key<S>(
    stream: S,
    algorithms: Vec<russh::keys::Algorithm>,
) -> Result<PublicKeyOrCertificate, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut noted) = oneshot::channel();
    let cord = Cord::new();
    let fuse = Fuse(Some(Arc::clone(&cord)));
    let board = Arc::default();
    let ended = handshake(stream, config(algorithms, Vec::new()), Guard::Note(sender), &board, &cord).await;
    drop(fuse);
    match (noted.try_recv(), ended) {
        (Ok(key), _) => Ok(key),
        (Err(_), Err(error)) => Err(error),
        (Err(_), Ok(_)) => Err(SendError::Ssh(SshProblem::Broken)),
    }
}

impl Watch {
    /// Nothing here asks a server to open anything. One that tries again and again is left.
    fn intrude(&mut self) -> Result<(), Halt> {
        self.intrusions += 1;
        if self.intrusions > MAX_INTRUSIONS { Err(self.halt(SendError::Ssh(SshProblem::Flood))) } else { Ok(()) }
    }

    fn halt(&self, why: SendError) -> Halt {
        self.board.halt(&why);
        Halt(why)
    }
}

impl client::Handler for Watch {
    type Error = Halt;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Halt> {
        match std::mem::replace(&mut self.guard, Guard::Noted) {
            Guard::Trust(trust) => {
                trust.check(shown).map_err(|why| self.halt(why))?;
                self.guard = Guard::Trust(trust);
                Ok(true)
            }
            Guard::Note(sender) => {
                let copy = match shown {
                    PublicKeyOrCertificate::PublicKey { key, hash_alg } => {
                        PublicKeyOrCertificate::PublicKey { key: key.clone(), hash_alg: *hash_alg }
                    }
                    PublicKeyOrCertificate::Certificate(certificate) => certificate.clone().into(),
                };
                let _ = sender.send(copy);
                Ok(false)
            }
            Guard::Noted => Ok(false),
        }
    }

    /// Terrapin (CVE-2023-48795): without strict ordering, packets can be cut from the beginning of what these ciphers
    /// protect. Called before anything is sent that depends on the login.
    async fn kex_done(&mut self, _: Option<&[u8]>, names: &Names, _: &mut Session) -> Result<(), Halt> {
        let etm = [mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];
        let is_weak = names.cipher == cipher::CHACHA20_POLY1305
            || etm.contains(&names.client_mac)
            || etm.contains(&names.server_mac);
        if is_weak && !names.strict_kex() {
            return Err(self.halt(SendError::Ssh(SshProblem::NotStrict)));
        }
        self.exchanges += 1;
        if self.exchanges > MAX_EXCHANGES {
            return Err(self.halt(SendError::Ssh(SshProblem::Flood)));
        }
        Ok(())
    }

    async fn channel_open_confirmation(&mut self, id: ChannelId, _: u32, _: u32, _: &mut Session) -> Result<(), Halt> {
        self.board.open(id);
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Halt> {
        if let Some(inbox) = self.board.inbox(id) {
            inbox.data(Stream::Out, data);
        }
        Ok(())
    }

    async fn extended_data(&mut self, id: ChannelId, kind: u32, data: &[u8], _: &mut Session) -> Result<(), Halt> {
        // RFC 4254 knows one kind; of others nobody could say what they are.
        if let (STDERR, Some(inbox)) = (kind, self.board.inbox(id)) {
            inbox.data(Stream::Err, data);
        }
        Ok(())
    }

    async fn channel_success(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Halt> {
        if let Some(inbox) = self.board.inbox(id) {
            inbox.accepted(true);
        }
        Ok(())
    }

    async fn channel_failure(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Halt> {
        if let Some(inbox) = self.board.inbox(id) {
            inbox.accepted(false);
        }
        Ok(())
    }

    async fn exit_status(&mut self, id: ChannelId, status: u32, _: &mut Session) -> Result<(), Halt> {
        if let Some(inbox) = self.board.inbox(id) {
            inbox.exit(Exit::Code(status));
        }
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        id: ChannelId,
        signal: russh::Sig,
        _: bool,
        _: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Halt> {
        if let Some(inbox) = self.board.inbox(id) {
            inbox.exit(Exit::Signal(signal_name(&signal)));
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Halt> {
        self.board.close(id);
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        id: ChannelId,
        _: ChannelOpenFailure,
        _: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.board.forget(id);
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _refused_when_dropped: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Halt> {
        self.intrude()
    }

    async fn should_accept_unknown_server_channel(&mut self, _: ChannelId, _: &str) -> bool {
        self.intrusions += 1;
        if self.intrusions > MAX_INTRUSIONS {
            self.board.halt(&SendError::Ssh(SshProblem::Flood));
            self.cord.cut();
        }
        false
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Halt>) -> Result<(), Halt> {
        if let DisconnectReason::Error(Halt(why)) = reason {
            self.board.halt(&why);
        }
        self.board.down();
        Ok(())
    }
}

/// The signature that proved the host key. russh checks that it is right, not that it is of a kind that was agreed on.
fn refuse_sha1(handle: &Handle<Watch>) -> Result<(), SendError> {
    let binding = handle.agent_session_binding().ok_or(SendError::Ssh(SshProblem::Broken))?;
    match String::decode(&mut binding.signature()).as_deref() {
        Ok("ssh-rsa" | "ssh-dss") => Err(SendError::Ssh(SshProblem::Sha1)),
        Ok(_) => Ok(()),
        Err(_) => Err(SendError::Ssh(SshProblem::Signature)),
    }
}

fn config(key: Vec<russh::keys::Algorithm>, host_key_certificates: Vec<russh::keys::Algorithm>) -> client::Config {
    client::Config {
        // Neither the library's version nor this machine's anything.
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-kv")),
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(key),
            host_key_certificates: Cow::Owned(host_key_certificates),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        ..client::Config::default()
    }
}

/// Groups that a server chooses are left out: nobody can tell a good one from a bad one in time. What has SHA-1 in it is
/// left out, and so is the 2048-bit group.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_128_CTR];
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
/// SSH_EXTENDED_DATA_STDERR.
const STDERR: u32 = 1;
/// A server that is gone is noticed within a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES: usize = 3;
/// Each side begins a new key exchange once an hour or gibibyte. A server that does so all the time only burns time.
const MAX_EXCHANGES: u32 = 100;
/// Channels that a server may try to open. An honest one opens none.
const MAX_INTRUSIONS: u32 = 16;

#[cfg(test)]
mod tests;
