//! Links that wait for their next command: opened once, shared by all commands of the same login, closed when nobody
//! came for a while, when the vault is locked, or when they break.
//!
//! Two credentials never share a link, and neither do two versions of one. Nothing here sends a command.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use kv_model::Connection;
use kv_vault::Unlocked;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::link::Link;
use super::login::Source;
use super::problem::{JumpProblem, SshProblem};
use super::route::{Route, of};
use super::trust::Trust;
use crate::connect::connect_any;
use crate::error::SendError;
use crate::patterns::Snapshot;
use crate::shared::Shared;
use crate::vet;

/// The links of one worker.
#[derive(Default)]
pub(crate) struct Kept {
    slots: Mutex<HashMap<Route, Arc<Slot>>>,
}

/// All links of one route.
#[derive(Default)]
struct Slot {
    links: Mutex<Vec<Arc<Held>>>,
    /// Held while a link is opened: whoever waits may find that one is enough.
    gate: tokio::sync::Mutex<()>,
    /// A place has become free.
    freed: Notify,
}

/// A link, and who is on it.
struct Held {
    link: Arc<Link>,
    /// The way to it; it closes when this does.
    _via: Option<Place>,
    places: Mutex<Places>,
    /// How many times it was taken.
    uses: AtomicUsize,
}

struct Places {
    taken: usize,
    /// What the server was found to bear; OpenSSH's is 10 unless it is told otherwise, and it does not say so.
    most: usize,
    last_used: Instant,
}

/// A place on a link, for one command or for what goes through it.
pub(super) struct Place {
    held: Arc<Held>,
    slot: Arc<Slot>,
    /// The link has carried something before, so it may turn out to be broken.
    pub(super) is_reused: bool,
}

/// What opening a link takes. It is owned, since the values are read on another thread.
pub(super) struct Opener {
    pub(super) shared: Arc<Shared>,
    pub(super) auth: Arc<[(kv_model::SchemeName, Arc<kv_model::Scheme>)]>,
    pub(super) defaults: Arc<[(kv_model::SettingName, String)]>,
    pub(super) vault: Arc<Unlocked>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now_ms: u64,
}

/// A stream that leads to a server.
pub(super) trait Way: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Way for S {}

type BoxedPlace<'a> = Pin<Box<dyn Future<Output = Result<Place, SendError>> + Send + 'a>>;

impl Kept {
    /// A place on a link of this route: a kept one, unless there is none with a place left; then a new one. Waits at most
    /// until `deadline`.
    pub(super) fn place<'a>(&'a self, route: &'a Route, opener: &'a Arc<Opener>, deadline: Instant) -> BoxedPlace<'a> {
        Box::pin(async move {
            let slot = self.slot(route);
            loop {
                let freed = slot.freed.notified();
                if let Some(place) = Slot::take(&slot) {
                    return Ok(place);
                }
                let connect = opener.shared.limits.connect;
                let opening = timeout_at(deadline, async {
                    let _turn = slot.gate.lock().await;
                    match Slot::take(&slot) {
                        Some(place) => Ok(Some(place)),
                        None if slot.is_full() => Ok(None),
                        None => self.open(route, &slot, opener, deadline).await.map(Some),
                    }
                });
                if let Some(place) = opening.await.map_err(|_| SendError::TimeoutConnect(connect))?? {
                    return Ok(place);
                }
                if timeout_at(deadline, freed).await.is_err() {
                    return Err(SendError::Busy { limit: slot.most(), waited: connect });
                }
            }
        })
    }

    async fn open(
        &self,
        route: &Route,
        slot: &Arc<Slot>,
        opener: &Arc<Opener>,
        deadline: Instant,
    ) -> Result<Place, SendError> {
        let (stream, via) = self.way(route, opener, deadline).await?;
        let trust = opener.trust(&route.connection)?;
        // An encrypted key takes its time, and other commands run on this thread.
        let login = {
            let (opener, connection) = (Arc::clone(opener), Arc::clone(&route.connection));
            let opened = tokio::task::spawn_blocking(move || opener.source().login(&connection)).await;
            opened.map_err(|_| SendError::Ssh(SshProblem::NoCredential))??
        };
        let link = Arc::new(Link::open(stream, trust, login).await?);
        let held = Arc::new(Held {
            link,
            _via: via,
            places: Mutex::new(Places { taken: 0, most: MAX_PLACES, last_used: Instant::now() }),
            uses: AtomicUsize::new(0),
        });
        tokio::spawn(watch(Arc::downgrade(&held), Arc::downgrade(slot), Arc::clone(&opener.shared)));
        slot.lock().push(Arc::clone(&held));
        held.take(slot).ok_or(SendError::Connect)
    }

    /// To the first host, a socket; to one behind a jump host, a channel.
    pub(super) async fn way(
        &self,
        route: &Route,
        opener: &Arc<Opener>,
        deadline: Instant,
    ) -> Result<(Box<dyn Way>, Option<Place>), SendError> {
        let connection = &route.connection;
        let Some(via) = &route.via else { return Ok((Box::new(opener.dial(connection, deadline).await?), None)) };
        let name = &via.connection.name;
        let place = self.place(via, opener, deadline).await.map_err(|why| of(name, why))?;
        // A name is looked up by the jump host, in its own network; an address is one that a person wrote.
        if let Some(ip) = connection.origin.ip()
            && !connection.allow_private
            && !kv_model::is_public(ip)
        {
            return Err(SendError::PrivateAddress);
        }
        let target = place.link().through(connection.origin.host(), connection.origin.port()).await;
        let channel = target
            .map_err(|_| SendError::Ssh(SshProblem::Jump { name: name.clone(), why: Box::new(JumpProblem::Target) }))?;
        place.link().forget(channel.id());
        Ok((Box::new(channel.into_stream()), Some(place)))
    }

    /// Places that are taken, on all links.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> Vec<usize> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().flat_map(|slot| slot.lock().iter().map(|held| held.places().taken).collect::<Vec<_>>()).collect()
    }

    fn slot(&self, route: &Route) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > MAX_ROUTES {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.lock().is_empty());
        }
        Arc::clone(slots.entry(route.clone()).or_default())
    }
}

