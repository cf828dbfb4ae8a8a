//! What reads: a file or its end, a directory, what a path is. Each command's program is one that writes nothing, whatever
//! its arguments are.

use std::collections::BTreeMap;

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
/// As long as the names in one command are together: under the host's limit for one, however they are quoted.
const MAX_NAMES_BYTES: usize = 24 << 10;
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
/// `text` where it is UTF-8, else `base64`. `bytes` is how much was read; where `truncated` is true the file goes on, at
/// `next_offset`.
#[kv_sdk::operation(name = "read-file", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn read_file(io: &Io, input: ReadFile) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let offset = input.offset.unwrap_or_default();
    let from = format!("+{}", offset.saturating_add(1));
    let limit = input.limit.unwrap_or(DEFAULT_READ).min(MAX_READ);
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
/// Its last lines, as `text`, or as `base64` where it is not UTF-8.
#[kv_sdk::operation(name = "tail", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn tail(io: &Io, input: Tail) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let lines = input.lines.unwrap_or(DEFAULT_LINES).to_string();
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
/// Names in order, hidden ones too, each with what `stat` says of it. `truncated` says whether there are more.
#[kv_sdk::operation(name = "list-dir", effect = Read, suggest = Allow, facts(path = "/path"))]
pub(crate) async fn list_dir(io: &Io, input: ListDir) -> Result<Reply, Failure> {
    let path = input.path.as_deref().unwrap_or(".");
    let directory = MachinePath::parse(path)?.directory();
    let limit = input.limit.unwrap_or(DEFAULT_ENTRIES);
    let (names, truncated) = names(io, &directory, limit).await?;
    let mut known = BTreeMap::new();
    for names in chunks(&names) {
        known.extend(facts_of(io, &directory, names).await?);
    }
    let entries: Vec<_> =
        names.into_iter().map(|name| known.remove(&name).unwrap_or_else(|| Entry::unknown(name))).collect();
    Ok(json!({ "path": path, "entries": entries, "truncated": truncated }).into())
}

/// The first names of a directory, and whether there are more.
async fn names(io: &Io, directory: &str, limit: usize) -> Result<(Vec<String>, bool), Failure> {
    let read = |output: Output| {
        let cut = output.truncated;
        let output = if cut { output } else { output.error_for_exit()? };
        let text = output.text();
        let mut lines: Vec<_> = text.lines().collect();
        if cut {
            lines.pop();
        }
        let names: Vec<_> = lines.iter().take(limit).map(|name| (*name).to_owned()).collect();
        Ok((names, cut || lines.len() > limit))
    };
    let listed = io.run_with(Command::argv(["ls", "-1A", "--", directory]).max_output(MAX_LISTING), read).await;
    match listed {
        Err(complaint) if failure::is_unclear(&complaint) => {
            let path = MachinePath::parse(directory)?;
            Err(look_why(io, &path, complaint).await)
        }
        listed => listed,
    }
}

/// What `stat` says of each. A name that has gone in the meantime, or one that a line break makes two of, has no facts;
/// neither has one that BusyBox shows with `?` for what its `ls` does not print, nor any where `stat` is another program.
async fn facts_of(io: &Io, directory: &str, names: &[String]) -> Result<BTreeMap<String, Entry>, Failure> {
    let paths = names.iter().map(|name| format!("{directory}{name}"));
    let argv: Vec<String> = ["stat", "-c", FORMAT, "--"].map(str::to_owned).into_iter().chain(paths).collect();
    let read = |output: Output| {
        let text = output.text();
        let entries = text.lines().filter_map(Entry::parse).filter_map(|mut entry| {
            entry.name = entry.name.strip_prefix(directory)?.to_owned();
            Some((entry.name.clone(), entry))
        });
        Ok(entries.collect())
    };
    io.run_with(Command::argv(argv), read).await
}

/// Names by the command's worth.
fn chunks(names: &[String]) -> Vec<&[String]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        if bytes + name.len() > MAX_NAMES_BYTES {
            chunks.push(names.get(start..at).unwrap_or_default());
            (start, bytes) = (at, 0);
        }
        bytes += name.len();
    }
    chunks.push(names.get(start..).unwrap_or_default());
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
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
    fn names_are_divided() {
        let names = vec!["x".repeat(9000); 5];
        assert_eq!(chunks(&names).iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [2, 2, 1]);
        assert!(chunks(&[]).is_empty());
    }
}
