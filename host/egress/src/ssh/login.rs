//! The credential of an SSH connection: which secrets it is made of, and, when a new connection is opened, the login
//! itself.
//!
//! A value becomes a key or a password for one login here, and is dropped with it. A kept connection needs no value at
//! all. Only what is enrolled is ever offered: no agent, no other key, no question of the server's answered.

use std::sync::Arc;

use kv_model::{Connection, Request, Scheme, SchemeName, SecretId, SettingName, SlotName, Template};
use kv_vault::Unlocked;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{Signature, certificate::CertType};
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use zeroize::Zeroizing;

use super::link::Watch;
use super::problem::{SshProblem, sort};
use crate::error::{SendError, Unfit};
use crate::inject;
use crate::patterns::Snapshot;

/// Where values and settings come from.
pub(super) struct Source<'a> {
    pub(super) auth: &'a [(SchemeName, Arc<Scheme>)],
    /// The manifest's defaults, for settings that a connection does not have.
    pub(super) defaults: &'a [(SettingName, String)],
    pub(super) vault: &'a Unlocked,
    pub(super) snapshot: &'a Snapshot,
}

/// A way in, with its values.
pub(super) struct Login {
    user: String,
    method: Method,
}

enum Method {
    Key(Arc<PrivateKey>),
    KeyWithCertificate(Arc<PrivateKey>, Box<Certificate>),
    Password(Zeroizing<String>),
}

impl<'a> Source<'a> {
    /// The secrets that a login would be made of, with their versions; none of them is opened.
    pub(super) fn credential(&self, connection: &Connection) -> Result<Arc<[(SecretId, u32)]>, SendError> {
        let mut used = Vec::new();
        for template in chosen(self.scheme()?, connection)? {
            for slot in template.slots() {
                let version = self.version(connection, slot)?;
                if !used.contains(&version) {
                    used.push(version);
                }
            }
        }
        Ok(used.into())
    }

    /// Opens the values. An encrypted key takes a while by design, so this is not for a thread that others wait for.
    pub(super) fn login(&self, connection: &Connection) -> Result<Login, SendError> {
        let (auth, defaults) = (self.scheme()?, self.defaults);
        let source = inject::Source { connection, defaults, vault: self.vault, snapshot: self.snapshot };
        let opened = source.login(auth, &mut Vec::new())?;
        let user = user(opened.user, auth)?;
        let Some(key) = opened.key else {
            let password = opened.password.ok_or(SendError::Ssh(SshProblem::NoCredential))?;
            let slot = password.slot;
            let text = text(password.bytes).map_err(|why| unfit(&slot, why))?;
            return Ok(Login { user, method: Method::Password(text) });
        };
        let passphrase = opened.passphrase.as_ref().map(|part| part.bytes.as_slice());
        let private = private_key(&key.bytes, passphrase).map_err(|why| unfit(&key.slot, why))?;
        let private = Arc::new(private);
        let method = match opened.certificate {
            None => Method::Key(private),
            Some(part) => {
                let parsed = certificate(&part.bytes, &private).map_err(|why| unfit(&part.slot, why))?;
                Method::KeyWithCertificate(private, Box::new(parsed))
            }
        };
        Ok(Login { user, method })
    }

    /// A setting of the connection, or its default.
    pub(super) fn setting<'b>(&'b self, connection: &'b Connection, name: &str) -> Option<&'b str> {
        let own = connection.settings.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value);
        let default = || self.defaults.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value);
        own.or_else(default).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    fn scheme(&self) -> Result<&'a Scheme, SendError> {
        let is_login = |scheme: &Scheme| matches!(scheme, Scheme::Login { .. });
        let found = self.auth.iter().map(|(_, scheme)| &**scheme).find(|scheme| is_login(scheme));
        found.ok_or(SendError::Ssh(SshProblem::NoCredential))
    }

    fn version(&self, connection: &Connection, slot: &SlotName) -> Result<(SecretId, u32), SendError> {
        let missing = || SendError::SecretMissing { slot: slot.clone() };
        let id = connection.bindings.get(slot).ok_or_else(missing)?.id;
        Ok((id, self.snapshot.version(id).ok_or_else(missing)?))
    }
}

/// What a login takes of what is bound: the key with what belongs to it, else the password.
fn chosen<'a>(scheme: &'a Scheme, connection: &Connection) -> Result<Vec<&'a Template>, SendError> {
    let Scheme::Login { password, key, passphrase, certificate, .. } = scheme else {
        return Err(SendError::OtherProtocol);
    };
    let bound = |template: &'a Option<Template>| template.as_ref().filter(|template| is_bound(connection, template));
    match (bound(key), bound(password)) {
        (Some(key), _) => Ok([Some(key), bound(passphrase), bound(certificate)].into_iter().flatten().collect()),
        (None, Some(password)) => Ok(vec![password]),
        (None, None) => Err(SendError::Ssh(SshProblem::NoCredential)),
    }
}

/// The name to log in as: a person's setting, and of a form in which it is nothing but a name.
fn user(name: String, scheme: &Scheme) -> Result<String, SendError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-@+\\$".contains(c);
    if !name.is_empty() && name.len() <= MAX_USER && !name.starts_with('-') && name.chars().all(good) {
        return Ok(name);
    }
    let template = scheme.templates().into_iter().next();
    Err(match template.and_then(|template| template.settings().next()) {
        Some(setting) => SendError::Setting { setting: setting.clone() },
        None => SendError::SecretUnfit { slot: None, why: Unfit::NotText },
    })
}

