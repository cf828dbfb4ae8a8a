//! Commands on other machines: one command over a login that is kept, step by step, as HTTP's `send` does it.
//!
//! Nothing of this machine goes along: no user name, no environment, no terminal, no agent, no forwarding; no file of
//! OpenSSH's is read. A command is sent once. Whether it ran when a connection broke nobody knows, so it is never sent
//! again. Begin with [`Egress::run`]; `trust` is where a server is believed, `login` where a value is read.

mod answer;
mod inbox;
mod kept;
mod link;
mod login;
mod problem;
mod route;
mod running;
mod stream;
mod trust;

use std::sync::Arc;

use kv_audit::Recorded;
use kv_model::{Command, Connection, HostKey, HostKeyAlgorithm, Origin, SettingName};
use kv_policy::Permit;
use kv_vault::Unlocked;
use russh::keys::PublicKeyOrCertificate;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::answer::{CommandAnswer, CommandChunk};
pub(crate) use self::inbox::Backlog;
pub(crate) use self::kept::Kept;
use self::kept::{Opener, Place};
pub use self::problem::{CertificateProblem, JumpProblem, SshProblem};
pub use self::route::Jumps;
use self::route::Route;
use self::running::Running;
use crate::body;
use crate::connect::connect_any;
use crate::error::{SendError, Sent};
use crate::request;
use crate::send::{Egress, until_locked};
use crate::shared::Shared;
use crate::vet;

impl Egress {
    /// Runs the one command that the permit is about, once, and gives its output as it comes. `defaults` are the
    /// manifest's settings, for those that a connection does not have; `jumps` knows the connections that the setting
    /// `jump` may name.
    ///
    /// Dropping the future, or the answer, ends the command.
    pub async fn run(
        &self,
        permit: Recorded<Permit>,
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        jumps: Jumps<'_>,
        now_ms: u64,
    ) -> Result<CommandAnswer, SendError> {
        let permit = permit.get();
        let command = login::command(permit.request())?;
        let limits = &self.shared.limits;
        let mut ends = body::Ends::new(self.shared.locked(), Instant::now() + limits.total, limits);
        let prepare = self.prepare_command(permit, defaults, vault, jumps, now_ms);
        let (route, opener) = until_locked(&mut ends, Sent::No, prepare).await?;
        let mut running = until_locked(&mut ends, Sent::No, self.channel(&route, &opener, command)).await?;
        // Of what was lost on its way into the connection's queue, the command itself may have gone in.
        running.send(command.text(), command.stdin()).await.map_err(|_| SendError::Reset)?;
        let deadline = Instant::now() + command.timeout();
        until_locked(&mut ends, Sent::Unknown, accepted(&running, deadline, command)).await?;
        running.start_clock(deadline);
        let ends = answer::Ends::new(ends.locked, limits.line);
        Ok(CommandAnswer::new(running, Arc::clone(&opener.snapshot), ends, route.jumps()))
    }

    /// Everything that needs no connection: whatever is refused here was neither sent nor looked up.
    async fn prepare_command(
        &self,
        permit: &Permit,
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        jumps: Jumps<'_>,
        now_ms: u64,
    ) -> Result<(Route, Arc<Opener>), SendError> {
        let command = login::command(permit.request())?;
        let snapshot = self.shared.patterns.snapshot(vault, now_ms, &[]).await?;
        request::refuse_secrets(permit.request(), &snapshot.patterns)?;
        let opener = Arc::new(Opener {
            shared: Arc::clone(&self.shared),
            auth: command.auth().into(),
            defaults: defaults.into(),
            vault: Arc::clone(vault),
            snapshot,
            now_ms,
        });
        let route = Route::plan(permit.connection(), &opener.source(), jumps)?;
        Ok((route, opener))
    }

    /// A channel that nothing was sent over. A kept link may turn out to be broken, and a server may bear fewer commands
    /// at a time than asked for: then it is another link, since nothing has been lost.
    async fn channel(&self, route: &Route, opener: &Arc<Opener>, command: &Command) -> Result<Running, SendError> {
        let limits = &self.shared.limits;
        let deadline = Instant::now() + limits.connect;
        let mut broken = 0;
        loop {
            let place = self.links.place(route, opener, deadline).await?;
            // A link that has gone silent must leave time for another one.
            let patience = if place.is_reused { Instant::now() + limits.connect / 2 } else { deadline };
            match timeout_at(patience.min(deadline), place.link().session()).await {
                Ok(Ok(channel)) => {
                    return Ok(Running::new(channel, place, command.max_output().into(), &self.shared.backlog));
                }
                Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
                    if !place.refused() {
                        place.give_up();
                        return Err(SendError::Ssh(SshProblem::Sessions));
                    }
                }
                failed => retry(&place, failed.is_err(), &mut broken, limits.connect)?,
            }
        }
    }
}

