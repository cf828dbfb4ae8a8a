//! One call, step by step: clean patterns, the check for secrets in the request, the credential, a connection, the
//! request, the head of the answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use kv_audit::Recorded;
use kv_model::{HttpRequest, Request, SettingName};
use kv_policy::Permit;
use kv_vault::Unlocked;
use tokio::time::Instant;

use crate::answer::{self, Answer};
use crate::body::{Body, Ends, Setup};
use crate::decode::Decoder;
use crate::error::{SendError, Sent};
use crate::exchange::{Failure, exchange};
use crate::inject::Source;
use crate::patterns::Snapshot;
use crate::pool::{Key, Lease, Pool};
use crate::postgres;
use crate::request::{self, Outgoing};
use crate::shared::Shared;
use crate::ssh;

/// One worker's way out. Connections stay on the runtime that opened them, so each worker has its own.
pub struct Egress {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) databases: Arc<postgres::Pool>,
    pub(crate) links: ssh::Kept,
}

impl Egress {
    pub fn new(shared: Arc<Shared>) -> Self {
        let (pool, databases) = (shared.pool(), shared.databases());
        Egress { shared, pool, databases, links: ssh::Kept::default() }
    }

    /// Sends the one request that the permit is about, once. `defaults` are the manifest's settings, for those that the
    /// connection does not have.
    ///
    /// Dropping the future, or the answer's body, ends the call at the service.
    pub async fn send(
        &self,
        permit: Recorded<Permit>,
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        now_ms: u64,
    ) -> Result<Answer, SendError> {
        let permit = permit.get();
        let mut ends = Ends::new(self.shared.locked(), Instant::now() + self.shared.limits.total, &self.shared.limits);
        let ready = until_locked(&mut ends, Sent::No, self.prepare(permit, defaults, vault, now_ms)).await?;
        let Ready { key, mut outgoing, snapshot } = ready;
        let (lease, response) = self.exchange(&key, &mut outgoing, &mut ends).await?;
        self.answer(lease, response, outgoing.is_head, snapshot, ends)
    }

    /// Whether the request holds a value of the vault. [`Egress::send`] looks too; this is for looking before anything of
    /// the request is written down.
    pub async fn check(&self, request: &Request, vault: &Arc<Unlocked>, now_ms: u64) -> Result<(), SendError> {
        let snapshot = self.shared.patterns.snapshot(vault, now_ms, &[]).await?;
        request::refuse_secrets(request, &snapshot.patterns)
    }

    /// Everything that needs no connection: whatever is refused here was neither sent nor looked up.
    async fn prepare(
        &self,
        permit: &Permit,
        defaults: &[(SettingName, String)],
        vault: &Arc<Unlocked>,
        now_ms: u64,
    ) -> Result<Ready, SendError> {
        let (request, connection) = (http(permit)?, permit.connection());
        let mut snapshot = self.shared.patterns.snapshot(vault, now_ms, &[]).await?;
        request::refuse_secrets(permit.request(), &snapshot.patterns)?;
        let source = Source { connection, defaults, vault, snapshot: &snapshot };
        let mut injected = source.inject(request)?;
        let derived = std::mem::take(&mut injected.derived);
        if !derived.is_empty() {
            snapshot = self.shared.patterns.snapshot(vault, now_ms, &derived).await?;
            request::refuse_secrets(permit.request(), &snapshot.patterns)?;
        }
        let key = Key { connection: Arc::clone(connection), credential: std::mem::take(&mut injected.used).into() };
        let outgoing = Outgoing::new(request, &connection.origin, injected)?;
        Ok(Ready { key, outgoing, snapshot })
    }

    /// A connection, and the request into it. A kept connection may turn out to be closed: if not a byte of the request
    /// was written, it goes into a new one, once.
    async fn exchange(
        &self,
        key: &Key,
        outgoing: &mut Outgoing,
        ends: &mut Ends,
    ) -> Result<(Lease, Response<Incoming>), SendError> {
        let limits = &self.shared.limits;
        let mut fresh = false;
        loop {
            let deadline = Instant::now() + limits.connect;
            let acquire = self.pool.acquire(key, fresh, deadline, &self.shared);
            let mut lease = until_locked(ends, Sent::No, acquire).await?;
            let request = outgoing.for_connection(&lease.sender);
            let exchange = async { Ok(exchange(&mut lease.sender, request, limits).await) };
            match until_locked(ends, Sent::Unknown, exchange).await? {
                Ok(response) => return Ok((lease, response)),
                Err(Failure::NeverWritten(request)) if lease.reused && !fresh => {
                    outgoing.returned(*request);
                    fresh = true;
                }
                Err(Failure::NeverWritten(_)) => return Err(SendError::Connect),
                Err(Failure::Failed(error)) => return Err(error),
            }
        }
    }

    fn answer(
        &self,
        lease: Lease,
        response: Response<Incoming>,
        is_head: bool,
        snapshot: Arc<Snapshot>,
        ends: Ends,
    ) -> Result<Answer, SendError> {
        let limits = self.shared.limits.clone();
        let (parts, incoming) = response.into_parts();
        // An answer without a body may name the encoding that it would have had.
        let bodiless = is_head || matches!(parts.status.as_u16(), 204 | 304);
        let decoder = if bodiless {
            Decoder::identity(&limits)
        } else {
            Decoder::new(&parts.headers, &limits).map_err(|_| SendError::Encoding)?
        };
        let mut head_hits = BTreeMap::new();
        let headers = answer::clean(&parts.headers, &snapshot, &mut head_hits);
        let keep_for = answer::keep_for(&parts.headers);
        let setup = Setup { decoder, snapshot, lease, keep_for, ends, limits, head_hits };
        Ok(Answer { status: parts.status.as_u16(), headers, body: Body::new(incoming, setup) })
    }
}

/// The request, if it is of this protocol.
fn http(permit: &Permit) -> Result<&HttpRequest, SendError> {
    match permit.request() {
        Request::Http(request) => Ok(request),
        Request::Sql(_) | Request::Ssh(_) => Err(SendError::OtherProtocol),
    }
}

/// A request that lacks only a connection.
struct Ready {
    key: Key,
    outgoing: Outgoing,
    snapshot: Arc<Snapshot>,
}

/// A step that a lock ends.
pub(crate) async fn until_locked<T>(
    ends: &mut Ends,
    sent: Sent,
    step: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    tokio::select! {
        biased;
        () = &mut ends.locked => Err(SendError::Locked { sent }),
        done = step => done,
    }
}
