//! A request as bytes, encoded as the host encodes it.

use super::File;
use crate::{Body, Multipart, PartContent, Request};

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    pub method: String,
    /// Path and query, as on the request line.
    pub target: String,
    /// Names in lower case, sorted; without `content-type`.
    pub headers: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// The host takes one that nobody could know; this one is the same in each run.
const BOUNDARY: &str = "kv-test-boundary";

impl Wire {
    /// The body as text; bytes that are none show as `\u{fffd}`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) fn encode(request: &Request, files: &[File]) -> Wire {
    let mut target: String =
        request.path.iter().map(|segment| format!("/{}", percent(segment, b"-._~!$&'()*+,;=:@"))).collect();
    if target.is_empty() {
        target.push('/');
    }
    if !request.query.is_empty() {
        target.push('?');
        target.push_str(&pairs(&request.query, b"-._~"));
    }
    let (content_type, body) = encode_body(&request.body, files);
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.sort();
    Wire { method: request.method.clone(), target, headers, content_type, body }
}

fn encode_body(body: &Body, files: &[File]) -> (Option<String>, Vec<u8>) {
    match body {
        Body::Empty => (None, Vec::new()),
        Body::Json(text) => (Some("application/json".into()), text.clone().into_bytes()),
        Body::Form(form) => {
            (Some("application/x-www-form-urlencoded".into()), pairs(form.pairs(), b"-._~[]").into_bytes())
        }
        Body::Bytes { media_type, data } => (Some(media_type.clone()), data.clone()),
        Body::Attachment(name) => {
            let file = File::find(files, name);
            (Some(file.media_type.clone()), file.data.clone())
        }
        Body::Multipart(multipart) => {
            (Some(format!("multipart/form-data; boundary={BOUNDARY}")), encode_multipart(multipart, files))
        }
    }
}

fn encode_multipart(multipart: &Multipart, files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in multipart.parts() {
        let (media_type, data) = match &part.content {
            PartContent::Text(text) => (None, text.as_bytes()),
            PartContent::Bytes { media_type, data } => (Some(media_type), data.as_slice()),
            PartContent::Attachment(name) => {
                let file = File::find(files, name);
                (Some(&file.media_type), file.data.as_slice())
            }
        };
        let filename =
            part.filename.as_ref().map(|name| format!("; filename=\"{}\"", quoted(name))).unwrap_or_default();
        let kind = media_type.map(|kind| format!("\r\nContent-Type: {kind}")).unwrap_or_default();
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"{filename}{kind}\r\n\r\n",
            quoted(&part.name)
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    out
}

fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// `plain` are the marks that names keep; values keep the unreserved ones only. A space becomes `+`.
fn pairs(pairs: &[(String, String)], plain: &[u8]) -> String {
    let encoded: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent(name, plain), percent(value, b"-._~"))).collect();
    encoded.join("&").replace("%20", "+")
}

fn percent(text: &str, plain: &[u8]) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
