//! Which verb goes where. Every verb of the API stands in one of the two matches below; the agents' socket reaches only
//! the first.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::TE;
use kv_api::{API_VERSION, Code, Hidden, wire};
use kv_model::{Principal, PrincipalName};

use crate::answer::{self, Answered};
use crate::fault::Fault;
use crate::worker::{Door, Worker};
use crate::{approvals, calls, catalog, connections, factors, host_keys, refusals, run, secrets, status, trail, vault};

/// The reason of what a socket has no verb for.
pub(crate) const VERB: &str = "verb";
/// What an agent is called that gives no name.
const UNNAMED: &str = "unnamed";

/// Who speaks, from where.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) door: Door,
    pub(crate) principal: Principal,
    /// It takes trailers.
    pub(crate) trailers: bool,
    /// What the person proves to be there with.
    pub(crate) code: Option<Arc<Hidden>>,
}

/// Answers one request. It never fails: an error is an answer.
pub(crate) async fn handle(worker: Rc<Worker>, door: Door, uid: u32, request: Request<Incoming>) -> Answered {
    let (principal, answer) = match caller(door, uid, &request) {
        Ok(caller) => (caller.principal.clone(), route(&worker, caller, request).await),
        Err(fault) => (unnamed(door, uid), Err(fault)),
    };
    match answer {
        // What cannot be recorded is answered as that.
        Err(fault) if door == Door::Agent => match refusals::record(&worker.shared, principal, &fault).await {
            Ok(()) => answer::error(fault),
            Err(unrecorded) => answer::error(unrecorded),
        },
        other => other.unwrap_or_else(answer::error),
    }
}

/// Who has not said who it is, or not in a way that is a name.
fn unnamed(door: Door, uid: u32) -> Principal {
    match (door, PrincipalName::parse(UNNAMED)) {
        (Door::Agent, Ok(name)) => Principal::Agent { name, uid },
        (Door::Agent, Err(_)) | (Door::Human, _) => Principal::Operator { uid },
    }
}

fn caller(door: Door, uid: u32, request: &Request<Incoming>) -> Result<Caller, Fault> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    if header(wire::VERSION_HEADER) != Some("1") {
        const _: () = assert!(API_VERSION == 1);
        return Err(Fault::new(
            Code::DaemonUnreachable,
            format!(
                "this daemon ({}) speaks version {API_VERSION} of its API, and the caller another",
                env!("CARGO_PKG_VERSION")
            ),
        )
        .reason("version")
        .next("kv daemon restart"));
    }
    let principal = match door {
        Door::Human => Principal::Operator { uid },
        Door::Agent => {
            let name = header(wire::AGENT_HEADER).unwrap_or(UNNAMED);
            let name =
                PrincipalName::parse(name).map_err(|error| Fault::usage(error.to_string()).reason("agent_name"))?;
            Principal::Agent { name, uid }
        }
    };
    let trailers = request.headers().get(TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let code = match door {
        Door::Human => header(wire::CODE_HEADER).map(|code| Arc::new(Hidden::new(code.to_owned()))),
        Door::Agent => None,
    };
    Ok(Caller { door, principal, trailers, code })
}

