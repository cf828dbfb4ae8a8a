//! Who is let in, by what, and who the server has to be.

use std::sync::Arc;

use kv_fakes::{Leaf, POSTGRES_PASSWORD, PostgresOptions, RealPostgres, TestCa, postgres_is_installed};
use kv_model::{Connection, CustomCa};

use super::lab::Lab;
use super::postgres_lab::{PgLab, Refused, pg_lab, set, slot};
use crate::{Limits, SendError, TlsProblem};

async fn outcome(pg: &PgLab, connection: Connection) -> String {
    match pg.read(&Arc::new(connection), "select 1").await {
        Ok(rows) => rows.rows.concat(),
        Err(error) => error.code().to_owned(),
    }
}

#[tokio::test]
async fn passwords() {
    if !postgres_is_installed() {
        return;
    }
    let hba =
        ["host all plain 127.0.0.1/32 password", "host all old 127.0.0.1/32 md5", "host all free 127.0.0.1/32 trust"];
    let options = PostgresOptions { hba: hba.map(str::to_owned).to_vec(), ..Default::default() };
    let pg = PgLab::with(Limits::default(), &options);
    pg.sql(&format!(
        "create role plain login password '{POSTGRES_PASSWORD}'; set password_encryption = md5; \
         create role old login password '{POSTGRES_PASSWORD}'; create role free login"
    ));
    for (user, allowed, tls, expected) in [
        ("app", "", "", "[1]"),
        ("app", "scram-unbound", "", "[1]"),
        ("app", "", "off", "[1]"),
        ("app", "", "verify-ca", "[1]"),
        ("plain", "", "", "egress.auth"),
        ("plain", "md5", "", "egress.auth"),
        ("plain", "cleartext", "", "[1]"),
        ("plain", "", "off", "egress.auth"),
        ("old", "", "", "egress.auth"),
        ("old", "md5", "", "[1]"),
        ("old", "cleartext", "", "[1]"),
        ("free", "", "", "[1]"),
        // Without TLS, a server that asks for nothing has proved nothing.
        ("free", "", "off", "egress.server_unproven"),
        ("nobody-here", "", "", "egress.login_refused"),
        ("app", "nonsense", "", "egress.setting"),
        ("app", "", "nonsense", "egress.setting"),
    ] {
        let mut connection = pg.connection(user);
        if !allowed.is_empty() {
            set(&mut connection, "password-auth", allowed);
        }
        if !tls.is_empty() {
            set(&mut connection, "tls", tls);
        }
        assert_eq!(outcome(&pg, connection).await, expected, "{user} {allowed} {tls}");
    }
    let mut elsewhere = pg.connection("app");
    set(&mut elsewhere, "database", "nowhere");
    assert_eq!(outcome(&pg, elsewhere).await, "egress.session_refused");
    let mut without = pg.connection("app");
    without.bindings.clear();
    assert_eq!(outcome(&pg, without).await, "egress.secret_missing");
    // A changed password closes what the old one opened.
    let app = pg.app();
    let first = pg.read(&app, "select pg_backend_pid()").await.unwrap();
    pg.sql("alter role app password 'kvcanary_pg_the_next_one'");
    pg.lab.rotate("PASSWORD", b"kvcanary_pg_the_next_one");
    assert_ne!(pg.read(&app, "select pg_backend_pid()").await.unwrap(), first);
    pg.lab.rotate("PASSWORD", b"kvcanary_pg_a_wrong_one");
    let error = pg.read(&app, "select 1").await.unwrap_err();
    assert_eq!(error.code(), "egress.login_refused");
    assert!(!pg.server.log().contains("kvcanary"), "the server's log holds no password");
}

