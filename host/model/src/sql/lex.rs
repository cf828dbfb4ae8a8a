//! A statement's text as PostgreSQL's own documented lexical rules cut it up, with `standard_conforming_strings` on.
//!
//! One of two independent views of a text (the other is the parser's tokenizer). It never mends and never guesses:
//! where versions or settings of a server would cut a text differently, or where an eye would read it differently, the
//! text is refused. Begin with [`tokens`].

use std::borrow::Cow;

use super::Unreadable;

/// A line and a column, in characters from 1: what both views count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub line: u64,
    pub column: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: Kind<'a>,
    pub start: Place,
    pub end: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Number,
    /// `$1`
    Param,
    /// One character of an operator, or a bracket, comma, dot, colon or semicolon.
    Punct(char),
    /// A string of whatever form. What it holds is data, and nobody looks at it but to know a setting by its name: that much
    /// is here of a string in plain quotes without a quote or a backslash in it.
    Text {
        plain: Option<&'a str>,
    },
    Word {
        text: Cow<'a, str>,
        quoted: bool,
    },
}

impl Token<'_> {
    /// `true` for the keyword, which a quoted word never is.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(&self.kind, Kind::Word { text, quoted: false } if text.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(super) fn is_punct(&self, wanted: char) -> bool {
        self.kind == Kind::Punct(wanted)
    }
}

/// The tokens of a text, without space and comments.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Unreadable> {
    let mut lexer = Lexer { text, at: 0, place: Place { line: 1, column: 1 } };
    let mut tokens: Vec<Token<'_>> = Vec::new();
    loop {
        lexer.skip_space()?;
        let Some(c) = lexer.peek() else { return Ok(tokens) };
        let start = lexer.place;
        let kind = lexer.token(c)?;
        // The server joins strings that stand on lines of their own, and reads the second by the first one's rules.
        let is_text = |kind: &Kind<'_>| matches!(kind, Kind::Text { .. });
        if is_text(&kind) && tokens.last().is_some_and(|last| is_text(&last.kind)) {
            return Err(Unreadable::Twofold {
                what: "two strings side by side",
                line: start.line,
                column: start.column,
            });
        }
        tokens.push(Token { kind, start, end: lexer.place });
    }
}

