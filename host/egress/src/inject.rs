//! Putting secrets onto a request, where the manifest's schemes say and nowhere else.
//!
//! A value is read here, written into one buffer of the right size, and the buffer is wiped when the request is done
//! with. It is never put into a body, never split, never formatted, and never described: a secret that does not fit is
//! refused by its slot's name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use kv_model::{Connection, HttpRequest, Scheme, SecretId, SettingName, SlotName, Template, TemplatePiece};
use kv_vault::{SecretValue, Unlocked};
use zeroize::Zeroizing;

use crate::error::{SendError, Unfit};
use crate::patterns::{Derived, Snapshot};

/// A request's credential, and the target that it may be part of.
pub(crate) struct Injected {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) target: PathAndQuery,
    /// The secrets on the request, in order, each once.
    pub(crate) used: Vec<(SecretId, u32)>,
    /// What goes onto the wire in another form than the secret's own.
    pub(crate) derived: Vec<Derived>,
}

/// Who logs in, and with what.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<LoginPart>,
    pub(crate) key: Option<LoginPart>,
    pub(crate) passphrase: Option<LoginPart>,
    pub(crate) certificate: Option<LoginPart>,
}

/// What one template of a login became, and the first secret in it.
pub(crate) struct LoginPart {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) slot: SlotName,
    pub(crate) from: SecretId,
}

/// Where values come from.
pub(crate) struct Source<'a> {
    pub(crate) connection: &'a Connection,
    /// The manifest's defaults, for settings that the connection does not have.
    pub(crate) defaults: &'a [(SettingName, String)],
    pub(crate) vault: &'a Unlocked,
    pub(crate) snapshot: &'a Snapshot,
}

/// What a rendered template is for, and so what may be in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Basic,
    Header,
    /// Not on a line of text: whoever logs in checks what the protocol can carry.
    Login,
    Url,
}

struct Rendered {
    bytes: Zeroizing<Vec<u8>>,
    /// The first of its secrets, for errors and for counting.
    slot: Option<(SlotName, SecretId)>,
}

enum Piece<'a> {
    Text(&'a str),
    Value(SecretValue),
}

