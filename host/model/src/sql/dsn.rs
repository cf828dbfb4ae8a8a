//! Where and as whom to connect, from the one line that people keep: a `postgres://` URL or libpq's `host=... user=...`.
//!
//! A closed struct: what it has no field for is refused by name or, where it changes nothing, named as left out. It
//! never takes a second host, a file's path, or an option that a server would run, and no error repeats any of the text,
//! which holds a password. The password stays in the caller's bytes until [`Dsn::password_of`] takes it from there.

use std::fmt;

use zeroize::Zeroizing;

use crate::{Origin, OriginError};

/// As long as a line may be: longer ones are not written by people.
const MAX_BYTES: usize = 4 << 10;
/// As long as PostgreSQL lets a name be.
const MAX_NAME_BYTES: usize = 63;
/// Parameters that change nothing here, since kv decides these things itself.
const LEFT_OUT: [&str; 5] = ["application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode"];
/// Parameters that would reach past what a person set up, each with what it would do.
const REFUSED: &[(&str, &str)] = &[
    ("hostaddr", "it connects elsewhere than the host says"),
    ("krbsrvname", "kv knows no Kerberos"),
    ("load_balance_hosts", "a connection has one host"),
    ("options", "it sets what the server runs with"),
    ("passfile", "it reads a file"),
    ("replication", "it changes the protocol"),
    ("require_auth", "it is the connection's setting `password-auth`"),
    ("requirepeer", "it is for sockets of this machine"),
    ("service", "it reads a file"),
    ("servicefile", "it reads a file"),
    ("sslcert", "it reads a file; the slot `client-certificate` holds it"),
    ("sslcrl", "it reads a file"),
    ("sslcrldir", "it reads a file"),
    ("sslkey", "it reads a file; the slot `client-key` holds it"),
    ("sslnegotiation", "kv negotiates TLS itself"),
    ("sslpassword", "it is a second secret"),
    ("sslrootcert", "it reads a file; a connection's own authority is set by a person"),
    ("sslsni", "kv negotiates TLS itself"),
    ("target_session_attrs", "a connection has one host"),
];

/// All of a DSN but its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsn {
    pub origin: Origin,
    pub user: Option<String>,
    pub database: Option<String>,
    pub tls: Tls,
    /// Parameters that it has and that have no effect here.
    pub left_out: Vec<&'static str>,
}

/// How far a server proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Off,
    VerifyCa,
    VerifyFull,
}

