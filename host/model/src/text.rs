//! Texts that somebody else chose, shown so that what is seen is what is there: on a terminal, in a page, in a question
//! to a person.
//!
//! It is an allowlist. What a font draws as nothing, what moves or turns the text around it, what joins with its
//! neighbour, and every letter of a script that runs from right to left (which moves the digits beside it) is written as
//! `\u{202e}`. A `\` that would read like the beginning of that is doubled, so no two texts are shown alike.

use std::fmt;

/// A text, shown. Line breaks are escaped too: who shows lines splits them first.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if chars.peek().is_some_and(|next| matches!(next, 'u' | '\\')) => f.write_str("\\\\")?,
                c if is_plain(c) => fmt::Write::write_char(f, c)?,
                c => write!(f, "{}", c.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// Whether a reader sees this character as itself, wherever it stands.
pub fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Latin-1 without its space and its soft hyphen.
        '\u{a1}'..='\u{ff}' => c != '\u{ad}',
        // Dashes, quotation marks, bullets, per mille and the like; the gaps are separators, marks and joiners.
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' => true,
        // Currencies, letterlike symbols, arrows, mathematics, boxes; without the symbols that combine.
        '\u{20a0}'..='\u{20cf}' | '\u{2100}'..='\u{27ff}' | '\u{2900}'..='\u{2bff}' => true,
        // CJK punctuation without its space and its tone marks.
        '\u{3001}'..='\u{3029}' | '\u{3030}'..='\u{303f}' => true,
        // Pictures, without the skin tones, which join with what is before them.
        '\u{1f300}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}' => true,
        c => c.is_alphanumeric() && !is_blank(c) && !runs_to_the_left(c) && !joins(c),
    }
}

/// Letters by Unicode's table, nothing to the eye.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}')
}

/// The blocks of Hebrew, Arabic, Syriac, Thaana, N'Ko and the other scripts of that direction.
fn runs_to_the_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Conjoining parts of Korean syllables, and the vowel signs and marks that count as letters.
fn joins(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1160}'..='\u{11ff}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}' | '\u{fe00}'..='\u{fe2f}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_or_moves_is_written_out() {
        for (text, shown) in [
            ("pay 75.50 € to Müller – now", "pay 75.50 € to Müller – now"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{ad}c\u{3164}d", "a\\u{200b}b\\u{ad}c\\u{3164}d"),
            ("\u{1b}[2J\r\n\t", "\\u{1b}[2J\\u{d}\\u{a}\\u{9}"),
            ("1\u{5d0}2", "1\\u{5d0}2"),
            ("e\u{301}", "e\\u{301}"),
            ("a\u{a0}b\u{2003}c\u{2028}d\u{e0041}", "a\\u{a0}b\\u{2003}c\\u{2028}d\\u{e0041}"),
            ("日本語の入力、猫🐈", "日本語の入力、猫🐈"),
            ("\\u{202e}", "\\\\u{202e}"),
            ("C:\\temp", "C:\\temp"),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
    }

    proptest! {
        /// Nothing but plain characters is shown, and different texts are shown differently.
        #[test]
        fn shown_is_plain_and_one_to_one(a in "[\\\\u{}a0-9\u{202e}\u{1b}]{0,12}|\\PC*|(?s:.)*", b in "[\\\\u{}a0-9\u{202e}\u{1b}]{0,12}") {
            let (shown_a, shown_b) = (Shown(&a).to_string(), Shown(&b).to_string());
            prop_assert!(shown_a.chars().all(is_plain), "{shown_a:?}");
            prop_assert_eq!(a == b, shown_a == shown_b);
        }

        #[test]
        fn short_texts_of_backslashes_are_one_to_one(a in "[\\\\u]{0,6}", b in "[\\\\u]{0,6}") {
            prop_assert_eq!(a == b, Shown(&a).to_string() == Shown(&b).to_string());
        }
    }
}
