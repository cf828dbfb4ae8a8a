//! A machine over SSH: where, as whom, with which key, and above all: which keys of its own it has to prove.
//!
//! A host key is accepted by a person who has seen its fingerprint, or named in advance. Nothing else accepts one, `--yes`
//! included: whoever sits between here and the machine shows a key, too.

use std::io::Read;
use std::path::{Path, PathBuf};

use kv_api::{HiddenBytes, HostKeys, HostKeysRequest};
use kv_model::{ConnectionName, MAX_KNOWN_HOSTS, Origin, PinnedKey, PinnedKeys, SecretName, known_hosts};
use zeroize::Zeroizing;

use super::{Made, confirm_private, set};
use crate::arguments::Machine;
use crate::client::Request;
use crate::command::connection::pinned_line;
use crate::output::{inert, tell};
use crate::problem::Problem;

const EXAMPLE: &str = "kv connect ssh USER@HOST --key SECRET";
const HOST_KEYS: &str = "host-keys";
/// As large as a private key's file may be: RSA with 16,384 bits has 13 KiB.
const MAX_KEY: u64 = 64 << 10;
/// How an OpenSSH key begins that needs no passphrase: `openssh-key-v1`, a NUL, the cipher `none`.
const OPEN_KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

pub(super) async fn complete(made: &mut Made<'_>, target: Option<&str>, machine: Machine) -> Result<(), Problem> {
    place(made, target)?;
    if let Some(jump) = &machine.jump {
        made.set("jump", jump)?;
    }
    trust(made, &machine).await?;
    login(made, machine.key.as_deref(), machine.identity).await
}

/// `[USER@]HOST[:PORT]`, with or without `ssh://`.
fn place(made: &mut Made<'_>, target: Option<&str>) -> Result<(), Problem> {
    let asking = made.context.asking;
    let text = match (target, made.request.origin.take()) {
        (Some(_), Some(_)) => return Err(Problem::usage("the place is given twice, as a word and as --origin")),
        (Some(text), None) => text.to_owned(),
        (None, Some(origin)) => origin,
        (None, None) => asking.line("Machine ([USER@]HOST[:PORT])", None, EXAMPLE)?,
    };
    let (user, origin) = split(&text)?;
    made.request.origin = Some(origin.to_string());
    match user {
        Some(user) => made.set("user", user),
        None if made.has_setting("user") => Ok(()),
        None => {
            let user = asking.line("User", None, EXAMPLE)?;
            made.set("user", &user)
        }
    }
}

fn split(text: &str) -> Result<(Option<&str>, Origin), Problem> {
    let rest = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let origin = Origin::parse(&format!("ssh://{host}"))
        .map_err(|error| Problem::usage(format!("the machine's place is not understood: {error}")).next(EXAMPLE))?;
    Ok((user.filter(|user| !user.is_empty()), origin))
}

/// Which keys the machine has to prove: named, imported, or seen and accepted.
async fn trust(made: &mut Made<'_>, machine: &Machine) -> Result<(), Problem> {
    if made.has_setting(HOST_KEYS) {
        return Ok(());
    }
    let text = made.request.origin.clone().unwrap_or_default();
    let origin = Origin::parse(&text).map_err(|error| Problem::usage(error.to_string()))?;
    let lines = match &machine.known_hosts {
        Some(path) => imported(made, path, &origin)?,
        None if !machine.host_keys.is_empty() => machine.host_keys.join("\n"),
        None => seen(made, &origin).await?,
    };
    let pinned =
        PinnedKeys::parse(&lines).map_err(|error| Problem::usage(format!("a host key is not taken: {error}")))?;
    pinned.iter().for_each(|key| made.context.output.note(pinned_line(key).trim_end()));
    made.set(HOST_KEYS, &pinned.to_string())
}

