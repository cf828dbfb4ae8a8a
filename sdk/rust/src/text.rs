//! JSON as text: what can be said of it without making values of it.
//!
//! Both functions take well-formed JSON for granted; of anything else they say something, and never panic.

/// As deep as an input or answer may nest before it becomes values. A component has 32 KiB of stack, on which serde_json
/// reads about 44 levels; service APIs stay under 20.
pub(crate) const MAX_DEPTH: usize = 32;

/// Whether objects and arrays nest deeper than [`MAX_DEPTH`].
pub(crate) fn is_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    outside_strings(text, |_, byte| match byte {
        b'{' | b'[' => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b'}' | b']' => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest > MAX_DEPTH
}

/// The same JSON without white space between its tokens.
pub(crate) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = 0;
    outside_strings(text.as_bytes(), |at, byte| {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.push_str(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    });
    out.push_str(text.get(start..).unwrap_or_default());
    out
}

fn outside_strings(text: &[u8], mut see: impl FnMut(usize, u8)) {
    let (mut in_string, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if in_string {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
            }
        } else if byte == b'"' {
            in_string = true;
        } else {
            see(at, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_go_and_strings_stay() {
        let text = "{\n  \"a b\": [1, 2,\t{ \"\\\" x\\\\\": \"é {\" }],\r\n \"c\": null }\n";
        assert_eq!(compact(text), r#"{"a b":[1,2,{"\" x\\":"é {"}],"c":null}"#);
        assert_eq!(compact("\"unended  "), "\"unended  ");
        assert_eq!(compact(""), "");
    }

    #[test]
    fn depth() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(
            format!("[{}]", [nested(20), nested(20), format!("\"{}\"", "[".repeat(99))].join(",")).as_bytes()
        ));
        assert!(!is_too_deep(b"]]]]"));
    }
}
