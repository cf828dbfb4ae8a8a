//! What reads: a file or its end, a directory, what a path is. Each command's program is one that writes nothing, whatever
//! its arguments are.

use std::ops::Range;

use kv_sdk::{Command, Exit, Failure, FailureKind, Io, Output, Reply, json};

use crate::failure;
use crate::path::MachinePath;
use crate::piece::Piece;

const DEFAULT_READ: u32 = 256 << 10;
/// As text with every character escaped, or as base64, it stays under the host's limit for a result.
const MAX_READ: u32 = 1 << 20;
const DEFAULT_LINES: u32 = 100;
const DEFAULT_ENTRIES: usize = 200;
/// A directory's names are cut here; at 20 bytes a name these are 50,000.
const MAX_LISTING: u32 = 1 << 20;
/// As long as the paths in one command are together, quoted: under the host's limit for one, which is 100 KiB.
const MAX_PATHS_BYTES: usize = 64 << 10;
/// A byte of a path that has to be quoted, at its longest: a quote, left and entered again, each byte of that in digits.
const QUOTED_BYTES: usize = 20;
/// As many commands as one listing takes; a list whose paths need more is cut.
const MAX_STATS: usize = 32;
/// Type and permissions in hexadecimal, size, time of change, owner, group, and the name at last, since it may hold
/// anything but a NUL.
const FORMAT: &str = "%f %s %Y %U %G %n";

#[kv_sdk::input]
pub(crate) struct ReadFile {
    /// The file, from `/` or from the home directory.
    path: String,
    /// How many bytes of it to pass over; 0 when not said.
    offset: Option<u64>,
    /// How many bytes to read, up to 1048576; 262144 when not said.
    #[schemars(range(min = 1, max = 1048576))]
    limit: Option<u32>,
}

/// Read a file
///
/// A regular file, or what a symbolic link to one leads to: a pipe or a device has no end. `text` where it is UTF-8, else `base64`. `bytes` is how much was read; where `truncated` is true the file goes on, at
/// `next_offset`.
#[kv_sdk::operation(name = "read-file", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn read_file(io: &Io, input: ReadFile) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let offset = input.offset.unwrap_or_default();
    let from = format!("+{}", offset.saturating_add(1));
    let limit = input.limit.unwrap_or(DEFAULT_READ).min(MAX_READ);
    regular(io, &path).await?;
    let piece = read(io, &path, Command::argv(["tail", "-c", &from, "--", path.as_str()]).max_output(limit)).await?;
    let next = piece.truncated.then(|| offset.saturating_add(piece.bytes as u64));
    let mut reply = json!({ "path": input.path, "offset": offset });
    add(&mut reply, piece)?;
    if let Some(next) = next {
        reply["next_offset"] = next.into();
    }
    Ok(reply.into())
}

#[kv_sdk::input]
pub(crate) struct Tail {
    /// The file, from `/` or from the home directory.
    path: String,
    /// How many of its last lines, up to 10000; 100 when not said.
    #[schemars(range(min = 1, max = 10000))]
    lines: Option<u32>,
}

/// Read the end of a file
///
/// A regular file's, or what a symbolic link to one leads to. Its last lines, as `text`, or as `base64` where it is not UTF-8.
#[kv_sdk::operation(name = "tail", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn tail(io: &Io, input: Tail) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let lines = input.lines.unwrap_or(DEFAULT_LINES).to_string();
    regular(io, &path).await?;
    let piece =
        read(io, &path, Command::argv(["tail", "-n", &lines, "--", path.as_str()]).max_output(MAX_READ)).await?;
    let mut reply = json!({ "path": input.path });
    add(&mut reply, piece)?;
    Ok(reply.into())
}

fn add(reply: &mut kv_sdk::Value, piece: Piece) -> Result<(), Failure> {
    let unwritable = |error| Failure::internal(format!("no JSON of a piece: {error}"));
    let piece = kv_sdk::serde_json::to_value(piece).map_err(unwritable)?;
    if let (Some(reply), kv_sdk::Value::Object(piece)) = (reply.as_object_mut(), piece) {
        reply.extend(piece);
    }
    Ok(())
}

