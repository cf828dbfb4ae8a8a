//! PostgreSQL: one statement goes out under a permit, its rows come back clean.
//!
//! The credential is shown to the server in a form that the person allowed and to nobody else; the statement runs in a
//! transaction of its own, on a session that remembers nothing of the one before. Nothing is sent twice, nothing is read
//! from the environment, and no file is opened.
//!
//! Begin with [`Egress::query`], then [`session`]: what goes over the wire for one statement, in order. [`login`] is where
//! the password goes, [`open`] how the server is told from others, [`wire`] where its bytes become messages.

mod answer;
mod binding;
mod calls;
mod count;
mod error;
mod examine;
mod gather;
mod link;
mod login;
mod open;
mod params;
mod pool;
mod scram;
mod session;
mod target;
mod tls;
mod types;
mod values;
mod wire;

use std::sync::Arc;

use kv_audit::Recorded;
use kv_model::{Connection, Dsn, Mode, Request, Scheme, SchemeName, SettingName, SqlResponse};
use kv_policy::Permit;
use kv_vault::Unlocked;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::answer::Cleaner;
use self::pool::Key;
use self::session::{After, Outcome, Ran, Rules};
use self::target::{Credential, Target};
use crate::body::Ends;
use crate::error::{SendError, Sent};
use crate::inject::{Login, LoginPart, Source};
use crate::patterns::{Derived, Snapshot};
use crate::request;
use crate::send::{Egress, until_locked};

pub use self::count::Blind;
pub use self::error::{AuthRequest, DatabaseError};
pub use self::examine::RoleReport;
pub(crate) use self::pool::Pool;
pub(crate) use self::session::Work;

/// What the database answered, clean of every value of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queried {
    pub response: SqlResponse,
    /// Values that were masked in it.
    pub redactions: u64,
    pub bytes_in: u64,
    /// Notices that came along. They are dropped unread.
    pub notices: u64,
}

/// Who asks: everything about a call but its statement.
pub(crate) struct Caller<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) auth: &'a [(SchemeName, Arc<Scheme>)],
    pub(crate) defaults: &'a [(SettingName, String)],
    pub(crate) vault: &'a Arc<Unlocked>,
    pub(crate) now_ms: u64,
}

/// How a session was opened.
struct Via {
    auth: login::AuthMethod,
    tls: Option<&'static str>,
}

/// A statement that lacks only a session.
struct Ready {
    key: Key,
    credential: Credential,
    snapshot: Arc<Snapshot>,
}

impl Egress {
    /// Carries out the one statement that the permit is about, once. `defaults` are the manifest's settings, for those that
    /// the connection does not have.
    ///
    /// What the database says, be it an error, is an answer. Dropping the future cancels the statement at the server.
    pub async fn query(
        &self,
        permit: Recorded<Permit>,
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        now_ms: u64,
    ) -> Result<Queried, SendError> {
        let permit = permit.get();
        let Request::Sql(statement) = permit.request() else { return Err(SendError::OtherProtocol) };
        let work = Work {
            text: statement.text(),
            params: statement.params(),
            calls: &statement.reading().calls,
            max_rows: statement.max_rows(),
            mode: statement.mode(),
        };
        let caller = Caller { connection: permit.connection(), auth: statement.auth(), defaults, vault, now_ms };
        self.statement(&caller, &work).await
    }

    pub(crate) async fn statement(&self, caller: &Caller<'_>, work: &Work<'_>) -> Result<Queried, SendError> {
        self.statement_via(caller, work).await.map(|(queried, _)| queried)
    }

