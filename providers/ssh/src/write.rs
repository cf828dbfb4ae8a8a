//! Writing a file whole: into a temporary beside it, which takes its place when all of it is there.

use kv_sdk::{Command, Exit, Failure, FailureKind, Io, Output, Reply, json};

use crate::path::MachinePath;
use crate::piece;

/// For any POSIX `sh`, with values as arguments: $1 the path, $2 the call, $3 the mode or nothing, $4 the size. It says by
/// its exit code how far it came, so that no language matters ([`Stage`]).
///
/// The size is compared because a connection that breaks looks to `cat` like the end of the file. What was there keeps its
/// owner and, where none is said, its mode; `set -C` lets nobody put a file or link in the temporary's place beforehand.
const SCRIPT: &str = r#"
t=$1
if [ -L "$t" ]; then t=$(readlink -f -- "$t") && [ -n "$t" ] || exit 81; fi
if [ -d "$t" ]; then exit 82; fi
if [ -e "$t" ] && [ ! -f "$t" ]; then exit 91; fi
case $t in */*) d=${t%/*}/ ;; *) d=./ ;; esac
if [ ! -d "$d" ]; then exit 83; fi
if [ ! -w "$d" ] || [ ! -x "$d" ]; then exit 84; fi
mode=$3 owner=
if [ -e "$t" ]; then
  facts=$(stat -c '%a %u:%g' -- "$t" 2>/dev/null || stat -f '%Lp %u:%g' -- "$t") || exit 85
  owner=${facts#* }
  if [ -z "$mode" ]; then mode=${facts%% *}; fi
elif [ -z "$mode" ]; then
  mode=$(printf %o "$((0666 & ~0$(umask)))")
fi
n=${d}.kv-write-$2
umask 077
set -C
: > "$n" || exit 86
trap 'rm -f -- "$n"' EXIT
trap 'exit 87' HUP INT TERM
set +C
cat > "$n" || exit 87
if [ "$(wc -c < "$n")" -ne "$4" ]; then exit 87; fi
if [ -n "$owner" ]; then chown "$owner" "$n" 2>/dev/null || exit 88; fi
chmod "$mode" "$n" || exit 89
mv -f -- "$n" "$t" || exit 90
trap - EXIT
"#;

#[kv_sdk::input]
pub(crate) struct WriteFile {
    /// The file, from `/` or from the home directory. Its directory has to be there. A symbolic link to a file is followed.
    path: String,
    /// All of its content, as text; or say `base64`.
    content: Option<String>,
    /// All of its content, in base64; or say `content`.
    base64: Option<String>,
    /// Permissions in octal, such as `0640`. When not said, those of the file that was there, or a new file's usual ones.
    #[schemars(regex(pattern = "^[0-7]{3,4}$"))]
    mode: Option<String>,
}

/// Write a file
///
/// The whole of a regular file, there or new, in one moment: others see what was there before or all of what is new. Owner and permissions of a
/// file that was there are kept; extended attributes and other hard links are not.
#[kv_sdk::operation(name = "write-file", effect = Write, suggest = Ask, facts(path = "/path"))]
pub(crate) async fn write_file(io: &Io, input: WriteFile) -> Result<Reply, Failure> {
    let path = MachinePath::parse(&input.path)?;
    let data = match (input.content, input.base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(base64)) => piece::decode(&base64)?,
        (None, None) => return Err(Failure::invalid_input("`content` or `base64` is missing").at("/content")),
        (Some(_), Some(_)) => return Err(Failure::invalid_input("it is `content` or `base64`, not both").at("/base64")),
    };
    let mode = mode(input.mode)?;
    let bytes = data.len();
    let size = bytes.to_string();
    let command = Command::argv(["sh", "-c", SCRIPT, "sh", path.as_str(), io.call_id(), &mode, &size])
        .stdin(data)
        .summary(format!("write {bytes} bytes to {}", input.path));
    let asked = input.path.clone();
    io.run_with(command, move |output| stage(&output, &asked).map_or(Ok(()), Err)).await?;
    Ok(json!({ "path": input.path, "bytes": bytes }).into())
}

fn mode(mode: Option<String>) -> Result<String, Failure> {
    let mode = mode.unwrap_or_default();
    let is_octal = matches!(mode.len(), 0 | 3 | 4) && mode.bytes().all(|b| matches!(b, b'0'..=b'7'));
    if is_octal { Ok(mode) } else { Err(Failure::invalid_input("a mode is octal, such as `0640`").at("/mode")) }
}

/// What the script's exit code means. `None`: the file is written.
fn stage(output: &Output, path: &str) -> Option<Failure> {
    let Exit::Code(code) = output.exit else { return Some(output.to_failure()) };
    let (kind, what) = match code {
        0 => return None,
        81 => (FailureKind::NotFound, "is a symbolic link that leads nowhere"),
        82 => (FailureKind::InvalidInput, "is a directory"),
        83 => (FailureKind::NotFound, "is in a directory that is not there"),
        84 => (FailureKind::Forbidden, "is in a directory that this user may not write to"),
        85 => (FailureKind::Upstream, "is there, and the machine does not say whose it is"),
        86 => (FailureKind::Upstream, "was not written: no temporary file could be made beside it"),
        87 => (FailureKind::Upstream, "was not written: its content did not arrive whole, or there is no room for it"),
        88 => (FailureKind::Forbidden, "belongs to another user, and would not any more"),
        89 => (FailureKind::Upstream, "was not written: its mode could not be set"),
        90 => (FailureKind::Forbidden, "was not replaced: this user may not"),
        91 => (FailureKind::InvalidInput, "is a pipe, a device or a socket; only regular files are written"),
        _ => return Some(output.to_failure()),
    };
    let failure = Failure::new(kind, format!("`{path}` {what}")).code(code.to_string());
    Some(if kind == FailureKind::Upstream { failure } else { failure.at("/path") })
}
