//! What a person is shown before a yes: made by the host from the request itself, in full or not at all.
//!
//! Every value goes through [`Shown`]; only the last line holds words of somebody else's choosing about the request, and
//! it says whose they are.

use std::fmt::Write as _;

use kv_model::{CommandLine, Digest, HttpRequest, Mode, Principal, Request, Shown, Statement};

use crate::held::Held;

/// As much as is shown of one request, and more than anybody reads with care.
pub const MAX_REVIEW_BYTES: usize = 16 << 10;
/// The label of the line that [`super::Approval::shown_digest`] repeats. It is the last line, so nothing that a request
/// holds stands after it.
pub(super) const DIGEST: &str = "digest";
/// As much of a provider's own words as is shown.
const MAX_CLAIM_CHARS: usize = 200;

/// One line: what it is, and its value. The value has no line break and no character that hides or moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub label: String,
    pub value: String,
    /// The words are a caller's or a provider's; nobody has checked them.
    pub is_claim: bool,
}

/// A request as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    lines: Vec<Line>,
}

/// More than a person can be asked to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    pub bytes: usize,
}

impl Review {
    pub fn of(held: &Held) -> Result<Self, TooLarge> {
        // Long before anything is drawn: an escape is at most ten times as long as what it stands for.
        let size = usize::try_from(held.request().size()).unwrap_or(usize::MAX);
        if size > MAX_REVIEW_BYTES && !is_binary(held.request()) {
            return Err(TooLarge { bytes: size });
        }
        let mut review = Self { lines: Vec::new() };
        review.line("asks", &asker(held.principal()));
        let connection = held.connection();
        review.line("through", &format!("{} (provider {})", connection.name, connection.provider));
        review.line("operation", &format!("{}, which can {}", held.operation(), verb(held.effect())));
        match held.request() {
            Request::Http(request) => review.http(&connection.origin.to_string(), request),
            Request::Sql(statement) => review.sql(held, statement),
            Request::Ssh(command) => {
                review.line("on", &login(held, "user"));
                match command.line() {
                    CommandLine::Argv(argv) => {
                        for (index, argument) in argv.iter().enumerate() {
                            review.text(if index == 0 { "program" } else { "argument" }, argument);
                        }
                    }
                    CommandLine::Shell(text) => review.text("shell text", text),
                }
                if !command.stdin().is_empty() {
                    review.data("standard input", command.stdin());
                }
                review.line("time limit", &format!("{} s", command.timeout().as_secs()));
            }
        }
        if !held.summary().is_empty() {
            let cut: String = held.summary().chars().take(MAX_CLAIM_CHARS).collect();
            let value = format!("“{}”", Shown(&cut));
            review.lines.push(Line { label: "the provider says".to_owned(), value, is_claim: true });
        }
        let bytes = review.lines.iter().map(|line| line.label.len() + line.value.len()).sum();
        if bytes > MAX_REVIEW_BYTES { Err(TooLarge { bytes }) } else { Ok(review) }
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The digest's first half in eight groups: enough to compare by eye, too much to make a second request for.
    pub(super) fn with_digest(mut self, digest: Digest) -> Self {
        let mut value = String::new();
        for (index, byte) in digest.as_bytes().iter().take(16).enumerate() {
            let gap = if index > 0 && index % 2 == 0 { " " } else { "" };
            // Writing to a string does not fail.
            let _ = write!(value, "{gap}{byte:02x}");
        }
        self.line(DIGEST, &value);
        self
    }

    fn line(&mut self, label: &str, value: &str) {
        let (label, value) = (Shown(label).to_string(), Shown(value).to_string());
        self.lines.push(Line { label, value, is_claim: false });
    }

    /// A text of several lines as so many; the end of each is where one line ends.
    fn text(&mut self, label: &str, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            self.line(if index == 0 { label } else { "" }, line);
        }
    }

