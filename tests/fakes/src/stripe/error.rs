//! The errors of the Stripe API, in its own words and shapes.

use serde_json::{Map, Value, json};

use super::cards::Decline;
use super::state::Current;
use crate::record::Recorded;
use crate::reply::Reply;

#[derive(Debug)]
pub(super) struct Error(Box<Fault>);

#[derive(Debug)]
struct Fault {
    status: u16,
    kind: &'static str,
    message: String,
    code: Option<&'static str>,
    param: Option<String>,
    more: Map<String, Value>,
    header: Option<(&'static str, &'static str)>,
}

impl Error {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Error {
        let message = message.into();
        Error(Box::new(Fault { status, kind, message, code: None, param: None, more: Map::new(), header: None }))
    }

    fn code(mut self, code: &'static str) -> Error {
        self.0.code = Some(code);
        self
    }

    fn param(mut self, param: &str) -> Error {
        self.0.param = Some(param.to_owned());
        self
    }

    /// A request that is wrong in a way that has a code but no parameter.
    pub(super) fn refused(code: &'static str, message: impl Into<String>) -> Error {
        Error::new(400, "invalid_request_error", message).code(code)
    }

    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Error {
        Error::new(400, "invalid_request_error", message).param(param)
    }

    pub(super) fn invalid_coded(param: &str, code: &'static str, message: impl Into<String>) -> Error {
        Error::invalid(param, message).code(code)
    }

    pub(super) fn missing(param: &str) -> Error {
        Error::invalid_coded(param, "parameter_missing", format!("Missing required param: {param}."))
    }

    pub(super) fn unknown_param(param: &str) -> Error {
        Error::invalid_coded(param, "parameter_unknown", format!("Received unknown parameter: {param}"))
    }

    pub(super) fn not_integer(param: &str, got: &str) -> Error {
        Error::invalid_coded(param, "parameter_invalid_integer", format!("Invalid integer: {got}"))
    }

    pub(super) fn empty(param: &str) -> Error {
        let message = format!(
            "You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; however \
             '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty value."
        );
        Error::invalid_coded(param, "parameter_invalid_empty", message)
    }

    /// An object of the path that does not exist.
    pub(super) fn no_object(kind: &str, id: &str) -> Error {
        let mut error = Error::no_object_for("id", kind, id);
        error.0.status = 404;
        error
    }

    /// An object that a parameter names and that does not exist.
    pub(super) fn no_object_for(param: &str, kind: &str, id: &str) -> Error {
        let kind = match kind {
            "payment_method" => "PaymentMethod",
            "checkout.session" => "checkout.session",
            "balance_transaction" => "balance transaction",
            kind => kind,
        };
        Error::invalid_coded(param, "resource_missing", format!("No such {kind}: '{id}'"))
    }

    pub(super) fn test_object_with_live_key(param: &str, id: &str) -> Error {
        let message = format!(
            "No such PaymentMethod: '{id}'; a similar object exists in test mode, but a live mode key was used to make this \
             request."
        );
        Error::invalid_coded(param, "resource_missing", message)
    }

    pub(super) fn no_url(request: &Recorded) -> Error {
        let message = format!(
            "Unrecognized request URL ({}: {}). Please see https://stripe.com/docs or we can help at \
             https://support.stripe.com/.",
            request.method,
            request.path()
        );
        Error::new(404, "invalid_request_error", message)
    }

    pub(super) fn bad_version(version: &str) -> Error {
        Error::new(400, "invalid_request_error", format!("Invalid Stripe API version: {version}"))
    }

    pub(super) fn not_a_form() -> Error {
        let message = "Invalid request: the body must be sent as application/x-www-form-urlencoded.";
        Error::new(400, "invalid_request_error", message)
    }

    pub(super) fn rate_limited() -> Error {
        let message =
            "Request rate limit exceeded. Learn more about rate limits at https://stripe.com/docs/rate-limits.";
        let mut error = Error::new(429, "invalid_request_error", message).code("rate_limit");
        error.0.header = Some(("stripe-rate-limited-reason", "global-rate"));
        error
    }

    pub(super) fn idempotency(message: String) -> Error {
        Error::new(400, "idempotency_error", message)
    }

    /// A card that said no; `about` are the objects that the error carries along.
    pub(super) fn card(decline: Decline, about: Map<String, Value>) -> Error {
        let mut error = Error::new(402, "card_error", decline.message).code(decline.code);
        error.0.param = decline.param.map(str::to_owned);
        error.0.more = about;
        if let Some(reason) = decline.decline_code {
            error.0.more.insert("decline_code".to_owned(), json!(reason));
        }
        error
    }

    /// True for errors that are an outcome, false for those that kept the work from starting.
    pub(super) fn happened_while_working(&self) -> bool {
        self.0.status == 402 || self.0.status >= 500
    }

    pub(super) fn into_reply(self, current: &Current) -> Reply {
        let fault = *self.0;
        let mut body = Map::new();
        if let Some(code) = fault.code {
            body.insert("code".to_owned(), json!(code));
            let page = code.replace('_', "-");
            body.insert("doc_url".to_owned(), json!(format!("https://stripe.com/docs/error-codes/{page}")));
        }
        body.insert("message".to_owned(), json!(fault.message));
        if let Some(param) = fault.param {
            body.insert("param".to_owned(), json!(param));
        }
        if fault.status != 401 {
            let log =
                format!("https://dashboard.stripe.com/test/logs/{}?t={}", current.request, crate::service::unix_now());
            body.insert("request_log_url".to_owned(), json!(log));
        }
        body.insert("type".to_owned(), json!(fault.kind));
        body.extend(fault.more);
        let reply = Reply::json_pretty(fault.status, &json!({"error": body}));
        match fault.header {
            Some((name, value)) => reply.with(name, value),
            None => reply,
        }
    }
}

/// Lets one key through.
pub(super) fn authenticate(request: &Recorded, key: &str) -> Result<(), Error> {
    let mut error = match request.bearer() {
        Some(given) if given == key => return Ok(()),
        None | Some("") => Error::new(
            401,
            "invalid_request_error",
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth \
             (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or \
             we can help at https://support.stripe.com/.",
        ),
        Some(given) => {
            Error::new(401, "invalid_request_error", format!("Invalid API Key provided: {}", starred(given)))
        }
    };
    error.0.header = Some(("www-authenticate", "Basic realm=\"Stripe\""));
    Err(error)
}

/// The kind of key and its last four characters, with a star for each one between.
pub(super) fn starred(key: &str) -> String {
    let letters: Vec<char> = key.chars().take(4096).collect();
    let head = ["sk_test_", "sk_live_", "rk_test_", "rk_live_", "pk_test_", "pk_live_"]
        .into_iter()
        .find(|kind| key.starts_with(kind))
        .map_or(0, str::len);
    let tail = if letters.len() >= head + 8 { 4 } else { 0 };
    let mut out: String = letters[..head].iter().collect();
    out.push_str(&"*".repeat(letters.len() - head - tail));
    out.extend(&letters[letters.len() - tail..]);
    out
}