    async fn statement_via(&self, caller: &Caller<'_>, work: &Work<'_>) -> Result<(Queried, Via), SendError> {
        let limits = &self.shared.limits;
        let mut ends = Ends::new(self.shared.locked(), Instant::now() + limits.total, limits);
        let Ready { key, credential, snapshot } =
            until_locked(&mut ends, Sent::No, self.prepare_statement(caller, work)).await?;
        let deadline = Instant::now() + limits.connect;
        let acquire = self.databases.acquire(&key, &credential, deadline, &self.shared);
        let mut lease = until_locked(&mut ends, Sent::No, acquire).await?;
        drop(credential);
        let statement = if work.mode == Mode::Preview { limits.preview } else { limits.statement };
        let rules = Rules { statement, search_path: key.target.search_path.as_deref() };
        let types = Arc::clone(&lease.types);
        // A lease has its session until it is given back.
        let session = lease.session().ok_or(SendError::Request)?;
        let run = async { session.run(work, &rules, &types).await.map_err(SendError::from) };
        let Ran { outcome, known, after } = until_locked(&mut ends, Sent::Unknown, run).await?;
        let (bytes_in, notices) = session.take_counts();
        let via = Via { auth: session.auth, tls: session.tls };
        match after {
            After::Keep => lease.give_back(),
            After::Close => lease.close(),
            After::Cancel => drop(lease),
        }
        let mut cleaner = Cleaner { snapshot: &snapshot, hits: Default::default() };
        let response = match outcome {
            Outcome::Failed(error) => return Err(error.into()),
            Outcome::Refused(error) => Err(cleaner.error(&error)),
            Outcome::Rows(answer) => Ok(cleaner.rows(answer, &known)),
        };
        let redactions = cleaner.hits.values().sum();
        Ok((Queried { response, redactions, bytes_in, notices }, via))
    }

    /// Everything that needs no connection: whatever is refused here was neither sent nor looked up.
    async fn prepare_statement(&self, caller: &Caller<'_>, work: &Work<'_>) -> Result<Ready, SendError> {
        let Caller { connection, auth, defaults, vault, now_ms } = caller;
        let mut snapshot = self.shared.patterns.snapshot(vault, *now_ms, &[]).await?;
        request::refuse_in_statement(work.text, work.params, &snapshot.patterns)?;
        let mut used = Vec::new();
        let source = Source { connection, defaults, vault, snapshot: &snapshot };
        let [(_, scheme)] = auth else { return Err(SendError::OtherProtocol) };
        let mut login = source.login(scheme, &mut used)?;
        let target = Target::new(&source, login.user.clone())?;
        let derived = unwrap_dsn(&mut login, connection, &target)?;
        let credential = Credential::new(login)?;
        if let Some(derived) = derived {
            snapshot = self.shared.patterns.snapshot(vault, *now_ms, &[derived]).await?;
            request::refuse_in_statement(work.text, work.params, &snapshot.patterns)?;
        }
        let key = Key { connection: Arc::clone(connection), target: Arc::new(target), credential: used.into() };
        Ok(Ready { key, credential, snapshot })
    }
}

/// A secret that is a whole connection string gives its password, if the rest of it says what the connection says. The
/// password is a value of its own then, to be cleaned out of answers like the string.
fn unwrap_dsn(login: &mut Login, connection: &Connection, target: &Target) -> Result<Option<Derived>, SendError> {
    let Some(LoginPart { bytes, from, .. }) = login.password.as_mut().filter(|part| Dsn::looks_like(&part.bytes))
    else {
        return Ok(None);
    };
    let dsn = Dsn::parse(bytes).map_err(|_| DatabaseError::DsnUnreadable)?;
    let is_same = |said: &Option<String>, ours: &String| said.as_ref().is_none_or(|said| said == ours);
    let is_ours =
        dsn.origin == connection.origin && is_same(&dsn.user, &target.user) && is_same(&dsn.database, &target.database);
    if !is_ours {
        return Err(DatabaseError::DsnElsewhere.into());
    }
    let password: Zeroizing<Vec<u8>> = Dsn::password_of(bytes).ok_or(DatabaseError::DsnUnreadable)?;
    let derived = Derived { from: *from, bytes: password.clone() };
    *bytes = password;
    Ok(Some(derived))
}
