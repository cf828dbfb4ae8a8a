//! How a stored text is shown to a model: some of what comes from outside is made of characters that no reader sees.

use crate::inert::Inert;
use crate::output::escaped;

const ESCAPE: char = '\u{1b}';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Never: it is no text.
    Bytes,
    /// A program's output, without colours, and with nothing in it that steers a terminal or reorders what is read.
    Inert,
    /// JSON. What would steer or reorder is escaped, so that its values stay what they are.
    Json,
    /// As it came.
    Plain,
}

impl Shown {
    pub(super) fn text(self, text: &str) -> String {
        match self {
            Shown::Bytes => String::new(),
            Shown::Inert => {
                let mut inert = Inert::default();
                let out = inert.take(text.as_bytes());
                without_colours(&(out + &inert.end()))
            }
            Shown::Json => escaped(text),
            Shown::Plain => text.to_owned(),
        }
    }

    /// As much of the beginning as fits when it is shown, and how that looks. What is shown may be three times as long.
    pub(super) fn fit(self, text: &str, most: usize) -> (&str, String) {
        let mut end = most;
        loop {
            let at = (0..=end.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let piece = &text[..at];
            let shown = self.text(piece);
            if shown.len() <= most {
                return (piece, shown);
            }
            end = at * most / shown.len();
        }
    }
}

/// What came through [`Inert`] has an escape only where a colour begins, and a colour ends with `m`.
pub(super) fn without_colours(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| out.push_str(part.split_once('m').map_or(part, |(_, rest)| rest)));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::output::steers;

    #[test]
    fn json_keeps_its_values() {
        let json = "{\"a\":\"x\u{202e}y\u{9b}31m\u{7f}\u{200b}\",\n\"b\":\"\\u001b]0;t\\u0007\"}";
        let shown = Shown::Json.text(json);
        assert!(!shown.chars().any(steers), "{shown}");
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&shown), read(json));
    }

    #[test]
    fn output_is_inert_and_without_colours() {
        for (text, shown) in [
            ("\u{1b}[1;31mred\u{1b}[0m m\r\n", "red m\n"),
            ("\u{1b}]52;c;aGk=\u{7}", "\u{fffd}]52;c;aGk=\u{fffd}"),
            ("\u{1b}[2Ja\u{202e}b", "\u{fffd}[2Ja\u{fffd}b"),
            ("safe\rrm", "safe\nrm"),
            ("\u{1b}[31", "\u{fffd}[31"),
        ] {
            assert_eq!(Shown::Inert.text(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_fits() {
        for shown in [Shown::Inert, Shown::Json, Shown::Plain] {
            for text in ["\u{1}".repeat(100), "\u{9b}".repeat(100), "a\u{200b}\u{1f600}".repeat(40), "b".repeat(5)] {
                let (mut rest, mut whole) = (text.as_str(), String::new());
                while !rest.is_empty() {
                    let (piece, looks) = shown.fit(rest, 20);
                    assert!(!piece.is_empty() && looks.len() <= 20, "{shown:?} {rest:?}");
                    whole.push_str(&looks);
                    rest = &rest[piece.len()..];
                }
                assert_eq!(whole, shown.text(&text));
            }
        }
    }
}
