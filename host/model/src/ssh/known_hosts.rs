//! Reading OpenSSH's `known_hosts` for the keys of one origin, for a person who imports them.
//!
//! It trusts nothing: what it finds is shown and pinned by a person, and the file is never read again. A line that it
//! cannot read is reported, never guessed at.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::host_key::{AUTHORITY, REVOKED, base64_decode};
use crate::{HostKey, HostKeyError, MAX_HOST_KEYS, Origin, PinnedKey};

/// The largest file that is read. The largest that people have are about 1 MiB.
pub const MAX_KNOWN_HOSTS: usize = 4 << 20;
/// As many unreadable lines as are reported.
const MAX_SKIPPED: usize = 64;
/// The longest line: one key, and the names of a host that goes by many.
const MAX_LINE: usize = 16 << 10;

/// What a `known_hosts` says of one origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    /// To be shown to a person. None of them is revoked.
    pub keys: Vec<PinnedKey>,
    /// Keys that this host must not have, and that nobody may vouch for: marked so for its name. They are pinned as such.
    pub revoked: Vec<HostKey>,
    /// Lines about this host, or whose host could not be read, that say nothing usable.
    pub skipped: Vec<Skipped>,
}

/// A line that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Counted from 1.
    pub line: usize,
    pub why: HostKeyError,
}

/// The keys that `text` has for `origin`: its name or address, as `[host]:port` unless the port is 22.
pub fn known_hosts(text: &str, origin: &Origin) -> KnownHosts {
    let name = match origin.port() {
        22 => origin.host(),
        port => format!("[{}]:{port}", origin.host()),
    };
    let mut found = KnownHosts::default();
    let text = text.get(..MAX_KNOWN_HOSTS).unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        match Line::read(line, &name) {
            Ok(None) => {}
            Ok(Some(line)) => found.take(line),
            Err(why) if found.skipped.len() < MAX_SKIPPED => found.skipped.push(Skipped { line: number + 1, why }),
            Err(_) => {}
        }
    }
    let revoked = std::mem::take(&mut found.revoked);
    found.keys.retain(|pinned| !revoked.contains(pinned.key()));
    found.keys.truncate(MAX_HOST_KEYS);
    found.revoked = revoked;
    found
}

/// A line about the host in question.
enum Line {
    Pinned(PinnedKey),
    Revoked(HostKey),
}

impl Line {
    /// `[MARKER] HOSTS ALGORITHM BASE64 [COMMENT]`, `None` if it is about another host or about none.
    fn read(line: &str, name: &str) -> Result<Option<Line>, HostKeyError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.len() > MAX_LINE {
            return Err(HostKeyError::Form);
        }
        let (marker, rest) = match line.split_once([' ', '\t']) {
            Some((marker, rest)) if marker.starts_with('@') => (Some(marker), rest.trim_start()),
            _ => (None, line),
        };
        let (hosts, key) = rest.split_once([' ', '\t']).ok_or(HostKeyError::Form)?;
        if !matches(hosts, name) {
            return Ok(None);
        }
        let key = HostKey::parse(key)?;
        match marker {
            None => Ok(Some(Line::Pinned(PinnedKey::Host(key)))),
            Some(AUTHORITY) => Ok(Some(Line::Pinned(PinnedKey::Authority(key)))),
            Some(REVOKED) => Ok(Some(Line::Revoked(key))),
            Some(_) => Err(HostKeyError::Form),
        }
    }
}

impl KnownHosts {
    fn take(&mut self, line: Line) {
        match line {
            Line::Pinned(key) if !self.keys.contains(&key) => self.keys.push(key),
            Line::Revoked(key) if !self.revoked.contains(&key) => self.revoked.push(key),
            Line::Pinned(_) | Line::Revoked(_) => {}
        }
    }
}

/// Whether a list of patterns is about the name: one of them is, and none of those with `!` before it.
fn matches(hosts: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if matches_one(not, name) => return false,
            Some(_) => {}
            None => found |= matches_one(pattern, name),
        }
    }
    found
}

fn matches_one(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name),
        None => glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
    }
}

/// `|1|SALT|HASH`: the name's HMAC-SHA1 with the salt, both in base64. It hides names; it proves nothing.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Some(salt), Some(hash)) = (base64_decode(salt), base64_decode(hash)) else { return false };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.update(name.as_bytes());
    salt.len() == SHA1_BYTES && mac.verify_slice(&hash).is_ok()
}

/// `*` is any number of characters, `?` one. Only the latest `*` is ever gone back to, so time is the product of the two
/// lengths at most.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = name.get(pos) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, pos));
                at += 1;
            }
            (Some(&expected), _) if expected == b'?' || expected == byte => {
                at += 1;
                pos += 1;
            }
            (_, Some((star_at, star_pos))) => {
                star = Some((star_at, star_pos + 1));
                at = star_at + 1;
                pos = star_pos + 1;
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|&rest| rest == b'*')
}

