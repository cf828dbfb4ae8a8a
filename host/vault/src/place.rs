//! The directory and the files in it: who may own them, what they may be, and that they stay the same ones.
//!
//! It refuses, and never mends: a mode or an owner that is wrong has a story that a person has to hear. Files are looked at
//! through the directory's own descriptor; nothing is opened before it is known to be a regular file, so a FIFO cannot hang us.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Refusal, StorageError};

/// A directory that is ours alone, locked against a second kv for as long as this lives.
pub(crate) struct Place {
    /// Without symbolic links.
    path: PathBuf,
    dir: OwnedFd,
    lock: OwnedFd,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was forked a moment ago and has not begun its program yet. If
        // this fails, the kernel gives the lock back with the last descriptor.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Why there is no [`Place`].
#[derive(Debug)]
pub(crate) enum PlaceError {
    InUse,
    Missing(PathBuf),
    Refused(Refusal),
    Storage(StorageError),
}

/// Which file it is, to see that it stays that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// A file that passed, with the bytes that SQLite's own header takes.
pub(crate) struct Inspected {
    pub(crate) identity: Identity,
    pub(crate) front: Vec<u8>,
}

impl Place {
    /// Looks at the directory and everything above it, then takes the lock.
    pub(crate) fn enter(dir: &Path) -> Result<Self, PlaceError> {
        let (path, fd) = open_directory(dir)?;
        let lock = lock(&path, &fd)?;
        Ok(Self { path, dir: fd, lock })
    }

    /// The same, making the directory itself (not those above it) when it is not there.
    pub(crate) fn enter_or_make(dir: &Path) -> Result<Self, PlaceError> {
        let dir = plain(dir);
        match rustix::fs::mkdir(&dir, Mode::RWXU) {
            // The umask may have taken bits away from the owner; it cannot have added any.
            Ok(()) | Err(Errno::EXIST) => Self::enter(&dir),
            Err(errno) => Err(failed(dir, errno).into()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What lies under a name, if anything; it must be a file of ours, with mode 0600 and one name.
    pub(crate) fn check(&self, name: &str, most_bytes: u64) -> Result<Option<Identity>, PlaceError> {
        let Some(stat) = self.stat(name)? else { return Ok(None) };
        check_file(&self.path(name), &stat, most_bytes)?;
        Ok(Some(identity(&stat)))
    }

    /// [`Place::check`], and the first bytes of the file.
    pub(crate) fn inspect(&self, name: &str, most_bytes: u64, front: u64) -> Result<Option<Inspected>, PlaceError> {
        if self.check(name, most_bytes)?.is_none() {
            return Ok(None);
        }
        let path = self.path(name);
        let fd = rustix::fs::openat(
            &self.dir,
            name,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .map_err(|errno| failed(path.clone(), errno))?;
        // Once more, on the descriptor: the name may have been given to something else in between.
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(path.clone(), errno))?;
        check_file(&path, &stat, most_bytes)?;
        let mut bytes = Vec::new();
        File::from(fd).take(front).read_to_end(&mut bytes).map_err(|source| StorageError::File { path, source })?;
        Ok(Some(Inspected { identity: identity(&stat), front: bytes }))
    }

    pub(crate) fn refuse_any(&self, name: &str) -> Result<(), PlaceError> {
        match self.stat(name)? {
            None => Ok(()),
            Some(_) => Err(Refusal::Planted(self.path(name)).into()),
        }
    }

    pub(crate) fn size(&self, name: &str) -> Result<u64, PlaceError> {
        Ok(self.stat(name)?.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    pub(crate) fn exists(&self, name: &str) -> Result<bool, PlaceError> {
        Ok(self.stat(name)?.is_some())
    }

    /// An empty file of ours, which must not be there yet.
    pub(crate) fn make(&self, name: &str) -> Result<(), PlaceError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&self.dir, name, flags, FILE_MODE).map_err(|errno| failed(self.path(name), errno))?;
        rustix::fs::fchmod(&fd, FILE_MODE).map_err(|errno| failed(self.path(name), errno))?;
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), PlaceError> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed(self.path(name), errno).into()),
        }
    }

    /// Gives a finished file its name, durably, and never over another. `false`: the name was taken.
    pub(crate) fn publish(&self, from: &str, to: &str) -> Result<bool, PlaceError> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        let renamed = match rustix::fs::renameat_with(&self.dir, from, &self.dir, to, flags) {
            // Some file systems know no such flag. The lock keeps other kvs away, and the directory is ours alone.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !self.exists(to)? => {
                rustix::fs::renameat(&self.dir, from, &self.dir, to)
            }
            renamed => renamed,
        };
        match renamed {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(errno) => return Err(failed(self.path(to), errno).into()),
        }
        rustix::fs::fsync(&self.dir).map_err(|errno| failed(self.path.clone(), errno))?;
        Ok(true)
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>, PlaceError> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(self.path(name), errno).into()),
        }
    }
}

/// Whether something lies in the place of a vault, of whatever kind.
pub(crate) fn something_at(dir: &Path, name: &str) -> bool {
    dir.join(name).symlink_metadata().is_ok()
}

