//! A guest's text, made fit to stand in a line that a person reads.

/// At most `most` characters on one line: white space becomes a space, and what hides, reorders or piles up text is
/// left out. A cut is marked.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most * 4));
    let (mut count, mut marks) = (0, 0);
    for c in text.chars() {
        let c = if matches!(c, '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
        marks = if is_combining(c) { marks + 1 } else { 0 };
        if is_unshowable(c) || marks > MAX_MARKS {
            continue;
        }
        if count == most {
            out.push('…');
            break;
        }
        out.push(c);
        count += 1;
    }
    out
}

/// A few lines, for an excerpt with a mark under it. Each line but the first begins with the host's own mark, so that none
/// can pass for a line of the host's.
pub(crate) fn few_lines(text: &str, most: usize) -> String {
    let lines: Vec<_> = text.lines().take(MAX_LINES).map(|line| one_line(line, most / MAX_LINES)).collect();
    match lines.as_slice() {
        [] => String::new(),
        [_] => one_line(text, most),
        several => several.join("\n  | "),
    }
}

/// What is wrong, two lines of an excerpt, and what would be right.
const MAX_LINES: usize = 4;

/// As many combining marks as a character may carry: written languages need three, a heap of them covers other lines.
const MAX_MARKS: usize = 3;

/// Control characters, and Unicode's format, filler, tag and variation characters: they cannot be seen, and some of them
/// change the order in which the rest is shown.
fn is_unshowable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{8e2}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn makes_text_inert() {
        for (text, wanted) in [
            ("refund 20.00 EUR of charge ch_123", "refund 20.00 EUR of charge ch_123"),
            ("a\nb\tc\u{2028}d", "a b c d"),
            ("\u{1b}[2Jgone\u{7}\0", "[2Jgone"),
            ("pay \u{202e}001$\u{202c}", "pay 001$"),
            ("in\u{200b}vis\u{feff}ible\u{e0041}", "invisible"),
            ("Zürich 北京 é", "Zürich 北京 é"),
        ] {
            assert_eq!(one_line(text, 200), wanted);
        }
        assert_eq!(one_line(&"x".repeat(201), 200), format!("{}…", "x".repeat(200)));
        assert_eq!(one_line(&format!("e{}", "\u{301}".repeat(1_000_000)), 200), format!("e{}", "\u{301}".repeat(3)));
    }

    #[test]
    fn lines_are_marked_and_few() {
        assert_eq!(few_lines("wrong\n  select x\n         ^", 800), "wrong\n  |   select x\n  |          ^");
        assert_eq!(few_lines("one line", 800), "one line");
        assert_eq!(few_lines("", 800), "");
        assert_eq!(few_lines("a\nb\r\nc\u{2028}d\ne\nf", 800), "a\n  | b\n  | c d\n  | e");
        assert_eq!(few_lines(&"x".repeat(900), 800).chars().count(), 801);
    }

    proptest! {
        #[test]
        fn stays_one_bounded_line(text in any::<String>(), most in 0usize..50) {
            let out = one_line(&text, most);
            prop_assert!(out.chars().count() <= most + 1);
            prop_assert!(!out.chars().any(is_unshowable));
            prop_assert_eq!(one_line(&out, most + 1), out.clone());
        }
    }
}