const SHA1_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEppqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn read(text: &str, origin: &str) -> KnownHosts {
        known_hosts(text, &Origin::parse(origin).unwrap())
    }

    fn hosts(text: &str, origin: &str) -> usize {
        read(text, origin).keys.len()
    }

    #[test]
    fn whose_line_it_is() {
        for (hosts_field, origin, is_its) in [
            ("a.test", "ssh://a.test", true),
            ("A.Test", "ssh://a.test", true),
            ("b.test,a.test", "ssh://a.test", true),
            ("a.test", "ssh://b.test", false),
            ("a.test", "ssh://a.test:2222", false),
            ("[a.test]:2222", "ssh://a.test:2222", true),
            ("[a.test]:2222", "ssh://a.test:2223", false),
            ("[a.test]:2222", "ssh://a.test", false),
            ("192.0.2.7", "ssh://192.0.2.7", true),
            ("[2001:db8::1]:2222", "ssh://[2001:db8::1]:2222", true),
            ("2001:db8::1", "ssh://[2001:db8::1]", true),
            ("*.test", "ssh://a.test", true),
            ("*.test,!a.test", "ssh://a.test", false),
            ("!a.test,*.test", "ssh://a.test", false),
            ("!b.test", "ssh://a.test", false),
            ("*.test,!b.*", "ssh://a.test", true),
            ("?.test", "ssh://a.test", true),
            ("?.test", "ssh://ab.test", false),
            ("*", "ssh://a.test", true),
            ("a.test*", "ssh://a.test", true),
            ("a.tes", "ssh://a.test", false),
            ("*a*a*a*a*b", "ssh://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(hosts(&format!("{hosts_field} {A}"), origin) == 1, is_its, "{hosts_field} {origin}");
        }
    }

    #[test]
    fn hashed_names() {
        // Made by `ssh-keygen -H` of OpenSSH 9.2.
        let line = format!("|1|aHHhcZWYkuB2z3l4A9u7rMIFNjE=|{} {A}", hash("aHHhcZWYkuB2z3l4A9u7rMIFNjE=", "a.test"));
        assert_eq!((hosts(&line, "ssh://a.test"), hosts(&line, "ssh://b.test")), (1, 0));
        let line =
            format!("|1|aHHhcZWYkuB2z3l4A9u7rMIFNjE=|{} {A}", hash("aHHhcZWYkuB2z3l4A9u7rMIFNjE=", "[a.test]:2222"));
        assert_eq!((hosts(&line, "ssh://a.test:2222"), hosts(&line, "ssh://a.test")), (1, 0));
        for bad in ["|1|", "|1|x", "|1|x|y", "|1||", "|2|a|b", "|1|AAAA|AAAA"] {
            assert_eq!(hosts(&format!("{bad} {A}"), "ssh://a.test"), 0, "{bad}");
        }
    }

    fn hash(salt: &str, name: &str) -> String {
        use base64::Engine;
        let mut mac = Hmac::<Sha1>::new_from_slice(&base64_decode(salt).unwrap()).unwrap();
        mac.update(name.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }

    /// What OpenSSH's own tool hashes is found.
    #[test]
    fn as_ssh_keygen_hashes() {
        let home = std::env::temp_dir().join(format!("kv-known-hosts-{}", std::process::id()));
        std::fs::write(&home, format!("a.test {A}\n[a.test]:2222 {B}\n")).unwrap();
        let made = std::process::Command::new("ssh-keygen").args(["-H", "-f"]).arg(&home).output();
        let text = std::fs::read_to_string(&home).unwrap();
        let old = home.with_extension("old");
        let _ = (std::fs::remove_file(&home), std::fs::remove_file(old));
        if made.is_err() {
            println!("ssh-keygen is not installed: nothing was compared");
            return;
        }
        assert!(!text.contains("a.test") && text.contains("|1|"), "{text}");
        assert_eq!(read(&text, "ssh://a.test").keys[0].to_string(), A);
        assert_eq!(read(&text, "ssh://a.test:2222").keys[0].to_string(), B);
    }

    #[test]
    fn markers() {
        let text = format!(
            "# a comment\n\n@cert-authority *.test {A} the CA\na.test {B}\na.test {B}\n@revoked * {B}\nb.test {A}\n"
        );
        let found = read(&text, "ssh://a.test");
        assert_eq!(found.keys, [PinnedKey::Authority(HostKey::parse(A).unwrap())]);
        assert_eq!(found.revoked, [HostKey::parse(B).unwrap()]);
        assert_eq!(found.skipped, []);
    }

    #[test]
    fn lines_that_say_nothing() {
        let text = format!("a.test\na.test ssh-dss AAAA\n@other a.test {A}\nb.test nonsense\na.test {A}\n");
        let found = read(&text, "ssh://a.test");
        assert_eq!(found.keys.len(), 1);
        let lines: Vec<_> = found.skipped.iter().map(|skipped| (skipped.line, skipped.why)).collect();
        assert_eq!(lines, [(1, HostKeyError::Form), (2, HostKeyError::Algorithm), (3, HostKeyError::Form)]);
    }

    fn slow_glob(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', after)), rest) => {
                slow_glob(after, name) || rest.is_some_and(|(_, rest)| slow_glob(pattern, rest))
            }
            (Some((p, after)), Some((n, rest))) => (*p == b'?' || p == n) && slow_glob(after, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn globs(pattern in "[ab*?]{0,10}", name in "[ab]{0,10}") {
            prop_assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), slow_glob(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn any_file(text in "(?s).{0,400}") {
            let found = read(&text, "ssh://a.test");
            prop_assert!(found.keys.iter().all(|key| !found.revoked.contains(key.key())));
        }

        #[test]
        fn any_lines(lines in prop::collection::vec(("(@revoked |@cert-authority |)", "[!ab.*?,|1\\[\\]:]{1,12}", any::<bool>()), 0..12)) {
            let text: String =
                lines.iter().map(|(mark, hosts, first)| format!("{mark}{hosts} {}\n", if *first { A } else { B })).collect();
            let found = read(&text, "ssh://a");
            prop_assert!(found.keys.iter().all(|key| !found.revoked.contains(key.key())));
        }
    }
}
