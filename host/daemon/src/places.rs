//! How many connections there may be, of agents, of the person, and to services: what the limit of open files allows.
//!
//! Counted for the whole daemon. A connection stays with the worker that accepted it, and which one that is is chance; so
//! a bound for each worker would turn agents away while others have room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::worker::Door;

/// As many agents as are kept connected, resting or not.
const MAX_AGENTS: usize = 10_240;
/// The person's connections have places of their own, so that agents cannot shut the person out.
const MAX_HUMANS: usize = 256;
/// As many connections to services. Each worker's pool has bounds for each credential; this one is for all together.
const MAX_UPSTREAM: usize = 16_384;
/// Files of our own: sockets, event loops, the vault and its journal, the trail, the log, name look-ups.
const OWN_FILES: usize = 128;
/// A limit below which there would be no place for anybody is stretched to this; the system says no where it must.
const LEAST_FILES: usize = 256;

pub(crate) struct Places {
    agents: Counted,
    humans: Counted,
    /// As many sockets as egress may open.
    pub(crate) upstream: usize,
}

struct Counted {
    taken: AtomicUsize,
    most: usize,
}

/// One connection's place. Dropped, it is free again.
pub(crate) struct Place {
    places: Arc<Places>,
    door: Door,
}

impl Places {
    /// Shares out a number of files. A busy agent needs two, one for its own connection and one to the service; a resting
    /// one needs one. So agents get three quarters of what is left.
    pub(crate) fn within(files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX).max(LEAST_FILES);
        let humans = MAX_HUMANS.min(files / 8);
        let left = files.saturating_sub(OWN_FILES).saturating_sub(humans);
        let agents = MAX_AGENTS.min(left / 4 * 3);
        let door = |most| Counted { taken: AtomicUsize::new(0), most };
        Places { agents: door(agents), humans: door(humans), upstream: MAX_UPSTREAM.min(left - agents) }
    }

    /// A place, if there is one.
    pub(crate) fn take(self: &Arc<Self>, door: Door) -> Option<Place> {
        let Counted { taken, most } = self.of(door);
        let more = |now: usize| (now < *most).then_some(now + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place { places: Arc::clone(self), door })
    }

    pub(crate) fn most_agents(&self) -> usize {
        self.agents.most
    }

    fn of(&self, door: Door) -> &Counted {
        match door {
            Door::Agent => &self.agents,
            Door::Human => &self.humans,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.of(self.door).taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_out_and_never_more_than_there_are() {
        for files in [0, 3, 256, 1024, 4096, 10_240, 20_000, 65_536, 1 << 20, u64::MAX] {
            let places = Places::within(files);
            let all = places.agents.most + places.humans.most + places.upstream + OWN_FILES;
            assert!(all as u64 <= files.max(LEAST_FILES as u64), "{files}: {all}");
            assert!(places.agents.most > 0 && places.humans.most >= 32 && places.upstream > 0, "{files}");
        }
        for files in [20_000, 1 << 20] {
            let places = Places::within(files);
            assert_eq!((places.agents.most, places.humans.most), (MAX_AGENTS, MAX_HUMANS), "{files}");
            assert!(places.upstream >= 4096, "{files}");
        }
    }

    #[test]
    fn agents_do_not_take_the_persons_places() {
        let places = Arc::new(Places::within(0));
        let agents: Vec<_> = std::iter::from_fn(|| places.take(Door::Agent)).collect();
        assert_eq!(agents.len(), places.most_agents());
        assert!(places.take(Door::Human).is_some());
        drop(agents);
        assert!(places.take(Door::Agent).is_some());
    }
}