/// Refuses what is no file. `ls` is asked, since it opens nothing and is the same everywhere; a name that is made
/// something else in the next moment is the machine's own doing, and the command's time ends that.
async fn regular(io: &Io, path: &MachinePath) -> Result<(), Failure> {
    let kind = |output: Output| Ok(output.error_for_exit()?.stdout.first().copied());
    let listed = io.run_with(Command::argv(["ls", "-ldL", "--", path.as_str()]), kind).await;
    let what = match listed {
        Ok(Some(b'-')) => return Ok(()),
        Ok(Some(b'd')) => return Err(failure::is_directory(path.as_str())),
        Ok(Some(b'p')) => "a pipe",
        Ok(Some(b'c' | b'b')) => "a device",
        Ok(Some(b's')) => "a socket",
        Ok(_) => "something else",
        Err(complaint) if failure::is_unclear(&complaint) => return Err(look_why(io, path, complaint).await),
        Err(complaint) => return Err(complaint),
    };
    Err(Failure::invalid_input(format!("`{}` is {what}; only regular files are read", path.as_str())).at("/path"))
}

/// Runs a command that reads one file. A command that was cut at its limit did what it should.
async fn read(io: &Io, path: &MachinePath, command: Command) -> Result<Piece, Failure> {
    let piece = io
        .run_with(command, |output| match output {
            Output { truncated: true, exit: Exit::Code(_) | Exit::Signal(_), .. } => Ok(Piece::of(output.stdout, true)),
            output => Ok(Piece::of(output.error_for_exit()?.stdout, false)),
        })
        .await;
    match piece {
        Err(complaint) if failure::is_unclear(&complaint) => Err(look_why(io, path, complaint).await),
        piece => piece,
    }
}

/// Programs say in words why they could not read, and the words are in the machine's language. What a path is, is not.
async fn look_why(io: &Io, path: &MachinePath, complaint: Failure) -> Failure {
    match facts(io, path, true).await {
        Ok(entry) if entry.kind == "directory" => failure::is_directory(path.as_str()),
        Ok(_) => Failure { kind: FailureKind::Forbidden, ..complaint },
        Err(error) if failure::is_unclear(&error) => {
            let message = format!(
                "`{}` cannot be reached: it is not there, or this user may not enter a directory on the way",
                path.as_str()
            );
            Failure::new(FailureKind::NotFound, message).at("/path")
        }
        Err(error) => error,
    }
}

/// What a path is.
#[kv_sdk::data]
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    /// `file`, `directory`, `link` and so on; absent where the machine would not say.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    kind: String,
    size: Option<u64>,
    /// Permissions, as `chmod` takes them.
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    /// In seconds since 1970.
    modified: Option<i64>,
}

impl Entry {
    /// From a line in [`FORMAT`].
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(6, ' ');
        let mode = u32::from_str_radix(parts.next()?, 16).ok()?;
        let kind = match mode & 0o170000 {
            0o100000 => "file",
            0o040000 => "directory",
            0o120000 => "link",
            0o020000 => "character device",
            0o060000 => "block device",
            0o010000 => "pipe",
            0o140000 => "socket",
            _ => "other",
        };
        let size = parts.next()?.parse().ok()?;
        let modified = parts.next()?.parse().ok()?;
        let (owner, group) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self {
            name: parts.next()?.to_owned(),
            kind: kind.to_owned(),
            size: Some(size),
            mode: Some(format!("{:04o}", mode & 0o7777)),
            owner: Some(owner),
            group: Some(group),
            modified: Some(modified),
        })
    }

    /// The next of several, if it is the one of this name: a name may hold lines of its own.
    fn next<'a>(text: &'a str, directory: &str, name: &str) -> Option<(Self, &'a str)> {
        let end = text.match_indices(' ').nth(4)?.0 + 1;
        let (facts, rest) = text.split_at_checked(end)?;
        let rest = rest.strip_prefix(directory)?.strip_prefix(name)?.strip_prefix('\n')?;
        Some((Self::parse(&format!("{facts}{name}"))?, rest))
    }

    fn unknown(name: String) -> Self {
        Self { name, kind: String::new(), size: None, mode: None, owner: None, group: None, modified: None }
    }
}

#[kv_sdk::input]
pub(crate) struct Stat {
    /// A file, directory or anything else, from `/` or from the home directory.
    path: String,
    /// Of a symbolic link, what it leads to instead of the link itself.
    follow: Option<bool>,
}

/// Say what a path is
///
/// Its kind, size in bytes, permissions, owner, group, and when it was last changed. Linux only, with GNU or BusyBox
/// tools.
#[kv_sdk::operation(name = "stat", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn stat(io: &Io, input: Stat) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let entry = facts(io, &path, input.follow.unwrap_or_default()).await.map_err(|failure| {
        if failure::is_unclear(&failure) {
            Failure { kind: FailureKind::NotFound, ..failure }.at("/path")
        } else {
            failure
        }
    })?;
    Reply::json(&entry)
}

