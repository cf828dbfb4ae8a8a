//! Where a secret may go: scheme, host and port, and nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Scheme, host and port in canonical form: `https`, `http` to a loopback address only, `postgres` or `ssh`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    scheme: OriginScheme,
    host: Host,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum OriginScheme {
    Http,
    Https,
    Postgres,
    Ssh,
}

impl OriginScheme {
    const ALL: [OriginScheme; 4] = [OriginScheme::Http, OriginScheme::Https, OriginScheme::Postgres, OriginScheme::Ssh];

    fn prefix(self) -> &'static str {
        match self {
            OriginScheme::Http => "http://",
            OriginScheme::Https => "https://",
            OriginScheme::Postgres => "postgres://",
            OriginScheme::Ssh => "ssh://",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            OriginScheme::Http => 80,
            OriginScheme::Https => 443,
            OriginScheme::Postgres => 5432,
            OriginScheme::Ssh => 22,
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Name(Box<str>),
    Ip(IpAddr),
}

/// What an origin's host is, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// A literal loopback address or `localhost`.
    Loopback,
    /// A name, to be resolved and vetted.
    Name,
    /// A literal address that is neither loopback nor public: private, link-local, shared, reserved.
    PrivateIp,
    /// A literal public address.
    PublicIp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    #[error("it is not `https://HOST` or `https://HOST:PORT`, nor `postgres://` or `ssh://` so")]
    Form,
    #[error("the host has characters beyond a-z, 0-9, `-` and `.`; write an international name in its `xn--` form")]
    HostCharacters,
    #[error("the host is empty, ends in a dot, or has an empty, over-long or dash-edged label")]
    HostForm,
    #[error("the host is a number that is no address in the usual form")]
    OddAddress,
    #[error("plain http is for loopback addresses only")]
    PlainHttp,
    #[error("the port is not 1 to 65535, written without leading zeros")]
    Port,
    #[error("an origin has no user, path, query or fragment")]
    Surplus,
}

impl Origin {
    /// Parses and canonicalises; what is odd is refused rather than mended.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = OriginScheme::ALL
            .into_iter()
            .find_map(|scheme| text.strip_prefix(scheme.prefix()).map(|rest| (scheme, rest)))
            .ok_or(OriginError::Form)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginError::Surplus);
        }
        let (host, port) = split_port(rest)?;
        let host = Host::parse(host)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => scheme.usual_port(),
        };
        let origin = Origin { scheme, host, port };
        if scheme == OriginScheme::Http && origin.host_kind() != HostKind::Loopback {
            return Err(OriginError::PlainHttp);
        }
        Ok(origin)
    }

    /// Of an HTTP origin: whether it is `https`.
    pub fn is_tls(&self) -> bool {
        self.scheme == OriginScheme::Https
    }

    /// The protocol that is spoken there.
    pub fn protocol(&self) -> Protocol {
        match self.scheme {
            OriginScheme::Http | OriginScheme::Https => Protocol::Http,
            OriginScheme::Postgres => Protocol::Sql,
            OriginScheme::Ssh => Protocol::Ssh,
        }
    }

    /// Without brackets, as in a TLS server name or for a resolver.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Name(name) => name.to_string(),
            Host::Ip(ip) => ip.to_string(),
        }
    }

    /// The address, when the origin names one instead of a host.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in a `host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => name.to_string(),
            Host::Ip(IpAddr::V4(ip)) => ip.to_string(),
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        if self.port == self.scheme.usual_port() { host } else { format!("{host}:{}", self.port) }
    }

    pub fn host_kind(&self) -> HostKind {
        match &self.host {
            Host::Name(name) if &**name == "localhost" => HostKind::Loopback,
            Host::Name(_) => HostKind::Name,
            Host::Ip(ip) if is_loopback(*ip) => HostKind::Loopback,
            Host::Ip(ip) if is_public(*ip) => HostKind::PublicIp,
            Host::Ip(_) => HostKind::PrivateIp,
        }
    }
}

