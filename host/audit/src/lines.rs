//! Reading a segment line by line, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

use crate::disk::Segments;
use crate::format::{Entry, LineError, MAX_LINE_BYTES, parse_line};

/// One read(2) for some 500 entries.
const BUFFER_BYTES: usize = 256 << 10;

pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    /// Of the line read last, from 1.
    pub(crate) number: u64,
}

#[expect(clippy::large_enum_variant, reason = "made once for each line and taken apart at once; a box would cost more")]
pub(crate) enum Line {
    End,
    /// A line without its newline, as an entry or as what it is instead.
    Entry(Result<Entry, LineError>),
    /// The segment's last bytes, without a newline.
    Torn {
        bytes: u64,
    },
}

impl Lines {
    pub(crate) fn open(source: &dyn Segments, segment: u32) -> io::Result<Self> {
        let reader = BufReader::with_capacity(BUFFER_BYTES, source.reader(segment)?);
        Ok(Self { reader, line: Vec::new(), number: 0 })
    }

    pub(crate) fn next(&mut self) -> io::Result<Line> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.number += 1;
        match self.line.split_last() {
            Some((b'\n', line)) => Ok(Line::Entry(parse_line(line))),
            _ if read == MAX_LINE_BYTES => self.skip_line(read as u64),
            _ => Ok(Line::Torn { bytes: read as u64 }),
        }
    }

    /// The rest of a line that is longer than any entry, in pieces.
    fn skip_line(&mut self, mut bytes: u64) -> io::Result<Line> {
        loop {
            self.line.clear();
            let read = (&mut self.reader).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut self.line)?;
            bytes += read as u64;
            if self.line.ends_with(b"\n") {
                return Ok(Line::Entry(Err(LineError::TooLong)));
            }
            if read == 0 {
                return Ok(Line::Torn { bytes });
            }
        }
    }
}

/// A segment's first entry, if it is one.
pub(crate) fn first_entry(source: &dyn Segments, segment: u32) -> io::Result<Option<Entry>> {
    Ok(match Lines::open(source, segment)?.next()? {
        Line::Entry(entry) => entry.ok(),
        Line::End | Line::Torn { .. } => None,
    })
}
