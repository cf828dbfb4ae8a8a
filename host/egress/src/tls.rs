//! Whom a service must be vouched for by. There is no way around it: no flag, no setting, no environment variable.
//!
//! A connection with certificates of its own trusts those and no others; every other one trusts the platform's roots.
//! Each pool key gets a configuration of its own, so session tickets are never shared between two credentials, and early
//! data, which could be replayed, stays off.

use std::sync::{Arc, Mutex, PoisonError};

use kv_model::CustomCa;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{SendError, TlsProblem};

/// The platform's roots, read once and shared by all workers until they are forgotten.
#[derive(Default)]
pub(crate) struct Roots(Mutex<Option<Arc<dyn ServerCertVerifier>>>);

impl Roots {
    /// The next connection reads the platform's roots anew.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) async fn client_config(&self, ca: Option<&CustomCa>) -> Result<Arc<ClientConfig>, SendError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|_| SendError::Tls(TlsProblem::NothingInCommon))?;
        let mut config = match ca {
            Some(ca) => builder.with_root_certificates(own_roots(ca)?).with_no_client_auth(),
            None => {
                // "Dangerous" is what rustls calls any verifier from outside. This one verifies; the usual shorthand
                // would read and parse the platform's roots once for each credential.
                builder.dangerous().with_custom_certificate_verifier(self.platform().await?).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.enable_early_data = false;
        Ok(Arc::new(config))
    }

    /// What a connection of another protocol verifies its server with: by the same roots, chosen in the same way.
    pub(crate) async fn verifier(&self, ca: Option<&CustomCa>) -> Result<Arc<dyn ServerCertVerifier>, SendError> {
        let Some(ca) = ca else { return self.platform().await };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(own_roots(ca)?), provider());
        Ok(verifier.build().map_err(|_| SendError::CustomCa)?)
    }

    async fn platform(&self) -> Result<Arc<dyn ServerCertVerifier>, SendError> {
        if let Some(known) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(known));
        }
        // But for Apple's, platforms keep their roots in files, and these two variables say in which. The daemon scrubs them
        // at its start; if they are there all the same, refusing is better than trusting what somebody wrote into an
        // environment.
        let is_said = |name| std::env::var_os(name).is_some();
        if cfg!(not(target_vendor = "apple")) && ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(is_said) {
            return Err(SendError::RootsFromEnvironment);
        }
        let verifier = tokio::task::spawn_blocking(|| rustls_platform_verifier::Verifier::new(provider()))
            .await
            .map_err(|_| SendError::RootsMissing)?
            .map_err(|_| SendError::RootsMissing)?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&verifier));
        Ok(verifier)
    }
}

/// Named here and never installed for the process, so no other crate's choice can take its place.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether a connection can be made to trust this PEM text.
pub fn check_ca(ca: &CustomCa) -> Result<(), SendError> {
    own_roots(ca).map(|_| ())
}

fn own_roots(ca: &CustomCa) -> Result<RootCertStore, SendError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.0.as_bytes()) {
        let certificate = certificate.map_err(|_| SendError::CustomCa)?;
        roots.add(certificate).map_err(|_| SendError::CustomCa)?;
    }
    if roots.is_empty() { Err(SendError::CustomCa) } else { Ok(roots) }
}

/// Sorts what the handshake failed of.
pub(crate) fn problem(error: &std::io::Error) -> TlsProblem {
    use CertificateError as Certificate;
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return TlsProblem::Broken;
    };
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => TlsProblem::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => TlsProblem::NotYetValid,
            Certificate::Revoked => TlsProblem::Revoked,
            // A signature that does not fit is what another authority of the same name looks like.
            Certificate::UnknownIssuer | Certificate::BadSignature => TlsProblem::UnknownIssuer,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => TlsProblem::WrongName,
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => TlsProblem::WrongPurpose,
            _ => TlsProblem::BadCertificate,
        },
        rustls::Error::NoCertificatesPresented => TlsProblem::BadCertificate,
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => TlsProblem::NothingInCommon,
        rustls::Error::AlertReceived(alert) => match alert {
            rustls::AlertDescription::ProtocolVersion
            | rustls::AlertDescription::NoApplicationProtocol
            | rustls::AlertDescription::InsufficientSecurity => TlsProblem::NothingInCommon,
            _ => TlsProblem::Refused,
        },
        _ => TlsProblem::Broken,
    }
}
