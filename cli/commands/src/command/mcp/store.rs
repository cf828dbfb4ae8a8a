//! Files for what is too large, or too binary, to stand in an answer's text.
//!
//! They lie in a directory that only this user can enter, each readable by this user alone, and go when the session ends.
//! What is in them is a service's answer, cleaned by the daemon like any other.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::shown::Shown;
use crate::problem::Problem;

/// As many files as are kept; the oldest goes first.
const MAX_FILES: usize = 64;
/// As many bytes as they may hold together. The directory is usually in memory.
const MAX_TOTAL: u64 = 256 << 20;

/// The files of one session.
#[derive(Default)]
pub(super) struct Store {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    directory: Option<PathBuf>,
    kept: VecDeque<Arc<Stored>>,
    count: u64,
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Stored {
    id: u64,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// The connection that the data came from.
    pub(super) from: String,
    pub(super) shown: Shown,
}

/// A file that is being written. Dropped before it is kept, it is removed.
pub(super) struct Draft {
    id: u64,
    path: PathBuf,
    file: File,
    size: u64,
    kept: bool,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) from: String,
    pub(super) text: String,
    pub(super) next: Option<String>,
    pub(super) size: u64,
}

impl Store {
    pub(super) fn draft(&self, extension: &str) -> Result<Draft, Problem> {
        let mut state = self.lock();
        let directory = match &state.directory {
            Some(directory) => directory.clone(),
            None => state.directory.insert(make_directory()?).clone(),
        };
        state.count += 1;
        let path = directory.join(format!("answer-{}.{extension}", state.count));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, &error))?;
        Ok(Draft { id: state.count, path, file, size: 0, kept: false })
    }

    /// Keeps a written file, and lets the oldest go where there are too many.
    pub(super) fn keep(&self, mut draft: Draft, from: &str, shown: Shown) -> Result<Arc<Stored>, Problem> {
        draft.file.flush().map_err(|error| failed(&draft.path, &error))?;
        draft.kept = true;
        let stored =
            Arc::new(Stored { id: draft.id, path: draft.path.clone(), size: draft.size, from: from.to_owned(), shown });
        let mut state = self.lock();
        state.kept.push_back(Arc::clone(&stored));
        while state.kept.len() > MAX_FILES
            || (state.kept.len() > 1 && state.kept.iter().map(|kept| kept.size).sum::<u64>() > MAX_TOTAL)
        {
            if let Some(oldest) = state.kept.pop_front() {
                // Somebody may have removed it already.
                let _ = std::fs::remove_file(&oldest.path);
            }
        }
        Ok(stored)
    }

    /// The text from a cursor on.
    pub(super) fn page(&self, cursor: &str, most: usize) -> Result<Page, Problem> {
        let unknown = || {
            Problem::usage(format!(
                "`{}` is no cursor of this session, or its text has been let go",
                crate::output::inert(cursor)
            ))
        };
        let (id, at) = cursor.split_once('.').ok_or_else(unknown)?;
        let (id, at): (u64, u64) = (id.parse().map_err(|_| unknown())?, at.parse().map_err(|_| unknown())?);
        let stored = self
            .lock()
            .kept
            .iter()
            .find(|kept| kept.id == id && kept.shown != Shown::Bytes && at < kept.size)
            .cloned()
            .ok_or_else(unknown)?;
        let mut bytes = Vec::new();
        let mut file = File::open(&stored.path).map_err(|error| failed(&stored.path, &error))?;
        file.seek(SeekFrom::Start(at)).map_err(|error| failed(&stored.path, &error))?;
        file.take(most as u64).read_to_end(&mut bytes).map_err(|error| failed(&stored.path, &error))?;
        let text = beginning(&bytes).ok_or_else(unknown)?;
        let (piece, text) = stored.shown.fit(text, most);
        Ok(Page { from: stored.from.clone(), text, next: stored.cursor(at + piece.len() as u64), size: stored.size })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(directory) = self.lock().directory.take() {
            // What is left is swept by the next session that makes a directory.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

impl Stored {
    /// Where to read on, unless that is the end.
    pub(super) fn cursor(&self, at: u64) -> Option<String> {
        (self.shown != Shown::Bytes && at < self.size).then(|| format!("{}.{at}", self.id))
    }
}

impl Draft {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, &error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The whole characters at the beginning of some bytes, unless they are no text.
pub(super) fn beginning(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// A new directory: `mkdir` fails where something has the name already, so nobody can have prepared it.
fn make_directory() -> Result<PathBuf, Problem> {
    let base = base(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    sweep(&base);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let path = base.join(format!("{PREFIX}{}-{nanos}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&path).map_err(|error| failed(&path, &error))?;
    Ok(path)
}

const PREFIX: &str = "kv-mcp-";

/// The session's runtime directory if it is private, or the directory for temporary files.
fn base(runtime: Option<PathBuf>) -> PathBuf {
    let private = |path: &PathBuf| {
        let own = rustix::process::getuid().as_raw();
        path.is_absolute()
            && std::fs::metadata(path)
                .is_ok_and(|found| found.is_dir() && found.uid() == own && found.mode() & 0o077 == 0)
    };
    runtime.filter(private).unwrap_or_else(std::env::temp_dir)
}

/// Removes what sessions left that were killed: directories of ours whose process is no more.
fn sweep(base: &Path) {
    let own = rustix::process::getuid().as_raw();
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let Some(process) = process.and_then(rustix::process::Pid::from_raw) else { continue };
        let gone = rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH);
        // `metadata` of an entry does not follow a link, and `remove_dir_all` neither.
        if gone && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    kv_api::ApiError::new(kv_api::Code::Failed, format!("the answer was not stored: {}: {error}", path.display()))
        .sent(kv_api::Sent::Yes)
        .into()
}
