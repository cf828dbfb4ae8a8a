//! Paths as segments: encoded once, by us, so that what policy saw is what the service gets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// As long as an encoded path may be: services refuse more than 8 KiB in a request line, and the query wants room too.
pub const MAX_PATH_BYTES: usize = 4096;
/// As many segments as a path may have; the deepest listed endpoint has 8.
pub const MAX_SEGMENTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("a path begins with `/`")]
    NotAbsolute,
    #[error("it has an empty segment")]
    EmptySegment,
    #[error("it has a `.` or `..` segment")]
    DotSegment,
    #[error("it has a control character, or a byte that is not text")]
    Control,
    #[error("it has a character that must be percent-encoded, or an encoding that is not canonical")]
    NotCanonical,
    #[error("it is over {MAX_PATH_BYTES} bytes or {MAX_SEGMENTS} segments")]
    TooLong,
}

/// The segments of a path, decoded. None is `.`, `..` or holds a control character; only the last may be empty, and
/// then the path ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments(Vec<String>);

impl Segments {
    /// From segments that are not encoded, as a provider gives them.
    pub fn new(segments: Vec<String>) -> Result<Self, PathError> {
        if segments.len() > MAX_SEGMENTS {
            return Err(PathError::TooLong);
        }
        let last = segments.len().saturating_sub(1);
        for (index, segment) in segments.iter().enumerate() {
            check_segment(segment, index == last && index > 0)?;
        }
        let path = Self(segments);
        if path.encode().len() > MAX_PATH_BYTES { Err(PathError::TooLong) } else { Ok(path) }
    }

    /// From a path as a caller writes it. It must be what we would have written ourselves: what is not canonical is
    /// refused, not mended, since a mended path is one that nobody decided about.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let segments = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split('/').map(decode_segment).collect::<Result<Vec<_>, _>>()?
        };
        let parsed = Self::new(segments)?;
        if parsed.encode() == path { Ok(parsed) } else { Err(PathError::NotCanonical) }
    }

    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The path as it goes on the wire.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.0.iter().map(|segment| segment.len() + 1).sum::<usize>().max(1));
        for segment in &self.0 {
            out.push('/');
            encode_into(segment, is_plain_in_path, &mut out);
        }
        if out.is_empty() {
            out.push('/');
        }
        out
    }
}

fn check_segment(segment: &str, may_be_empty: bool) -> Result<(), PathError> {
    match segment {
        "" if may_be_empty => Ok(()),
        "" => Err(PathError::EmptySegment),
        "." | ".." => Err(PathError::DotSegment),
        // `..;` and `.;x` are dot segments to servers that cut path parameters off.
        _ if matches!(segment.split(';').next(), Some("." | ".." | "")) => Err(PathError::DotSegment),
        // Once more decoded, as some servers do, it must still be one segment.
        _ if decodes_to_dots(segment) => Err(PathError::DotSegment),
        _ if segment.chars().any(char::is_control) => Err(PathError::Control),
        _ => Ok(()),
    }
}

/// `%2e%2e` as text (which we would send as `%252e%252e`) names a parent to a server that decodes twice.
fn decodes_to_dots(segment: &str) -> bool {
    segment.contains('%') && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn decode_segment(text: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = (high, low) else { return Err(PathError::NotCanonical) };
                (high * 16 + low) as u8
            }
            0x00..=0x20 | 0x7f..=0xff | b'\\' => return Err(PathError::NotCanonical),
            other => other,
        };
        if byte == b'/' || byte == b'\\' {
            // An encoded separator: one segment to us, two to a server that decodes first.
            return Err(PathError::NotCanonical);
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| PathError::Control)
}

/// RFC 3986 `pchar` without `%`: what needs no encoding inside a segment.
fn is_plain_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Percent-encodes every byte for which `plain` is false.
pub(crate) fn encode_into(text: &str, plain: fn(u8) -> bool, out: &mut String) {
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
}

/// A path with places: `/v1/charges/{id}`. A place takes exactly one segment, and never an empty one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    Literal(Box<str>),
    Place(Box<str>),
}

impl PathTemplate {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let pieces = rest
            .split('/')
            .map(|piece| match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                    Ok(Piece::Place(name.into()))
                }
                Some(_) => Err(PathError::NotCanonical),
                None if piece.contains(['{', '}', '%']) => Err(PathError::NotCanonical),
                None => Ok(Piece::Literal(piece.into())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let template = Self(pieces);
        // The literals are held to the rules of segments by making a path of the template.
        Segments::parse(&template.fill(|_| "x"))?;
        Ok(template)
    }

