//! A piece of a file as JSON holds it: text where it is text, base64 where it is not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_sdk::Failure;

/// In a UTF-8 character; one that a limit cut apart lacks at most three of them.
const MAX_CHAR_BYTES: usize = 4;

/// A piece, and how much of the file it is.
#[kv_sdk::data]
#[derive(Debug, PartialEq)]
pub(crate) struct Piece {
    /// The piece, where it is text.
    pub(crate) text: Option<String>,
    /// The piece in base64, where it is none.
    pub(crate) base64: Option<String>,
    /// How many bytes of the file this is.
    pub(crate) bytes: usize,
    /// The file goes on.
    pub(crate) truncated: bool,
}

impl Piece {
    pub(crate) fn of(mut data: Vec<u8>, truncated: bool) -> Self {
        if truncated {
            drop_cut_char(&mut data);
        }
        let bytes = data.len();
        match String::from_utf8(data) {
            Ok(text) if is_readable(&text) => Self { text: Some(text), base64: None, bytes, truncated },
            Ok(text) => Self { text: None, base64: Some(STANDARD.encode(text)), bytes, truncated },
            Err(error) => Self { text: None, base64: Some(STANDARD.encode(error.as_bytes())), bytes, truncated },
        }
    }
}

pub(crate) fn decode(base64: &str) -> Result<Vec<u8>, Failure> {
    STANDARD.decode(base64).map_err(|error| Failure::invalid_input(format!("it is not base64: {error}")).at("/base64"))
}

/// The beginning of a character at the end goes, so that it comes whole with the next piece.
fn drop_cut_char(data: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(data)
        && error.error_len().is_none()
        && data.len() - error.valid_up_to() < MAX_CHAR_BYTES
    {
        data.truncate(error.valid_up_to());
    }
}

/// Bytes that happen to be UTF-8 are not text: a NUL says so, and so many control characters that JSON, which writes each
/// with six, would be longer than base64. Colours in a log are fine.
fn is_readable(text: &str) -> bool {
    let odd = text.bytes().filter(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\n' | b'\r')).count();
    !text.contains('\0') && odd * 16 <= text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_bytes() {
        let piece = |data: &[u8], truncated| {
            let piece = Piece::of(data.to_vec(), truncated);
            (piece.text.unwrap_or_default(), piece.base64.unwrap_or_default(), piece.bytes)
        };
        assert_eq!(piece("ä\u{1b}[31m red, and a long line".as_bytes(), false).1, "");
        assert_eq!(piece(b"a\0b", false), (String::new(), "YQBi".into(), 3));
        assert_eq!(piece(b"\xff\xfe", false).1, "//4=");
        assert_eq!(piece(b"\x01\x02", false).1, "AQI=");
        assert_eq!(piece(b"", false), (String::new(), String::new(), 0));
        // Cut within `ä`.
        assert_eq!(piece(b"a\xc3", true), ("a".into(), String::new(), 1));
        assert_eq!(piece(b"a\xc3", false).1, "YcM=");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(data in any::<Vec<u8>>(), truncated in any::<bool>()) {
            let piece = Piece::of(data.clone(), truncated);
            let back = match (&piece.text, &piece.base64) {
                (Some(text), None) => text.clone().into_bytes(),
                (None, Some(base64)) => decode(base64).unwrap(),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(back.len(), piece.bytes);
            prop_assert!(data.starts_with(&back));
            prop_assert!(data.len() - back.len() < MAX_CHAR_BYTES && (truncated || back == data));
        }
    }
}