impl Login {
    /// One login, in the one way that is enrolled.
    pub(super) async fn authenticate(self, handle: &mut Handle<Watch>) -> Result<(), SendError> {
        let user = self.user;
        let result = match self.method {
            Method::Key(key) => {
                let hash = rsa_hash(&key, handle).await?;
                handle
                    .authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash))
                    .await
                    .map_err(|e| sort(&e))?
            }
            Method::KeyWithCertificate(key, certificate) => {
                let hash = rsa_hash(&key, handle).await?;
                let mut signer = KeySigner(key);
                let signed = handle.authenticate_certificate_with(user, *certificate, hash, &mut signer).await;
                signed.map_err(|SignerError| SendError::Ssh(SshProblem::Broken))?
            }
            Method::Password(mut password) => {
                // russh wipes what it is given.
                let password = std::mem::take(&mut *password);
                handle.authenticate_password(user, password).await.map_err(|e| sort(&e))?
            }
        };
        match result {
            AuthResult::Success => Ok(()),
            // Another factor is wanted: a code, a second key. None of it is enrolled.
            AuthResult::Failure { partial_success: true, .. } => Err(SendError::Ssh(SshProblem::LoginKind)),
            AuthResult::Failure { .. } => Err(SendError::Ssh(SshProblem::Login)),
        }
    }
}

/// RSA keys sign with SHA-2 or not at all. A server that does not say what it takes is taken at its best.
async fn rsa_hash(key: &PrivateKey, handle: &Handle<Watch>) -> Result<Option<HashAlg>, SendError> {
    if !matches!(key.key_data(), KeypairData::Rsa(_)) {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await.map_err(|error| sort(&error))? {
        Some(None) => Err(SendError::Ssh(SshProblem::Sha1)),
        Some(Some(hash)) => Ok(Some(hash)),
        None => Ok(Some(HashAlg::Sha512)),
    }
}

/// Signs one login with a key and its certificate. It is handed what russh made of the session's own id, and nothing
/// else can reach it.
struct KeySigner(Arc<PrivateKey>);

#[derive(Debug)]
struct SignerError;

impl From<russh::SendError> for SignerError {
    fn from(_: russh::SendError) -> Self {
        SignerError
    }
}

impl russh::Signer for KeySigner {
    type Error = SignerError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignerError> {
        let signature: Signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash.or(Some(HashAlg::Sha512))).try_sign(&to_sign),
            other => other.try_sign(&to_sign),
        }
        .map_err(|_| SignerError)?;
        let mut encoded = Vec::new();
        signature.encode(&mut encoded).map_err(|_| SignerError)?;
        encoded.as_slice().encode(&mut to_sign).map_err(|_| SignerError)?;
        Ok(to_sign)
    }
}

fn private_key(pem: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKey, Unfit> {
    let text = std::str::from_utf8(pem).map_err(|_| Unfit::NotText)?;
    let passphrase = passphrase.map(std::str::from_utf8).transpose().map_err(|_| Unfit::NotText)?;
    let key = match russh::keys::decode_secret_key(text, passphrase) {
        Ok(key) => key,
        Err(russh::keys::Error::KeyIsEncrypted) if passphrase.is_none() => return Err(Unfit::Encrypted),
        Err(_) if is_encrypted(text) => {
            return Err(if passphrase.is_some() { Unfit::Passphrase } else { Unfit::Encrypted });
        }
        Err(_) => return Err(Unfit::NotKey),
    };
    match key.key_data() {
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) | KeypairData::Rsa(_) => Ok(key),
        // DSA is broken; keys of security tokens are not in what is stored.
        _ => Err(Unfit::NotKey),
    }
}

fn is_encrypted(pem: &str) -> bool {
    let mark = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| pem.contains(mark));
    mark || PrivateKey::from_openssh(pem).is_ok_and(|key| key.is_encrypted())
}

/// The certificate, if it is a user's and for this key.
fn certificate(text: &[u8], key: &PrivateKey) -> Result<Certificate, Unfit> {
    let text = std::str::from_utf8(text).map_err(|_| Unfit::NotText)?;
    let certificate = Certificate::from_openssh(text.trim()).map_err(|_| Unfit::NotCertificate)?;
    if certificate.cert_type() != CertType::User {
        return Err(Unfit::NotCertificate);
    }
    if certificate.public_key() != key.public_key().key_data() {
        return Err(Unfit::OtherKey);
    }
    Ok(certificate)
}

fn is_bound(connection: &Connection, template: &Template) -> bool {
    template.slots().next().is_some() && template.slots().all(|slot| connection.bindings.contains_key(slot))
}

fn text(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Unfit> {
    if bytes.is_empty() {
        return Err(Unfit::Empty);
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        Unfit::NotText
    })
}

fn unfit(slot: &SlotName, why: Unfit) -> SendError {
    SendError::SecretUnfit { slot: Some(slot.clone()), why }
}

/// The command of a permit, if it is one.
pub(super) fn command(request: &Request) -> Result<&kv_model::Command, SendError> {
    match request {
        Request::Ssh(command) => Ok(command),
        Request::Http(_) | Request::Sql(_) => Err(SendError::OtherProtocol),
    }
}

/// Linux takes 32, directories more.
const MAX_USER: usize = 128;

#[cfg(test)]
mod tests;
