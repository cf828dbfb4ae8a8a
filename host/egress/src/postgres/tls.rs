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