impl Source<'_> {
    /// Applies the schemes of a request in order.
    pub(crate) fn inject(&self, request: &HttpRequest) -> Result<Injected, SendError> {
        let mut used = Vec::new();
        let (mut headers, mut derived) = (Vec::new(), Vec::new());
        let mut target = Target::new(request.target());
        for (_, scheme) in request.auth() {
            match &**scheme {
                Scheme::Basic { user, password } => {
                    let Rendered { bytes: value, slot } = self.basic(user, password, &mut used)?;
                    if let Some((_, from)) = slot {
                        derived.push(Derived {
                            from,
                            bytes: Zeroizing::new(value.get(BASIC.len()..).unwrap_or_default().to_vec()),
                        });
                    }
                    headers.push((AUTHORIZATION, sensitive(value).map_err(|()| unfit(None, Unfit::TooLong))?));
                }
                Scheme::Header { name, value } => {
                    let rendered = self.render(value, Use::Header, &mut used)?;
                    let slot = rendered.slot.map(|(slot, _)| slot);
                    let name = HeaderName::try_from(name.as_str()).map_err(|_| unfit(slot.as_ref(), Unfit::NotText))?;
                    let value = sensitive(rendered.bytes).map_err(|()| unfit(slot.as_ref(), Unfit::TooLong))?;
                    headers.push((name, value));
                }
                // A manifest of an HTTP provider has none.
                Scheme::Login { .. } => return Err(SendError::OtherProtocol),
                Scheme::PathPrefix { value } => target.prefix(self.render(value, Use::Url, &mut used)?),
                Scheme::Query { name, value } => target.query(name, self.render(value, Use::Url, &mut used)?),
            }
        }
        Ok(Injected { headers, target: target.finish()?, used, derived })
    }

    /// The login of a connection that is not HTTP. A slot of it that is not bound leaves its part out.
    pub(crate) fn login(&self, scheme: &Scheme, used: &mut Vec<(SecretId, u32)>) -> Result<Login, SendError> {
        let Scheme::Login { user, password, key, passphrase, certificate } = scheme else {
            return Err(SendError::OtherProtocol);
        };
        let user = self.render(user, Use::Login, used)?;
        let user = std::str::from_utf8(&user.bytes).map_err(|_| unfit(None, Unfit::NotText))?.to_owned();
        let mut part = |template: &Option<Template>| -> Result<Option<LoginPart>, SendError> {
            let is_bound = |slot: &SlotName| self.connection.bindings.contains_key(slot);
            let Some(template) = template.as_ref().filter(|template| template.slots().all(is_bound)) else {
                return Ok(None);
            };
            let Rendered { bytes, slot } = self.render(template, Use::Login, used)?;
            Ok(slot.map(|(slot, from)| LoginPart { bytes, slot, from }))
        };
        Ok(Login {
            user,
            password: part(password)?,
            key: part(key)?,
            passphrase: part(passphrase)?,
            certificate: part(certificate)?,
        })
    }

    /// A setting that has text in it, if there is one.
    pub(crate) fn optional_setting(&self, name: &str) -> Result<Option<&str>, SendError> {
        let Ok(name) = SettingName::parse(name) else { return Ok(None) };
        let is_there =
            self.connection.settings.contains_key(&name) || self.defaults.iter().any(|(known, _)| *known == name);
        if !is_there {
            return Ok(None);
        }
        Ok(Some(self.setting(&name)?).filter(|value| !value.is_empty()))
    }

    /// `Basic base64(user:password)`, RFC 7617.
    fn basic(
        &self,
        user: &Template,
        password: &Template,
        used: &mut Vec<(SecretId, u32)>,
    ) -> Result<Rendered, SendError> {
        let user = self.render(user, Use::Basic, used)?;
        let password = self.render(password, Use::Basic, used)?;
        let slot = password.slot.or(user.slot);
        if user.bytes.contains(&b':') {
            return Err(unfit(slot.as_ref().map(|(slot, _)| slot), Unfit::Colon));
        }
        let mut pair = Zeroizing::new(Vec::with_capacity(user.bytes.len() + 1 + password.bytes.len()));
        pair.extend_from_slice(&user.bytes);
        pair.push(b':');
        pair.extend_from_slice(&password.bytes);
        let encoded = base64::encoded_len(pair.len(), true).unwrap_or(usize::MAX);
        if encoded > MAX_VALUE {
            return Err(unfit(slot.as_ref().map(|(slot, _)| slot), Unfit::TooLong));
        }
        let mut value = Zeroizing::new(vec![0; BASIC.len() + encoded]);
        let (scheme, blob) = value.split_at_mut(BASIC.len());
        scheme.copy_from_slice(BASIC);
        // The buffer has the length that the encoder itself asked for.
        STANDARD.encode_slice(&*pair, blob).map_err(|_| unfit(None, Unfit::TooLong))?;
        Ok(Rendered { bytes: value, slot })
    }

    fn render(&self, template: &Template, what: Use, used: &mut Vec<(SecretId, u32)>) -> Result<Rendered, SendError> {
        let mut slot = None;
        let mut pieces = Vec::with_capacity(template.pieces().len());
        for piece in template.pieces() {
            pieces.push(match piece {
                TemplatePiece::Literal(text) => Piece::Text(text),
                TemplatePiece::Setting(name) => Piece::Text(self.setting(name)?),
                TemplatePiece::Slot(name) => {
                    let (id, version, value) = self.open(name)?;
                    check(read(&value), what).map_err(|why| unfit(Some(name), why))?;
                    if !used.contains(&(id, version)) {
                        used.push((id, version));
                    }
                    slot.get_or_insert((name.clone(), id));
                    Piece::Value(value)
                }
            });
        }
        let length = pieces.iter().map(|piece| piece.bytes().len()).sum();
        if length > MAX_VALUE {
            return Err(unfit(slot.as_ref().map(|(slot, _)| slot), Unfit::TooLong));
        }
        // Of the right size from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece.bytes()));
        Ok(Rendered { bytes, slot })
    }

    /// The value that fills a slot, in the version that answers will be cleaned of.
    fn open(&self, slot: &SlotName) -> Result<(SecretId, u32, SecretValue), SendError> {
        let missing = || SendError::SecretMissing { slot: slot.clone() };
        let id = self.connection.bindings.get(slot).ok_or_else(missing)?.id;
        let version = self.snapshot.version(id).ok_or_else(missing)?;
        let value = self.vault.open_version(id, version).map_err(|_| SendError::Vault { slot: slot.clone() })?;
        Ok((id, version, value))
    }

    fn setting(&self, name: &SettingName) -> Result<&str, SendError> {
        let default = || self.defaults.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let value = self.connection.settings.get(name).or_else(default);
        value
            .filter(|value| value.bytes().all(|b| (0x20..0x7f).contains(&b)))
            .map(String::as_str)
            .ok_or_else(|| SendError::Setting { setting: name.clone() })
    }
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Text(text) => text.as_bytes(),
            Piece::Value(value) => read(value),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "injection: the one place where a value is written onto a request")]
