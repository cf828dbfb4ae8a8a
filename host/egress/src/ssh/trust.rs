//! Who the server has to be: one of the keys that a person pinned, or a certificate of an authority that a person pinned.
//!
//! Nothing here is learnt, asked or remembered: a key that is not pinned is refused, whatever else is true of it. The
//! check returns nothing but yes or the reason; there is no way to skip it that is not an error.

use kv_model::{Fingerprint, HostKey, HostKeyAlgorithm, HostKeyError, Origin, PinnedKeys};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKeyOrCertificate};

use super::problem::{CertificateProblem, SshProblem};
use crate::error::SendError;

/// What one connection expects of its server.
pub(super) struct Trust {
    pinned: PinnedKeys,
    host: String,
    now_s: u64,
}

impl Trust {
    /// `setting` is the connection's `host-keys`.
    pub(super) fn new(setting: &str, origin: &Origin, now_ms: u64) -> Result<Self, SendError> {
        let pinned = PinnedKeys::parse(setting).map_err(|why| SendError::Ssh(SshProblem::HostKeys(why)))?;
        Ok(Trust { pinned, host: origin.host(), now_s: now_ms / 1000 })
    }

    /// The algorithms of pinned keys first, so that a server with several keys shows one that is known; then the others,
    /// so that one that has none of them can be told apart from one that is broken.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let is_pinned = |algorithm: &HostKeyAlgorithm| self.pinned.hosts().any(|key| key.algorithm() == *algorithm);
        let (known, others): (Vec<_>, Vec<_>) = HostKeyAlgorithm::ALL.into_iter().partition(is_pinned);
        known.into_iter().chain(others).flat_map(signing).collect()
    }

    /// Certificates are asked for only where somebody could vouch for one.
    pub(super) fn certificate_algorithms(&self) -> Vec<Algorithm> {
        match self.pinned.authorities().next() {
            Some(_) => HostKeyAlgorithm::ALL.into_iter().flat_map(signing).collect(),
            None => Vec::new(),
        }
    }

    /// The one place where a server is believed.
    pub(super) fn check(&self, shown: &PublicKeyOrCertificate) -> Result<(), SendError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.check_key(key.key_data()),
            PublicKeyOrCertificate::Certificate(certificate) => Ok(self.check_certificate(certificate)?),
        }
    }

    fn check_key(&self, shown: &KeyData) -> Result<(), SendError> {
        let shown = blob(shown).ok_or(SendError::Ssh(SshProblem::Broken))?;
        if self.pinned.is_revoked(&shown) {
            return Err(SendError::Ssh(SshProblem::HostKeyRevoked { offered: Fingerprint::of(&shown) }));
        }
        if self.pinned.hosts().any(|pinned| pinned.blob() == shown) {
            return Ok(());
        }
        let pinned = self.pinned.hosts().map(HostKey::fingerprint).collect();
        Err(SendError::Ssh(SshProblem::HostKey { offered: Fingerprint::of(&shown), pinned }))
    }

    /// PROTOCOL.certkeys of OpenSSH. The signature comes last of the authority's: what an unknown authority signed is
    /// not looked at.
    fn check_certificate(&self, certificate: &Certificate) -> Result<(), CertificateProblem> {
        let authority = known(certificate.signature_key())?;
        let is_revoked = |key: &KeyData| blob(key).is_none_or(|blob| self.pinned.is_revoked(&blob));
        if is_revoked(certificate.public_key()) || is_revoked(certificate.signature_key()) {
            return Err(CertificateProblem::Revoked);
        }
        if !self.pinned.authorities().any(|pinned| *pinned == authority) {
            return Err(CertificateProblem::Authority);
        }
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None }) {
            return Err(CertificateProblem::Weak);
        }
        // Checks the authority once more, by fingerprint, and the signature; the times are told apart below.
        let fingerprint = certificate.signature_key().fingerprint(HashAlg::Sha256);
        if certificate.valid_after() >= certificate.valid_before() {
            return Err(CertificateProblem::Expired);
        }
        let inside = certificate.valid_after();
        certificate.validate_at(inside, [&fingerprint]).map_err(|_| CertificateProblem::Signature)?;
        known(certificate.public_key())?;
        if certificate.cert_type() != CertType::Host {
            return Err(CertificateProblem::Type);
        }
        if !certificate.critical_options().is_empty() {
            return Err(CertificateProblem::CriticalOption);
        }
        if self.now_s < certificate.valid_after() {
            return Err(CertificateProblem::NotYetValid);
        }
        if self.now_s >= certificate.valid_before() {
            return Err(CertificateProblem::Expired);
        }
        // A certificate without names would be one for every host.
        let is_named = certificate.valid_principals().iter().any(|name| name.eq_ignore_ascii_case(&self.host));
        if is_named { Ok(()) } else { Err(CertificateProblem::Name) }
    }
}

/// The names under which a key signs. RSA's has SHA-1 in it unless it is said otherwise.
pub(super) fn signing(algorithm: HostKeyAlgorithm) -> Vec<Algorithm> {
    let ecdsa = |curve| vec![Algorithm::Ecdsa { curve }];
    match algorithm {
        HostKeyAlgorithm::EcdsaP256 => ecdsa(EcdsaCurve::NistP256),
        HostKeyAlgorithm::EcdsaP384 => ecdsa(EcdsaCurve::NistP384),
        HostKeyAlgorithm::EcdsaP521 => ecdsa(EcdsaCurve::NistP521),
        HostKeyAlgorithm::Ed25519 => vec![Algorithm::Ed25519],
        HostKeyAlgorithm::Rsa => {
            vec![Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }]
        }
    }
}

/// As it goes over the wire.
pub(super) fn blob(key: &KeyData) -> Option<Vec<u8>> {
    russh::keys::PublicKey::new(key.clone(), "").to_bytes().ok()
}

fn known(key: &KeyData) -> Result<HostKey, CertificateProblem> {
    let blob = blob(key).ok_or(CertificateProblem::Signature)?;
    HostKey::from_blob(&blob).map_err(|why| match why {
        HostKeyError::Weak | HostKeyError::Algorithm => CertificateProblem::Weak,
        HostKeyError::Form | HostKeyError::Missing | HostKeyError::TooMany => CertificateProblem::Signature,
    })
}

#[cfg(test)]
mod tests;