async fn route(worker: &Rc<Worker>, caller: Caller, request: Request<Incoming>) -> Result<Answered, Fault> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let method = request.method().as_str().to_owned();
    let shared = &worker.shared;
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "status"]) => return status::status(shared),
        ("GET", ["v1", "connections"]) => return catalog::connections(shared),
        ("GET", ["v1", "operations"]) => return catalog::operations(shared, request.uri().query()),
        ("GET", ["v1", "operations", connection, operation]) => {
            return catalog::operation(shared, connection, operation);
        }
        ("GET", ["v1", "search"]) => return catalog::search(shared, request.uri().query()),
        ("GET", ["v1", "approvals", id, "state"]) => return approvals::state(shared, id, request.uri().query()).await,
        ("POST", ["v1", "call"]) => return calls::typed(worker, caller, request).await,
        ("POST", ["v1", "api"]) => return calls::raw(worker, caller, request).await,
        _ if caller.door == Door::Agent => return Err(not_here(&method, &path)),
        _ => {}
    }
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["v1", "vault", "init"]) => vault::init(shared, request).await,
        ("POST", ["v1", "vault", "suggest"]) => vault::suggest(),
        ("POST", ["v1", "vault", "unlock"]) => vault::unlock(shared, request).await,
        ("POST", ["v1", "vault", "lock"]) => vault::lock(shared).await,
        ("POST", ["v1", "vault", "passwd"]) => vault::passwd(shared, request).await,
        ("GET", ["v1", "approvals"]) => approvals::list(shared),
        ("GET", ["v1", "approvals", id]) => approvals::show(shared, id),
        ("POST", ["v1", "approvals", id, "grant"]) => approvals::grant(shared, id, request).await,
        ("POST", ["v1", "approvals", id, "refuse"]) => approvals::refuse(shared, id),
        ("POST", ["v1", "approvals", id, "revoke"]) => approvals::revoke(shared, id),
        ("GET", ["v1", "factors"]) => factors::list(shared),
        ("POST", ["v1", "factors", "test"]) => factors::test(shared, request).await,
        ("POST", ["v1", "factors", "totp", "begin"]) => factors::begin_totp(shared, request).await,
        ("POST", ["v1", "factors", "totp", "confirm"]) => factors::confirm_totp(shared, request).await,
        ("POST", ["v1", "factors", "totp", "remove"]) => factors::remove_totp(shared, request).await,
        ("GET", ["v1", "secrets"]) => secrets::list(shared),
        ("POST", ["v1", "secrets"]) => secrets::set(shared, request).await,
        ("GET", ["v1", "secrets", name]) => secrets::show(shared, name),
        ("POST", ["v1", "secrets", name, "rotate"]) => secrets::rotate(shared, name, request).await,
        ("POST", ["v1", "secrets", name, "rename"]) => secrets::rename(shared, name, request).await,
        ("DELETE", ["v1", "secrets", name]) => secrets::remove(shared, name).await,
        ("GET", ["v1", "providers"]) => catalog::providers(shared),
        ("POST", ["v1", "connections"]) => connections::connect(shared, &caller, request).await,
        ("GET", ["v1", "connections", name]) => connections::show(shared, name),
        ("POST", ["v1", "connections", name, "edit"]) => connections::edit(shared, &caller, name, request).await,
        ("POST", ["v1", "connections", name, "test"]) => connections::test(worker, caller, name).await,
        ("DELETE", ["v1", "connections", name]) => connections::remove(shared, name).await,
        ("POST", ["v1", "host-keys"]) => host_keys::show(worker, request).await,
        ("GET", ["v1", "audit"]) => trail::read(shared, request.uri().query()).await,
        ("POST", ["v1", "audit", "verify"]) => trail::verify(shared).await,
        ("GET", ["v1", "doctor"]) => status::doctor(shared).await,
        ("POST", ["v1", "run"]) => run::start(shared, &caller, request).await,
        ("POST", ["v1", "run", id, "mask"]) => run::mask(worker, id, caller.trailers, request).await,
        ("POST", ["v1", "run", id, "end"]) => run::end(shared, id, request).await,
        ("POST", ["v1", "daemon", "stop"]) => status::stop(shared),
        _ => Err(not_here(&method, &path)),
    }
}

fn not_here(method: &str, path: &str) -> Fault {
    let path: String = path.chars().filter(|c| !c.is_control()).take(80).collect();
    Fault::new(Code::NotFound, format!("this socket has no verb `{method} {path}`")).reason(VERB)
}

/// The parameters of a query, decoded; each at most once.
pub(crate) fn parameters(query: Option<&str>) -> Result<serde_json::Map<String, serde_json::Value>, Fault> {
    let mut map = serde_json::Map::new();
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if map.insert(key.to_string(), value.into_owned().into()).is_some() {
            return Err(Fault::usage("a parameter is given twice"));
        }
    }
    Ok(map)
}