fn read(value: &SecretValue) -> &[u8] {
    value.expose()
}

/// A secret that was stored with a line's end would end the header and begin another one.
fn check(value: &[u8], what: Use) -> Result<(), Unfit> {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return Err(Unfit::Empty) };
    if what == Use::Login {
        Ok(())
    } else if value.iter().any(|b| b.is_ascii_control()) {
        Err(Unfit::Control)
    } else if [first, last].contains(&&b' ') {
        Err(Unfit::Edge)
    } else if what == Use::Header && !value.is_ascii() {
        Err(Unfit::NonAscii)
    } else if std::str::from_utf8(value).is_err() {
        Err(Unfit::NotText)
    } else {
        Ok(())
    }
}

/// The bytes are wiped when the last copy of the header is dropped.
fn sensitive(bytes: Zeroizing<Vec<u8>>) -> Result<HeaderValue, ()> {
    if bytes.len() > MAX_VALUE {
        return Err(());
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes)).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

fn unfit(slot: Option<&SlotName>, why: Unfit) -> SendError {
    SendError::SecretUnfit { slot: slot.cloned(), why }
}

/// Path and query with what schemes add to them.
struct Target {
    base: String,
    prefixes: Vec<Rendered>,
    query: Vec<(String, Rendered)>,
}

impl Target {
    fn new(base: String) -> Self {
        Target { base, prefixes: Vec::new(), query: Vec::new() }
    }

    fn prefix(&mut self, value: Rendered) {
        self.prefixes.push(value);
    }

    fn query(&mut self, name: &str, value: Rendered) {
        self.query.push((name.to_owned(), value));
    }

    fn finish(self) -> Result<PathAndQuery, SendError> {
        let secrets = || self.prefixes.iter().chain(self.query.iter().map(|(_, value)| value));
        let slot = secrets().find_map(|value| value.slot.as_ref()).map(|(slot, _)| slot.clone());
        let fail = |why| unfit(slot.as_ref(), why);
        if secrets().next().is_none() {
            return PathAndQuery::try_from(self.base).map_err(|_| fail(Unfit::TooLong));
        }
        let names: usize = self.query.iter().map(|(name, _)| name.len()).sum();
        let most = self.base.len() + 3 * (names + secrets().map(|value| value.bytes.len() + 2).sum::<usize>());
        if most > MAX_TARGET {
            return Err(fail(Unfit::TooLong));
        }
        let mut out = Zeroizing::new(Vec::with_capacity(most));
        for prefix in &self.prefixes {
            // A value of `..` would be a step upwards in the path rather than a segment of it.
            if matches!(prefix.bytes.as_slice(), b"" | b"." | b"..") {
                return Err(fail(Unfit::Empty));
            }
            out.push(b'/');
            percent_encode(&prefix.bytes, b"-._~!$&'()*+,;=:@", &mut out);
        }
        out.extend_from_slice(self.base.as_bytes());
        let mut separator = if self.base.contains('?') { b'&' } else { b'?' };
        for (name, value) in &self.query {
            out.push(separator);
            percent_encode(name.as_bytes(), b"-._~", &mut out);
            out.push(b'=');
            percent_encode(&value.bytes, b"-._~", &mut out);
            separator = b'&';
        }
        PathAndQuery::from_maybe_shared(Bytes::from_owner(out)).map_err(|_| fail(Unfit::NotText))
    }
}

/// Encodes all but letters, digits and `plain`. `out` has room for three bytes for each.
fn percent_encode(bytes: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

const BASIC: &[u8] = b"Basic ";
/// One header as large as the largest that common servers accept in all.
const MAX_VALUE: usize = 16 << 10;
/// Path and query with the secret: what the model lets through, and room for one value encoded.
const MAX_TARGET: usize = 48 << 10;
