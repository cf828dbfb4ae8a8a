//! Another machine's output on this terminal, as it comes: text, line breaks, tabs and colours. Whatever else a terminal
//! would obey (titles, the clipboard, links, questions that it answers, moving about) is shown as `�`, and what follows it
//! as text: nothing is swallowed, and nothing is concealed (text in the colour of its ground is still the sender's to make).
//!
//! In JSON such a character is written as an escape instead, which changes no value.
//!
//! It keeps at most one unfinished character or colour between two pieces.

use crate::output::{escape, steers};

/// The longest sequence that sets colours: two true colours and a few attributes have under 50 bytes.
const MAX_COLOUR: usize = 64;
const ESCAPE: u8 = 0x1b;
const ODD: char = char::REPLACEMENT_CHARACTER;
/// As the terminal was.
const RESET: &str = "\u{1b}[0m";

/// A stream on its way to a terminal.
#[derive(Debug, Default)]
pub(crate) struct Inert {
    /// The beginning of a character or of a colour.
    held: Vec<u8>,
    is_json: bool,
    is_coloured: bool,
    after_return: bool,
}

enum Piece {
    Colour(usize),
    Char(char, usize),
    /// So many bytes that are no text.
    Odd(usize),
    /// The rest has to be seen first.
    Unfinished,
}

impl Inert {
    /// For JSON, in which no colour has a place.
    pub(crate) fn json() -> Self {
        Self { is_json: true, ..Self::default() }
    }

    /// The next piece, made inert.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(chunk);
        self.through(&bytes, false)
    }

    /// What was still held, and the terminal as it was before.
    pub(crate) fn end(&mut self) -> String {
        let bytes = std::mem::take(&mut self.held);
        let mut out = self.through(&bytes, true);
        if std::mem::take(&mut self.after_return) {
            self.put('\n', &mut out);
        }
        if std::mem::take(&mut self.is_coloured) {
            out.push_str(RESET);
        }
        out
    }

    fn through(&mut self, bytes: &[u8], is_end: bool) -> String {
        let mut out = String::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match next(rest, is_end, !self.is_json) {
                Piece::Colour(length) => {
                    out.push_str(&String::from_utf8_lossy(&rest[..length]));
                    self.is_coloured = true;
                    length
                }
                Piece::Char(c, length) => {
                    self.put(c, &mut out);
                    length
                }
                Piece::Odd(length) => {
                    out.push(ODD);
                    length
                }
                Piece::Unfinished => {
                    self.held = rest.to_vec();
                    return out;
                }
            };
            rest = &rest[used..];
        }
        out
    }

    /// A return to the line's beginning would let later text stand over earlier: it becomes a line of its own.
    fn put(&mut self, c: char, out: &mut String) {
        let returned = std::mem::replace(&mut self.after_return, c == '\r');
        if returned && c != '\n' {
            out.push('\n');
        }
        match c {
            '\r' => {}
            c if !steers(c) => out.push(c),
            c if self.is_json => escape(c, out),
            _ => out.push(ODD),
        }
    }
}

fn next(rest: &[u8], is_end: bool, colours: bool) -> Piece {
    if rest[0] == ESCAPE && colours {
        return colour(rest, is_end);
    }
    let most = rest.len().min(4);
    let (text, error) = match std::str::from_utf8(&rest[..most]) {
        Ok(text) => (text, None),
        Err(error) => (std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(), Some(error)),
    };
    match (text.chars().next(), error) {
        (Some(c), _) => Piece::Char(c, c.len_utf8()),
        (None, Some(error)) => match error.error_len() {
            Some(length) => Piece::Odd(length),
            None if is_end || most == 4 => Piece::Odd(most),
            None => Piece::Unfinished,
        },
        (None, None) => Piece::Odd(1),
    }
}

/// `ESC [ digits and ; : m`, which sets colours and the like; of any other sequence the escape alone is taken.
fn colour(rest: &[u8], is_end: bool) -> Piece {
    let unfinished = || if is_end { Piece::Odd(1) } else { Piece::Unfinished };
    match rest.get(1) {
        None => return unfinished(),
        Some(b'[') => {}
        Some(_) => return Piece::Odd(1),
    }
    match rest.iter().skip(2).take(MAX_COLOUR).position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':')) {
        Some(at) if rest[at + 2] == b'm' && !conceals(&rest[2..at + 2]) => Piece::Colour(at + 3),
        None if rest.len() < MAX_COLOUR + 2 => unfinished(),
        Some(_) | None => Piece::Odd(1),
    }
}

