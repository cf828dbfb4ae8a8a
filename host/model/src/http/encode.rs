//! Encoding queries and bodies: the host does it, so that no value of a caller's becomes structure.

use bytes::Bytes;
use serde_json::Value;

use super::{Body, EncodedBody, MAX_BODY_BYTES, MAX_QUERY_PAIRS, Part, PartContent, RequestError};
use crate::path::encode_into;
use crate::{Attachment, CallId, Digest, json};

pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
const MAX_PART_NAME: usize = 256;

/// `key=value` pairs, everything encoded but letters, digits and `-._~`; a space becomes `+`.
pub(super) fn encode_query(pairs: &[(String, String)]) -> String {
    encode_pairs(pairs, is_plain)
}

/// A form body. The brackets of nested keys stay as they are, as the services' own libraries send them.
pub fn encode_form(pairs: &[(String, String)]) -> String {
    encode_pairs(pairs, |byte| is_plain(byte) || byte == b'[' || byte == b']')
}

fn encode_pairs(pairs: &[(String, String)], plain_in_key: fn(u8) -> bool) -> String {
    let mut out = String::new();
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        encode_into(key, plain_in_key, &mut out);
        out.push('=');
        encode_into(value, is_plain, &mut out);
    }
    // A space is never plain, so every `%20` here is one.
    out.replace("%20", "+")
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The query that a caller wrote into a path.
pub(super) fn parse_query(query: &str) -> Result<Vec<(String, String)>, RequestError> {
    if query.bytes().any(|b| !(0x21..0x7f).contains(&b) || b == b'#' || b == b'\\') {
        return Err(RequestError::Query("it has characters that must be percent-encoded"));
    }
    let pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > MAX_QUERY_PAIRS {
        return Err(RequestError::Query("it is over 500 pairs"));
    }
    pairs
        .into_iter()
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, RequestError> {
    let error = RequestError::Query("it has an encoding that is not one of text");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(error) };
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| error)
}

/// A JSON object as form pairs: `{"items": [{"price": "p"}]}` becomes `items[0][price]=p`. A null becomes the empty
/// text, which to such services means "unset". Empty objects and arrays vanish, except at `[]`, where the empty text
/// says "none". Anything but an object is refused, and so is a name that is empty or holds a bracket: it would be
/// another spelling of a nested field, one that whoever looks at the JSON does not see.
pub fn flatten_form(value: &Value) -> Result<Vec<(String, String)>, RequestError> {
    let object = value.as_object().ok_or(RequestError::FormBody)?;
    let mut pairs = Vec::new();
    for (name, value) in object {
        let place = Place { key: String::new(), pointer: String::new() };
        flatten_into(place.member(name)?, value, &mut pairs)?;
    }
    Ok(pairs)
}

/// Where a value stands: in the form, and in the JSON.
struct Place {
    key: String,
    pointer: String,
}

impl Place {
    fn member(&self, name: &str) -> Result<Self, RequestError> {
        let pointer = format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"));
        if name.is_empty() || name.contains(['[', ']']) {
            return Err(RequestError::FormName { pointer: shown(&pointer) });
        }
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}[{name}]", self.key) };
        Ok(Self { key, pointer })
    }

    fn element(&self, index: usize) -> Self {
        Self { key: format!("{}[{index}]", self.key), pointer: format!("{}/{index}", self.pointer) }
    }
}

fn flatten_into(place: Place, value: &Value, pairs: &mut Vec<(String, String)>) -> Result<(), RequestError> {
    let text = match value {
        Value::Array(values) if !values.is_empty() => {
            return values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| flatten_into(place.element(index), value, pairs));
        }
        Value::Object(object) => {
            return object.iter().try_for_each(|(name, value)| flatten_into(place.member(name)?, value, pairs));
        }
        Value::Array(_) | Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value.clone(),
    };
    pairs.push((place.key, text));
    Ok(())
}

/// A caller's text in an error: one line, and not all of it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Checks and encodes a provider's body.
pub(super) fn provider_body(body: Body, call: CallId, attachments: &[Attachment]) -> Result<EncodedBody, RequestError> {
    let body = match body {
        Body::Empty => return Ok(EncodedBody::default()),
        Body::Attachment(name) => {
            let attachment = find(attachments, &name)?;
            check_media_type(&attachment.media_type)?;
            EncodedBody { media_type: Some(attachment.media_type.clone()), data: attachment.data.clone() }
        }
        Body::Bytes { media_type, data } => {
            check_media_type(&media_type)?;
            EncodedBody { media_type: Some(media_type), data: data.into() }
        }
        Body::Form(pairs) => EncodedBody { media_type: Some(FORM.into()), data: encode_form(&pairs).into() },
        Body::Json(text) => {
            // Sent as the provider wrote it, so it must be one JSON text and not, say, two.
            json::parse(text.as_bytes(), MAX_BODY_BYTES).map_err(|_| RequestError::JsonBody)?;
            EncodedBody { media_type: Some(JSON.into()), data: text.into() }
        }
        Body::Multipart(parts) => multipart(parts, call, attachments)?,
    };
    Ok(body)
}

fn multipart(parts: Vec<Part>, call: CallId, attachments: &[Attachment]) -> Result<EncodedBody, RequestError> {
    // 128 bits of the call's id, hashed: nobody who wrote a part could know the boundary beforehand.
    let digest = Digest::of(call.as_bytes()).to_string();
    let boundary = digest.get(..32).unwrap_or(&digest);
    let mut out = Vec::new();
    for part in parts {
        let (media_type, data) = match part.content {
            PartContent::Text(text) => (None, Bytes::from(text)),
            PartContent::Bytes { media_type, data } => (Some(media_type), Bytes::from(data)),
            PartContent::Attachment(name) => {
                let attachment = find(attachments, &name)?;
                (Some(attachment.media_type.clone()), attachment.data.clone())
            }
        };
        out.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&part.name)?).as_bytes(),
        );
        if let Some(filename) = &part.filename {
            out.extend_from_slice(format!("; filename=\"{}\"", quoted(filename)?).as_bytes());
        }
        if let Some(media_type) = media_type {
            check_media_type(&media_type)?;
            out.extend_from_slice(format!("\r\nContent-Type: {media_type}").as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&data);
        out.extend_from_slice(b"\r\n");
        if out.len() > MAX_BODY_BYTES {
            return Err(RequestError::BodyTooLarge { bytes: out.len() });
        }
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(EncodedBody { media_type: Some(format!("multipart/form-data; boundary={boundary}")), data: out.into() })
}

/// As browsers escape names (WHATWG HTML, multipart/form-data): a quote and line breaks as percent codes. Other control
/// characters are refused.
fn quoted(name: &str) -> Result<String, RequestError> {
    if name.len() > MAX_PART_NAME || name.chars().any(|c| c.is_control() && c != '\r' && c != '\n') {
        return Err(RequestError::Part);
    }
    Ok(name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A"))
}

fn find<'a>(attachments: &'a [Attachment], name: &str) -> Result<&'a Attachment, RequestError> {
    attachments.iter().find(|attachment| attachment.name == name).ok_or_else(|| RequestError::Attachment(shown(name)))
}

/// `type/subtype` with parameters, visible ASCII, under 200 bytes.
pub(super) fn check_media_type(text: &str) -> Result<(), RequestError> {
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let fine = text.len() < 200
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        && essence.split_once('/').is_some_and(|(main, sub)| token(main) && token(sub));
    if fine { Ok(()) } else { Err(RequestError::MediaType(shown(text))) }
}
