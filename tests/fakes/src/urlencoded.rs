//! `application/x-www-form-urlencoded` pairs, in a query or a body.

/// Decoded pairs in order, at most `cap` of them.
pub(crate) fn pairs(encoded: &str, cap: usize) -> Vec<(String, String)> {
    encoded
        .split('&')
        .filter(|pair| !pair.is_empty())
        .take(cap)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// `+` is a space, `%XX` is a byte, and what is not UTF-8 afterwards becomes U+FFFD.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_as_the_recorded_requests_mean() {
        let pairs = pairs("email=a%2Bb%40example.com&name=Zo%C3%AB+%26+Co&metadata[k2]=a%3Db&description=", 9);
        let expected =
            [("email", "a+b@example.com"), ("name", "Zoë & Co"), ("metadata[k2]", "a=b"), ("description", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "\\PC{0,40}|[%+&=0-9a-f]{0,40}") {
            pairs(&text, 10);
        }
    }
}