async fn facts(io: &Io, path: &MachinePath, follow: bool) -> Result<Entry, Failure> {
    let mut argv = vec!["stat"];
    argv.extend(follow.then_some("-L"));
    argv.extend(["-c", FORMAT, "--", path.as_str()]);
    let read = |output: Output| {
        let output = output.error_for_exit()?;
        let unexpected = || Failure::new(FailureKind::Upstream, "`stat` on this machine is another program");
        Entry::parse(output.text().trim_end_matches('\n')).ok_or_else(unexpected)
    };
    io.run_with(Command::argv(argv), read).await
}

#[kv_sdk::input]
pub(crate) struct ListDir {
    /// The directory, from `/` or from the home directory; the home directory when not said.
    path: Option<String>,
    /// How many entries, up to 1000; 200 when not said.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// List a directory
///
/// Names in order, hidden ones too, each with what `stat` says of it. `truncated` says whether there are more: beyond the
/// limit, or beyond what fits where the paths are very long.
#[kv_sdk::operation(name = "list-dir", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn list_dir(io: &Io, input: ListDir) -> Result<Reply, Failure> {
    let path = input.path.as_deref().unwrap_or(".");
    let directory = MachinePath::parse(path)?.directory();
    let limit = input.limit.unwrap_or(DEFAULT_ENTRIES);
    let (mut names, mut truncated) = names(io, &directory, limit).await?;
    let mut entries = Vec::new();
    let chunks = chunks(&directory, &names);
    if let Some(first) = chunks.get(MAX_STATS) {
        names.truncate(first.start);
        truncated = true;
    }
    for chunk in chunks.into_iter().take(MAX_STATS) {
        entries.extend(facts_of(io, &directory, names.get(chunk).unwrap_or_default()).await?);
    }
    Ok(json!({ "path": path, "entries": entries, "truncated": truncated }).into())
}

/// The first names of a directory, and whether there are more. GNU's `ls` is asked to escape what would break a line;
/// BusyBox's does not know how to, and shows a `?` for it.
async fn names(io: &Io, directory: &str, limit: usize) -> Result<(Vec<String>, bool), Failure> {
    let escaped = list(io, directory, "-1Ab", limit, unescaped).await;
    let listed = match escaped {
        Err(complaint) if failure::is_unclear(&complaint) => list(io, directory, "-1A", limit, str::to_owned).await,
        listed => listed,
    };
    match listed {
        Err(complaint) if failure::is_unclear(&complaint) => {
            let path = MachinePath::parse(directory)?;
            Err(look_why(io, &path, complaint).await)
        }
        listed => listed,
    }
}

async fn list(
    io: &Io,
    directory: &str,
    how: &str,
    limit: usize,
    name: fn(&str) -> String,
) -> Result<(Vec<String>, bool), Failure> {
    let read = |output: Output| {
        let cut = output.truncated;
        let output = if cut { output } else { output.error_for_exit()? };
        let text = output.text();
        let mut lines: Vec<_> = text.lines().collect();
        if cut {
            lines.pop();
        }
        let names: Vec<_> = lines.iter().take(limit).map(|line| name(line)).collect();
        Ok((names, cut || lines.len() > limit))
    };
    io.run_with(Command::argv(["ls", how, "--", directory]).max_output(MAX_LISTING), read).await
}

/// A name as `ls -b` writes it. Bytes that make no text are shown as such, as everywhere.
fn unescaped(line: &str) -> String {
    let mut name = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, used) = if byte == b'\\' { escape(after).unwrap_or((byte, 0)) } else { (byte, 0) };
        name.push(byte);
        rest = after.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&name).into_owned()
}

/// What stands behind a backslash, and how long it is.
fn escape(after: &[u8]) -> Option<(u8, usize)> {
    let octal = |byte: &u8| matches!(byte, b'0'..=b'7').then(|| u16::from(byte - b'0'));
    if let [a, b, c, ..] = after
        && let (Some(a), Some(b), Some(c)) = (octal(a), octal(b), octal(c))
    {
        return Some((u8::try_from(a * 64 + b * 8 + c).ok()?, 3));
    }
    let byte = match after.first()? {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        byte @ (b' ' | b'\\' | b'"') => *byte,
        _ => return None,
    };
    Some((byte, 1))
}

