//! A slow second opinion that shares no code with the search: it decodes a text in every way that comes to mind, two
//! layers deep, and looks for the value in what comes out.

pub(super) fn leaks(text: &[u8], secret: &[u8]) -> Option<&'static str> {
    let mut layers = vec![text.to_vec()];
    let mut from = 0;
    for _ in 0..2 {
        let to = layers.len();
        for i in from..to {
            for undo in [percent, backslash, references, doubled] {
                let undone = undo(&layers[i]);
                if !layers.contains(&undone) {
                    layers.push(undone);
                }
            }
        }
        from = to;
    }
    for i in 0..layers.len() {
        for undo in [unwrapped, printable] {
            let undone = undo(&layers[i]);
            if !layers.contains(&undone) {
                layers.push(undone);
            }
        }
    }
    layers.iter().find_map(|layer| plain(layer, secret))
}

fn plain(text: &[u8], secret: &[u8]) -> Option<&'static str> {
    let has = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    if has(secret) {
        return Some("raw");
    }
    let cased = secret.len() >= 12 && secret.iter().any(u8::is_ascii_alphabetic);
    if cased && (has(&secret.to_ascii_lowercase()) || has(&secret.to_ascii_uppercase())) {
        return Some("case");
    }
    if has(&reversed) {
        return Some("reversed");
    }
    if has(&secret.iter().map(|&c| if c == b' ' { b'+' } else { c }).collect::<Vec<u8>>()) {
        return Some("plus");
    }
    if digits(text, secret, 6, &|c| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }) {
        return Some("base64");
    }
    if digits(text, secret, 5, &|c| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a'),
        b'2'..=b'7' => Some(c - b'2' + 26),
        _ => None,
    }) {
        return Some("base32");
    }
    let hex = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
    let separators: [&[&str]; 7] = [&[], &[" "], &[":"], &[", "], &[","], &[", 0x"], &[",0x"]];
    for separator in separators {
        let mut joined = text.to_vec();
        for part in separator {
            joined = replace(&joined, part.as_bytes(), b"");
        }
        if digits(&joined, secret, 4, &hex) {
            return Some("hex");
        }
    }
    for (width, big) in [(2, true), (2, false), (4, true), (4, false)] {
        let wide: Vec<u8> = secret
            .iter()
            .flat_map(|&c| {
                let mut unit = vec![0; width];
                unit[if big { width - 1 } else { 0 }] = c;
                unit
            })
            .collect();
        if secret.is_ascii() && has(&wide) {
            return Some("wide");
        }
    }
    None
}

/// Whether some run of digits of `width` bits, read from any of its first digits on, holds the secret.
fn digits(text: &[u8], secret: &[u8], width: usize, digit: &dyn Fn(u8) -> Option<u8>) -> bool {
    text.split(|&c| digit(c).is_none()).filter(|run| run.len() * width >= secret.len() * 8).any(|run| {
        (0..8).any(|skip| {
            let (mut bits, mut have, mut out) = (0u32, 0, Vec::new());
            for &c in run.iter().skip(skip) {
                bits = bits << width | u32::from(digit(c).unwrap());
                have += width;
                if have >= 8 {
                    have -= 8;
                    out.push((bits >> have) as u8);
                }
            }
            memchr::memmem::find(&out, secret).is_some()
        })
    })
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    if text.is_empty() || text.starts_with('+') { None } else { u32::from_str_radix(text, radix).ok() }
}

/// Undoes what `at` recognises, copies the rest.
fn rewrite(text: &[u8], at: impl Fn(&[u8]) -> Option<(usize, Vec<u8>)>) -> Vec<u8> {
    let (mut out, mut i) = (Vec::new(), 0);
    while i < text.len() {
        match at(&text[i..]) {
            Some((take, bytes)) => {
                out.extend(bytes);
                i += take;
            }
            None => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    out
}

fn percent(text: &[u8]) -> Vec<u8> {
    rewrite(text, |t| {
        let value = (t[0] == b'%').then(|| number(t.get(1..3)?, 16)).flatten()?;
        Some((3, vec![value as u8]))
    })
}

fn printable(text: &[u8]) -> Vec<u8> {
    let joined = replace(&replace(text, b"=\r\n", b""), b"=\n", b"");
    rewrite(&joined, |t| {
        let value = (t[0] == b'=').then(|| number(t.get(1..3)?, 16)).flatten()?;
        Some((3, vec![value as u8]))
    })
}

fn unwrapped(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|c| !b"\r\n".contains(c)).collect()
}

fn doubled(text: &[u8]) -> Vec<u8> {
    replace(text, b"''", b"'")
}

fn backslash(text: &[u8]) -> Vec<u8> {
    rewrite(text, |t| {
        if t[0] != b'\\' {
            return None;
        }
        let simple = |c: u8| Some((2, vec![c]));
        match *t.get(1)? {
            b'n' => simple(b'\n'),
            b'r' => simple(b'\r'),
            b't' => simple(b'\t'),
            b'x' => Some((4, vec![number(t.get(2..4)?, 16)? as u8])),
            b'u' if t.get(2) == Some(&b'{') => {
                let close = t.iter().position(|&c| c == b'}')?;
                Some((close + 1, char::from_u32(number(&t[3..close], 16)?)?.to_string().into_bytes()))
            }
            b'u' => Some((6, char::from_u32(number(t.get(2..6)?, 16)?)?.to_string().into_bytes())),
            c if c.is_ascii_punctuation() => simple(c),
            _ => None,
        }
    })
}

fn references(text: &[u8]) -> Vec<u8> {
    rewrite(text, |t| {
        if t[0] != b'&' {
            return None;
        }
        let end = t.iter().position(|&c| c == b';')?;
        let c = match &t[1..end] {
            b"amp" => '&',
            b"lt" => '<',
            b"gt" => '>',
            b"quot" => '"',
            b"apos" => '\'',
            b"sol" => '/',
            b"plus" => '+',
            [b'#', b'x' | b'X', hex @ ..] => char::from_u32(number(hex, 16)?)?,
            [b'#', decimal @ ..] => char::from_u32(number(decimal, 10)?)?,
            _ => return None,
        };
        Some((end + 1, c.to_string().into_bytes()))
    })
}