/// Once more if the link was an old one, and only once.
fn retry(place: &Place, is_silent: bool, broken: &mut u32, waited: std::time::Duration) -> Result<(), SendError> {
    place.give_up();
    *broken += 1;
    match (place.is_reused && *broken <= 1, is_silent) {
        (true, _) => Ok(()),
        (false, true) => Err(SendError::TimeoutConnect(waited)),
        (false, false) => Err(SendError::Ssh(SshProblem::Broken)),
    }
}

/// The server's word that it runs the command. From here on it may have run.
async fn accepted(running: &Running, deadline: Instant, command: &Command) -> Result<(), SendError> {
    let answer = std::future::poll_fn(|cx| running.inbox.poll_accepted(cx));
    tokio::select! {
        biased;
        answer = answer => match answer {
            Some(true) => Ok(()),
            Some(false) => Err(SendError::Ssh(SshProblem::Command)),
            None => Err(SendError::Reset),
        },
        () = sleep_until(deadline) => Err(SendError::TimeoutFirstByte(command.timeout())),
    }
}

/// The host keys that a server shows, one of each kind that it has, for a person to compare and pin. Nothing is
/// authenticated, and what is found proves nothing: whoever sits in between shows keys, too.
pub async fn host_keys(shared: &Shared, origin: &Origin, allow_private: bool) -> Result<Vec<HostKey>, SendError> {
    let limits = &shared.limits;
    let work = async {
        let addresses = vet::addresses(origin, allow_private, &*shared.resolver, limits).await?;
        let (mut keys, mut latest) = (Vec::new(), None);
        for algorithm in HostKeyAlgorithm::ALL {
            let tcp = connect_any(&addresses, origin.port(), Instant::now() + limits.connect).await?;
            match link::note_key(tcp, trust::signing(algorithm)).await {
                Ok(shown) => keys.extend(readable(&shown)),
                // It has no key of this kind.
                Err(SendError::Ssh(SshProblem::Algorithms)) => latest = Some(SshProblem::Algorithms),
                Err(error) => return Err(error),
            }
        }
        match latest {
            Some(problem) if keys.is_empty() => Err(SendError::Ssh(problem)),
            Some(_) | None => Ok(keys),
        }
    };
    let deadline = Instant::now() + limits.connect;
    timeout_at(deadline, work).await.map_err(|_| SendError::TimeoutConnect(limits.connect))?
}

fn readable(shown: &PublicKeyOrCertificate) -> Option<HostKey> {
    HostKey::from_blob(&trust::blob(shown.public_key().key_data())?).ok()
}

impl Egress {
    /// The same for a server behind jump hosts: `connection` is the one that is being made. The jump hosts are logged in
    /// to, with what is enrolled for them; the server is not.
    pub async fn host_keys_behind(
        &self,
        connection: &Arc<Connection>,
        enrolment: Enrolment<'_>,
        jumps: Jumps<'_>,
    ) -> Result<Vec<HostKey>, SendError> {
        let snapshot = self.shared.patterns.snapshot(enrolment.vault, enrolment.now_ms, &[]).await?;
        let opener = Arc::new(Opener {
            shared: Arc::clone(&self.shared),
            auth: enrolment.auth.into(),
            defaults: enrolment.defaults.into(),
            vault: Arc::clone(enrolment.vault),
            snapshot,
            now_ms: enrolment.now_ms,
        });
        let route = Route::plan(connection, &opener.source(), jumps)?;
        let limits = &self.shared.limits;
        let deadline = Instant::now() + limits.connect;
        let work = async {
            let mut keys = Vec::new();
            for algorithm in HostKeyAlgorithm::ALL {
                let (stream, _place) = self.links.way(&route, &opener, deadline).await?;
                match link::note_key(stream, trust::signing(algorithm)).await {
                    Ok(shown) => keys.extend(readable(&shown)),
                    Err(SendError::Ssh(SshProblem::Algorithms)) => {}
                    Err(error) => return Err(error),
                }
            }
            if keys.is_empty() { Err(SendError::Ssh(SshProblem::Algorithms)) } else { Ok(keys) }
        };
        timeout_at(deadline, work).await.map_err(|_| SendError::TimeoutConnect(limits.connect))?
    }
}

/// What looking at a new connection's server takes, when jump hosts lie before it.
#[derive(Clone, Copy)]
pub struct Enrolment<'a> {
    /// The manifest's schemes.
    pub auth: &'a [(kv_model::SchemeName, Arc<kv_model::Scheme>)],
    pub defaults: &'a [(SettingName, String)],
    pub vault: &'a Arc<Unlocked>,
    pub now_ms: u64,
}
