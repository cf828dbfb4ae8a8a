//! What goes out and what comes back, whatever the protocol: the engine and the transcript need no more.

use crate::delivery::Delivery;
use crate::{Command, Failure, Output, Protocol, Request, Response, Rows, SqlError, Statement};

/// What an operation can ask for. It is made from a [`Request`], a [`Statement`] or a [`Command`], and a provider asks
/// for those of its own protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asked {
    Http(Request),
    Sql(Statement),
    Ssh(Command),
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answered {
    Http(Response),
    Sql(Result<Rows, SqlError>),
    Ssh(Output),
}

impl Asked {
    pub(crate) fn delivery(&self) -> &Delivery {
        match self {
            Asked::Http(request) => &request.delivery,
            Asked::Sql(statement) => &statement.delivery,
            Asked::Ssh(command) => &command.delivery,
        }
    }

    /// The schemes that it names itself. Databases and machines are logged in to, with one scheme for all.
    pub(crate) fn auth(&self) -> Option<&Vec<String>> {
        match self {
            Asked::Http(request) => request.auth.as_ref(),
            Asked::Sql(_) | Asked::Ssh(_) => None,
        }
    }

    pub(crate) fn is_of(&self, protocol: &Protocol) -> bool {
        matches!(
            (self, protocol),
            (Asked::Http(_), Protocol::Http { .. })
                | (Asked::Sql(_), Protocol::Sql { .. })
                | (Asked::Ssh(_), Protocol::Ssh { .. })
        )
    }
}

impl Answered {
    /// With what the provider's mapper needs: itself, and what was asked.
    pub(crate) fn mapped_by(self, protocol: &Protocol, asked: Asked) -> Self {
        match (self, protocol, asked) {
            (Answered::Http(response), Protocol::Http { failure }, _) => Answered::Http(response.mapped_by(*failure)),
            (Answered::Sql(Err(error)), _, Asked::Sql(statement)) => Answered::Sql(Err(error.about(statement.text))),
            (Answered::Ssh(output), Protocol::Ssh { failure }, Asked::Ssh(command)) => {
                Answered::Ssh(output.mapped_by(command.line, *failure))
            }
            (other, ..) => other,
        }
    }

    /// What the provider's mapper makes of an answer that is no success.
    pub(crate) fn to_failure(&self, protocol: &Protocol) -> Failure {
        match (self, protocol) {
            (Answered::Http(response), _) => response.to_failure(),
            (Answered::Sql(Err(error)), Protocol::Sql { failure }) => failure(error),
            (Answered::Ssh(output), _) => output.to_failure(),
            (Answered::Sql(_), _) => Failure::internal("the host handed a success back, which was to be forwarded"),
        }
    }
}

impl From<Request> for Asked {
    fn from(request: Request) -> Self {
        Asked::Http(request)
    }
}

impl From<Statement> for Asked {
    fn from(statement: Statement) -> Self {
        Asked::Sql(statement)
    }
}

impl From<Command> for Asked {
    fn from(command: Command) -> Self {
        Asked::Ssh(command)
    }
}

/// An operation asked in another protocol than its provider's, or the host answered in one.
pub(crate) fn other_protocol() -> Failure {
    Failure::internal("the provider is of another protocol than what it asked for")
}
