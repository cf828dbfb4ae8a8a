//! The line: one entry as bytes and back. Pure; nothing here opens a file.
//!
//! ```text
//! {"seq":7,"time_ms":1700000000000,"prev":"<64 hex>","kind":"locked","cause":"asked","hash":"<64 hex>"}
//! ```
//!
//! `hash` is the SHA-256 of the line's bytes before `,"hash":"`. `prev` is in those bytes, so each hash covers
//! everything before it. Every value has one byte form and fields have one order: [`parse_line`] takes nothing else.

use kv_model::Digest;
use serde::{Deserialize, Serialize};

use crate::field::{Cursor, Field, write_hex, write_number, write_plain};
use crate::record::Record;

/// The version that the first entry of a segment states. Another form of line, or a further field at its end such as a
/// keyed code over the hash, is another version.
pub const FORMAT: u32 = 1;

/// As long as a line may be, its newline included. The longest that occurs is a `kv run` with hundreds of secrets.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// `,"hash":"`, 64 digits, `"}`.
const SUFFIX_BYTES: usize = 75;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1 for the first, and no gaps.
    pub seq: u64,
    /// Since 1970, and never before the entry before.
    pub time_ms: u64,
    /// How far the clock was behind the entry before; then `time_ms` repeats that entry's time.
    pub clock_back_ms: u64,
    /// The hash of the entry before; zeros before the first.
    pub prev: Digest,
    pub record: Record,
    pub hash: Digest,
}

/// The end of the chain at some time. Kept outside the log, it tells whether the log still holds everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub seq: u64,
    pub hash: Digest,
}

impl Head {
    /// Before the first entry.
    pub const START: Head = Head { seq: 0, hash: Digest::ZERO };
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("its hash is not that of its bytes")]
    Hash,
    #[error("it is not in the form of an entry")]
    Malformed,
    #[error("it is longer than an entry can be")]
    TooLong,
}

impl Entry {
    /// The canonical line, without its newline.
    pub fn line(&self) -> String {
        let mut out = Vec::with_capacity(512);
        self.write(&mut out);
        // Only names, digits and escaped texts go in, so this never replaces anything.
        String::from_utf8_lossy(&out).into_owned()
    }

    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_body(out, self.seq, self.time_ms, self.clock_back_ms, self.prev, &self.record);
        write_suffix(out, self.hash);
    }
}

/// Writes the line and its newline; gives back the hash.
pub(crate) fn write_line(
    out: &mut Vec<u8>,
    seq: u64,
    time_ms: u64,
    clock_back_ms: u64,
    prev: Digest,
    record: &Record,
) -> Digest {
    write_body(out, seq, time_ms, clock_back_ms, prev, record);
    let hash = Digest::of(out);
    write_suffix(out, hash);
    out.push(b'\n');
    hash
}

fn write_body(out: &mut Vec<u8>, seq: u64, time_ms: u64, clock_back_ms: u64, prev: Digest, record: &Record) {
    out.extend_from_slice(b"{\"seq\":");
    write_number(seq, out);
    out.extend_from_slice(b",\"time_ms\":");
    write_number(time_ms, out);
    if clock_back_ms > 0 {
        out.extend_from_slice(b",\"clock_back_ms\":");
        write_number(clock_back_ms, out);
    }
    out.extend_from_slice(b",\"prev\":");
    write_hex(prev.as_bytes(), out);
    out.extend_from_slice(b",\"kind\":");
    write_plain(record.kind(), out);
    record.write(out);
}

fn write_suffix(out: &mut Vec<u8>, hash: Digest) {
    out.extend_from_slice(b",\"hash\":");
    write_hex(hash.as_bytes(), out);
    out.push(b'}');
}

/// Reads one line, without its newline. What comes back has the right form and the right hash; whether it follows on
/// the entry before is for the caller to see.
pub fn parse_line(line: &[u8]) -> Result<Entry, LineError> {
    if line.len() >= MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let (body, suffix) = line.split_at_checked(line.len().wrapping_sub(SUFFIX_BYTES)).ok_or(LineError::Malformed)?;
    let hash = read_suffix(suffix).ok_or(LineError::Malformed)?;
    if Digest::of(body) != hash {
        return Err(LineError::Hash);
    }
    let entry = read_body(body, hash).ok_or(LineError::Malformed)?;
    // The readers of fields forgive a few things that JSON allows. The form does not.
    let mut again = Vec::with_capacity(line.len());
    entry.write(&mut again);
    if again == line { Ok(entry) } else { Err(LineError::Malformed) }
}

fn read_suffix(suffix: &[u8]) -> Option<Digest> {
    let mut cursor = Cursor::new(suffix);
    cursor.take(b",\"hash\":")?;
    let hash = Digest::read(&mut cursor)?;
    cursor.take(b"}")?;
    Some(hash)
}

fn read_body(body: &[u8], hash: Digest) -> Option<Entry> {
    let mut cursor = Cursor::new(body);
    cursor.take(b"{\"seq\":")?;
    let seq = u64::read(&mut cursor)?;
    cursor.take(b",\"time_ms\":")?;
    let time_ms = u64::read(&mut cursor)?;
    let clock_back_ms = match cursor.take(b",\"clock_back_ms\":") {
        Some(()) => u64::read(&mut cursor)?,
        None => 0,
    };
    cursor.take(b",\"prev\":")?;
    let prev = Digest::read(&mut cursor)?;
    cursor.take(b",\"kind\":")?;
    let kind = cursor.plain()?;
    let record = Record::read(kind, &mut cursor)?;
    cursor.is_empty().then_some(Entry { seq, time_ms, clock_back_ms, prev, record, hash })
}
