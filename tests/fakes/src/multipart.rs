//! `multipart/form-data`, read strictly enough to notice a client that builds it wrongly.

use bytes::Bytes;

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file_name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    NoBoundary,
    NoOpening,
    NoClosing,
    Head,
    TooManyParts,
}

/// Splits a body by the boundary that its content type names.
pub(crate) fn parse(content_type: &str, body: &Bytes) -> Result<Vec<Part>, Malformed> {
    let boundary = boundary(content_type).ok_or(Malformed::NoBoundary)?;
    let opening = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut at = if body.starts_with(opening.as_bytes()) {
        opening.len()
    } else {
        // A preamble may stand before the first boundary.
        find(body, between.as_bytes(), 0).ok_or(Malformed::NoOpening)? + between.len()
    };
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if !rest.starts_with(b"\r\n") || parts.len() == PARTS {
            return Err(if parts.len() == PARTS { Malformed::TooManyParts } else { Malformed::NoClosing });
        }
        let start = at + 2;
        let end = find(body, between.as_bytes(), at).ok_or(Malformed::NoClosing)?;
        parts.push(part(body.slice(start.min(end)..end))?);
        at = end + between.len();
    }
}

/// The first part of that name.
pub(crate) fn named<'a>(parts: &'a [Part], name: &str) -> Option<&'a Part> {
    parts.iter().find(|part| part.name == name)
}

/// The first part of that name as text.
pub(crate) fn text<'a>(parts: &'a [Part], name: &str) -> Option<&'a str> {
    named(parts, name).and_then(|part| std::str::from_utf8(&part.body).ok())
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameter(rest, "boundary")?;
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

fn part(bytes: Bytes) -> Result<Part, Malformed> {
    let end = find(&bytes, b"\r\n\r\n", 0).ok_or(Malformed::Head)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Malformed::Head)?;
    let mut part = Part { name: String::new(), file_name: None, content_type: None, body: bytes.slice(end + 4..) };
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or(Malformed::Head)?;
        if name.eq_ignore_ascii_case("content-type") {
            part.content_type = Some(value.trim().to_owned());
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            part.name = parameter(value, "name").ok_or(Malformed::Head)?.to_owned();
            part.file_name = parameter(value, "filename").map(str::to_owned);
        }
    }
    if part.name.is_empty() { Err(Malformed::Head) } else { Ok(part) }
}

/// The value of `name=value` or `name="value"` between semicolons.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['=', ';']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        rest = next;
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| at + from)
}

/// Browsers and SDKs send a handful.
const PARTS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: \
                        form-data; name=\"file\"; filename=\"a b.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n{\"x\":1}\n\
                        \r\n--b--\r\n";

    #[test]
    fn parts_come_out_as_they_went_in() {
        let parts = parse("multipart/form-data; boundary=b", &Bytes::from_static(FORM.as_bytes())).unwrap();
        assert_eq!(text(&parts, "purpose"), Some("batch"));
        let file = named(&parts, "file").unwrap();
        assert_eq!(file.file_name.as_deref(), Some("a b.jsonl"));
        assert_eq!(file.content_type.as_deref(), Some("application/jsonl"));
        assert_eq!(&file.body[..], b"{\"x\":1}\n");
    }

    #[test]
    fn every_cut_of_a_form_is_refused() {
        let closing = FORM.len() - "--\r\n".len();
        for length in 0..closing {
            assert!(
                parse("multipart/form-data; boundary=b", &Bytes::from(FORM[..length].to_owned())).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn a_part_that_is_empty_is_no_panic() {
        assert!(parse("multipart/form-data; boundary=b", &Bytes::from_static(b"--b\r\n--b--")).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(content_type in "(multipart/form-data; ?)?[a-z=;\" ]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&content_type, &body.into());
        }

        #[test]
        fn noise_after_an_opening_does_not_panic(body in "(--b|\r\n|name=\"|content-disposition:|[a-z]){0,20}") {
            let _ = parse("multipart/form-data; boundary=b", &format!("--b\r\n{body}").into());
        }
    }
}
