//! Quoting for a remote shell: program and arguments in, one line out, which every login shell reads alike.
//!
//! It never looks for what is dangerous: what is not known to be plain is quoted. The words are made for POSIX `sh`, and
//! written so that fish and csh read the same. What these read in their own way even inside quotes (a line's end, `!`)
//! does not reach them: the line is then wrapped, in digits, and handed to `/bin/sh` to unwrap.

/// Why an argument cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("it has a NUL, which no argument can")]
    Nul,
}

/// The line that runs this program with these arguments. An error comes with the argument's index.
pub(super) fn line(argv: &[String]) -> Result<String, (usize, QuoteError)> {
    let mut line = String::new();
    for (index, argument) in argv.iter().enumerate() {
        if argument.contains('\0') {
            return Err((index, QuoteError::Nul));
        }
        if index > 0 {
            line.push(' ');
        }
        // The word that names the program: `if`, `time` and other reserved words mean something unless quoted.
        if index > 0 && is_plain(argument) { line.push_str(argument) } else { quote(argument, &mut line) }
    }
    Ok(if line.chars().all(is_read_alike) { line } else { wrapped(&line) })
}

fn is_plain(argument: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./,:@%+".contains(&b);
    !argument.is_empty() && argument.bytes().all(plain)
}

/// In single quotes nothing has a meaning but the single quote itself, which is left, escaped, and entered again; so is
/// the backslash, which means nothing to POSIX shells there but to fish it does.
fn quote(argument: &str, line: &mut String) {
    line.push('\'');
    for c in argument.chars() {
        match c {
            '\'' => line.push_str(r"'\''"),
            '\\' => line.push_str(r"'\\'"),
            c => line.push(c),
        }
    }
    line.push('\'');
}

/// Whether every shell takes the character as it is inside single quotes. csh looks for `!` there and ends a command at
/// a line's end; fish keeps some characters of Unicode's private areas for itself.
fn is_read_alike(c: char) -> bool {
    match c {
        '!' => false,
        ' '..='~' => true,
        c => !c.is_ascii() && c.is_alphanumeric(),
    }
}

/// The same line as digits and plain characters, for `/bin/sh` to make a line of again. `%b` reads a NUL's backslash
/// with three octal digits after it as one byte. The program takes the shell's place, so that it is itself what gets a
/// signal and ends by one; `exec` would take a name that begins with `-` for an option.
fn wrapped(line: &str) -> String {
    let exec = if line.starts_with("'-") { "" } else { "exec " };
    let mut out = format!(r#"exec /bin/sh -c 'eval "{exec}$(printf %b "$1")"' sh '"#);
    let mut bytes = [0; 4];
    for c in line.chars() {
        if is_read_alike(c) && !matches!(c, '\'' | '\\') {
            out.push(c);
        } else {
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("\\0{byte:03o}")));
        }
    }
    out.push('\'');
    out
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
            ("\u{e4}", "'\u{e4}'"),
        ] {
            assert_eq!(of(&["x", argument]).unwrap(), format!("'x' {word}"));
        }
        assert_eq!(of(&["a", "b", "a\0b"]), Err((2, QuoteError::Nul)));
        assert_eq!(of(&["if"]).unwrap(), "'if'");
    }

    /// What one shell or another would read in its own way is not there to be read.
    #[test]
    fn wrapped_lines() {
        assert_eq!(
            of(&["ls", "a\nb!", "it's"]).unwrap(),
            r#"exec /bin/sh -c 'eval "exec $(printf %b "$1")"' sh '\0047ls\0047 \0047a\0012b\0041\0047 \0047it\0047\0134\0047\0047s\0047'"#
        );
        for odd in ["!", "\n", "\r", "\t", "\u{7f}", "\u{85}", "\u{202e}", "\u{f601}", "\u{fdd0}"] {
            let line = of(&["x", odd]).unwrap();
            assert!(line.chars().all(is_read_alike) && !line.contains('!'), "{line:?}");
        }
        assert!(of(&["-x", "!"]).unwrap().contains(r#"eval "$("#));
    }

    fn of(argv: &[&str]) -> Result<String, (usize, QuoteError)> {
        line(&argv.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
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
            vec!["csh", "-f"],
            vec!["tcsh", "-f"],
        ];
        let there = |shell: &Vec<&str>| Command::new(shell[0]).args(&shell[1..]).args(["-c", "true"]).output().is_ok();
        known.into_iter().filter(there).collect()
    }

    /// What a shell makes of the arguments, each ended by a NUL.
    fn read_back(shell: &[&str], arguments: &[String]) -> Vec<u8> {
        let argv: Vec<_> =
            ["/usr/bin/printf", r"%s\0"].into_iter().map(str::to_owned).chain(arguments.to_vec()).collect();
        let script = line(&argv).unwrap();
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
            let script = of(&[word]).unwrap();
            // To fish a keyword is one in quotes, too, and csh has its own code for what it does not find. No argument comes
            // into it.
            let is_posix = |shell: &&Vec<&str>| !["fish", "csh", "tcsh"].contains(&shell[0]);
            for shell in shells().iter().filter(is_posix) {
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
