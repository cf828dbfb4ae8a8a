//! How other programs write a value down, one function per notation.
//!
//! Used to foresee what undoing makes of a value that itself contains escapes; it is not what finds ordinary values.
//! Each function writes the inside of a literal, without the quotes around it.

/// Writes a value in one notation.
pub(crate) type Encode = fn(&[u8]) -> Vec<u8>;

/// Every notation.
pub(crate) const ALL: [Encode; 18] = [
    json,
    json_ascii,
    json_html_safe,
    python_bytes,
    python_ascii,
    rust_debug,
    rust_bytes,
    go_quoted,
    c_octal,
    shell_single,
    shell_backslash,
    doubled_single,
    doubled_double,
    html_named,
    html_numeric,
    percent_component,
    percent_uri,
    quoted_printable,
];

/// The characters of a value; bytes that are not UTF-8 are read as Latin-1.
pub(crate) fn chars(value: &[u8]) -> Vec<char> {
    match std::str::from_utf8(value) {
        Ok(text) => text.chars().collect(),
        Err(_) => value.iter().map(|&c| char::from(c)).collect(),
    }
}

fn each_byte(value: &[u8], mut write: impl FnMut(u8) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 6);
    for &c in value {
        match write(c) {
            Some(escape) => out.extend_from_slice(escape.as_bytes()),
            None => out.push(c),
        }
    }
    out
}

fn each_char(value: &[u8], mut write: impl FnMut(char) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 12);
    if std::str::from_utf8(value).is_err() {
        return each_byte(value, |c| write(char::from(c)));
    }
    for c in chars(value) {
        match write(c) {
            Some(escape) => out.extend_from_slice(escape.as_bytes()),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn short(c: char) -> Option<String> {
    let letter = match c {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => return None,
    };
    Some(format!("\\{letter}"))
}

fn units(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn json_char(c: char) -> Option<String> {
    match c {
        '"' | '\\' => Some(format!("\\{c}")),
        '\u{8}' => Some("\\b".into()),
        '\u{c}' => Some("\\f".into()),
        c if c < ' ' => short(c).or_else(|| Some(units(c))),
        _ => None,
    }
}

fn json(value: &[u8]) -> Vec<u8> {
    each_char(value, json_char)
}

fn json_ascii(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| match c {
        '/' => Some("\\/".into()),
        c if c > '~' => Some(units(c)),
        c => json_char(c),
    })
}

fn json_html_safe(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| if matches!(c, '<' | '>' | '&' | '\'' | '=') { Some(units(c)) } else { json_char(c) })
}

fn python_bytes(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| match c {
        b'\\' | b'\'' => Some(format!("\\{}", char::from(c))),
        b' '..=b'~' => None,
        _ => short(char::from(c)).or_else(|| Some(format!("\\x{c:02x}"))),
    })
}

fn python_ascii(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| match (c, u32::from(c)) {
        ('\\' | '\'', _) => Some(format!("\\{c}")),
        (' '..='~', _) => None,
        (_, code @ ..0x100) => short(c).or_else(|| Some(format!("\\x{code:02x}"))),
        (_, code @ ..0x10000) => Some(format!("\\u{code:04x}")),
        (_, code) => Some(format!("\\U{code:08x}")),
    })
}

fn rust_debug(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| if c == '\'' { None } else { Some(c.escape_debug().collect()) })
}

fn rust_bytes(value: &[u8]) -> Vec<u8> {
    value.escape_ascii().collect()
}

fn go_quoted(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| match c {
        '"' | '\\' => Some(format!("\\{c}")),
        '\u{7}' => Some("\\a".into()),
        '\u{8}' => Some("\\b".into()),
        '\u{b}' => Some("\\v".into()),
        '\u{c}' => Some("\\f".into()),
        c if c < ' ' || c == '\u{7f}' => short(c).or_else(|| Some(format!("\\x{:02x}", u32::from(c)))),
        _ => None,
    })
}

fn c_octal(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| match c {
        b'\\' | b'\'' | b'"' => Some(format!("\\{}", char::from(c))),
        b' '..=b'~' => None,
        _ => short(char::from(c)).or_else(|| Some(format!("\\{c:03o}"))),
    })
}

fn shell_single(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| (c == b'\'').then(|| "'\\''".into()))
}

fn shell_backslash(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| (c.is_ascii_punctuation() || c == b' ').then(|| format!("\\{}", char::from(c))))
}

fn doubled_single(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| (c == b'\'').then(|| "''".into()))
}

fn doubled_double(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| (c == b'"').then(|| "\"\"".into()))
}

fn html_named(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| {
        let name = match c {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&apos;",
            _ => return None,
        };
        Some(name.into())
    })
}

fn html_numeric(value: &[u8]) -> Vec<u8> {
    each_char(value, |c| (!c.is_ascii_alphanumeric()).then(|| format!("&#{};", u32::from(c))))
}

fn percent_component(value: &[u8]) -> Vec<u8> {
    let kept = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
    each_byte(value, |c| (!kept(c)).then(|| format!("%{c:02X}")))
}

fn percent_uri(value: &[u8]) -> Vec<u8> {
    let kept = |c: u8| c.is_ascii_alphanumeric() || b"-._~!*'();:@&=+$,/?#[]".contains(&c);
    each_byte(value, |c| (!kept(c)).then(|| format!("%{c:02X}")))
}

fn quoted_printable(value: &[u8]) -> Vec<u8> {
    each_byte(value, |c| (c == b'=' || !(b' '..=b'~').contains(&c)).then(|| format!("={c:02X}")))
}
