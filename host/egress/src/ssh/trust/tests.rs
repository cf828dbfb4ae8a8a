use russh::keys::PrivateKey;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::Builder;

use super::*;

const NOW_S: u64 = 1_800_000_000;

fn key() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

fn line(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

fn trust(setting: &str) -> Trust {
    Trust::new(setting, &Origin::parse("ssh://a.test").unwrap(), NOW_S * 1000).unwrap()
}

fn builder(host: &PrivateKey) -> Builder {
    let public = host.public_key().key_data().clone();
    let mut builder = Builder::new(vec![7; 16], public, NOW_S - 60, NOW_S + 60).unwrap();
    builder.cert_type(CertType::Host).unwrap();
    builder
}

#[test]
fn keys() {
    let (mine, other, authority) = (key(), key(), key());
    let both = trust(&format!("{}\n@cert-authority {}", line(&mine), line(&authority)));
    let shown = |key: &PrivateKey| PublicKeyOrCertificate::from(key.public_key().clone());
    assert_eq!(both.check(&shown(&mine)), Ok(()));
    assert!(matches!(both.check(&shown(&other)), Err(SendError::Ssh(SshProblem::HostKey { .. }))));
    // An authority's key is not a host's.
    assert!(both.check(&shown(&authority)).is_err());
}

#[test]
fn certificates() {
    let (host, authority, other) = (key(), key(), key());
    let trust = trust(&format!("@cert-authority {}", line(&authority)));
    let check = |change: &dyn Fn(&mut Builder), signer: &PrivateKey| {
        let mut builder = builder(&host);
        change(&mut builder);
        trust.check_certificate(&builder.sign(signer).unwrap())
    };
    let named = |builder: &mut Builder| {
        builder.valid_principal("A.test").unwrap();
    };
    assert_eq!(check(&named, &authority), Ok(()));
    assert_eq!(check(&named, &other), Err(CertificateProblem::Authority));
    // The host's own signature makes no authority of it.
    assert_eq!(check(&named, &host), Err(CertificateProblem::Authority));
    let elsewhere = |builder: &mut Builder| {
        builder.valid_principal("b.test").unwrap().valid_principal("*.test").unwrap();
    };
    assert_eq!(check(&elsewhere, &authority), Err(CertificateProblem::Name));
    let for_all = |builder: &mut Builder| {
        builder.all_principals_valid().unwrap();
    };
    assert_eq!(check(&for_all, &authority), Err(CertificateProblem::Name));
    let optioned = |builder: &mut Builder| {
        builder.valid_principal("a.test").unwrap().critical_option("force-command", "id").unwrap();
    };
    assert_eq!(check(&optioned, &authority), Err(CertificateProblem::CriticalOption));
    let public = host.public_key().key_data().clone();
    let mut user = Builder::new(vec![7; 16], public, NOW_S - 60, NOW_S + 60).unwrap();
    user.cert_type(CertType::User).unwrap().valid_principal("a.test").unwrap();
    assert_eq!(trust.check_certificate(&user.sign(&authority).unwrap()), Err(CertificateProblem::Type));
    for (from, to, why) in [
        (NOW_S + 1, NOW_S + 9, CertificateProblem::NotYetValid),
        (NOW_S - 9, NOW_S, CertificateProblem::Expired),
        (NOW_S, NOW_S, CertificateProblem::Expired),
    ] {
        let Ok(mut builder) = Builder::new(vec![7; 16], host.public_key().key_data().clone(), from, to) else {
            continue;
        };
        builder.cert_type(CertType::Host).unwrap().valid_principal("a.test").unwrap();
        // The builder itself refuses some of these.
        let Ok(signed) = builder.sign(&authority) else { continue };
        assert_eq!(trust.check_certificate(&signed), Err(why));
    }
    let none = self::trust(&line(&authority));
    let mut builder = builder(&host);
    builder.valid_principal("a.test").unwrap();
    // Pinned as a host's key, it signs for nobody.
    let shown = builder.sign(&authority).unwrap();
    assert_eq!(none.check_certificate(&shown), Err(CertificateProblem::Authority));
    assert!(none.certificate_algorithms().is_empty());
}

/// What is revoked is believed in no way: not as a key that is pinned too, not with a certificate, not as an authority.
#[test]
fn revoked_keys() {
    let (host, authority, other) = (key(), key(), key());
    let certified = |signer: &PrivateKey| {
        let mut builder = builder(&host);
        builder.valid_principal("a.test").unwrap();
        builder.sign(signer).unwrap()
    };
    let trusting = |revoked: &PrivateKey| {
        let lines =
            [line(&host), format!("@cert-authority {}", line(&authority)), format!("@revoked {}", line(revoked))];
        trust(&lines.join("\n"))
    };
    let shown = PublicKeyOrCertificate::from(host.public_key().clone());
    let by_key = trusting(&host).check(&shown).unwrap_err();
    assert_eq!(by_key.code(), "egress.ssh.host_key_revoked");
    assert_eq!(trusting(&host).check_certificate(&certified(&authority)), Err(CertificateProblem::Revoked));
    assert_eq!(trusting(&authority).check_certificate(&certified(&authority)), Err(CertificateProblem::Revoked));
    assert_eq!(trusting(&other).check_certificate(&certified(&authority)), Ok(()));
    assert_eq!(trusting(&other).check(&shown), Ok(()));
}

/// One byte that is not as it was signed spoils it.
#[test]
fn forged_certificates() {
    let (host, authority) = (key(), key());
    let trust = trust(&format!("@cert-authority {}", line(&authority)));
    let mut builder = builder(&host);
    builder.valid_principal("a.test").unwrap();
    let bytes = builder.sign(&authority).unwrap().to_bytes().unwrap();
    assert_eq!(trust.check_certificate(&Certificate::from_bytes(&bytes).unwrap()), Ok(()));
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        if let Ok(forged) = Certificate::from_bytes(&forged) {
            assert!(trust.check_certificate(&forged).is_err(), "byte {at}");
        }
    }
}

#[test]
fn no_setting_trusts_nobody() {
    for setting in ["", "\n", "# none", "*", "any", "ssh-ed25519", "@revoked x"] {
        let made = Trust::new(setting, &Origin::parse("ssh://a.test").unwrap(), 0);
        assert!(matches!(made, Err(SendError::Ssh(SshProblem::HostKeys(_)))), "{setting}");
    }
}

#[test]
fn pinned_kinds_come_first_and_sha1_never() {
    let rsa = "ssh-rsa";
    let trust = trust(&line(&key()));
    let names: Vec<String> = trust.algorithms().iter().map(ToString::to_string).collect();
    assert_eq!(names.first().map(String::as_str), Some("ssh-ed25519"));
    assert!(!names.iter().any(|name| name == rsa), "{names:?}");
}