#[tokio::test]
async fn connection_strings() {
    if !postgres_is_installed() {
        return;
    }
    let pg = PgLab::new();
    let place = format!("127.0.0.1:{}", pg.server.port());
    for (number, (text, expected)) in [
        (format!("postgres://app:{POSTGRES_PASSWORD}@{place}/shop"), "[1]"),
        (format!("postgresql://app:{POSTGRES_PASSWORD}@{place}/shop"), "[1]"),
        (format!("postgres://admin:{POSTGRES_PASSWORD}@{place}/shop"), "egress.dsn"),
        (format!("postgres://app:{POSTGRES_PASSWORD}@{place}/other"), "egress.dsn"),
        (format!("postgres://app:{POSTGRES_PASSWORD}@evil.test/shop"), "egress.dsn"),
        (format!("postgres://app:{POSTGRES_PASSWORD}@{place}/shop?hostaddr=6.6.6.6"), "egress.dsn"),
        (format!("postgres://app@{place}/shop"), "egress.dsn"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut connection = pg.connection("app");
        connection.bindings.insert(slot("password"), pg.lab.set(&format!("DSN_{number}"), text.as_bytes()));
        assert_eq!(outcome(&pg, connection).await, expected, "{text}");
    }
    // The password inside the string is a value of its own: an answer that holds it is cleaned.
    let lab = pg_lab_without_password();
    let server = RealPostgres::start(&lab.ca, &PostgresOptions::default()).unwrap();
    let pg = PgLab { lab, server };
    let text = format!("postgres://app:{POSTGRES_PASSWORD}@127.0.0.1:{}/shop", pg.server.port());
    pg.lab.set("PASSWORD", text.as_bytes());
    pg.sql(&format!("create table leak as select '{POSTGRES_PASSWORD}'::text as v; grant select on leak to app"));
    assert_eq!(pg.read(&pg.app(), "table leak").await.unwrap().rows, ["[\"[kv:redacted]\"]"]);
}

fn pg_lab_without_password() -> Lab {
    Lab::new(Limits::default())
}

#[tokio::test]
async fn certificates_of_servers() {
    if !postgres_is_installed() {
        return;
    }
    for (leaf, full, any_name) in [
        (Leaf::WrongName, Some(TlsProblem::WrongName), None),
        (Leaf::Expired, Some(TlsProblem::Expired), Some(TlsProblem::Expired)),
        (Leaf::OtherAuthority, Some(TlsProblem::UnknownIssuer), Some(TlsProblem::UnknownIssuer)),
    ] {
        let pg = PgLab::with(Limits::default(), &PostgresOptions { leaf: leaf.clone(), ..Default::default() });
        for (tls, problem) in [("verify-full", full), ("verify-ca", any_name)] {
            let mut connection = pg.connection("app");
            set(&mut connection, "tls", tls);
            let answer = pg.read(&Arc::new(connection), "select 1").await;
            match problem {
                Some(problem) => assert_eq!(answer, Err(Refused::Us(SendError::Tls(problem))), "{leaf:?} {tls}"),
                None => assert_eq!(answer.unwrap().rows, ["[1]"], "{leaf:?} {tls}"),
            }
        }
        assert_eq!(pg.server.sessions().unwrap().1, 0);
    }
    // `verify-ca` with everybody's authorities is no check.
    let pg = PgLab {
        server: RealPostgres::start(&TestCa::new(), &PostgresOptions::default()).unwrap(),
        lab: pg_lab(Limits::default()),
    };
    let mut connection = pg.connection("app");
    connection.ca = None;
    set(&mut connection, "tls", "verify-ca");
    assert_eq!(outcome(&pg, connection).await, "egress.setting");
    let mut connection = pg.connection("app");
    connection.ca = Some(CustomCa("no PEM".to_owned()));
    assert_eq!(outcome(&pg, connection).await, "egress.custom_ca");
    // A server without TLS is not asked for a session.
    let options = PostgresOptions { settings: vec!["ssl=off".to_owned()], ..Default::default() };
    let pg = PgLab::with(Limits::default(), &options);
    assert_eq!(outcome(&pg, pg.connection("app")).await, "egress.tls");
}

#[tokio::test]
async fn certificates_of_clients() {
    if !postgres_is_installed() {
        return;
    }
    let hba = vec!["hostssl all all 127.0.0.1/32 cert".to_owned()];
    let pg = PgLab::with(Limits::default(), &PostgresOptions { hba, ..Default::default() });
    pg.sql("create role \"kv test service\" login");
    let leaf = pg.lab.ca.leaf(&Leaf::WrongPurpose);
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine;
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            base64::engine::general_purpose::STANDARD.encode(der)
        )
    };
    let certificate = pg.lab.set("CERT", pem("CERTIFICATE", &leaf.chain[0]).as_bytes());
    let key = pg.lab.set("CERT_KEY", pem("PRIVATE KEY", leaf.key.secret_der()).as_bytes());
    let connection = |bound: &[(&str, &kv_model::SecretRef)]| {
        let mut connection = pg.connection("kv test service");
        connection.bindings.clear();
        connection.bindings.extend(bound.iter().map(|(name, secret)| (slot(name), (*secret).clone())));
        connection
    };
    assert_eq!(outcome(&pg, connection(&[("client-key", &key), ("client-certificate", &certificate)])).await, "[1]");
    assert_eq!(outcome(&pg, connection(&[])).await, "egress.login_refused");
    assert_eq!(outcome(&pg, connection(&[("client-certificate", &certificate)])).await, "egress.client_certificate");
    let swapped = [("client-key", &certificate), ("client-certificate", &key)];
    assert_eq!(outcome(&pg, connection(&swapped)).await, "egress.client_certificate");
}
