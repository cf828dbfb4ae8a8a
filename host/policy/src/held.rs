//! A request that waits for a person's answer.

use std::sync::Arc;

use kv_model::{Connection, Digest, Effect, OperationName, Principal, Request, SecretId, Sha256};

use crate::{Denial, Permit, Question, Reason};

/// The credentials that would go onto a request: which secrets, and which value of each.
pub type Credentials = [(SecretId, u32)];

/// Neither allowed nor denied: it owns the request, and only an approval that was given for this request makes it a
/// [`Permit`].
#[derive(Debug)]
pub struct Held {
    question: Question,
    operation: OperationName,
}

impl Held {
    pub(crate) fn new(question: Question, operation: OperationName) -> Self {
        Self { question, operation }
    }

    pub fn principal(&self) -> &Principal {
        &self.question.principal
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.question.connection
    }

    /// The one that asks first.
    pub fn operation(&self) -> &OperationName {
        &self.operation
    }

    pub fn effect(&self) -> Effect {
        self.question.effect
    }

    /// The provider's words about it.
    pub fn summary(&self) -> &str {
        &self.question.summary
    }

    pub fn request(&self) -> &Request {
        &self.question.request
    }

    /// What an approval is bound to: who asks, for what, through which connection as it is now, with which values, and
    /// byte for byte the request, but for what kv derives from a call's id. Every variable part goes in with its length.
    pub fn digest(&self, credentials: &Credentials) -> Digest {
        let question = &self.question;
        let mut hash = Sha256::new();
        hash.part(b"kv.approval/1");
        match &question.principal {
            Principal::Agent { name, uid } => {
                hash.part(b"agent");
                hash.part(name.as_str().as_bytes());
                hash.part(&uid.to_be_bytes());
            }
            Principal::Operator { uid } => {
                hash.part(b"operator");
                hash.part(&uid.to_be_bytes());
            }
        }
        hash.part(question.connection.digest().as_bytes());
        hash.part(&(credentials.len() as u64).to_be_bytes());
        for (secret, version) in credentials {
            hash.part(secret.as_bytes());
            hash.part(&version.to_be_bytes());
        }
        hash.part(question.asked.as_str().as_bytes());
        hash.part(question.request.operation().as_str().as_bytes());
        hash.part(question.effect.as_str().as_bytes());
        hash.part(&question.step.to_be_bytes());
        hash.part(question.request.protocol().as_str().as_bytes());
        hash.part(question.request.shape(question.call).as_bytes());
        hash.finish()
    }

    /// The refusal that it becomes where nobody approves.
    pub fn refuse(self, reason: Reason) -> Denial {
        self.question.refuse(self.operation, reason)
    }

    /// What was approved is what goes out: the request that the person saw takes the place of this one, which has the
    /// same digest.
    pub(crate) fn permit(self, request: Request, approval: crate::approval::Approved) -> Permit {
        Permit { question: Question { request, ..self.question }, approval: Some(approval) }
    }
}
