//! What the tests of PostgreSQL share: a server of their own, connections to it, and statements that reach it without the
//! reading of their text, so that what holds here holds alone.

use std::sync::Arc;

use kv_fakes::{POSTGRES_PASSWORD, PostgresOptions, RealPostgres};
use kv_model::{Connection, Mode, Rows, Scheme, SchemeName, SettingName, SlotName, SqlError, Template};
use serde_json::Value;

use super::lab::{Lab, NOW, bearer};
use crate::postgres::{Caller, Work};
use crate::{Limits, Queried, SendError, Shared};

pub(crate) const WRITE: Mode = Mode::Write { max_changes: Some(1_000) };

pub(crate) struct PgLab {
    pub(crate) lab: Lab,
    pub(crate) server: RealPostgres,
}

impl PgLab {
    pub(crate) fn new() -> PgLab {
        PgLab::with(Limits::default(), &PostgresOptions::default())
    }

    pub(crate) fn with(limits: Limits, options: &PostgresOptions) -> PgLab {
        let lab = pg_lab(limits);
        let server = RealPostgres::start(&lab.ca, options).unwrap();
        PgLab { lab, server }
    }

    pub(crate) fn connection(&self, user: &str) -> Connection {
        let mut connection = self.lab.connection(&self.server.origin());
        connection.bindings.clear();
        connection.bindings.insert(slot("password"), self.lab.secret("PASSWORD"));
        set(&mut connection, "user", user);
        set(&mut connection, "database", "shop");
        connection
    }

    pub(crate) fn app(&self) -> Arc<Connection> {
        Arc::new(self.connection("app"))
    }

    pub(crate) fn admin(&self) -> Arc<Connection> {
        Arc::new(self.connection("admin"))
    }

    pub(crate) async fn read(&self, connection: &Arc<Connection>, text: &str) -> Result<Rows, Refused> {
        self.run(connection, text, &[], 100, Mode::Read).await
    }

    pub(crate) async fn write(&self, connection: &Arc<Connection>, text: &str) -> Result<Rows, Refused> {
        self.run(connection, text, &[], 100, WRITE).await
    }

    pub(crate) async fn run(
        &self,
        connection: &Arc<Connection>,
        text: &str,
        params: &[Value],
        max_rows: u32,
        mode: Mode,
    ) -> Result<Rows, Refused> {
        let queried = send(&self.lab, connection, &Work { text, params, calls: &[], max_rows, mode })
            .await
            .map_err(Refused::Us)?;
        queried.response.map_err(Refused::Database)
    }

    /// A read of which the reading of its text would have named these functions.
    pub(crate) async fn calls(
        &self,
        connection: &Arc<Connection>,
        text: &str,
        calls: &[&str],
        mode: Mode,
    ) -> Result<Rows, Refused> {
        let calls: Vec<_> = calls.iter().map(|name| (*name).to_owned()).collect();
        let work = Work { text, params: &[], calls: &calls, max_rows: 100, mode };
        send(&self.lab, connection, &work).await.map_err(Refused::Us)?.response.map_err(Refused::Database)
    }

    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.sql(statements).unwrap().trim().to_owned()
    }
}

/// Who said no.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    Database(SqlError),
    Us(SendError),
}

impl Refused {
    /// SQLSTATE, or our code.
    pub(crate) fn code(&self) -> &str {
        match self {
            Refused::Database(error) => &error.code,
            Refused::Us(error) => error.code(),
        }
    }
}

/// With the password of the server's roles in the vault.
pub(crate) fn pg_lab(limits: Limits) -> Lab {
    let lab = Lab::with(Shared::new(limits), &[bearer()]);
    lab.set("PASSWORD", POSTGRES_PASSWORD.as_bytes());
    lab
}

pub(crate) async fn send(lab: &Lab, connection: &Arc<Connection>, work: &Work<'_>) -> Result<Queried, SendError> {
    let (auth, defaults) = (auth(), Vec::new());
    let caller = Caller { connection, auth: &auth, defaults: &defaults, vault: &lab.vault, now_ms: NOW };
    lab.egress.statement(&caller, work).await
}

pub(crate) fn auth() -> Vec<(SchemeName, Arc<Scheme>)> {
    let template = |text: &str| Template::parse(text).unwrap();
    let login = Scheme::Login {
        user: template("{setting:user}"),
        password: Some(template("{password}")),
        key: Some(template("{client-key}")),
        passphrase: None,
        certificate: Some(template("{client-certificate}")),
    };
    vec![(SchemeName::parse("login").unwrap(), Arc::new(login))]
}

pub(crate) fn set(connection: &mut Connection, name: &str, value: &str) {
    connection.settings.insert(SettingName::parse(name).unwrap(), value.to_owned());
}

pub(crate) fn slot(name: &str) -> SlotName {
    SlotName::parse(name).unwrap()
}
