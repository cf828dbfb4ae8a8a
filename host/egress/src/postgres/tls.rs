//! TLS to a database: the connection's roots, the client's certificate, and nothing to be taken for another protocol.

use std::sync::Arc;

use kv_model::CustomCa;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::error::DatabaseError;
use super::target::{ClientPair, TlsMode};
use crate::error::{SendError, TlsProblem};
use crate::tls::{Roots, provider};

/// The configurations of one session.
pub(super) struct Configs {
    pub(super) session: Arc<ClientConfig>,
    /// For a request to cancel, which needs no login: without the client's key, which is not kept for it.
    pub(super) cancel: Arc<ClientConfig>,
}

/// Not shared between sessions: a ticket would carry one's login into another, and the client's key would be kept.
pub(super) async fn configs(
    roots: &Roots,
    ca: Option<&CustomCa>,
    mode: TlsMode,
    client: Option<&ClientPair>,
) -> Result<Configs, SendError> {
    let mut verifier = roots.verifier(ca).await?;
    if let Some(ca) = ca {
        let given = CertificateDer::pem_slice_iter(ca.0.as_bytes()).collect::<Result<_, _>>();
        verifier = Arc::new(Given { inner: verifier, certificates: given.map_err(|_| SendError::CustomCa)? });
    }
    if mode == TlsMode::VerifyCa {
        verifier = Arc::new(AnyName(verifier));
    }
    let builder = || {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|_| SendError::Tls(TlsProblem::NothingInCommon))?;
        Ok::<_, SendError>(builder.dangerous().with_custom_certificate_verifier(Arc::clone(&verifier)))
    };
    let plain = finished(builder()?.with_no_client_auth());
    let session = match client {
        None => Arc::clone(&plain),
        Some(pair) => {
            let (chain, key) = parsed(pair).ok_or(DatabaseError::ClientCertificate)?;
            let config = builder()?.with_client_auth_cert(chain, key).map_err(|_| DatabaseError::ClientCertificate)?;
            finished(config)
        }
    };
    Ok(Configs { session, cancel: plain })
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    // A server of another protocol that holds the same certificate refuses this. Databases before 17 ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    Arc::new(config)
}

fn parsed(pair: &ClientPair) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(&pair.certificate).collect::<Result<Vec<_>, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(&pair.key).ok()?;
    (!chain.is_empty()).then_some((chain, key))
}

/// Whether a handshake failed of nothing but that the server shows an authority's certificate as its own. rustls has no name
/// for it and passes on the verifier's.
pub(super) fn is_own_authority(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(problem)) if is_authority(problem))
}

fn is_authority(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}

/// A server whose certificate signs itself as an authority, as those are that the database's manual has people make. A person
/// who gave that very certificate meant that very server: it passes if it is one of those given, byte for byte, is valid
/// now (which is looked at before this complaint) and for this name. What it has signed passes as any authority's does.
#[derive(Debug)]
struct Given {
    inner: Arc<dyn ServerCertVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(problem))
                if is_authority(&problem) && self.certificates.iter().any(|given| given == end_entity) =>
            {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `verify-ca`: everything but the name. Chain and time are looked at before the name, so a certificate that fails of its
/// name alone has passed the rest. Only for a connection with an authority of its own.
#[derive(Debug)]
struct AnyName(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::Error::InvalidCertificate;
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
