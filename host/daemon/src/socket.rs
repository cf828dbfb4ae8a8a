//! The two sockets: adopted from systemd or launchd, or bound here in a directory that only this user can enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use kv_api::home::Home;

pub(crate) struct Sockets {
    pub(crate) agent: UnixListener,
    pub(crate) human: UnixListener,
    /// What this process bound, and so removes when it ends. Adopted sockets are their manager's.
    pub(crate) bound: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another daemon answers at {0}")]
    Busy(PathBuf),
    #[error("{path} {why}")]
    Place { path: PathBuf, why: &'static str },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} sockets were handed over; kv takes two: the agents', then the person's")]
    Handed(usize),
    #[error("the sockets that were handed over are not agent.sock and human.sock of this home, in this order")]
    Order,
    #[error("the socket's path {0} is over 100 bytes, more than the system takes")]
    TooLong(PathBuf),
}

/// `sun_path` holds 108 bytes on Linux and 104 on macOS.
const MAX_PATH: usize = 100;

impl Sockets {
    /// For a plain word to whoever starts a second daemon by hand.
    pub(crate) fn refuse_second(home: &Home) -> Result<(), SocketError> {
        let path = home.human_socket();
        if UnixStream::connect(&path).is_ok() {
            return Err(SocketError::Busy(path));
        }
        Ok(())
    }

    /// The sockets that a service manager holds for us, if one does. Asked once: they are handed over once.
    pub(crate) fn adopt(home: &Home) -> Result<Option<Self>, SocketError> {
        let Some((agent, human)) = handed_over()? else { return Ok(None) };
        // The order alone would give agents every verb if two lines of a unit file changed places.
        if !is_at(&agent, &home.agent_socket()) || !is_at(&human, &home.human_socket()) {
            return Err(SocketError::Order);
        }
        nonblocking(Sockets { agent, human, bound: Vec::new() }).map(Some)
    }

    pub(crate) fn bind(home: &Home) -> Result<Self, SocketError> {
        private_directory(&home.runtime)?;
        let (agent, human) = (home.agent_socket(), home.human_socket());
        nonblocking(Sockets { agent: bind(&agent)?, human: bind(&human)?, bound: vec![agent, human] })
    }

    pub(crate) fn unlink(&self) {
        for path in &self.bound {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

/// From systemd: two descriptors, announced in the environment.
#[cfg(not(target_os = "macos"))]
fn handed_over() -> Result<Option<(UnixListener, UnixListener)>, SocketError> {
    let mut handed = listenfd::ListenFd::from_env();
    match handed.len() {
        0 => return Ok(None),
        2 => {}
        other => return Err(SocketError::Handed(other)),
    }
    let mut take = |index| {
        let path = PathBuf::from(format!("handed-over socket {index}"));
        match handed.take_unix_listener(index) {
            Ok(Some(listener)) => Ok(listener),
            Ok(None) => Err(SocketError::Handed(0)),
            Err(source) => Err(SocketError::Io { path, source }),
        }
    };
    Ok(Some((take(0)?, take(1)?)))
}

/// From launchd: by the two names that the plist gives them. The file type and the place are checked by [`Sockets::adopt`].
#[cfg(target_os = "macos")]
fn handed_over() -> Result<Option<(UnixListener, UnixListener)>, SocketError> {
    let named = |name: &str| {
        let failed = |source| SocketError::Io { path: PathBuf::from(format!("launchd's socket `{name}`")), source };
        kv_harden::launchd_sockets(name).map_err(failed)
    };
    match (named("agent")?, named("human")?) {
        (None, None) => Ok(None),
        (Some(agent), Some(human)) => match (<[_; 1]>::try_from(agent), <[_; 1]>::try_from(human)) {
            (Ok([agent]), Ok([human])) => Ok(Some((agent.into(), human.into()))),
            (Ok(_), Err(other)) | (Err(other), _) => Err(SocketError::Handed(other.len() + 1)),
        },
        _ => Err(SocketError::Handed(1)),
    }
}

fn is_at(listener: &UnixListener, path: &Path) -> bool {
    listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path))
}

fn nonblocking(sockets: Sockets) -> Result<Sockets, SocketError> {
    for listener in [&sockets.agent, &sockets.human] {
        listener.set_nonblocking(true).map_err(|source| SocketError::Io { path: "a socket".into(), source })?;
    }
    Ok(sockets)
}

fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let error = |source| SocketError::Io { path: path.to_owned(), source };
    if path.as_os_str().len() > MAX_PATH {
        return Err(SocketError::TooLong(path.to_owned()));
    }
    match fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        Err(other) => return Err(error(other)),
        Ok(found) if !found.file_type().is_socket() || found.uid() != rustix::process::getuid().as_raw() => {
            return Err(SocketError::Place { path: path.to_owned(), why: "is there already and is no socket of ours" });
        }
        Ok(_) => {
            if UnixStream::connect(path).is_ok() {
                return Err(SocketError::Busy(path.to_owned()));
            }
            fs::remove_file(path).map_err(error)?;
        }
    }
    let listener = UnixListener::bind(path).map_err(error)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(error)?;
    Ok(listener)
}

/// Makes a directory that only this user enters, or checks that it is one: a directory, ours, 0700, no symbolic link.
pub(crate) fn private_directory(path: &Path) -> Result<(), SocketError> {
    let error = |source| SocketError::Io { path: path.to_owned(), source };
    let place = |why| Err(SocketError::Place { path: path.to_owned(), why });
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error)?;
    let found = fs::symlink_metadata(path).map_err(error)?;
    if found.file_type().is_symlink() {
        return place("is a symbolic link");
    }
    if !found.is_dir() {
        return place("is no directory");
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return place("belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return place("can be entered by others: its mode must be 0700");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::under(directory.path());
        (directory, home)
    }

    #[test]
    fn binds_privately_and_only_once() {
        let (_directory, home) = home();
        let sockets = Sockets::bind(&home).unwrap();
        assert_eq!(fs::metadata(&home.runtime).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(home.human_socket()).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(Sockets::bind(&home), Err(SocketError::Busy(_))));
        drop(sockets);
        // A socket that nobody listens on is a dead daemon's.
        assert!(Sockets::bind(&home).is_ok());
    }

    #[test]
    fn refuses_odd_places() {
        let (_directory, home) = home();
        private_directory(&home.runtime).unwrap();
        fs::write(home.agent_socket(), "x").unwrap();
        assert!(matches!(Sockets::bind(&home), Err(SocketError::Place { .. })));
        fs::remove_file(home.agent_socket()).unwrap();
        fs::set_permissions(&home.runtime, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Sockets::bind(&home), Err(SocketError::Place { .. })));
        fs::remove_dir_all(&home.runtime).unwrap();
        std::os::unix::fs::symlink("/tmp", &home.runtime).unwrap();
        assert!(matches!(Sockets::bind(&home), Err(SocketError::Place { .. })));
    }
}