/// `true` for an address that the public internet routes. Everything that reaches a machine, a neighbour or a cloud's
/// metadata service is not, in whatever notation: mapped, translated and tunnelled forms count as what they hold.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b)) // shared address space, RFC 6598; one cloud's metadata is there
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 192 && b == 168)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224
        || ip.octets() == [168, 63, 129, 16]) // one cloud's host agent answers on this public-looking address
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [s0, s1, s2, _, _, _, s6, s7] = ip.segments();
    // 2000::/3 is all that is routed; of it, documentation, benchmarking, ORCHID, Teredo and 6to4 are not services.
    if s0 & 0xe000 != 0x2000 {
        // 64:ff9b::/96 translates to an IPv4 address.
        if s0 == 0x64 && s1 == 0xff9b && s2 == 0 {
            let [a, b] = s6.to_be_bytes();
            let [c, d] = s7.to_be_bytes();
            return is_public_v4(Ipv4Addr::new(a, b, c, d));
        }
        return false;
    }
    let kept_back = match s0 {
        0x2001 => s1 < 0x200 || s1 == 0xdb8,
        0x2002 => true,
        0x3fff => s1 < 0x1000,
        _ => false,
    };
    !kept_back
}

pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, OriginError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().map(|ip| Host::Ip(IpAddr::V6(ip))).map_err(|_| OriginError::OddAddress);
        }
        if text.is_empty() || text.len() > 253 {
            return Err(OriginError::HostForm);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            return Err(OriginError::HostCharacters);
        }
        let text = text.to_ascii_lowercase();
        if text
            .split('.')
            .any(|label| label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-'))
        {
            return Err(OriginError::HostForm);
        }
        // `2130706433`, `0x7f.1` and `127.1` are addresses to some resolvers: a host whose last label begins with a
        // digit is an address in the usual form, or nothing.
        if text.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit())) {
            return text.parse::<Ipv4Addr>().map(|ip| Host::Ip(IpAddr::V4(ip))).map_err(|_| OriginError::OddAddress);
        }
        Ok(Host::Name(text.into()))
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), OriginError> {
    if text.starts_with('[') {
        let (host, after) = text.split_once(']').ok_or(OriginError::Form)?;
        let host = text.get(..host.len() + 1).ok_or(OriginError::Form)?;
        return match after {
            "" => Ok((host, None)),
            _ => after.strip_prefix(':').map(|port| (host, Some(port))).ok_or(OriginError::Form),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, OriginError> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(OriginError::Port);
    }
    text.parse().map_err(|_| OriginError::Port)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.prefix(), self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.to_string()
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;
    fn try_from(text: String) -> Result<Self, OriginError> {
        Origin::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_or_refused() {
        for (text, canonical) in [
            ("https://api.openai.com", "https://api.openai.com"),
            ("https://API.OpenAI.com/", "https://api.openai.com"),
            ("https://api.openai.com:443", "https://api.openai.com"),
            ("https://api.openai.com:8443", "https://api.openai.com:8443"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9"),
            ("https://[::1]:9", "https://[::1]:9"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        for (text, why) in [
            ("http://api.example.com", OriginError::PlainHttp),
            ("api.example.com", OriginError::Form),
            ("file:///etc/passwd", OriginError::Form),
            ("https:///evil.test", OriginError::Surplus),
            ("https://", OriginError::HostForm),
            ("https://u:p@a.test", OriginError::Surplus),
            ("https://a.test/x", OriginError::Surplus),
            ("https://a.test\\@b", OriginError::Surplus),
            ("https://a.test.", OriginError::HostForm),
            ("https://a..test", OriginError::HostForm),
            ("https://api%2eexample.com", OriginError::HostCharacters),
            ("https://api.example.com。evil", OriginError::HostCharacters),
            ("https://*.example.com", OriginError::HostCharacters),
            ("https://a.test:0443", OriginError::Port),
            ("https://a.test:0", OriginError::Port),
            ("https://a.test:65536", OriginError::Port),
            ("https://a.test:", OriginError::Port),
            ("https://2130706433", OriginError::OddAddress),
            ("https://0x7f.1", OriginError::OddAddress),
            ("https://127.1", OriginError::OddAddress),
            ("https://0", OriginError::OddAddress),
            ("https://[fe80::1%25eth0]", OriginError::OddAddress),
        ] {
            match Origin::parse(text) {
                Ok(origin) => panic!("{text} became {origin}"),
                Err(error) => assert_eq!(error, why, "{text}"),
            }
        }
    }

    #[test]
    fn private_addresses() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.0.1",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
