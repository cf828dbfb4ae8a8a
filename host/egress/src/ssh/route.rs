//! The way to a target: the connection itself and the jump hosts before it, checked before anything is connected.
//!
//! Each host on the way is a connection that a person set up, with a key of its own and pinned host keys of its own. The
//! target's key is checked end to end: a jump host sees bytes that it cannot read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kv_model::{Connection, ConnectionName, Protocol, SecretId};

use super::login::Source;
use super::problem::{JumpProblem, SshProblem};
use crate::error::SendError;

/// Who knows connections by name.
pub type Jumps<'a> = &'a (dyn Fn(&ConnectionName) -> Option<Arc<Connection>> + Sync);

/// One host of the way, and what lies before it. Two that are equal may share a link: the same place, the same trust,
/// the same values.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) connection: Arc<Connection>,
    /// Every secret of its login, with its version.
    pub(super) credential: Arc<[(SecretId, u32)]>,
    pub(super) via: Option<Arc<Route>>,
}

impl Route {
    /// From the target outwards, as the settings say.
    pub(super) fn plan(target: &Arc<Connection>, source: &Source<'_>, jumps: Jumps<'_>) -> Result<Self, SendError> {
        let mut way = vec![Arc::clone(target)];
        while let Some(jump) = way.last().and_then(|last| source.setting(last, JUMP)) {
            way.push(next(jump.trim(), &way, jumps)?);
        }
        let mut via: Option<Arc<Route>> = None;
        let mut route = None;
        for connection in way.into_iter().rev() {
            let name = connection.name.clone();
            let is_jump = connection.name != target.name;
            let credential =
                source.credential(&connection).map_err(|why| if is_jump { of(&name, why) } else { why })?;
            let here = Route { connection, credential, via: via.take() };
            via = Some(Arc::new(here.clone()));
            route = Some(here);
        }
        route.ok_or(SendError::Ssh(SshProblem::NoCredential))
    }
}

impl Route {
    /// The connections before the target's, the nearest to it first.
    pub(super) fn jumps(&self) -> Vec<Arc<Connection>> {
        let before = std::iter::successors(self.via.as_deref(), |route| route.via.as_deref());
        before.map(|route| Arc::clone(&route.connection)).collect()
    }
}

fn next(jump: &str, way: &[Arc<Connection>], jumps: Jumps<'_>) -> Result<Arc<Connection>, SendError> {
    let Ok(name) = ConnectionName::parse(jump) else {
        return Err(SendError::Ssh(SshProblem::HostKeys(kv_model::HostKeyError::Form)));
    };
    let problem = |why| Err(SendError::Ssh(SshProblem::Jump { name: name.clone(), why: Box::new(why) }));
    if way.iter().any(|known| known.name == name) {
        return problem(JumpProblem::Loop);
    }
    if way.len() > MAX_JUMPS {
        return problem(JumpProblem::Depth { limit: MAX_JUMPS });
    }
    let Some(found) = jumps(&name) else { return problem(JumpProblem::Missing) };
    // Another provider's login is another manifest's.
    let provider = way.last().map(|last| &last.provider);
    if provider != Some(&found.provider) || found.origin.protocol() != Protocol::Ssh || found.name != name {
        return problem(JumpProblem::Provider);
    }
    Ok(found)
}

/// What went wrong with a jump host rather than with the target.
pub(super) fn of(jump: &ConnectionName, why: SendError) -> SendError {
    match why {
        // Ours, or already said of a host further out.
        SendError::Locked { .. } | SendError::Ssh(SshProblem::Jump { .. }) => why,
        why => {
            let why = Box::new(JumpProblem::Connection(why));
            SendError::Ssh(SshProblem::Jump { name: jump.clone(), why })
        }
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.connection, &other.connection);
        let same = Arc::ptr_eq(a, b)
            || (a.name == b.name
                && a.origin == b.origin
                && a.allow_private == b.allow_private
                && a.settings == b.settings
                && a.bindings == b.bindings);
        same && self.credential == other.credential && self.via == other.via
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.connection.name.hash(state);
        self.credential.hash(state);
    }
}

pub(super) const JUMP: &str = "jump";
/// More are a mistake: each costs a login and a round trip.
const MAX_JUMPS: usize = 3;
