//! Texts in entries: what strangers say, cut to size, and our own codes.

use std::borrow::Cow;
use std::fmt;

/// As many characters as a stranger's text may fill in an entry. A summary is one line for people; what is longer is
/// not read, and a log that a caller can fill is a way to fill the disk.
pub const MAX_CLAIM_CHARS: usize = 300;

/// A text that a caller, a provider or a manifest chose. It is what they claim, at most [`MAX_CLAIM_CHARS`] long, and
/// ends in `…` where it was cut.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Claim(Box<str>);

impl Claim {
    pub fn cut(text: &str) -> Self {
        match text.char_indices().nth(MAX_CLAIM_CHARS) {
            None => Self(text.into()),
            Some(_) => {
                let kept: String = text.chars().take(MAX_CLAIM_CHARS - 1).chain(['…']).collect();
                Self(kept.into())
            }
        }
    }

    /// The text as it came, control characters and all. For a terminal, use `Display`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Inert on a terminal: what could move the cursor, change direction or hide is shown as `\u{1b}`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_active(c) { write!(f, "{}", c.escape_unicode()) } else { fmt::Write::write_char(f, c) }
        })
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// One of kv's own stable codes: `audit.unavailable`. Written from constants only, so nothing that varies gets in.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Cow<'static, str>);

impl Code {
    pub const fn new(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    pub(crate) fn from_log(code: &str) -> Self {
        Self(Cow::Owned(code.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Code {
    fn from(code: &'static str) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Does this character do something to a terminal or to the order of a line? Controls of both sets, marks and overrides
/// of direction, line and paragraph separators, invisible joiners and tags.
pub(crate) fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_cut_and_inert() {
        let long = "é".repeat(MAX_CLAIM_CHARS + 1);
        assert_eq!(Claim::cut(&long).as_str().chars().count(), MAX_CLAIM_CHARS);
        assert!(Claim::cut(&long).as_str().ends_with('…'));
        assert_eq!(Claim::cut(&"é".repeat(MAX_CLAIM_CHARS)).as_str().chars().last(), Some('é'));
        assert_eq!(Claim::cut("a\u{1b}[2J\u{202e}b\n").to_string(), "a\\u{1b}[2J\\u{202e}b\\u{a}");
    }
}
