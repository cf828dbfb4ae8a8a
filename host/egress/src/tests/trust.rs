//! H50, H51, H52: certificates.

use std::sync::Arc;

use kv_fakes::{Leaf, Script, Scripted, ServeOptions, TestCa};
use kv_model::CustomCa;

use super::lab::{Lab, quick};
use crate::{Fault, SendError, Sent, TlsProblem};

fn ok() -> Script {
    Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn bad_certificates() {
    let lab = Lab::new(quick());
    for (leaf, problem) in Leaf::BAD.into_iter().zip([
        TlsProblem::WrongName,
        TlsProblem::Expired,
        TlsProblem::NotYetValid,
        TlsProblem::UnknownIssuer,
        TlsProblem::UnknownIssuer,
        TlsProblem::WrongName,
        TlsProblem::WrongPurpose,
    ]) {
        let name = format!("{leaf:?}");
        let service = Scripted::start_with(&lab.ca, ServeOptions { leaf, ..Scripted::options() }, |_| ok()).unwrap();
        let error = lab.get(&lab.to(&service), "/things").await.err().unwrap();
        assert_eq!(error, SendError::Tls(problem), "{name}");
        assert_eq!((error.code(), error.sent(), error.fault()), ("egress.tls", Sent::No, Fault::Service));
        assert_eq!(
            (service.request_count(), service.connections()),
            (0, 1),
            "{name}: no second try without verification"
        );
    }
}

/// A connection's own certificates are trusted by themselves, and only in it.
#[tokio::test]
async fn own_authorities() {
    let lab = Lab::new(quick());
    let service = Scripted::start(&lab.ca, ok()).unwrap();
    let (mut other, mut both) = (lab.connection(&service.origin()), lab.connection(&service.origin()));
    let others = TestCa::new().ca_pem();
    both.ca = Some(CustomCa(format!("{others}{}", lab.ca.ca_pem())));
    other.ca = Some(CustomCa(others));
    let other = lab.get(&Arc::new(other), "/things").await.err();
    assert_eq!(other, Some(SendError::Tls(TlsProblem::UnknownIssuer)));
    assert_eq!(lab.get(&Arc::new(both), "/things").await.unwrap().status, 200);
    for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut connection = lab.connection(&service.origin());
        connection.ca = Some(CustomCa(bad.into()));
        assert_eq!(lab.get(&Arc::new(connection), "/things").await.err(), Some(SendError::CustomCa), "{bad}");
    }
}

/// Whoever speaks no TLS gets no request, and whoever says plain text on a TLS port is not believed.
#[tokio::test]
async fn no_tls() {
    let lab = Lab::new(quick());
    let plain = ServeOptions { tls: false, ..Scripted::options() };
    let service =
        Scripted::start_with(&lab.ca, plain, |_| Script::new([kv_fakes::Step::send("HTTP/1.1 200 OK\r\n\r\n")]));
    let service = service.unwrap();
    let connection = Arc::new(lab.connection(&format!("https://127.0.0.1:{}", service.port())));
    assert_eq!(lab.get(&connection, "/things").await.err(), Some(SendError::Tls(TlsProblem::Broken)));
    assert_eq!(service.request_count(), 0);
}