    /// How many segments it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of the segments are fixed, when the path fits; the more, the closer.
    pub fn fit(&self, path: &Segments) -> Option<usize> {
        if self.0.len() != path.0.len() {
            return None;
        }
        let mut fixed = 0;
        for (piece, segment) in self.0.iter().zip(&path.0) {
            match piece {
                Piece::Literal(text) if **text == **segment => fixed += 1,
                Piece::Place(_) if !segment.is_empty() => {}
                _ => return None,
            }
        }
        Some(fixed)
    }

    /// The names of the places, in order.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Place(name) => Some(&**name),
            Piece::Literal(_) => None,
        })
    }

    fn fill<'a>(&'a self, place: impl Fn(&'a str) -> &'a str) -> String {
        self.0.iter().fold(String::new(), |mut out, piece| {
            out.push('/');
            out.push_str(match piece {
                Piece::Literal(text) => text,
                Piece::Place(name) => place(name),
            });
            out
        })
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => write!(f, "/{text}"),
            Piece::Place(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl fmt::Debug for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> String {
        template.to_string()
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        PathTemplate::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_or_refused() {
        for good in ["/", "/v1/models", "/v1/models/", "/v1/a%20b", "/v1/gpt-4o:x@y", "/v1/%C3%A9"] {
            assert_eq!(Segments::parse(good).map(|p| p.encode()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "v1",
            "//evil.test/x",
            "/\\evil.test",
            "/a\\..\\b",
            "/\t/evil",
            "/\n/evil",
            "https://evil.test",
            "/../admin",
            "/%2e%2e/admin",
            "/v1/%2e%2e/x",
            "/%252e%252e/",
            "/v1/..;/",
            "/v1/.;x/",
            "/a%2f..%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/v1//x",
            "/./x",
            "/x/.",
            "/x/..",
            "/a?b",
            "/a#b",
            "/a b",
            "/é",
            "/%00",
            "/%0d%0a",
            "/%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%61",
            "/a%3A",
            "/%e9",
            "/v1/;x",
            "/／／evil",
            "/a[b]",
        ] {
            assert!(Segments::parse(bad).is_err(), "{bad:?} became {:?}", Segments::parse(bad));
        }
        assert!(Segments::new(vec!["a/b".into()]).unwrap().encode() == "/a%2Fb");
        assert!(Segments::new(vec!["..".into()]).is_err());
        assert!(Segments::new(vec!["x".into(), "%2E%2e".into()]).is_err());
        assert!(Segments::new(vec!["".into(), "x".into()]).is_err());
        assert!(Segments::new(vec!["".into()]).is_err());
        assert!(Segments::new(vec!["a".repeat(64 * 1024)]).is_err());
    }

    #[test]
    fn templates_fit_whole_segments() {
        let template = PathTemplate::parse("/v1/charges/{id}").unwrap();
        let fit = |path| template.fit(&Segments::parse(path).unwrap());
        assert_eq!(fit("/v1/charges/ch_1"), Some(2));
        assert_eq!(fit("/v1/charges/"), None);
        assert_eq!(fit("/v1/charges_evil/ch_1"), None);
        assert_eq!(fit("/v1/charges/ch_1/refund"), None);
        for bad in ["v1", "/v1/{}", "/v1/{a b}", "/v1/x{id}", "/v1/../x", "/v1//x", "/v1/%41"] {
            assert!(PathTemplate::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// However odd a value is, it stays one segment of the path.
        #[test]
        fn a_value_stays_in_its_segment(value in "\\PC{1,40}") {
            if let Ok(path) = Segments::new(vec!["v1".into(), value.clone(), "end".into()]) {
                let wire = path.encode();
                prop_assert_eq!(wire.matches('/').count(), 3);
                prop_assert!(wire.is_ascii() && !wire.contains(['?', '#', '\\', ' ']));
                if !value.contains(['/', '\\']) {
                    prop_assert_eq!(Segments::parse(&wire), Ok(path));
                }
            }
        }

        #[test]
        fn what_is_parsed_is_what_is_sent(path in "/[ -~]{0,40}") {
            if let Ok(parsed) = Segments::parse(&path) {
                prop_assert_eq!(parsed.encode(), path);
            }
        }
    }
}
