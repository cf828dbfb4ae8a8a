//! What the daemon's API answered, read to its end.

use serde_json::Value;

use super::wire::{Part, Wire};

#[derive(Debug)]
pub(crate) struct Answer {
    /// `result`, `forwarded`, `error`.
    pub(crate) outcome: String,
    pub(crate) call: Option<String>,
    /// The service's status and headers, if it is the service's answer.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// From the body, or from the trailer of a body that broke off.
    pub(crate) error: Option<Value>,
    /// The body came to its proper end, and no trailer says otherwise.
    pub(crate) complete: bool,
}

impl Answer {
    /// Reads one. `None`: the daemon closed the connection instead.
    #[track_caller]
    pub(crate) fn read(wire: &mut Wire<'_>) -> Option<Self> {
        let head = wire.head()?;
        let outcome = head.header("kv-outcome").unwrap_or_default().to_owned();
        let headers = head.header("kv-headers").map(|text| serde_json::from_str(text).expect("it is JSON"));
        let mut answer = Self {
            call: head.header("kv-call").map(str::to_owned),
            status: head.header("kv-status").map(|status| status.parse().expect("it is a number")),
            headers: headers.unwrap_or_default(),
            outcome,
            body: Vec::new(),
            error: None,
            complete: true,
        };
        loop {
            match wire.part() {
                Part::Data(data) => answer.body.extend_from_slice(&data),
                Part::Broken => answer.complete = false,
                Part::End(trailers) => {
                    if let Some((_, error)) = trailers.iter().find(|(name, _)| name == "kv-error") {
                        answer.error = Some(serde_json::from_str(error).expect("it is JSON"));
                        answer.complete = false;
                    }
                    break;
                }
            }
            if !answer.complete {
                break;
            }
        }
        if answer.outcome == "error" && answer.complete {
            answer.error = Some(answer.json()["error"].clone());
        }
        Some(answer)
    }

    /// The beginning of the body, for the message of a failing test.
    pub(crate) fn gist(&self) -> String {
        self.text().chars().take(400).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Fails the test unless it is a whole answer of the service's, with this status.
    #[track_caller]
    pub(crate) fn forwarded(self, status: u16) -> Self {
        assert_eq!((self.outcome.as_str(), self.status), ("forwarded", Some(status)), "{}", self.text());
        assert!(self.complete, "it broke off: {:?}", self.error);
        self
    }

    /// A field of the error.
    pub(crate) fn fault(&self, field: &str) -> &str {
        self.error.as_ref().and_then(|error| error[field].as_str()).unwrap_or("")
    }

    /// Code, reason and whether anything was sent.
    pub(crate) fn faults(&self) -> (&str, &str, &str) {
        (self.fault("code"), self.fault("reason"), self.fault("sent"))
    }
}