impl Opener {
    pub(super) fn source(&self) -> Source<'_> {
        Source { auth: &self.auth, defaults: &self.defaults, vault: &self.vault, snapshot: &self.snapshot }
    }

    fn trust(&self, connection: &Connection) -> Result<Trust, SendError> {
        let source = self.source();
        Trust::new(source.setting(connection, HOST_KEYS).unwrap_or_default(), &connection.origin, self.now_ms)
    }

    async fn dial(&self, connection: &Connection, deadline: Instant) -> Result<TcpStream, SendError> {
        let (shared, origin) = (&self.shared, &connection.origin);
        let addresses = vet::addresses(origin, connection.allow_private, &*shared.resolver, &shared.limits).await?;
        let tcp = connect_any(&addresses, origin.port(), deadline).await?;
        // A command is one small packet after another; waiting to fill one would add 40 ms.
        tcp.set_nodelay(true).map_err(|_| SendError::Connect)?;
        Ok(tcp)
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Held>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the first link with a place: the later ones are for peaks, and close after them.
    fn take(slot: &Arc<Slot>) -> Option<Place> {
        let mut links = slot.lock();
        links.retain(|held| !held.link.is_down());
        links.iter().find_map(|held| held.take(slot))
    }

    fn is_full(&self) -> bool {
        self.lock().len() >= MAX_LINKS
    }

    fn most(&self) -> usize {
        self.lock().iter().map(|held| held.places().most).sum()
    }
}

impl Held {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, slot: &Arc<Slot>) -> Option<Place> {
        let mut places = self.places();
        if places.taken >= places.most {
            return None;
        }
        places.taken += 1;
        drop(places);
        self.link.cord().command_begins();
        let is_reused = self.uses.fetch_add(1, Ordering::Relaxed) > 0;
        Some(Place { held: Arc::clone(self), slot: Arc::clone(slot), is_reused })
    }
}

impl Place {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.held.link
    }

    /// The server takes no more commands over this link than now run on it. False: it takes none at all.
    pub(super) fn refused(&self) -> bool {
        let mut places = self.held.places();
        places.most = places.most.min(places.taken.saturating_sub(1));
        places.most > 0
    }

    /// Nothing more goes over this link.
    pub(super) fn give_up(&self) {
        self.held.link.cut();
        self.slot.lock().retain(|held| !Arc::ptr_eq(held, &self.held));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.held.places();
        places.taken = places.taken.saturating_sub(1);
        places.last_used = Instant::now();
        drop(places);
        self.held.link.cord().command_ends();
        self.slot.freed.notify_one();
    }
}

/// Closes a link when the vault is locked, or when nobody has used it for a while, and lets go of one that has ended.
async fn watch(held: Weak<Held>, slot: Weak<Slot>, shared: Arc<Shared>) {
    let mut locked = shared.locked();
    loop {
        let (until, is_idle, board) = {
            let Some(held) = held.upgrade() else { return };
            if held.link.is_down() {
                break;
            }
            let places = held.places();
            (places.last_used + shared.limits.keep_link, places.taken == 0, Arc::clone(held.link.board()))
        };
        let now = Instant::now();
        if is_idle && until <= now {
            break;
        }
        let wake = if until <= now { now + shared.limits.keep_link } else { until };
        tokio::select! {
            () = &mut locked => break,
            // Its place on a jump host's link is free again at once.
            () = board.fallen() => break,
            () = sleep_until(wake) => {}
        }
    }
    let Some(held) = held.upgrade() else { return };
    held.link.cut();
    if let Some(slot) = slot.upgrade() {
        slot.lock().retain(|other| !Arc::ptr_eq(other, &held));
    }
}

pub(super) const HOST_KEYS: &str = "host-keys";
/// Commands at a time on one link. They share its window for output, and its one task.
const MAX_PLACES: usize = 128;
/// Links of one route. A server whose limit is 10 commands for each then bears 160.
const MAX_LINKS: usize = 16;
/// Old routes are looked for from here on.
const MAX_ROUTES: usize = 64;
