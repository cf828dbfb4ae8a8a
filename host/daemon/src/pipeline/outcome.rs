//! The outcome of a request, recorded however it ends.

use std::sync::Arc;

use kv_audit::{AuditLog, Outcome, Pending};
use kv_egress::{Body, CommandAnswer, SendError};
use kv_model::Exit;

use super::reply::Brought;
use crate::clock::now_ms;

/// Records the outcome exactly once: when told to, or when dropped, since then the caller has gone or the vault was locked.
pub(crate) struct OutcomeGuard {
    audit: Arc<AuditLog>,
    /// What is still to be recorded. `None`: it has been.
    open: Option<(Pending, Outcome)>,
    started: std::time::Instant,
}

impl OutcomeGuard {
    pub(super) fn new(audit: Arc<AuditLog>, pending: Pending, bytes_out: u64) -> Self {
        let outcome = Outcome {
            sent: kv_audit::Sent::Unknown,
            status: None,
            bytes_in: 0,
            bytes_out,
            duration_us: 0,
            redactions: 0,
            error_code: None,
        };
        Self { audit, open: Some((pending, outcome)), started: std::time::Instant::now() }
    }

    pub(super) fn answered(&mut self, brought: &Brought) {
        let Some((_, outcome)) = &mut self.open else { return };
        outcome.sent = kv_audit::Sent::Yes;
        match brought {
            Brought::Http(answer) => {
                outcome.status = Some(answer.status);
                outcome.redactions = answer.body.hits().values().sum();
            }
            Brought::Sql(queried) => {
                outcome.bytes_in = queried.bytes_in;
                outcome.redactions = queried.redactions;
            }
            Brought::Ssh(_) => {}
        }
    }

    /// How far the body has come.
    pub(crate) fn progress(&mut self, body: &Body) {
        if let Some((_, outcome)) = &mut self.open {
            outcome.bytes_in = body.received();
            outcome.redactions = body.hits().values().sum();
        }
    }

    /// How far a command has come, and with what status it ended.
    pub(crate) fn command(&mut self, answer: &CommandAnswer, exit: Option<&Exit>) {
        let Some((_, outcome)) = &mut self.open else { return };
        outcome.bytes_in = answer.received();
        outcome.redactions = answer.hits().values().sum();
        if let Some(Exit::Code(code)) = exit {
            outcome.status = u16::try_from(*code).ok();
        }
    }

    pub(super) fn failed(&mut self, error: &SendError) {
        if let Some((_, outcome)) = &mut self.open {
            outcome.sent = match error.sent() {
                kv_egress::Sent::No => kv_audit::Sent::No,
                kv_egress::Sent::Unknown => kv_audit::Sent::Unknown,
                kv_egress::Sent::Yes => kv_audit::Sent::Yes,
            };
        }
        self.finish(Some(error.code()));
    }

    /// Records it: with no code when all went well.
    pub(crate) fn finish(&mut self, code: Option<&'static str>) {
        let Some((pending, mut outcome)) = self.open.take() else { return };
        outcome.error_code = code;
        outcome.duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        // A log that took the intent and not this is unhealthy from here on: it refuses the next intent and says why.
        let _ = self.audit.record_outcome(pending, outcome, now_ms());
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        self.finish(Some("cut_off"));
    }
}
