//! One file before and after: its difference, its backup, its replacement in one step.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use similar::{ChangeTag, TextDiff};

use crate::output::inert;
use crate::problem::Problem;
use crate::time::now_ms;

/// A settings file is some hundred KiB at most, histories included.
const MAX_BYTES: u64 = 32 << 20;

/// A file and what is to be in it.
pub(super) struct Change {
    /// As the agent names it; it may be a symbolic link, and stays one.
    path: PathBuf,
    before: Option<String>,
    after: String,
}

/// The text of a file, or nothing where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Problem> {
    let error = |error: std::io::Error| Problem::failed(format!("{}: {error}", path.display()));
    match fs::metadata(path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
        Err(other) => Err(error(other)),
        Ok(found) if !found.is_file() => Err(Problem::failed(format!("{} is no file", path.display()))),
        Ok(found) if found.len() > MAX_BYTES => {
            Err(Problem::failed(format!("{} is over {MAX_BYTES} bytes", path.display())))
        }
        Ok(_) => fs::read_to_string(path).map(Some).map_err(error),
    }
}

impl Change {
    pub(super) fn new(path: &Path, before: Option<String>, after: String) -> Self {
        Self { path: path.to_owned(), before, after }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn changes_something(&self) -> bool {
        self.before.as_deref().unwrap_or_default() != self.after
    }

    /// The lines that go and come, with a little around them.
    pub(super) fn diff(&self, color: bool) -> String {
        let mut out = format!("{}\n", self.path.display());
        let before = self.before.as_deref().unwrap_or_default();
        let diff = TextDiff::from_lines(before, &self.after);
        for group in diff.grouped_ops(2) {
            for op in group {
                for change in diff.iter_changes(&op) {
                    let (mark, paint) = match change.tag() {
                        ChangeTag::Delete => ('-', "31"),
                        ChangeTag::Insert => ('+', "32"),
                        ChangeTag::Equal => (' ', "0"),
                    };
                    let line = inert(change.value().trim_end_matches('\n'));
                    if color && mark != ' ' {
                        out.push_str(&format!("  \u{1b}[{paint}m{mark} {line}\u{1b}[0m\n"));
                    } else {
                        out.push_str(&format!("  {mark} {line}\n"));
                    }
                }
            }
        }
        out
    }

    /// Whether there is something to back up.
    pub(super) fn replaces(&self) -> bool {
        self.before.is_some()
    }

    /// Backs the file up and replaces it in one step, if it is still what was read.
    pub(super) fn apply(&self, backups: &Path) -> Result<(), Problem> {
        if read(&self.path)? != self.before {
            return Err(Problem::failed(format!("{} changed meanwhile, and is kept as it is", self.path.display()))
                .next("run the same command again"));
        }
        let error = |error: std::io::Error| Problem::failed(format!("{}: {error}", self.path.display()));
        // Behind a link the file itself is replaced, and the link stays.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mode = fs::metadata(&target).map_or(0o600, |found| found.mode() & 0o777);
        if let Some(before) = &self.before {
            self.back_up(backups, before)?;
        }
        if self.after.is_empty() {
            // Nothing of anybody's is left in it.
            return fs::remove_file(&target).map_err(error);
        }
        let directory = target.parent().ok_or_else(|| Problem::failed("the file has no directory"))?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(error)?;
        let part = directory.join(format!(".kv-{}-{}", std::process::id(), now_ms()));
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).and_then(|mut file| {
            file.write_all(self.after.as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&part, &target)
        });
        written.map_err(|cause| {
            // The half-written part is ours to remove; the file itself was not touched.
            let _ = fs::remove_file(&part);
            error(cause)
        })
    }

    fn back_up(&self, backups: &Path, before: &str) -> Result<(), Problem> {
        let error = |error: std::io::Error| Problem::failed(format!("{}: {error}", backups.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(backups).map_err(error)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let backup = backups.join(format!("{}-{name}", now_ms()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(backup).map_err(error)?;
        file.write_all(before.as_bytes()).and_then(|()| file.sync_all()).map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_behind_a_link_and_keeps_the_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link, backups) =
            (directory.path().join("real"), directory.path().join("link"), directory.path().join("backups"));
        fs::write(&real, "a\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let change = Change::new(&link, Some("a\n".into()), "b\n".into());
        change.apply(&backups).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b\n");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&backups).unwrap().count(), 1);
        // It is not what was read any more.
        assert!(change.apply(&backups).is_err());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b\n");
    }
}
