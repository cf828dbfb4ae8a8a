//! The folder of the log: `000001.ndjson`, `000002.ndjson`, ...
//!
//! Every file is opened relative to the folder's descriptor and without following links, so nothing that is renamed or
//! linked while the daemon runs sends an entry elsewhere. The path is the daemon's, never a caller's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

use crate::disk::{Disk, SegmentFile, Segments};

/// More segments than a name of six digits can number: 16 TB at the usual size.
const MAX_SEGMENTS: u32 = 999_999;

/// Why a folder is not taken for the log's.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("another daemon is writing to it")]
    InUse,
    #[error("it cannot be opened as a folder, without following a link")]
    Open(#[source] io::Error),
    #[error("its mode is {mode:03o}, and only its owner may have access")]
    Mode { mode: RawMode },
    #[error("it belongs to uid {owner}, not to {us}")]
    Owner { owner: u32, us: u32 },
}

pub(crate) struct Directory {
    fd: OwnedFd,
}

impl Directory {
    /// For writing: made if it is not there, ours alone, and locked against a second writer as long as this lives.
    pub(crate) fn open_to_write(path: &Path) -> Result<Self, DirectoryError> {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(DirectoryError::Open(error.into())),
        }
        let directory = Self::open_to_read(path)?;
        let stat = rustix::fs::fstat(&directory.fd).map_err(|error| DirectoryError::Open(error.into()))?;
        let us = rustix::process::geteuid().as_raw();
        if stat.st_uid != us {
            return Err(DirectoryError::Owner { owner: stat.st_uid, us });
        }
        if let Some(mode) = loose(&stat) {
            return Err(DirectoryError::Mode { mode });
        }
        // On the folder itself: no lock file to leave behind, and the lock ends with the process.
        match rustix::fs::flock(&directory.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(directory),
            Err(Errno::WOULDBLOCK) => Err(DirectoryError::InUse),
            Err(error) => Err(DirectoryError::Open(error.into())),
        }
    }

    /// For reading, while the daemon writes or on a copy that belongs to somebody else.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| DirectoryError::Open(error.into()))?;
        Ok(Self { fd })
    }

    fn open(&self, number: u32, flags: OFlags) -> io::Result<File> {
        // Without NONBLOCK, a pipe that bears a segment's name would hang us here.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.fd, name(number), flags, Mode::RUSR | Mode::WUSR)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused("a segment is not a regular file"));
        }
        Ok(fd.into())
    }

    fn open_to_append(&self, number: u32, flags: OFlags) -> io::Result<Arc<dyn SegmentFile>> {
        let file = self.open(number, flags | OFlags::WRONLY | OFlags::APPEND)?;
        let stat = rustix::fs::fstat(&file)?;
        // A second link would let somebody keep the file under another name, or slip in a file of theirs.
        if stat.st_uid != rustix::process::geteuid().as_raw() || loose(&stat).is_some() || stat.st_nlink != 1 {
            return Err(refused("a segment has another owner, a loose mode or a second link"));
        }
        Ok(Arc::new(file))
    }
}

impl Segments for Directory {
    fn list(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            numbers.extend(number(entry?.file_name().to_bytes()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn reader(&self, number: u32) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.open(number, OFlags::RDONLY)?))
    }

    fn tail(&self, number: u32, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let mut file = self.open(number, OFlags::RDONLY)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok((length, bytes))
    }
}

impl Disk for Directory {
    fn create(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>> {
        if number > MAX_SEGMENTS {
            return Err(refused("there are as many segments as can be numbered"));
        }
        self.open_to_append(number, OFlags::CREATE | OFlags::EXCL)
    }

    fn reopen(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>> {
        self.open_to_append(number, OFlags::empty())
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name(number), AtFlags::empty())?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

impl SegmentFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        file.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // On macOS this is F_FULLFSYNC, which fdatasync there is not.
        self.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

fn name(number: u32) -> String {
    format!("{number:06}.ndjson")
}

fn number(name: &[u8]) -> Option<u32> {
    let digits = name.strip_suffix(b".ndjson")?;
    if digits.len() != 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn loose(stat: &Stat) -> Option<RawMode> {
    let mode = Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
    mode.intersects(Mode::RWXG | Mode::RWXO).then_some(mode.bits())
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