impl Tls {
    /// As the setting `tls` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Tls::Off => "off",
            Tls::VerifyCa => "verify-ca",
            Tls::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a DSN is refused. No part of the text is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    #[error("its `{0}` has a character that is written as `%` and two hexadecimal digits, or a `%` without these")]
    Encoding(&'static str),
    #[error("it is neither a `postgres://` URL nor a line of `name=value`")]
    Form,
    #[error("it names several hosts, and a connection has one")]
    Hosts,
    #[error("it names no host")]
    NoHost,
    #[error("its host or port cannot be: {0}")]
    Origin(#[from] OriginError),
    #[error("it has a parameter that kv does not know")]
    Parameter,
    #[error("it has the parameter `{name}`: {why}")]
    Refused { name: &'static str, why: &'static str },
    #[error("its host is a socket of this machine, and a connection goes over the network")]
    Socket,
    #[error("its `sslmode` is none of `disable`, `allow`, `prefer`, `require`, `verify-ca` and `verify-full`")]
    SslMode,
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it says `{0}` twice")]
    Twice(&'static str),
    #[error("its `{0}` is empty, too long, no text, or has control characters")]
    Value(&'static str),
}

impl Dsn {
    pub fn parse(text: &[u8]) -> Result<Self, DsnError> {
        Pieces::of(text)?.finish()
    }

    /// The password of a whole and valid DSN, as the server is to get it. Nothing where the bytes are no DSN, or one
    /// that is refused, or one without a password.
    pub fn password_of(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let pieces = Pieces::of(text).ok()?;
        pieces.finish().ok()?;
        pieces.password()
    }

    /// `true` for what a person means as a DSN, valid or not: such a thing is never taken for a bare password.
    pub fn looks_like(text: &[u8]) -> bool {
        let text = text.trim_ascii();
        let lower = text.get(..text.len().min(16)).unwrap_or_default().to_ascii_lowercase();
        if SCHEMES.iter().any(|scheme| lower.starts_with(scheme)) {
            return true;
        }
        let before = text.split(|b| *b == b'=').collect::<Vec<_>>();
        let (_, before) = before.split_last().unwrap_or((&text, &[]));
        before.iter().filter(|piece| KEYWORDS.contains(&last_word(piece))).take(2).count() == 2
    }
}

const SCHEMES: [&[u8]; 2] = [b"postgres://", b"postgresql://"];
/// Two of these with a `=` each make a line of `name=value`.
const KEYWORDS: [&[u8]; 7] = [b"dbname", b"host", b"hostaddr", b"password", b"port", b"service", b"user"];

/// The parts of a DSN as slices of its text: nothing is copied, and nothing is decoded.
#[derive(Default)]
struct Pieces<'a> {
    host: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    database: Option<&'a [u8]>,
    sslmode: Option<&'a [u8]>,
    left_out: Vec<&'static str>,
    /// How a value is written.
    writing: Writing,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// A backslash stands before a quote or a backslash, in quotes or not.
    #[default]
    Backslash,
    Percent,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a [u8]) -> Result<Self, DsnError> {
        let text = text.trim_ascii();
        if text.len() > MAX_BYTES {
            return Err(DsnError::TooLong);
        }
        match SCHEMES.iter().find_map(|scheme| text.strip_prefix(*scheme)) {
            Some(rest) => Self::of_url(rest),
            None => Self::of_line(text),
        }
    }

    fn of_url(rest: &'a [u8]) -> Result<Self, DsnError> {
        let mut pieces = Self { writing: Writing::Percent, ..Self::default() };
        // libpq knows no fragment: a `#` belongs to a value there, and ends it for others.
        if rest.contains(&b'#') {
            return Err(DsnError::Encoding("#"));
        }
        let (rest, query) = split_once(rest, b'?');
        let (authority, path) = split_once(rest, b'/');
        let (login, place) = match authority.iter().rposition(|b| *b == b'@') {
            Some(at) => (authority.get(..at), authority.get(at + 1..).unwrap_or_default()),
            None => (None, authority),
        };
        if let Some(login) = login {
            let (user, password) = split_once(login, b':');
            pieces.user = Some(user).filter(|user| !user.is_empty());
            pieces.password = password.filter(|password| !password.is_empty());
            // A raw `@`, `:` or `/` in a password: two readers would find two hosts.
            if login.iter().filter(|b| matches!(**b, b':' | b'@')).count() > usize::from(password.is_some()) {
                return Err(DsnError::Encoding("password"));
            }
        }
        let (host, port) = split_place(place);
        pieces.host = Some(host).filter(|host| !host.is_empty());
        pieces.port = port;
        pieces.database = path.filter(|path| !path.is_empty());
        for parameter in query.into_iter().flat_map(|query| query.split(|b| *b == b'&')) {
            let (name, value) = split_once(parameter, b'=');
            pieces.take(name, value.ok_or(DsnError::Form)?)?;
        }
        Ok(pieces)
    }

    fn of_line(mut rest: &'a [u8]) -> Result<Self, DsnError> {
        let mut pieces = Self::default();
        if rest.is_empty() {
            return Err(DsnError::Form);
        }
        while !rest.is_empty() {
            let (name, after) = split_once(rest, b'=');
            let after = after.ok_or(DsnError::Form)?.trim_ascii_start();
            let (value, after) = line_value(after)?;
            pieces.take(name.trim_ascii_end(), value)?;
            rest = after.trim_ascii_start();
        }
        Ok(pieces)
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), DsnError> {
        let url = self.writing == Writing::Percent;
        let (place, name) = match name {
            b"host" => (&mut self.host, "host"),
            b"port" => (&mut self.port, "port"),
            b"user" => (&mut self.user, "user"),
            b"password" => (&mut self.password, "password"),
            b"dbname" => (&mut self.database, "dbname"),
            b"sslmode" => (&mut self.sslmode, "sslmode"),
            _ => return self.take_other(name),
        };
        // In a URL, libpq lets a parameter overrule what stands before it: the host that a person sees is not the one
        // that is asked.
        if url && name != "sslmode" {
            return Err(DsnError::Refused { name, why: "it says otherwise than what stands before the `?`" });
        }
        if place.is_some() {
            return Err(DsnError::Twice(name));
        }
        *place = Some(value);
        Ok(())
    }

    fn take_other(&mut self, name: &[u8]) -> Result<(), DsnError> {
        if let Some(known) = LEFT_OUT.iter().find(|known| known.as_bytes() == name) {
            if self.left_out.contains(known) {
                return Err(DsnError::Twice(known));
            }
            self.left_out.push(known);
            return Ok(());
        }
        match REFUSED.iter().find(|(known, _)| known.as_bytes() == name) {
            Some((name, why)) => Err(DsnError::Refused { name, why }),
            None => Err(DsnError::Parameter),
        }
    }

    fn finish(&self) -> Result<Dsn, DsnError> {
        let host = self.host.ok_or(DsnError::NoHost)?;
        if host.contains(&b',') || self.port.is_some_and(|port| port.contains(&b',')) {
            return Err(DsnError::Hosts);
        }
        if matches!(host, [b'/' | b'@', ..]) || host.to_ascii_lowercase().starts_with(b"%2f") {
            return Err(DsnError::Socket);
        }
        let origin = self.origin(host)?;
        // A password is looked at as the others are, and let go of at once.
        let given = self.password.is_some_and(|password| !password.is_empty());
        if given && self.password().is_none_or(|password| password.contains(&0)) {
            return Err(DsnError::Encoding("password"));
        }
        let database = self.name(self.database, "dbname")?;
        // libpq takes a whole DSN for a database's name, too.
        if database.as_ref().is_some_and(|name| name.contains('=') || name.contains("://") || name.contains('/')) {
            return Err(DsnError::Value("dbname"));
        }
        Ok(Dsn {
            origin,
            user: self.name(self.user, "user")?,
            database,
            tls: self.tls()?,
            left_out: self.left_out.clone(),
        })
    }

    fn origin(&self, host: &[u8]) -> Result<Origin, DsnError> {
        let host = std::str::from_utf8(host).map_err(|_| DsnError::Value("host"))?;
        let bare_v6 = self.writing == Writing::Backslash && host.contains(':') && !host.starts_with('[');
        let host = if bare_v6 { format!("[{host}]") } else { host.to_owned() };
        let port = self.port.map(std::str::from_utf8).transpose().map_err(|_| DsnError::Value("port"))?;
        let text = match port {
            Some(port) => format!("postgres://{host}:{port}"),
            None => format!("postgres://{host}"),
        };
        Ok(Origin::parse(&text)?)
    }

    fn password(&self) -> Option<Zeroizing<Vec<u8>>> {
        decode(self.password?, self.writing).filter(|password| !password.is_empty())
    }

    fn name(&self, written: Option<&[u8]>, name: &'static str) -> Result<Option<String>, DsnError> {
        let Some(written) = written else { return Ok(None) };
        let decoded = decode(written, self.writing).ok_or(DsnError::Encoding(name))?;
        let text = std::str::from_utf8(&decoded).map_err(|_| DsnError::Value(name))?;
        if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(super::lex::is_unseen) {
            return Err(DsnError::Value(name));
        }
        Ok(Some(text.to_owned()))
    }

    /// Where libpq would take any server (`require`), or none that speaks TLS (`prefer`), kv asks for proof.
    fn tls(&self) -> Result<Tls, DsnError> {
        match self.sslmode {
            None | Some(b"allow" | b"prefer" | b"require" | b"verify-full") => Ok(Tls::VerifyFull),
            Some(b"disable") => Ok(Tls::Off),
            Some(b"verify-ca") => Ok(Tls::VerifyCa),
            Some(_) => Err(DsnError::SslMode),
        }
    }
}

fn last_word(text: &[u8]) -> &[u8] {
    text.trim_ascii_end().rsplit(|b| b.is_ascii_whitespace()).next().unwrap_or_default()
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == at) {
        Some(index) => (text.get(..index).unwrap_or_default(), text.get(index + 1..)),
        None => (text, None),
    }
}

/// Host and port; an address in brackets keeps its colons.
fn split_place(place: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = place.iter().position(|b| *b == b']').unwrap_or(0);
    match place.iter().skip(from).position(|b| *b == b':') {
        Some(index) => (place.get(..from + index).unwrap_or_default(), place.get(from + index + 1..)),
        None => (place, None),
    }
}

/// The value at the beginning of a line's rest, as it is written but for the quotes around it, and what follows.
fn line_value(rest: &[u8]) -> Result<(&[u8], &[u8]), DsnError> {
    let quoted = rest.first() == Some(&b'\'');
    let rest = if quoted { rest.get(1..).unwrap_or_default() } else { rest };
    let mut escaped = false;
    for (index, b) in rest.iter().enumerate() {
        let ends = if quoted { *b == b'\'' } else { b.is_ascii_whitespace() };
        if ends && !escaped {
            let after = rest.get(index + usize::from(quoted)..).unwrap_or_default();
            if after.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                return Err(DsnError::Form);
            }
            return Ok((rest.get(..index).unwrap_or_default(), after));
        }
        escaped = *b == b'\\' && !escaped;
    }
    if quoted || escaped { Err(DsnError::Form) } else { Ok((rest, &[])) }
}

fn decode(written: &[u8], writing: Writing) -> Option<Zeroizing<Vec<u8>>> {
    // Whole from the start: a buffer that grew would leave a piece behind where it was.
    let mut decoded = Zeroizing::new(Vec::with_capacity(written.len()));
    let mut rest = written.iter().copied();
    while let Some(b) = rest.next() {
        decoded.push(match (writing, b) {
            (Writing::Percent, b'%') => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                high << 4 | low
            }
            (Writing::Backslash, b'\\') => rest.next()?,
            (_, b) => b,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
