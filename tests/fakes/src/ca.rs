//! A certificate authority for one test run, and leaf certificates both good and bad.
//!
//! The authority's key lives in memory and is never written anywhere; only its certificate can be, for a client to trust.
//! No system trust store is read or changed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::listener::Protocols;

/// A certificate authority that exists for as long as this value does.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Which certificate a service shows. All but the first two must make a careful client refuse the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// Valid for `127.0.0.1`, `::1` and `localhost`.
    #[default]
    Good,
    /// Valid for these DNS names and IP addresses and for nothing else.
    For(Vec<String>),
    /// The address stands in the subject's common name alone, where modern clients do not look.
    CommonNameOnly,
    /// Ended in the year 2001.
    Expired,
    /// Begins ten years from now.
    NotYetValid,
    /// Signed by an authority that nobody was told about.
    OtherAuthority,
    /// An authority's certificate, signed by itself, as the server's own: what `openssl req -x509` makes.
    OwnAuthority,
    /// Signed by itself.
    SelfSigned,
    /// Good in time and signature, but for `wrong.invalid`.
    WrongName,
    /// Issued for clients, not for servers.
    WrongPurpose,
}

impl Leaf {
    /// Every kind that a client has to refuse.
    pub const BAD: [Leaf; 7] = [
        Leaf::CommonNameOnly,
        Leaf::Expired,
        Leaf::NotYetValid,
        Leaf::OtherAuthority,
        Leaf::SelfSigned,
        Leaf::WrongName,
        Leaf::WrongPurpose,
    ];
}

/// A leaf certificate with its chain and key, as rustls wants them.
pub struct LeafFiles {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl TestCa {
    /// Makes a new authority with a fresh key.
    #[expect(
        clippy::new_without_default,
        reason = "each one has a fresh key: two `default()` values would not be equal"
    )]
    pub fn new() -> TestCa {
        TestCa::called("kv test authority")
    }

    fn called(name: &str) -> TestCa {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // OpenSSL in its strict mode (Python's default since 3.13) wants both usages and the key identifiers.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_around_now(&mut params);
        let issuer = CertifiedIssuer::self_signed(params, fresh_key()).expect("parameters written above are valid");
        TestCa { issuer }
    }

    /// The authority's certificate, for a client to trust.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes [`ca_pem`](TestCa::ca_pem) to a file.
    pub fn write_ca(&self, path: impl AsRef<Path>) -> io::Result<()> {
        std::fs::write(path, self.ca_pem())
    }

    /// Issues a certificate of the given kind with a fresh key.
    pub fn leaf(&self, leaf: &Leaf) -> LeafFiles {
        let key = fresh_key();
        let params = leaf_params(leaf);
        let certificate = match leaf {
            Leaf::OwnAuthority | Leaf::SelfSigned => params.self_signed(&key),
            Leaf::OtherAuthority => params.signed_by(&key, &TestCa::called("an authority that nobody knows").issuer),
            _ => params.signed_by(&key, &self.issuer),
        }
        .expect("parameters written below are valid");
        LeafFiles { chain: vec![certificate.der().clone()], key: key.into() }
    }

    /// A server's TLS settings with a leaf of the given kind.
    pub fn server_config(&self, leaf: &Leaf, protocols: Protocols) -> Arc<ServerConfig> {
        let LeafFiles { chain, key } = self.leaf(leaf);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("rcgen's keys are of a kind that rustls knows");
        config.alpn_protocols = protocols.alpn();
        Arc::new(config)
    }

    /// A client's TLS settings that trust this authority and no other.
    pub fn client_config(&self, protocols: Protocols) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("our own certificate parses");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.alpn();
        Arc::new(config)
    }
}

fn leaf_params(leaf: &Leaf) -> CertificateParams {
    let names: Vec<String> = match leaf {
        Leaf::For(names) => names.clone(),
        Leaf::CommonNameOnly => Vec::new(),
        Leaf::WrongName => vec!["wrong.invalid".to_owned()],
        _ => ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec(),
    };
    let mut params = CertificateParams::new(names).expect("a test's names are ASCII");
    let common_name = if *leaf == Leaf::CommonNameOnly { "127.0.0.1" } else { "kv test service" };
    params.distinguished_name = named(common_name);
    params.use_authority_key_identifier_extension = !matches!(leaf, Leaf::OwnAuthority | Leaf::SelfSigned);
    if *leaf == Leaf::OwnAuthority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match leaf {
        Leaf::WrongPurpose => vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    valid_around_now(&mut params);
    match leaf {
        Leaf::Expired => {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        Leaf::NotYetValid => {
            params.not_before += 10 * YEAR;
            params.not_after += 10 * YEAR;
        }
        _ => {}
    }
    params
}

/// From yesterday (a client's clock may be behind) for half a year: macOS refuses leaves that last over 825 days.
fn valid_around_now(params: &mut CertificateParams) {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(crate::service::unix_now());
    params.not_before = now - DAY;
    params.not_after = now + YEAR / 2;
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn fresh_key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::{Fixed, ServeOptions, serve};
    use crate::reply::Reply;
    use crate::testing::{Client, block_on};
    use http::Request;
    use http_body_util::Full;

    async fn reached(ca: &TestCa, leaf: Leaf) -> Result<(), String> {
        let fake = Fixed(Reply::bytes(200, "text/plain", "ok"));
        let service = serve(fake, ca, ServeOptions { leaf, ..ServeOptions::default() }).unwrap();
        let request = Request::get("/").body(Full::default()).unwrap();
        let outcome = Client::new(ca, &service, "").send(request).await;
        assert_eq!(service.request_count(), usize::from(outcome.is_ok()));
        outcome.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn good_leaves_are_accepted_and_bad_ones_refused_for_the_right_reason() {
        block_on(async {
            let ca = TestCa::new();
            assert_eq!(reached(&ca, Leaf::Good).await, Ok(()));
            assert_eq!(reached(&ca, Leaf::For(vec!["127.0.0.1".to_owned()])).await, Ok(()));
            let reasons = [
                (Leaf::CommonNameOnly, "not valid for name"),
                (Leaf::Expired, "expired"),
                (Leaf::NotYetValid, "not valid yet"),
                (Leaf::OtherAuthority, "UnknownIssuer"),
                (Leaf::SelfSigned, "UnknownIssuer"),
                (Leaf::WrongName, "not valid for name"),
                (Leaf::WrongPurpose, "server authentication"),
            ];
            assert_eq!(reasons.clone().map(|(leaf, _)| leaf), Leaf::BAD);
            for (leaf, reason) in reasons {
                let error = reached(&ca, leaf.clone()).await.unwrap_err();
                assert!(error.contains(reason), "{leaf:?}: {error}");
            }
        });
    }

    #[test]
    fn the_written_certificate_is_the_authoritys() {
        let directory = tempfile::tempdir().unwrap();
        let (ca, path) = (TestCa::new(), directory.path().join("ca.pem"));
        ca.write_ca(&path).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), ca.ca_pem());
        assert!(ca.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