/// `true` for what changes how the text around it is seen, or is not seen itself.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn bump_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
    }

    fn character<T>(&self, what: &'static str) -> Result<T, Unreadable> {
        Err(Unreadable::Character { what, line: self.place.line, column: self.place.column })
    }

    fn twofold<T>(&self, what: &'static str) -> Result<T, Unreadable> {
        Err(Unreadable::Twofold { what, line: self.place.line, column: self.place.column })
    }

    fn unended<T>(what: &'static str, start: Place) -> Result<T, Unreadable> {
        Err(Unreadable::Unended { what, line: start.line, column: start.column })
    }

    fn skip_space(&mut self) -> Result<(), Unreadable> {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => {
                    self.bump();
                }
                Some('-') if self.rest().starts_with("--") => self.line_comment()?,
                Some('/') if self.rest().starts_with("/*") => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn line_comment(&mut self) -> Result<(), Unreadable> {
        while let Some(c) = self.peek().filter(|c| !matches!(c, '\n' | '\r')) {
            self.comment_character(c)?;
        }
        Ok(())
    }

    /// Block comments nest, other than in the SQL of most programs.
    fn block_comment(&mut self) -> Result<(), Unreadable> {
        let start = self.place;
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            let Some(c) = self.peek() else { return Self::unended("comment", start) };
            if rest.starts_with("/*") || rest.starts_with("*/") {
                depth = if c == '/' { depth + 1 } else { depth - 1 };
                self.bump();
                self.bump();
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.comment_character(c)?;
            }
        }
    }

    fn comment_character(&mut self, c: char) -> Result<(), Unreadable> {
        if is_unseen(c) && !matches!(c, '\t' | '\n' | '\r') {
            return self.character("an invisible character in a comment");
        }
        self.bump();
        Ok(())
    }

    fn token(&mut self, c: char) -> Result<Kind<'a>, Unreadable> {
        match c {
            '\'' => self.plain_string(),
            '"' => self.quoted_word(),
            '$' => self.dollar(),
            '0'..='9' => self.number(),
            '.' if self.peek_second().is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '.' if self.peek_second() == Some('.') => self.character("two dots"),
            '(' | ')' | '[' | ']' | ',' | ';' | ':' | '.' | '+' | '-' | '*' | '/' | '<' | '>' | '=' | '~' | '!'
            | '@' | '#' | '%' | '^' | '&' | '|' | '`' | '?' => {
                self.bump();
                Ok(Kind::Punct(c))
            }
            _ if starts_word(c) => self.word(),
            '\0' => self.character("a NUL"),
            '\u{feff}' => self.character("a byte order mark"),
            _ if is_unseen(c) => self.character("an invisible or control character outside a string"),
            _ => self.character("a character that no statement has outside a string"),
        }
    }

    /// With the setting off, a backslash would escape: a string that would then end elsewhere is refused, so that its
    /// end does not hang on a setting of the server.
    fn plain_string(&mut self) -> Result<Kind<'a>, Unreadable> {
        let start = self.place;
        let mut escaping = false;
        self.bump();
        let from = self.at;
        while let Some(c) = self.peek() {
            match c {
                '\0' => return self.character("a NUL"),
                '\'' if escaping => return self.twofold("a backslash before a quote; write E'...' or '' for a quote"),
                '\'' if self.peek_second() == Some('\'') => {
                    self.bump();
                }
                '\'' => {
                    let held = self.text.get(from..self.at).unwrap_or_default();
                    self.bump();
                    return Ok(Kind::Text { plain: Some(held).filter(|held| !held.contains(['\'', '\\'])) });
                }
                _ => {}
            }
            escaping = c == '\\' && !escaping;
            self.bump();
        }
        Self::unended("string", start)
    }

    /// `E'...'`, from its quote on.
    fn escape_string(&mut self) -> Result<Kind<'a>, Unreadable> {
        let start = self.place;
        self.bump();
        while let Some(c) = self.bump() {
            match c {
                '\0' => return self.character("a NUL"),
                '\\' => {
                    self.bump();
                }
                '\'' if self.peek() == Some('\'') => {
                    self.bump();
                }
                '\'' => return Ok(Kind::Text { plain: None }),
                _ => {}
            }
        }
        Self::unended("string", start)
    }

    /// `B'...'` and `X'...'`, from the quote on.
    fn digits_string(&mut self, radix: u32) -> Result<Kind<'a>, Unreadable> {
        self.bump();
        self.bump_while(|c| c.is_digit(radix));
        if self.peek() != Some('\'') || self.peek_second() == Some('\'') {
            return self.character("something in a bit string that is no digit of it");
        }
        self.bump();
        Ok(Kind::Text { plain: None })
    }

    fn dollar(&mut self) -> Result<Kind<'a>, Unreadable> {
        let start = self.place;
        self.bump();
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.bump_while(|c| c.is_ascii_digit());
            return self.no_junk("a parameter").map(|()| Kind::Param);
        }
        let tag_at = self.at;
        if self.peek().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
            self.bump_while(|c| c.is_ascii_alphanumeric() || c == '_');
        }
        if self.peek() != Some('$') {
            return self.character("a dollar that begins neither a parameter nor a string");
        }
        self.bump();
        let delimiter = self.text.get(tag_at - 1..self.at).unwrap_or_default();
        let Some(length) = self.rest().find(delimiter) else { return Self::unended("dollar-quoted string", start) };
        let end = self.at + length + delimiter.len();
        while self.at < end {
            if self.bump() == Some('\0') {
                return self.character("a NUL");
            }
        }
        Ok(Kind::Text { plain: None })
    }

    /// Decimal forms. Hexadecimal ones and underscores mean one thing to PostgreSQL 16 and another to 14: refused.
    fn number(&mut self) -> Result<Kind<'a>, Unreadable> {
        self.bump_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') {
            if self.peek_second() == Some('.') {
                return self.character("two dots");
            }
            self.bump();
            self.bump_while(|c| c.is_ascii_digit());
        }
        if self.peek().is_some_and(|c| matches!(c, 'e' | 'E')) {
            self.bump();
            if self.peek().is_some_and(|c| matches!(c, '+' | '-')) {
                self.bump();
            }
            if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                return self.twofold("a number with letters on its end");
            }
            self.bump_while(|c| c.is_ascii_digit());
        }
        self.no_junk("a number")?;
        if self.peek() == Some('.') {
            return self.character("a number with two dots");
        }
        Ok(Kind::Number)
    }

    fn no_junk(&self, after: &'static str) -> Result<(), Unreadable> {
        match self.peek() {
            Some(c) if continues_word(c) || c == '"' || c == '\'' => self.twofold(match after {
                "a number" => "a number with letters on its end",
                _ => "a parameter with letters on its end",
            }),
            _ => Ok(()),
        }
    }

    fn word(&mut self) -> Result<Kind<'a>, Unreadable> {
        let at = self.at;
        self.bump_while(continues_word);
        let text = self.text.get(at..self.at).unwrap_or_default();
        match (text, self.peek()) {
            ("e" | "E", Some('\'')) => return self.escape_string(),
            ("b" | "B", Some('\'')) => return self.digits_string(2),
            ("x" | "X", Some('\'')) => return self.digits_string(16),
            ("u" | "U", Some('&')) if self.peek_second().is_some_and(|c| matches!(c, '\'' | '"')) => {
                return self.character("`U&` and a quote: write the characters themselves");
            }
            (_, Some('\'')) => return self.twofold("a word that a string follows without a space"),
            (_, Some('"')) => return self.twofold("a word that a quoted word follows without a space"),
            _ => {}
        }
        // Some programs fold `ſelect` into a keyword; the server never does.
        if !text.is_ascii() && (text.to_uppercase().is_ascii() || text.to_lowercase().is_ascii()) {
            return self.twofold("a word with letters that look like others");
        }
        Ok(Kind::Word { text: Cow::Borrowed(text), quoted: false })
    }

    fn quoted_word(&mut self) -> Result<Kind<'a>, Unreadable> {
        let start = self.place;
        let mut text = String::new();
        self.bump();
        while let Some(c) = self.peek() {
            if is_unseen(c) {
                return self.character("an invisible or control character in a name");
            }
            self.bump();
            match c {
                '"' if self.peek() == Some('"') => {
                    self.bump();
                    text.push('"');
                }
                '"' if text.is_empty() => return self.character("an empty name"),
                '"' => return Ok(Kind::Word { text: Cow::Owned(text), quoted: true }),
                _ => text.push(c),
            }
        }
        Self::unended("quoted name", start)
    }
}

/// The server takes any character beyond ASCII; letters are all that anybody writes.
fn starts_word(c: char) -> bool {
    c == '_' || (c.is_alphabetic() && !is_unseen(c))
}

fn continues_word(c: char) -> bool {
    starts_word(c) || c == '$' || c.is_ascii_digit() || (!c.is_ascii() && c.is_alphanumeric() && !is_unseen(c))
}

#[cfg(test)]
mod tests;
