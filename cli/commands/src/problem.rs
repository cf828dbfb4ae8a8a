//! How a command fails: the API's error, wherever it arose, printed in one place.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use kv_api::wire::ErrorBody;
use kv_api::{ApiError, Code};

/// Why a command did not do what it was told.
#[derive(Debug)]
pub struct Problem(Box<ApiError>);

impl Problem {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(ApiError::new(code, message)))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// A question would have to be asked, and nobody is there.
    pub fn needs_human(message: impl Into<String>) -> Self {
        Self::new(Code::NeedsHuman, message)
    }

    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self(Box::new(self.0.next(next)))
    }

    pub fn error(&self) -> &ApiError {
        &self.0
    }

    pub fn into_error(self) -> ApiError {
        *self.0
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Prints it and gives its exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        self.report_as(json, self.0.code.exit())
    }

    /// The same, where exit codes mean something else: the name still says what it was.
    pub(crate) fn report_as(&self, json: bool, exit: u8) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        let text = match json {
            true if stderr.is_terminal() => crate::output::escaped(&self.json(exit)),
            true => self.json(exit),
            false => self.text(exit),
        };
        // When standard error has gone, the exit code still tells.
        let _ = writeln!(stderr, "{text}");
        ExitCode::from(exit)
    }

    fn json(&self, exit: u8) -> String {
        let mut body = serde_json::to_value(ErrorBody::new((*self.0).clone())).unwrap_or_default();
        body["error"]["exit"] = exit.into();
        body["error"]["help"] = format!("kv help {}", self.0.code).into();
        body.to_string()
    }

    fn text(&self, exit: u8) -> String {
        let error = &self.0;
        let sent = match error.sent {
            kv_api::Sent::No if error.call.is_some() => "; nothing was sent",
            kv_api::Sent::No => "",
            kv_api::Sent::Unknown => "; it is unknown whether the service acted on it",
            kv_api::Sent::Yes => "; the request had been sent",
        };
        // Of an excerpt, the first line is the sentence.
        let message = crate::output::inert(&error.message);
        let (sentence, excerpt) = message.split_at(message.find('\n').unwrap_or(message.len()));
        let mut text = format!("error: {sentence}{sent}{excerpt}");
        if let Some(list) = error.details.as_ref().and_then(|details| details["violations"].as_array()) {
            for violation in list.iter().skip(1) {
                let (pointer, message) = (violation["pointer"].as_str(), violation["message"].as_str());
                text.push_str(&crate::output::inert(&format!(
                    "\n  {}: {}",
                    pointer.unwrap_or_default(),
                    message.unwrap_or_default()
                )));
            }
        }
        for next in &error.next {
            text.push_str(&format!("\n  next: {}", crate::output::inert(next)));
        }
        text.push_str(&format!("\n  (exit {exit}, kv help {})", error.code));
        text
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error))
    }
}