fn open_directory(dir: &Path) -> Result<(PathBuf, OwnedFd), PlaceError> {
    let dir = plain(dir);
    let stat = match rustix::fs::lstat(&dir) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Err(PlaceError::Missing(dir)),
        Err(errno) => return Err(failed(dir, errno).into()),
    };
    check_directory(&dir, &stat)?;
    let path = dir.canonicalize().map_err(|source| StorageError::File { path: dir.clone(), source })?;
    path.ancestors().skip(1).try_for_each(check_ancestor)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| failed(path.clone(), errno))?;
    let opened = rustix::fs::fstat(&fd).map_err(|errno| failed(path.clone(), errno))?;
    check_directory(&path, &opened)?;
    if identity(&opened) != identity(&stat) {
        return Err(Refusal::Exchanged(path).into());
    }
    Ok((path, fd))
}

/// Without a slash at the end, which would make the system look through a symbolic link.
fn plain(dir: &Path) -> PathBuf {
    let plain: PathBuf = dir.components().collect();
    if plain.as_os_str().is_empty() { PathBuf::from(Component::CurDir.as_os_str()) } else { plain }
}

fn lock(path: &Path, dir: &OwnedFd) -> Result<OwnedFd, PlaceError> {
    let path = path.join(LOCK);
    match rustix::fs::statat(dir, LOCK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => check_file(&path, &stat, MOST_LOCK_BYTES)?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(path, errno).into()),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat(dir, LOCK, flags, FILE_MODE).map_err(|errno| failed(path.clone(), errno))?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(path.clone(), errno))?;
    check_file(&path, &stat, MOST_LOCK_BYTES)?;
    // The kernel gives the lock back when the process ends, however it ends: no pid file, nothing that can be stale.
    match rustix::fs::flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(PlaceError::InUse),
        Err(errno) => return Err(failed(path, errno).into()),
    }
    // A lock on a file that nobody else can find locks nobody out.
    match rustix::fs::statat(dir, LOCK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(now) if identity(&now) == identity(&stat) => Ok(fd),
        Ok(_) | Err(Errno::NOENT) => Err(Refusal::Exchanged(path).into()),
        Err(errno) => Err(failed(path, errno).into()),
    }
}

fn check_directory(path: &Path, stat: &Stat) -> Result<(), Refusal> {
    let path = || path.to_owned();
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {}
        other => return Err(Refusal::NotADirectory { path: path(), found: word(other) }),
    }
    check_owner(path(), stat)?;
    // Set-group-id comes from the directory above on some systems, and gives nothing away.
    match mode(stat) & 0o777 {
        0o700 => Ok(()),
        mode => Err(Refusal::Mode { path: path(), mode, wanted: 0o700 }),
    }
}

fn check_file(path: &Path, stat: &Stat, most_bytes: u64) -> Result<(), Refusal> {
    let path = || path.to_owned();
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        other => return Err(Refusal::NotAFile { path: path(), found: word(other) }),
    }
    check_owner(path(), stat)?;
    if mode(stat) != 0o600 {
        return Err(Refusal::Mode { path: path(), mode: mode(stat), wanted: 0o600 });
    }
    match links(stat) {
        1 => {}
        links => return Err(Refusal::HardLinked { path: path(), links }),
    }
    match u64::try_from(stat.st_size).unwrap_or(0) {
        bytes if bytes > most_bytes => Err(Refusal::TooLarge { path: path(), bytes }),
        _ => Ok(()),
    }
}

/// A directory above must not let strangers exchange what lies in it: ours or root's, and sticky when everybody may write.
fn check_ancestor(path: &Path) -> Result<(), PlaceError> {
    let stat = rustix::fs::lstat(path).map_err(|errno| failed(path.to_owned(), errno))?;
    if stat.st_uid != 0 {
        check_owner(path.to_owned(), &stat)?;
    }
    let mode = mode(&stat);
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Err(Refusal::AncestorOpen(path.to_owned()).into());
    }
    Ok(())
}

fn check_owner(path: PathBuf, stat: &Stat) -> Result<(), Refusal> {
    if stat.st_uid == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(Refusal::Owner { path, uid: stat.st_uid })
    }
}

#[allow(clippy::useless_conversion, reason = "the mode's type differs between systems")]
fn mode(stat: &Stat) -> u32 {
    u32::from(stat.st_mode) & 0o7777
}

#[allow(clippy::useless_conversion, reason = "the number's type differs between systems")]
fn links(stat: &Stat) -> u64 {
    u64::from(stat.st_nlink)
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
fn identity(stat: &Stat) -> Identity {
    Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

fn failed(path: PathBuf, errno: Errno) -> StorageError {
    StorageError::File { path, source: errno.into() }
}

impl From<Refusal> for PlaceError {
    fn from(refusal: Refusal) -> Self {
        PlaceError::Refused(refusal)
    }
}

impl From<StorageError> for PlaceError {
    fn from(error: StorageError) -> Self {
        PlaceError::Storage(error)
    }
}

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const LOCK: &str = "vault.lock";
/// The lock file is empty; anything in it is not ours.
const MOST_LOCK_BYTES: u64 = 0;
