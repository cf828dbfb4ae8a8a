//! HTTP/1.1 over the daemon's sockets, written by hand: it sends whatever bytes it is given, and reads answers strictly.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Kv;
use super::patience::PATIENCE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Agent,
    Human,
}

/// One connection to the daemon.
pub(crate) struct Wire<'a> {
    kv: &'a Kv,
    pub(crate) stream: UnixStream,
    unread: Vec<u8>,
    read: Vec<u8>,
    /// What is left of the present body.
    body: Framing,
    /// Silence is an end like another, and not the test's failure.
    impatient: bool,
    /// It was.
    pub(crate) gave_up: bool,
    /// What it reads is not searched for secrets: the caller has put one in itself.
    unseen: bool,
    /// The daemon may be killed at any moment: half a head is no head.
    breaks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
}

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Data(Vec<u8>),
    /// The proper end, with its trailers.
    End(Vec<(String, String)>),
    /// The connection ended before the body did.
    Broken,
}

impl<'a> Wire<'a> {
    #[track_caller]
    pub(crate) fn connect(kv: &'a Kv, door: Door) -> Self {
        Self::try_connect(kv, door).unwrap_or_else(|error| panic!("nobody is at the {door:?}'s door: {error}"))
    }

    /// To a daemon that may not be there, or go at any moment.
    pub(crate) fn to_a_mortal(kv: &'a Kv, door: Door) -> Option<Self> {
        let mut wire = Self::try_connect(kv, door).ok()?;
        wire.breaks = true;
        Some(wire)
    }

    fn try_connect(kv: &'a Kv, door: Door) -> io::Result<Self> {
        let path = match door {
            Door::Agent => kv.home().agent_socket(),
            Door::Human => kv.home().human_socket(),
        };
        let stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has one");
        Ok(Self {
            kv,
            stream,
            unread: Vec::new(),
            read: Vec::new(),
            body: Framing::Length(0),
            impatient: false,
            gave_up: false,
            unseen: false,
            breaks: false,
        })
    }

    /// Waits no longer than this for anything: what does not come is taken for broken off.
    pub(crate) fn wait_at_most(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a socket has one");
        self.impatient = true;
    }

    pub(crate) fn is_unseen(&mut self) {
        self.unseen = true;
    }

    /// Sends bytes as they are. An error is a daemon that has closed the connection.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The head of the next answer. `None`: the connection was closed without one.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill() {
                assert!(
                    self.unread.is_empty() || self.breaks,
                    "half a head: {:?}",
                    String::from_utf8_lossy(&self.unread)
                );
                return None;
            }
        };
        let text = String::from_utf8(self.unread.drain(..end + 4).collect()).expect("heads are ASCII");
        let mut lines = text.trim_end().split("\r\n");
        assert!(lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 ")), "no status line: {text}");
        let headers = headers(lines);
        let head = Head { headers };
        self.body = match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a length is a number")),
            (None, None) => Framing::Length(0),
            other => panic!("two framings: {other:?}"),
        };
        Some(head)
    }

    /// The next piece of the answer's body.
    #[track_caller]
    pub(crate) fn part(&mut self) -> Part {
        match self.body {
            Framing::Length(0) => Part::End(Vec::new()),
            Framing::Length(left) => {
                if self.unread.is_empty() && !self.fill() {
                    return Part::Broken;
                }
                let data: Vec<u8> = self.unread.drain(..left.min(self.unread.len())).collect();
                self.body = Framing::Length(left - data.len());
                Part::Data(data)
            }
            Framing::Chunked => self.chunk(),
        }
    }

    fn chunk(&mut self) -> Part {
        let Some(size) = self.line() else { return Part::Broken };
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("a chunk of size {size:?}"));
        if size == 0 {
            let mut lines = Vec::new();
            loop {
                match self.line() {
                    None => return Part::Broken,
                    Some(line) if line.is_empty() => break,
                    Some(line) => lines.push(line),
                }
            }
            self.body = Framing::Length(0);
            return Part::End(headers(lines.iter().map(String::as_str)));
        }
        while self.unread.len() < size + 2 {
            if !self.fill() {
                return Part::Broken;
            }
        }
        let data: Vec<u8> = self.unread.drain(..size).collect();
        assert_eq!(self.unread.drain(..2).collect::<Vec<_>>(), b"\r\n");
        Part::Data(data)
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Some(String::from_utf8(line[..at].to_vec()).expect("lines of the framing are ASCII"));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads more. `false`: there is no more.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut chunk = vec![0; 64 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(length) => {
                self.unread.extend_from_slice(&chunk[..length]);
                self.read.extend_from_slice(&chunk[..length]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.impatient => {
                self.gave_up = true;
                false
            }
            Err(error) => panic!("nothing comes from the daemon: {error}"),
        }
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        if !self.unseen {
            self.kv.saw("an answer at a socket", &self.read);
        }
    }
}

fn headers<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<(String, String)> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

/// A request as the API wants it.
pub(crate) fn request(method: &str, target: &str, more: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: kv\r\nkv-api: 1\r\nte: trailers\r\n");
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}
