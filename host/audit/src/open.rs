//! Finding the end of the chain when the daemon starts.
//!
//! Only the end is looked at, so that starting costs the same whatever the log's length; [`crate::verify()`] looks at
//! everything. Nothing that is an entry, or was one, is removed: bytes after the last newline never were one.

use std::io;

use crate::chain::{Chain, Resume, Urgency, begin_file, first_line};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{Entry, Head, MAX_LINE_BYTES, parse_line};
use crate::lines::{Line, Lines};
use crate::record::{Record, Repair, SegmentReason};

/// How the log was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The end of the chain, durable.
    pub head: Head,
    /// It was not there and has been begun.
    pub created: bool,
    /// The last line was whole and no entry. It was left alone and a new segment begun; `verify` will name it.
    pub damaged: bool,
    /// So many bytes of a torn last line were removed.
    pub repaired_bytes: u64,
}

/// The end of a segment, as it was found.
struct End {
    /// Without what is torn.
    length: u64,
    torn: u64,
    /// There is at least one newline.
    begun: bool,
    /// The last whole line; none if it is no entry.
    entry: Option<Entry>,
}

pub(crate) fn open(disk: &dyn Disk, segment_bytes: u64, now_ms: u64) -> Result<(Chain, Opened), OpenError> {
    let mut segments = disk.list().map_err(failed("listing"))?;
    let mut repairs = Vec::new();
    let mut end = last_end(disk, &segments)?;
    // The daemon died between making a segment and writing its first line. There is one such at most, and it is last.
    if let Some((segment, unbegun)) = end.take_if(|(_, end)| !end.begun) {
        disk.remove(segment).map_err(failed("repairing"))?;
        segments.pop();
        repairs.push(Repair { segment, bytes: unbegun.torn });
        end = last_end(disk, &segments)?;
    }
    let (mut chain, mut opened) = match end {
        None => begin(disk, segment_bytes, now_ms)?,
        Some((segment, end)) => {
            repairs.push(Repair { segment, bytes: end.torn });
            go_on(disk, &segments, segment, end, segment_bytes, now_ms)?
        }
    };
    repairs.retain(|repair| repair.bytes > 0);
    for repair in repairs {
        opened.repaired_bytes += repair.bytes;
        let appended = chain.append(disk, &Record::Repair(repair), now_ms, Urgency::Soon);
        appended.map_err(|error| failed("repairing")(io::Error::other(error)))?;
    }
    sync_now(&mut chain, disk)?;
    opened.head = chain.durable;
    Ok((chain, opened))
}

fn go_on(
    disk: &dyn Disk,
    segments: &[u32],
    segment: u32,
    end: End,
    segment_bytes: u64,
    now_ms: u64,
) -> Result<(Chain, Opened), OpenError> {
    let file = disk.reopen(segment).map_err(failed("opening"))?;
    if end.torn > 0 {
        file.truncate(end.length).map_err(failed("repairing"))?;
    }
    // What a killed daemon left unsynced is made durable here, so that all that is found counts as durable from now on.
    // It was in the last segment, or in the one before if it had just begun the last.
    if let Some(before) = segments.iter().rev().nth(1) {
        disk.reopen(*before).and_then(|before| before.sync()).map_err(failed("syncing"))?;
    }
    file.sync().and_then(|()| disk.sync_directory()).map_err(failed("syncing"))?;

    let damaged = end.entry.is_none();
    let entry = match end.entry {
        Some(entry) => entry,
        None => last_entry(disk, segments).map_err(failed("reading"))?.ok_or(OpenError::NoEntry)?,
    };
    let at = Resume { head: entry.head(), time_ms: entry.time_ms, segment, file, bytes: end.length };
    let mut chain = Chain::resume(at, segment_bytes);
    if damaged {
        let begun = chain.begin_segment(disk, SegmentReason::Damaged, now_ms);
        begun.map_err(|trouble| failed("repairing")(io::Error::other(trouble)))?;
    }
    Ok((chain, Opened { head: entry.head(), created: false, damaged, repaired_bytes: 0 }))
}

fn begin(disk: &dyn Disk, segment_bytes: u64, now_ms: u64) -> Result<(Chain, Opened), OpenError> {
    let (line, head) = first_line(now_ms);
    let file = begin_file(disk, 1, &line).map_err(failed("beginning"))?;
    file.sync().and_then(|()| disk.sync_directory()).map_err(failed("syncing"))?;
    let at = Resume { head, time_ms: now_ms, segment: 1, file, bytes: line.len() as u64 };
    let opened = Opened { head, created: true, damaged: false, repaired_bytes: 0 };
    Ok((Chain::resume(at, segment_bytes), opened))
}

fn sync_now(chain: &mut Chain, disk: &dyn Disk) -> Result<(), OpenError> {
    let (dirty, head) = chain.take_dirty();
    dirty.files.iter().try_for_each(|file| file.sync()).map_err(failed("syncing"))?;
    if dirty.directory {
        disk.sync_directory().map_err(failed("syncing"))?;
    }
    chain.synced(head);
    Ok(())
}

fn last_end(disk: &dyn Disk, segments: &[u32]) -> Result<Option<(u32, End)>, OpenError> {
    let Some(segment) = segments.last() else { return Ok(None) };
    let end = find_end(disk, *segment).map_err(failed("reading"))?;
    Ok(Some((*segment, end)))
}

fn find_end(disk: &dyn Disk, segment: u32) -> io::Result<End> {
    let most = 2 * MAX_LINE_BYTES as u64;
    let (length, bytes) = disk.tail(segment, most)?;
    let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return if length <= most {
            Ok(End { length: 0, torn: length, begun: false, entry: None })
        } else {
            find_end_before_hole(disk, segment, length)
        };
    };
    let torn = (bytes.len() - newline - 1) as u64;
    let line = bytes.get(..newline).unwrap_or_default().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(End { length: length - torn, torn, begun: true, entry: parse_line(line).ok() })
}

/// More bytes after the last newline than any line has: a hole, as a crash of the whole machine can leave.
fn find_end_before_hole(disk: &dyn Disk, segment: u32, length: u64) -> io::Result<End> {
    let mut end = End { length, torn: 0, begun: false, entry: None };
    let mut lines = Lines::open(disk, segment)?;
    loop {
        match lines.next()? {
            Line::End => return Ok(end),
            Line::Entry(entry) => (end.begun, end.entry) = (true, entry.ok()),
            Line::Torn { bytes } => (end.torn, end.length) = (bytes, length.saturating_sub(bytes)),
        }
    }
}

/// The last thing in the log that is an entry, looking back segment by segment.
fn last_entry(disk: &dyn Disk, segments: &[u32]) -> io::Result<Option<Entry>> {
    for segment in segments.iter().rev() {
        let mut last = None;
        let mut lines = Lines::open(disk, *segment)?;
        loop {
            match lines.next()? {
                Line::End | Line::Torn { .. } => break,
                Line::Entry(Ok(entry)) => last = Some(entry),
                Line::Entry(Err(_)) => {}
            }
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, source }
}
