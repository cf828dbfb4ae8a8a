//! Quoting for a remote shell: an argument in, one word out.
//!
//! It never looks for what is dangerous: what is not known to be plain is quoted. The words are made for POSIX `sh`, and
//! written so that fish, which reads backslashes inside quotes, reads the same.

/// Why an argument cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("it has a NUL, which no argument can")]
    Nul,
}

/// The argument as one word of a POSIX shell's command line. In single quotes nothing has a meaning but the single quote
/// itself, which is left, escaped, and entered again; so is the backslash, which means nothing to POSIX shells there but
/// to fish it does.
pub fn quote(argument: &str) -> Result<String, QuoteError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./,:@%+".contains(&b);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return Ok(argument.to_owned());
    }
    quote_always(argument)
}

/// The same for the word that names the program: `if`, `time` and other reserved words mean something unless quoted.
pub(super) fn quote_always(argument: &str) -> Result<String, QuoteError> {
    if argument.contains('\0') {
        return Err(QuoteError::Nul);
    }
    let mut word = String::with_capacity(argument.len() + 2);
    word.push('\'');
    for c in argument.chars() {
        match c {
            '\'' => word.push_str(r"'\''"),
            '\\' => word.push_str(r"'\\'"),
            c => word.push(c),
        }
    }
    word.push('\'');
    Ok(word)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_word_each() {
        for (argument, word) in [
            ("ls", "ls"),
            ("-la", "-la"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(id)", "'$(id)'"),
            ("it's", r"'it'\''s'"),
            (r"a\b", r"'a'\\'b'"),
            ("~", "'~'"),
            ("a=b", "'a=b'"),
            ("line\nbreak", "'line\nbreak'"),
        ] {
            assert_eq!(quote(argument).unwrap(), word);
        }
        assert_eq!(quote("a\0b"), Err(QuoteError::Nul));
        assert_eq!(quote_always("if").unwrap(), "'if'");
    }

    /// The shells of this machine that hand a script to `-c`, as sshd does.
    fn shells() -> Vec<Vec<&'static str>> {
        let known = [
            vec!["sh"],
            vec!["bash"],
            vec!["bash", "--posix"],
            vec!["dash"],
            vec!["busybox", "sh"],
            vec!["zsh", "-f"],
            vec!["ksh"],
            vec!["fish", "--no-config"],
        ];
        let there = |shell: &Vec<&str>| Command::new(shell[0]).args(&shell[1..]).args(["-c", "true"]).output().is_ok();
        known.into_iter().filter(there).collect()
    }

    /// What a shell makes of the arguments, each ended by a NUL.
    fn read_back(shell: &[&str], arguments: &[String]) -> Vec<u8> {
        let words = arguments.iter().map(|argument| quote(argument).unwrap()).collect::<Vec<_>>().join(" ");
        let script = format!(r"'/usr/bin/printf' '%s'\\'0' {words}");
        let output = Command::new(shell[0]).args(&shell[1..]).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{shell:?}: {script:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn check(arguments: &[String]) {
        let expected: Vec<u8> = arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
        for shell in shells() {
            assert_eq!(read_back(&shell, arguments), expected, "{shell:?} {arguments:?}");
        }
    }

    #[test]
    fn shells_read_what_was_meant() {
        let odd = [
            "; touch /tmp/pwned",
            "`id`",
            "$(id)",
            "${IFS}",
            "$IFS",
            "a\nb",
            "\n",
            "*",
            "?",
            "[a-z]",
            "~root",
            "-rf",
            "--",
            "",
            " ",
            "\t",
            "'",
            "''",
            "\\",
            "\\'",
            "'\\",
            "\\\\",
            "\\\n",
            "\"",
            "!",
            "!!",
            "#",
            "a#b",
            "{a,b}",
            "{1..3}",
            "=ls",
            "a=b",
            "%1",
            "^a^b",
            "&",
            "&&",
            "|",
            "<(id)",
            ">x",
            "\u{2018}x\u{2019}",
            "\u{ff07}",
            "\u{202e}",
            "\u{1b}]52;c;x\u{7}",
            "\r",
            "\u{7f}",
            "\u{85}",
            "\u{1}",
        ];
        check(&odd.map(str::to_owned));
        let all: String = (1..=0x7f_u8).map(char::from).collect();
        check(&[all, "x".repeat(90_000)]);
    }

    #[test]
    fn reserved_words_are_programs_too() {
        for word in ["if", "until", "!", "{", "for", "function", "select", "case", "coproc", "a=b"] {
            let script = quote_always(word).unwrap();
            // To fish a keyword is one in quotes, too. No argument comes into it.
            for shell in shells().iter().filter(|shell| shell[0] != "fish") {
                let output = Command::new(shell[0]).args(&shell[1..]).args(["-c", &script]).output().unwrap();
                // 127: looked for as a program, and not found.
                assert_eq!(output.status.code(), Some(127), "{shell:?} {word}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_arguments(arguments in prop::collection::vec("[^\0]{0,24}", 1..24)) {
            check(&arguments);
        }

        #[test]
        fn any_metacharacters(arguments in prop::collection::vec(r#"['"\\$`;&|<>(){}*?~!#\n\t =%^-]{0,12}"#, 1..24)) {
            check(&arguments);
        }
    }
}