    fn http(&mut self, origin: &str, request: &HttpRequest) {
        self.line("sends", &format!("{} {origin}{}", request.method(), request.path()));
        for (name, value) in request.query() {
            self.text(&format!("query {name}"), value);
        }
        for (name, value) in request.headers() {
            self.line(&format!("header {name}"), value);
        }
        let body = request.body();
        if body.data.is_empty() {
            return;
        }
        let media_type = body.media_type.as_deref().unwrap_or("no media type");
        match (media_type.split(';').next().map(str::trim), std::str::from_utf8(&body.data)) {
            (Some("application/x-www-form-urlencoded"), Ok(text)) => {
                for pair in text.split('&') {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    self.text(&format!("field {}", decoded(name)), &decoded(value));
                }
            }
            (Some("multipart/form-data"), _) if media_type.contains("; boundary=") => {
                let boundary = media_type.split_once("; boundary=").map_or("", |(_, boundary)| boundary);
                for part in parts(&body.data, boundary) {
                    self.part(part);
                }
            }
            (_, Ok(text)) => self.text(&format!("body ({media_type})"), text),
            (_, Err(_)) => self.data(&format!("body ({media_type})"), &body.data),
        }
    }

    fn sql(&mut self, held: &Held, statement: &Statement) {
        self.line("on", &login(held, "user"));
        if let Some(database) = setting(held, "database") {
            self.line("database", &database);
        }
        self.line("statement is", statement.endpoint());
        self.text("statement", statement.text());
        for (index, param) in statement.params().iter().enumerate() {
            self.line(&format!("parameter ${}", index + 1), &param.to_string());
        }
        match statement.mode() {
            Mode::Write { max_changes: Some(most) } => {
                self.line("rows changed", &format!("at most {most}, or nothing is changed"));
            }
            Mode::Write { max_changes: None } => self.line("rows changed", "no limit"),
            Mode::Preview => self.line("afterwards", "everything is rolled back"),
            Mode::Read => {}
        }
    }

    /// One part of a body: its head, then what it holds.
    fn part(&mut self, part: &[u8]) {
        let end = find(part, b"\r\n\r\n").unwrap_or(0);
        let (head, data) = (part.get(..end).unwrap_or_default(), part.get(end + 4..).unwrap_or_default());
        for line in String::from_utf8_lossy(head).split("\r\n") {
            self.line("part", line);
        }
        self.data("holds", data);
    }

    /// Text, or what can be said of bytes that are none: how many, and which.
    fn data(&mut self, label: &str, data: &[u8]) {
        match std::str::from_utf8(data) {
            Ok(text) if text.len() <= MAX_REVIEW_BYTES => self.text(label, text),
            _ => self.line(label, &format!("{} bytes that are no text; SHA-256 {}", data.len(), Digest::of(data))),
        }
    }
}

/// A body that is no text is shown as its size and digest.
fn is_binary(request: &Request) -> bool {
    matches!(request, Request::Http(request) if std::str::from_utf8(&request.body().data).is_err())
}

/// What stands between the boundaries of a body that kv itself encoded.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (open, close) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(part) = rest.strip_prefix(open.as_bytes()) {
        let end = find(part, close.as_bytes()).unwrap_or(part.len());
        parts.push(part.get(..end).unwrap_or_default());
        rest = part.get(end + 2..).unwrap_or_default();
    }
    parts
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

fn asker(principal: &Principal) -> String {
    match principal {
        Principal::Agent { name, uid } => format!("agent {name} (its own name for itself), user {uid}"),
        Principal::Operator { uid } => format!("a command of the person's own, user {uid}"),
    }
}

fn verb(effect: kv_model::Effect) -> &'static str {
    use kv_model::Effect;
    match effect {
        Effect::Read => "only read",
        Effect::Write => "create or change something, or cost money",
        Effect::Destroy => "remove something, or not be undone",
        Effect::Grant => "give somebody access",
    }
}

fn login(held: &Held, user: &str) -> String {
    let origin = &held.connection().origin;
    match setting(held, user) {
        Some(user) => format!("{origin} as {user}"),
        None => origin.to_string(),
    }
}

fn setting(held: &Held, name: &str) -> Option<String> {
    held.connection().settings.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value.clone())
}

/// One side of a form's pair. What is no text stays encoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return text.to_owned() };
                bytes.push(u8::try_from(high << 4 | low).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