/// What `stat` says of each. A name that has gone in the meantime has no facts; neither has one that BusyBox shows with
/// `?` for what its `ls` does not print, nor any where `stat` is another program, nor one whose path is too long to ask.
async fn facts_of(io: &Io, directory: &str, names: &[String]) -> Result<Vec<Entry>, Failure> {
    let unknown = || names.iter().map(|name| Entry::unknown(name.clone()));
    if names.iter().map(|name| weight(directory) + weight(name)).sum::<usize>() > MAX_PATHS_BYTES {
        return Ok(unknown().collect());
    }
    let paths = names.iter().map(|name| format!("{directory}{name}"));
    let argv: Vec<String> = ["stat", "-c", FORMAT, "--"].map(str::to_owned).into_iter().chain(paths).collect();
    let read = |output: Output| {
        let text = output.text();
        let mut rest = &*text;
        let entries = names.iter().map(|name| {
            let (entry, after) = Entry::next(rest, directory, name)?;
            rest = after;
            Some(entry)
        });
        let entries: Vec<_> = entries.collect();
        Ok(entries.into_iter().zip(unknown()).map(|(entry, unknown)| entry.unwrap_or(unknown)).collect())
    };
    io.run_with(Command::argv(argv), read).await
}

/// Names by the command's worth, as ranges. One that is too long by itself stands alone.
fn chunks(directory: &str, names: &[String]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    let before = weight(directory);
    for (at, name) in names.iter().enumerate() {
        let more = before + weight(name);
        if bytes + more > MAX_PATHS_BYTES {
            chunks.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    chunks.push(start..names.len());
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// How long it is as part of a command, at most.
fn weight(path: &str) -> usize {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:@%+ ".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { 1 } else { QUOTED_BYTES }).sum::<usize>() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_facts() {
        let entry = Entry::parse("81a4 12 1700000000 root www-data /srv/a b").unwrap();
        assert_eq!((entry.name.as_str(), entry.kind.as_str(), entry.size), ("/srv/a b", "file", Some(12)));
        assert_eq!((entry.mode.as_deref(), entry.modified), (Some("0644"), Some(1_700_000_000)));
        assert_eq!(Entry::parse("41ed 0 0 a b c").unwrap().kind, "directory");
        assert_eq!(Entry::parse("a1ff 0 -1 a b c").unwrap().kind, "link");
        for line in ["", "x 1 1 a b c", "81a4 1 1 a b", "81a4 -1 1 a b c"] {
            assert!(Entry::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn several_in_order() {
        let text = "81a4 1 2 u g /d/a\n41ed 3 4 u g /d/x\n81a4 9 9 u g /d/y\n81a4 5 6 u g /d/b\n";
        let (first, rest) = Entry::next(text, "/d/", "a").unwrap();
        assert_eq!((first.name.as_str(), first.size), ("a", Some(1)));
        // One that has gone has no line, and a name with a line's end in it has two.
        assert!(Entry::next(rest, "/d/", "gone").is_none() && Entry::next(rest, "/d/", "x\ny").is_none());
        let odd = "x\n81a4 9 9 u g /d/y";
        let (second, rest) = Entry::next(rest, "/d/", odd).unwrap();
        assert_eq!((second.name.as_str(), second.kind.as_str(), second.size), (odd, "directory", Some(3)));
        let (last, rest) = Entry::next(rest, "/d/", "b").unwrap();
        assert_eq!((last.size, rest), (Some(5), ""));
    }

    #[test]
    fn names_are_divided() {
        let names = vec!["x".repeat(30_000); 5];
        assert_eq!(chunks("/d/", &names), [0..2, 2..4, 4..5]);
        assert_eq!(chunks(&"'".repeat(4000), &["a".to_owned(), "b".to_owned()]), [0..1, 1..2]);
        assert!(chunks("/d/", &[]).is_empty());
    }

    #[test]
    fn escaped_names() {
        for (line, name) in [
            ("plain", "plain"),
            (r"a\ b", "a b"),
            (r"a\nb\\n", "a\nb\\n"),
            (r"\303\244\033[2J", "\u{e4}\u{1b}[2J"),
            (r"\377", "\u{fffd}"),
            (r"\q\", r"\q\"),
            (r"\777", r"\777"),
        ] {
            assert_eq!(unescaped(line), name, "{line}");
        }
    }
}
