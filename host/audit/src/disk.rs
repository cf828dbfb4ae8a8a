//! What the log asks of a file system, small enough that a test can fail, tear or hang any of it.

use std::io::{self, Read};
use std::sync::Arc;

/// Reading segments. They are numbered from 1.
pub(crate) trait Segments: Send + Sync {
    /// The numbers there are, ascending.
    fn list(&self) -> io::Result<Vec<u32>>;
    fn reader(&self, number: u32) -> io::Result<Box<dyn Read + Send>>;
    /// The length, and at most the last `most` bytes.
    fn tail(&self, number: u32, most: u64) -> io::Result<(u64, Vec<u8>)>;
}

/// Writing them.
pub(crate) trait Disk: Segments {
    /// A new, empty segment; an error if there is one of that number.
    fn create(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>>;
    /// An existing one, for appending.
    fn reopen(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>>;
    fn remove(&self, number: u32) -> io::Result<()>;
    /// Makes creations and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One segment, open for appending.
pub(crate) trait SegmentFile: Send + Sync {
    /// As write(2): it may write less than it was given.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// As fdatasync(2).
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// Appends all of it. On an error, any part of it may have been written.
pub(crate) fn append_all(file: &dyn SegmentFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
