//! The errors of the OpenAI API, in its own words and shapes.
//!
//! They are worth copying with care: the one for a wrong key repeats a part of the key, which is what a client's redaction
//! has to live with.

use serde_json::{Value, json};

use crate::record::Recorded;
use crate::reply::Reply;

#[derive(Debug)]
pub(super) struct Error {
    status: u16,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Error {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Error {
        Error { status, message: message.into(), kind, param: None, code: None, headers: Vec::new() }
    }

    fn code(mut self, code: &'static str) -> Error {
        self.code = Some(code);
        self
    }

    fn param(mut self, param: &str) -> Error {
        self.param = Some(param.to_owned());
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Error {
        self.headers.push((name, value));
        self
    }

    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Error {
        Error::new(400, "invalid_request_error", message).param(param).code("invalid_value")
    }

    pub(super) fn wrong_type(param: &str, wanted: &str, got: &Value) -> Error {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a decimal",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let message = format!("Invalid type for '{param}': expected {wanted}, but got {got} instead.");
        Error::new(400, "invalid_request_error", message).param(param).code("invalid_type")
    }

    pub(super) fn missing(param: &str) -> Error {
        Error::new(400, "invalid_request_error", format!("Missing required parameter: '{param}'."))
            .param(param)
            .code("missing_required_parameter")
    }

    pub(super) fn no_model() -> Error {
        Error::new(400, "invalid_request_error", "you must provide a model parameter")
    }

    pub(super) fn not_json() -> Error {
        Error::new(
            400,
            "invalid_request_error",
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library \
             correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble \
             figuring out how to fix this, please contact us through our help center at help.openai.com.)",
        )
    }

    pub(super) fn not_multipart() -> Error {
        Error::new(400, "invalid_request_error", "Could not parse multipart form")
    }

    pub(super) fn no_url(request: &Recorded) -> Error {
        Error::new(404, "invalid_request_error", format!("Invalid URL ({} {})", request.method, request.path()))
    }

    pub(super) fn no_method(request: &Recorded) -> Error {
        let message = format!(
            "Not allowed to {} on {}. (HINT: Perhaps you meant to use a different HTTP method?)",
            request.method,
            request.path()
        );
        Error::new(405, "invalid_request_error", message).code("method_not_supported")
    }

    /// `what` in the words of the API: `File`, `Response`.
    pub(super) fn no_object(what: &str, id: &str) -> Error {
        Error::new(404, "invalid_request_error", format!("No such {what} object: {id}")).param("id")
    }

    pub(super) fn no_such_model(model: &str) -> Error {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Error::new(404, "invalid_request_error", message).code("model_not_found")
    }

    pub(super) fn wrong_state(message: impl Into<String>) -> Error {
        Error::new(409, "invalid_request_error", message)
    }

    pub(super) fn rate_limited(limit: u32) -> Error {
        let message = format!(
            "Rate limit reached for requests in organization org-fake on requests per min (RPM): Limit {limit}, Used \
             {limit}, Requested 1. Please try again in 1s. Visit https://platform.openai.com/account/rate-limits to learn \
             more."
        );
        Error::new(429, "requests", message)
            .code("rate_limit_exceeded")
            .header("retry-after", "1")
            .header("retry-after-ms", "1000")
    }

    pub(super) fn no_quota() -> Error {
        let message = "You exceeded your current quota, please check your plan and billing details. For more information on \
                       this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.";
        Error::new(429, "insufficient_quota", message).code("insufficient_quota")
    }

    pub(super) fn broken() -> Error {
        let message = "The server had an error while processing your request. Sorry about that!";
        Error::new(500, "server_error", message)
    }

    pub(super) fn overloaded() -> Error {
        Error::new(503, "server_error", "The engine is currently overloaded, please try again later")
            .header("retry-after", "2")
    }

    pub(super) fn too_long(model: &str, most: usize, got: usize) -> Error {
        let message = format!(
            "This model's maximum context length is {most} tokens. However, your messages resulted in {got} tokens. Please \
             reduce the length of the messages."
        );
        let param = if model.starts_with("text-embedding") { "input" } else { "messages" };
        Error::new(400, "invalid_request_error", message).param(param).code("context_length_exceeded")
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }

    pub(super) fn into_reply(self) -> Reply {
        let reply = Reply::json_pretty(self.status, &self.to_json());
        self.headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value))
    }
}

/// Lets one key through.
pub(super) fn authenticate(request: &Recorded, key: &str) -> Result<(), Error> {
    let challenge = ("www-authenticate", "Bearer realm=\"OpenAI API\"");
    match request.bearer() {
        Some(given) if given == key => Ok(()),
        None | Some("") => {
            let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                           Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank \
                           username) if you're accessing the API from your browser and are prompted for a username and \
                           password. You can obtain an API key from https://platform.openai.com/account/api-keys.";
            Err(Error::new(401, "invalid_request_error", message).header(challenge.0, challenge.1))
        }
        Some(given) => {
            let message = format!(
                "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys.",
                starred(given)
            );
            let error = Error::new(401, "invalid_request_error", message).code("invalid_api_key");
            Err(error.header(challenge.0, challenge.1))
        }
    }
}

/// The first eight and the last four characters with stars between; a short one is shown almost whole, as it is there.
pub(super) fn starred(key: &str) -> String {
    let letters: Vec<char> = key.chars().take(4096).collect();
    if letters.len() <= 12 {
        let shown = letters.len().min(2);
        let stars = "*".repeat(letters.len() - shown);
        return letters[..shown].iter().collect::<String>() + &stars;
    }
    let head: String = letters[..8].iter().collect();
    let tail: String = letters[letters.len() - 4..].iter().collect();
    head + &"*".repeat(letters.len() - 12) + &tail
}