/// Whether one of the attributes hides what follows: 8, where it is not a part of a colour (`38;5;8`, `48;2;8;8;8`).
fn conceals(attributes: &[u8]) -> bool {
    let mut numbers =
        attributes.split(|byte| *byte == b';').map(|number| std::str::from_utf8(number).unwrap_or_default());
    while let Some(number) = numbers.next() {
        match number.trim_start_matches('0') {
            "8" => return true,
            "38" | "48" | "58" => match numbers.next() {
                Some("5") => drop(numbers.next()),
                Some("2") => drop(numbers.nth(2)),
                // Terminals differ in how they go on after that.
                Some(_) => return true,
                None => return false,
            },
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut inert = Inert::default();
        let out = inert.take(bytes);
        out + &inert.end()
    }

    #[test]
    fn text_and_colours_pass() {
        for text in [
            "a\n\tb",
            "é…漢",
            "\u{1b}[31mred\u{1b}[0m",
            "\u{1b}[38;2;1;2;3;48:5:7mx\u{1b}[m",
            "\u{1b}[38;5;8;1;48;2;8;8;8mx",
        ] {
            assert_eq!(whole(text.as_bytes()).trim_end_matches(RESET), text.trim_end_matches(RESET));
        }
        assert!(whole(b"\x1b[31mred").ends_with(RESET), "the terminal is left as it was");
        assert_eq!(whole(b"plain"), "plain");
    }

    /// What steers a terminal, each with what is left of it.
    #[test]
    fn nothing_steers() {
        for (bytes, shown) in [
            (&b"\x1b]52;c;aGk=\x07"[..], "�]52;c;aGk=�"),
            (b"\x1b]8;;http://a\x1b\\x\x1b]8;;\x1b\\", "�]8;;http://a�\\x�]8;;�\\"),
            (b"\x1bP$qm\x1b\\", "�P$qm�\\"),
            (b"\x1b]0;title\x07", "�]0;title�"),
            (b"\x1b[2J\x1b[1;1H", "�[2J�[1;1H"),
            (b"\x1b[6n\x1b[c\x1b[>q", "�[6n�[c�[>q"),
            (b"\x1b[?25l\x1bc\x1b(0", "�[?25l�c�(0"),
            ("\u{9b}31m\u{9d}0;x\u{9c}".as_bytes(), "�31m�0;x�"),
            (b"\x9b31m", "�31m"),
            (b"a\x1b[8m;rm\x1b[1;08mb\x1b[38;5;8;8mc\x1b[38;8md", "a�[8m;rm�[1;08mb�[38;5;8;8mc�[38;8md"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}".as_bytes(), "a�b�c�d�"),
            (b"\x07\x08\x0b\x0c\x0e\x7f\0", "�������"),
            (b"\xff\xc0\xaf\xed\xa0\x80", "������"),
        ] {
            assert_eq!(whole(bytes), shown, "{bytes:?}");
        }
        let long = format!("\u{1b}[{}m", "1;".repeat(40));
        assert!(!whole(long.as_bytes()).contains('\u{1b}'), "a colour has an end");
    }

    #[test]
    fn a_return_does_not_write_over_a_line() {
        assert_eq!(whole(b"safe\rrm -rf\r\nx\r"), "safe\nrm -rf\nx\n");
    }

    #[test]
    fn json_keeps_its_values() {
        let json = "{\"a\":\"\u{9b}2J\u{202e}x\u{e0041}\u{7f}\u{6f22}\"}\r\n";
        for at in 0..json.len() {
            let mut inert = Inert::json();
            let out = inert.take(&json.as_bytes()[..at]) + &inert.take(&json.as_bytes()[at..]) + &inert.end();
            assert_eq!(out, "{\"a\":\"\\u009b2J\\u202ex\\udb40\\udc41\\u007f\u{6f22}\"}\n");
        }
        // What is no JSON is as inert.
        let mut inert = Inert::json();
        assert_eq!(inert.take(b"\x1b[31m\xff\x07") + &inert.end(), "\\u001b[31m\u{fffd}\\u0007");
    }

    #[test]
    fn pieces_do_not_matter() {
        let bytes = "\u{1b}[1mé\u{9b}2J漢\r\n\u{1b}]0;x\u{7}\u{1b}[31;".as_bytes();
        for at in 0..bytes.len() {
            let mut inert = Inert::default();
            let out = inert.take(&bytes[..at]) + &inert.take(&bytes[at..]) + &inert.end();
            assert_eq!(out, whole(bytes), "cut at {at}");
        }
        let mut inert = Inert::default();
        let single: String = bytes.iter().map(|byte| inert.take(&[*byte])).collect();
        assert_eq!(single + &inert.end(), whole(bytes));
    }
}
