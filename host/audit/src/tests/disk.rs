//! A disk in memory that keeps a trace of what was done to it, and does what a test tells it to.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Condvar, Mutex};

use crate::disk::{Disk, SegmentFile, Segments};
use crate::format::Head;

#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u32, Vec<u8>>,
    trace: Vec<Op>,
    faults: Faults,
    /// Syncs that have begun.
    syncs: u64,
}

#[derive(Default, Clone)]
pub(super) struct Faults {
    /// Appends write so many bytes, then fail.
    pub(super) append_fails_after: Option<usize>,
    /// An append writes so many bytes at most, and that is no error.
    pub(super) short_appends: Option<usize>,
    pub(super) create_fails: bool,
    pub(super) remove_fails: bool,
    pub(super) sync_fails: bool,
    pub(super) sync_hangs: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// The log said that this was durable.
    Acknowledged(Head),
    Append(u32, Vec<u8>),
    Create(u32),
    Remove(u32),
    Sync(u32),
    SyncDirectory,
    Truncate(u32, u64),
}

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

impl MemoryDisk {
    pub(super) fn with(files: BTreeMap<u32, Vec<u8>>) -> Self {
        let disk = Self::default();
        disk.change(|state| state.files = files);
        disk
    }

    pub(super) fn files(&self) -> BTreeMap<u32, Vec<u8>> {
        self.change(|state| state.files.clone())
    }

    /// All bytes of all segments.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.files().into_values().flatten().collect()).unwrap()
    }

    pub(super) fn trace(&self) -> Vec<Op> {
        self.change(|state| state.trace.clone())
    }

    pub(super) fn acknowledge(&self, head: Head) {
        self.change(|state| state.trace.push(Op::Acknowledged(head)));
    }

    pub(super) fn faults(&self, faults: Faults) {
        self.change(|state| state.faults = faults);
    }

    pub(super) fn syncs(&self) -> u64 {
        self.change(|state| state.syncs)
    }

    /// Returns when so many syncs have begun.
    pub(super) fn wait_for_syncs(&self, syncs: u64) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |state| state.syncs < syncs).unwrap());
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (state, changed) = &*self.state;
        let result = change(&mut state.lock().unwrap());
        changed.notify_all();
        result
    }

    fn sync(&self, op: Op) -> io::Result<()> {
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        state.syncs += 1;
        changed.notify_all();
        let mut state = changed.wait_while(state, |state| state.faults.sync_hangs).unwrap();
        if state.faults.sync_fails {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        state.trace.push(op);
        Ok(())
    }
}

impl Segments for MemoryDisk {
    fn list(&self) -> io::Result<Vec<u32>> {
        Ok(self.change(|state| state.files.keys().copied().collect()))
    }

    fn reader(&self, number: u32) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.change(|state| state.files.get(&number).cloned());
        Ok(Box::new(Cursor::new(bytes.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn tail(&self, number: u32, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let bytes = self.change(|state| state.files.get(&number).cloned()).ok_or(io::ErrorKind::NotFound)?;
        let from = bytes.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        Ok((bytes.len() as u64, bytes[from..].to_vec()))
    }
}

impl Disk for MemoryDisk {
    fn create(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>> {
        self.change(|state| {
            if state.faults.create_fails {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            if state.files.contains_key(&number) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.insert(number, Vec::new());
            state.trace.push(Op::Create(number));
            Ok(())
        })?;
        self.reopen(number)
    }

    fn reopen(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(MemoryFile { disk: self.clone(), number }))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        self.change(|state| {
            if state.faults.remove_fails {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            state.files.remove(&number);
            state.trace.push(Op::Remove(number));
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.sync(Op::SyncDirectory)
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    number: u32,
}

impl SegmentFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.change(|state| {
            let mut most = bytes.len().min(state.faults.short_appends.unwrap_or(usize::MAX));
            if let Some(left) = &mut state.faults.append_fails_after {
                if *left == 0 {
                    return Err(io::Error::from_raw_os_error(ENOSPC));
                }
                most = most.min(*left);
                *left -= most;
            }
            let written = bytes[..most].to_vec();
            state.files.get_mut(&self.number).unwrap().extend(&written);
            state.trace.push(Op::Append(self.number, written));
            Ok(most)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync(Op::Sync(self.number))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.change(|state| {
            state.files.get_mut(&self.number).unwrap().truncate(length as usize);
            state.trace.push(Op::Truncate(self.number, length));
            Ok(())
        })
    }
}
