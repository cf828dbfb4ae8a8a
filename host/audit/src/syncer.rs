//! Durability: one thread that syncs for everybody, and sleeps when there is nothing to sync.
//!
//! It never holds the lock while it syncs. Whatever is written in the meantime makes the next group, so a sync serves as
//! many callers as came while the one before was running.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::chain::{Chain, Dirty};
use crate::disk::Disk;
use crate::error::{Action, Trouble};
use crate::log::Shared;

/// Runs until the log is closed and its last entry synced.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut chain = shared.lock();
    loop {
        match next(&chain) {
            Next::Close => return,
            Next::Sleep => chain = shared.wake.wait(chain).unwrap_or_else(PoisonError::into_inner),
            Next::SleepUntil(due) => {
                let time = due.saturating_duration_since(Instant::now());
                chain = shared.wake.wait_timeout(chain, time).unwrap_or_else(PoisonError::into_inner).0;
            }
            Next::Sync => {
                let (dirty, head) = chain.take_dirty();
                drop(chain);
                let result = sync(&dirty, &*shared.disk);
                chain = shared.lock();
                match result {
                    Ok(()) => chain.synced(head),
                    Err(error) => chain.sync_failed(Trouble::io(Action::Sync, &error)),
                }
                shared.settle(&chain);
            }
        }
    }
}

enum Next {
    Close,
    Sleep,
    SleepUntil(Instant),
    Sync,
}

fn next(chain: &Chain) -> Next {
    let dirty = &chain.dirty;
    if dirty.files.is_empty() && !dirty.directory {
        return if chain.closing { Next::Close } else { Next::Sleep };
    }
    match dirty.due {
        Some(due) if !dirty.now && !chain.closing && due > Instant::now() => Next::SleepUntil(due),
        _ => Next::Sync,
    }
}

/// Oldest first, the folder last: an entry is durable only when everything before it is.
fn sync(dirty: &Dirty, disk: &dyn Disk) -> std::io::Result<()> {
    dirty.files.iter().try_for_each(|file| file.sync())?;
    if dirty.directory { disk.sync_directory() } else { Ok(()) }
}
