//! A new session: vetted address, TCP, TLS, login. And the way to end a statement from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kv_model::{Connection, is_public};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::binding::server_end_point;
use super::error::DatabaseError;
use super::link::Link;
use super::login::{AuthMethod, Channel, login};
use super::session::{Rules, parameters};
use super::target::{Credential, Target, TlsMode};
use super::tls::{configs, is_own_authority};
use super::wire::Outgoing;
use crate::connect::connect_any;
use crate::error::{SendError, TlsProblem};
use crate::shared::Shared;
use crate::{tls, vet};

/// A session that is open and has not been used.
pub(super) struct Opened {
    pub(super) link: Link,
    pub(super) canceller: Canceller,
    pub(super) auth: AuthMethod,
    /// The version of TLS, for people.
    pub(super) tls: Option<&'static str>,
    /// The server took the settings as what the session falls back to.
    pub(super) has_settings: bool,
}

/// Ends whatever the session is at, over a connection of its own.
pub(super) struct Canceller {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    process: u32,
    secret: u32,
}

/// The caller sets the deadline, and gives it too: addresses share the time.
pub(super) async fn open(
    connection: &Connection,
    target: &Target,
    credential: &Credential,
    shared: &Shared,
    deadline: Instant,
) -> Result<Opened, SendError> {
    let rules = Rules { statement: shared.limits.statement, search_path: target.search_path.as_deref() };
    match open_with(connection, target, credential, shared, deadline, &parameters(&rules)).await {
        // A pooler that does not know them. Then they are said in each transaction.
        Err(SendError::Database(DatabaseError::SessionRefused { code })) if code == UNSUPPORTED => {
            open_with(connection, target, credential, shared, deadline, &[]).await
        }
        opened => opened,
    }
}

async fn open_with(
    connection: &Connection,
    target: &Target,
    credential: &Credential,
    shared: &Shared,
    deadline: Instant,
    settings: &[(&str, String)],
) -> Result<Opened, SendError> {
    let origin = &connection.origin;
    let addresses = vet::addresses(origin, connection.allow_private, &*shared.resolver, &shared.limits).await?;
    // Without TLS everybody on the way reads along and answers in the server's place.
    if target.tls == TlsMode::Off && addresses.iter().any(|ip| is_public(*ip)) {
        return Err(DatabaseError::TlsOff.into());
    }
    let configs = match target.tls {
        TlsMode::Off => None,
        mode => Some(configs(&shared.roots, connection.ca.as_ref(), mode, credential.client.as_ref()).await?),
    };
    let tcp = connect_any(&addresses, origin.port(), deadline).await?;
    let address = tcp.peer_addr().map_err(|_| SendError::Connect)?;
    tcp.set_nodelay(true).map_err(|_| SendError::Connect)?;
    let name = ServerName::try_from(origin.host()).map_err(|_| SendError::Tls(TlsProblem::WrongName))?;
    let (mut link, channel, version, cancel_tls) = match configs {
        None => (Link::new(tcp), Channel::Plain, None, None),
        Some(configs) => {
            let stream = start_tls(tcp, configs.session, name.clone()).await?;
            let state = stream.get_ref().1;
            let certificate = state.peer_certificates().and_then(|chain| chain.first());
            let channel = Channel::Tls { end_point: certificate.and_then(|first| server_end_point(first)) };
            let version = match state.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            (Link::new(stream), channel, Some(version), Some((configs.cancel, name)))
        }
    };
    let welcome = login(&mut link, target, credential, channel, settings).await?;
    let canceller = Canceller { address, tls: cancel_tls, process: welcome.process, secret: welcome.secret };
    Ok(Opened { link, canceller, auth: welcome.auth, tls: version, has_settings: !settings.is_empty() })
}

/// Asks for TLS and starts it. Exactly one byte is read before the handshake: whatever somebody put behind it is read as
/// TLS, which it is not.
async fn start_tls(
    mut tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<TlsStream<TcpStream>, SendError> {
    let mut request = Outgoing::default();
    request.ssl_request();
    tcp.write_all(&request.0).await.map_err(|_| SendError::Connect)?;
    match tcp.read_u8().await {
        Ok(b'S') => {}
        // `N`: it has none. `E`: it does not know the question. Either may also come from somebody on the way.
        Ok(_) => return Err(DatabaseError::NoTls.into()),
        Err(_) => return Err(SendError::Connect),
    }
    TlsConnector::from(config).connect(name, tcp).await.map_err(|error| match is_own_authority(&error) {
        true => DatabaseError::OwnAuthority.into(),
        false => SendError::Tls(tls::problem(&error)),
    })
}

impl Canceller {
    /// Sends the request and waits until the server has taken it. Nobody learns whether it did anything.
    pub(super) async fn cancel(&self) {
        let _ = timeout(CANCEL, self.try_cancel()).await;
    }

    async fn try_cancel(&self) -> Result<(), SendError> {
        let lost = |_| SendError::Connect;
        let mut tcp = TcpStream::connect(self.address).await.map_err(lost)?;
        let mut request = Outgoing::default();
        request.cancel(self.process, self.secret);
        // The server answers nothing and closes when it has acted.
        let mut rest = [0; 1];
        match &self.tls {
            None => {
                tcp.write_all(&request.0).await.map_err(lost)?;
                tcp.read(&mut rest).await.map_err(lost)?;
            }
            Some((config, name)) => {
                let mut stream = start_tls(tcp, Arc::clone(config), name.clone()).await?;
                stream.write_all(&request.0).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
                stream.read(&mut rest).await.map_err(lost)?;
            }
        }
        Ok(())
    }
}

/// What poolers say of a startup parameter that they do not know: a violation of the protocol.
const UNSUPPORTED: &str = "08P01";
/// The caller has left or its time is over; its session closes whatever becomes of this.
const CANCEL: Duration = Duration::from_secs(5);
