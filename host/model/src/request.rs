//! What may go out, whatever the protocol: the one value that is decided about, recorded and sent.

use std::sync::Arc;

use crate::{
    CallId, Command, CommandOutput, CommandParts, Digest, Effect, HttpRequest, HttpResponse, Method, OperationName,
    Protocol, RequestParts, Scheme, SchemeName, SqlResponse, Statement, StatementParts,
};

/// A request that can go out: checked, and of one protocol. Its parts are private, each in its own type.
#[derive(Debug, Clone)]
pub enum Request {
    Http(HttpRequest),
    Sql(Statement),
    Ssh(Command),
}

/// A request as a provider makes it: nothing of it has been checked.
#[derive(Debug, Clone)]
pub enum Parts {
    Http(RequestParts),
    Sql(StatementParts),
    Ssh(CommandParts),
}

/// A whole answer, cleaned of secrets, for a provider's `resume`.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    Http(HttpResponse),
    Sql(SqlResponse),
    Ssh(CommandOutput),
}

impl Request {
    pub fn protocol(&self) -> Protocol {
        match self {
            Request::Http(_) => Protocol::Http,
            Request::Sql(_) => Protocol::Sql,
            Request::Ssh(_) => Protocol::Ssh,
        }
    }

    /// The operation that this request is, whatever the caller called it.
    pub fn operation(&self) -> &OperationName {
        match self {
            Request::Http(request) => request.operation(),
            Request::Sql(statement) => statement.operation(),
            Request::Ssh(command) => command.operation(),
        }
    }

    /// The graver of the manifest's claim and the host's own reading.
    pub fn effect(&self) -> Effect {
        match self {
            Request::Http(request) => request.effect(),
            Request::Sql(statement) => statement.effect(),
            Request::Ssh(command) => command.effect(),
        }
    }

    /// What kind of request it is, for people: `POST /v1/charges/{id}`, `select`, `run cat`.
    pub fn endpoint(&self) -> &str {
        match self {
            Request::Http(request) => request.endpoint(),
            Request::Sql(statement) => statement.endpoint(),
            Request::Ssh(command) => command.endpoint(),
        }
    }

    /// Of an HTTP request.
    pub fn method(&self) -> Option<Method> {
        match self {
            Request::Http(request) => Some(request.method()),
            Request::Sql(_) | Request::Ssh(_) => None,
        }
    }

    /// What of it may be recorded beside the endpoint: the path of an HTTP request. A statement's text and a command's
    /// arguments hold data, so they stay out; the digest tells which they were.
    pub fn path(&self) -> String {
        match self {
            Request::Http(request) => request.path(),
            Request::Sql(_) | Request::Ssh(_) => String::new(),
        }
    }

    /// The schemes to apply, in order.
    pub fn auth(&self) -> &[(SchemeName, Arc<Scheme>)] {
        match self {
            Request::Http(request) => request.auth(),
            Request::Sql(statement) => statement.auth(),
            Request::Ssh(command) => command.auth(),
        }
    }

    /// Of everything that goes out but the credential.
    pub fn digest(&self) -> Digest {
        match self {
            Request::Http(request) => request.digest(),
            Request::Sql(statement) => statement.digest(),
            Request::Ssh(command) => command.digest(),
        }
    }

    /// The same without what kv derives from the call's id: what two calls that ask for the same have in common.
    pub fn shape(&self, call: CallId) -> Digest {
        match self {
            Request::Http(request) => request.shape(call),
            Request::Sql(statement) => statement.digest(),
            Request::Ssh(command) => command.digest(),
        }
    }

    /// In bytes, as far as it is the caller's: body, statement with parameters, command with its input.
    pub fn size(&self) -> u64 {
        let bytes = match self {
            Request::Http(request) => request.body().data.len(),
            Request::Sql(statement) => statement.size(),
            Request::Ssh(command) => command.text().len() + command.stdin().len(),
        };
        bytes as u64
    }
}