fn imported(made: &Made<'_>, path: &Path, origin: &Origin) -> Result<String, Problem> {
    let shown = path.display();
    let error = |error: std::io::Error| Problem::usage(format!("{shown}: {error}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(error)?
        .take(MAX_KNOWN_HOSTS as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    if bytes.len() > MAX_KNOWN_HOSTS {
        return Err(Problem::usage(format!("{shown} is over {MAX_KNOWN_HOSTS} bytes")));
    }
    // A line that is no text is about nobody.
    let found = known_hosts(&String::from_utf8_lossy(&bytes), origin);
    for skipped in &found.skipped {
        made.context.output.note(&format!("line {} is passed over: {}", skipped.line, skipped.why));
    }
    if found.keys.is_empty() {
        return Err(Problem::usage(format!("{shown} has no key for {origin}")));
    }
    // What is revoked is kept as such: an authority that is pinned beside it may have signed it.
    let revoked = found.revoked.into_iter().map(PinnedKey::Revoked);
    Ok(found.keys.into_iter().chain(revoked).map(|key| key.to_string()).collect::<Vec<_>>().join("\n"))
}

/// What the machine shows, accepted by a person who looked at it.
async fn seen(made: &mut Made<'_>, origin: &Origin) -> Result<String, Problem> {
    let asking = made.context.asking;
    if !asking.possible() {
        return Err(Problem::needs_human("the machine's host key is unknown, and nobody is there to accept it")
            .next("add --known-hosts ~/.ssh/known_hosts, or --host-key 'ssh-ed25519 AAAA...'"));
    }
    let jump = made.request.settings.iter().find(|(name, _)| name.as_str() == "jump").map(|(_, jump)| jump.as_str());
    let jump = jump.filter(|jump| !jump.is_empty()).map(ConnectionName::parse).transpose();
    let jump = jump.map_err(|error| Problem::usage(error.to_string()))?;
    let allow_private = made.request.allow_private;
    let mut wanted = HostKeysRequest { origin: origin.to_string(), jump, allow_private };
    let keys: HostKeys = match made.client.ask(Request::post("/v1/host-keys", &wanted)?).await {
        Err(problem) if problem.error().reason.as_deref() == Some("private_origin") => {
            confirm_private(made.context, &problem)?;
            (wanted.allow_private, made.request.allow_private) = (true, true);
            made.client.ask(Request::post("/v1/host-keys", &wanted)?).await?
        }
        other => other?,
    };
    let mut text = format!("{} shows:\n", keys.origin);
    for key in &keys.keys {
        text.push_str(&format!("  {:<20} {}\n", key.algorithm, key.fingerprint));
    }
    text.push_str(
        "Compare with what the machine itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), or with its provider's page.",
    );
    tell(&inert(&text));
    if !asking.confirm("Are these its keys?")? {
        return Err(Problem::failed("nothing was connected"));
    }
    Ok(keys.keys.iter().map(|key| key.line.as_str()).collect::<Vec<_>>().join("\n"))
}

/// With which key, or else password.
async fn login(made: &mut Made<'_>, key: Option<&str>, identity: Option<PathBuf>) -> Result<(), Problem> {
    if let Some(name) = key {
        let name = SecretName::parse(name).map_err(|_| {
            Problem::usage("--key takes the name of a secret").next("--identity FILE stores a key first")
        })?;
        return made.bind("key", name);
    }
    let asking = made.context.asking;
    let identity = match identity {
        Some(path) => Some(path),
        None if made.is_bound("key") || made.is_bound("password") || !asking.possible() => return Ok(()),
        None => {
            let typed = asking.line("Private key's file (or: none, for a password)", Some("none"), EXAMPLE)?;
            Some(PathBuf::from(typed)).filter(|path| path != Path::new("none"))
        }
    };
    match identity {
        Some(path) => store_key(made, &expanded(path)).await,
        None => made.ask_secret("password", "password", "PASSWORD").await,
    }
}

/// `~/` at a prompt is no shell's to expand.
fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

async fn store_key(made: &mut Made<'_>, path: &Path) -> Result<(), Problem> {
    let key = read_key(path)?;
    let secret = |name: String| SecretName::parse(&name).map_err(|error| Problem::usage(error.to_string()));
    let name = secret(made.usual_name("KEY"))?;
    if made.knows(&name).await? {
        return Err(Problem::new(kv_api::Code::Conflict, format!("there is a secret `{name}` already"))
            .next(format!("--key {name} uses it, and kv secret rotate {name} gives it another value")));
    }
    if is_encrypted(&key) && !made.is_bound("passphrase") {
        // Before the key is stored: without it the key is of no use.
        made.ask_secret("passphrase", "key's passphrase", "KEY_PASSPHRASE").await?;
    }
    set::store(made.context, made.client, name.clone(), HiddenBytes::new(key.to_vec())).await?;
    made.bind("key", name)
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let shown = path.display();
    let error = |error: std::io::Error| Problem::usage(format!("{shown}: {error}"));
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY as usize + 1));
    std::fs::File::open(path).map_err(error)?.take(MAX_KEY + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > MAX_KEY {
        return Err(Problem::usage(format!("{shown} is over {MAX_KEY} bytes: no private key has that many")));
    }
    let is_private = has(&bytes, b"-----BEGIN ") && has(&bytes, b"PRIVATE KEY-----");
    if !is_private {
        let problem = Problem::usage(format!("{shown} is no private key in OpenSSH or PEM form"));
        let is_public = bytes.starts_with(b"ssh-") || bytes.starts_with(b"ecdsa-");
        return Err(if is_public { problem.next("the private key is the file without .pub") } else { problem });
    }
    Ok(bytes)
}

/// Whether a passphrase opens it, as far as its beginning tells.
fn is_encrypted(key: &[u8]) -> bool {
    if has(key, b"BEGIN OPENSSH PRIVATE KEY") {
        let body = key.split(|byte| *byte == b'\n').skip_while(|line| !line.starts_with(b"-----BEGIN")).nth(1);
        return !body.is_some_and(|body| body.starts_with(OPEN_KEY.as_bytes()));
    }
    has(key, b"BEGIN ENCRYPTED PRIVATE KEY") || has(key, b"Proc-Type: 4,ENCRYPTED")
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, user, origin) in [
            ("deploy@web1.test", Some("deploy"), "ssh://web1.test"),
            ("web1.test:2222", None, "ssh://web1.test:2222"),
            ("ssh://deploy@[2001:db8::1]:2222", Some("deploy"), "ssh://[2001:db8::1]:2222"),
            ("ssh://web1.test/", None, "ssh://web1.test"),
        ] {
            let (found, place) = split(text).unwrap();
            assert_eq!((found, place.to_string().as_str()), (user, origin), "{text}");
        }
        for text in ["https://web1.test", "deploy@", "", "web1.test:0", "a b"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_that_want_a_passphrase() {
        let openssh =
            |body: &str| format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
        for (key, encrypted) in [
            (openssh("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"), false),
            (openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0"), true),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nx".to_owned(), true),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".to_owned(), true),
            ("-----BEGIN PRIVATE KEY-----\nMC4C".to_owned(), false),
        ] {
            assert_eq!(is_encrypted(key.as_bytes()), encrypted, "{key}");
        }
    }

    /// What OpenSSH's own tool writes is told apart.
    #[test]
    fn as_ssh_keygen_writes_them() {
        let home = tempfile::tempdir().unwrap();
        for (name, passphrase, encrypted) in [("open", "", false), ("shut", "five words", true)] {
            let path = home.path().join(name);
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
                .arg(&path)
                .status();
            let Ok(status) = made else {
                println!("ssh-keygen is not installed: nothing was compared");
                return;
            };
            assert!(status.success());
            assert_eq!(is_encrypted(&read_key(&path).unwrap()), encrypted);
            let public = read_key(&path.with_extension("pub")).unwrap_err();
            assert!(public.error().next[0].contains("without .pub"));
        }
    }
}
