//! The table of L1 forms, each crossed with lengths, surroundings and cuts.

use super::oracle::leaks;
use super::{key, patterns};
use crate::check::cut;
use crate::{MARKER, Patterns};
use std::sync::Arc;

type Write = fn(&str) -> String;

fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

fn plain(c: u8) -> String {
    char::from(c).to_string()
}

fn bits(bytes: &[u8], alphabet: &str, width: usize, group: usize, pad: bool) -> String {
    let all: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digits = all.as_bytes().chunks(width).map(|bits| {
        let bits = format!("{:0<width$}", std::str::from_utf8(bits).unwrap());
        alphabet.as_bytes()[usize::from_str_radix(&bits, 2).unwrap()] as char
    });
    let mut out: String = digits.collect();
    while pad && !out.len().is_multiple_of(group) {
        out.push('=');
    }
    out
}

const STANDARD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(text: &str) -> String {
    bits(text.as_bytes(), STANDARD, 6, 4, true)
}

fn base32(text: &str) -> String {
    bits(text.as_bytes(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5, 8, true)
}

fn wrapped(text: &str, width: usize, end: &str) -> String {
    let encoded = base64(&format!("some words before {text} and after it, long enough to be wrapped once or twice"));
    encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join(end)
}

fn percent(text: &str) -> String {
    each(text, |c| if c.is_ascii_alphanumeric() { plain(c) } else { format!("%{c:02X}") })
}

fn json(text: &str) -> String {
    each(text, |c| match c {
        b'"' | b'\\' | b'/' => format!("\\{}", char::from(c)),
        b'\n' => "\\n".into(),
        c => plain(c),
    })
}

fn wide(text: &str, width: usize, big: bool) -> String {
    each(text, |c| {
        let pad = "\0".repeat(width - 1);
        if big { format!("{pad}{}", char::from(c)) } else { format!("{}{pad}", char::from(c)) }
    })
}

const FORMS: &[(&str, Write)] = &[
    ("E01 raw", |s| s.into()),
    ("E02 lower", |s| s.to_lowercase()),
    ("E03 upper", |s| s.to_uppercase()),
    ("E04 percent reserved", percent),
    ("E04 percent reserved, lower", |s| {
        each(s, |c| if c.is_ascii_alphanumeric() { plain(c) } else { format!("%{c:02x}") })
    }),
    ("E04 percent all", |s| each(s, |c| format!("%{c:02X}"))),
    ("E04 percent all, lower", |s| each(s, |c| format!("%{c:02x}"))),
    ("E05 double percent", |s| percent(&percent(s))),
    ("E05 double percent all", |s| each(s, |c| format!("%25{c:02X}"))),
    ("E06 form plus", |s| percent(s).replace("%20", "+")),
    ("E07 json full", |s| each(s, |c| format!("\\u{c:04x}"))),
    ("E07 json full, upper", |s| each(s, |c| format!("\\u{c:04X}"))),
    ("E07 json mixed", |s| each(s, |c| if c % 3 == 0 { format!("\\u{c:04x}") } else { json(&plain(c)) })),
    ("E07 json slash", json),
    ("E08 json in json", |s| json(&json(s))),
    ("E08 json in json full", |s| each(s, |c| format!("\\\\u{c:04x}"))),
    ("E09 html decimal", |s| each(s, |c| format!("&#{c};"))),
    ("E09 html decimal, zeros", |s| each(s, |c| format!("&#0{c};"))),
    ("E09 html hex", |s| each(s, |c| format!("&#x{c:X};"))),
    ("E09 html named", |s| {
        s.replace('&', "&amp;").replace('/', "&sol;").replace('+', "&plus;").replace('_', "&lowbar;")
    }),
    ("E10 base64", base64),
    ("E10 base64 unpadded", |s| bits(s.as_bytes(), STANDARD, 6, 4, false)),
    ("E10 base64 url", |s| bits(s.as_bytes(), URL, 6, 4, true)),
    ("E10 base64 at one", |s| base64(&format!("x{s}"))),
    ("E10 base64 at two", |s| base64(&format!("xy{s}z"))),
    ("E10 base64 url at two", |s| bits(format!("x~{s}??").as_bytes(), URL, 6, 4, false)),
    ("E11 bearer", |s| base64(&format!("Bearer {s}"))),
    ("E11 user", |s| base64(&format!("user:{s}"))),
    ("E11 as user", |s| base64(&format!("{s}:"))),
    ("E11 as user with password", |s| base64(&format!("{s}:password"))),
    ("E12 base32 at zero", base32),
    ("E12 base32 at one", |s| base32(&format!("a{s}"))),
    ("E12 base32 at two", |s| base32(&format!("ab{s}c"))),
    ("E12 base32 at three", |s| base32(&format!("abc{s}"))),
    ("E12 base32 at four", |s| base32(&format!("abcd{s}de")).to_lowercase()),
    ("E13 hex", |s| each(s, |c| format!("{c:02x}"))),
    ("E13 hex upper", |s| each(s, |c| format!("{c:02X}"))),
    ("E14 hex space", |s| each(s, |c| format!("{c:02x} "))),
    ("E14 hex space, od's lines", |s| {
        let lines = s.as_bytes().chunks(16);
        let line = |line: &[u8]| line.iter().map(|c| format!(" {c:02x}")).collect::<String>();
        lines.map(line).collect::<Vec<_>>().join("\n")
    }),
    ("E14 hex colon", |s| each(s, |c| format!("{c:02X}:"))),
    ("E14 hex comma", |s| each(s, |c| format!("{c:02x}, "))),
    ("E14 hex backslash", |s| each(s, |c| format!("\\x{c:02x}"))),
    ("E14 hex 0x", |s| each(s, |c| format!("0x{c:02x},"))),
    ("E14 hex 0x space", |s| each(s, |c| format!("0x{c:02X}, "))),
    ("E15 utf-16 le", |s| wide(s, 2, false)),
    ("E15 utf-16 be", |s| wide(s, 2, true)),
    ("E16 utf-32 le", |s| wide(s, 4, false)),
    ("E16 utf-32 be", |s| wide(s, 4, true)),
    ("E17 reversed", |s| s.chars().rev().collect()),
    ("E18 shell backslash", |s| {
        let special = |c: u8| c.is_ascii_punctuation() || c == b' ';
        each(s, |c| if special(c) { format!("\\{}", char::from(c)) } else { plain(c) })
    }),
    ("E18 rust debug", |s| format!("{s:?}")),
    ("E18 rust unicode", |s| s.escape_unicode().collect()),
    ("E18 octal", |s| each(s, |c| format!("\\{c:03o}"))),
    ("E18 sql", |s| s.replace('\'', "''")),
    ("E19 mime 76", |s| wrapped(s, 76, "\r\n")),
    ("E19 mime 64", |s| wrapped(s, 64, "\n")),
    ("E19 mime indented", |s| wrapped(s, 64, "\n    ")),
    ("E19 mime in json", |s| wrapped(s, 76, "\\r\\n")),
    ("E19 mime in json, slashes", |s| wrapped(s, 64, "\\n").replace('/', "\\/")),
    ("E20 quoted-printable", |s| each(s, |c| if c.is_ascii_alphanumeric() { plain(c) } else { format!("={c:02X}") })),
    ("E20 quoted-printable, soft breaks", |s| {
        let text = |line: &[u8]| std::str::from_utf8(line).unwrap().replace('=', "=3D");
        let lines: Vec<_> = s.as_bytes().chunks(11).map(text).collect();
        lines.join("=\r\n")
    }),
    ("E21 cdata", |s| format!("<![CDATA[{s}]]>")),
    ("E21 xml in json", |s| json(&each(s, |c| format!("&#x{c:x};")))),
    ("percent in json", |s| each(s, |c| format!("\\u0025{c:02x}"))),
    ("base64 percent", |s| percent(&base64(s))),
    ("base64 json", |s| json(&base64(s))),
    ("javascript escape", |s| each(s, |c| format!("%u{c:04x}"))),
];

const PLACES: &[(&str, &str)] = &[
    ("", ""),
    ("{\"error\":{\"message\":\"Incorrect API key provided: ", ". You can find it.\",\"code\":401}}"),
    ("<p class=\"a\">you sent <b>", "</b> &amp; that is wrong</p>"),
    ("authorization: Bearer ", "\r\nvia: 1.1 x\r\n"),
    ("data: {\"delta\":\"", "\"}\n\n"),
    ("https://api.example.com/v1/items?page=2&key=", "&b=c%20d"),
    ("the value is ", " and no other\n"),
];

fn check_form(
    patterns: &Arc<Patterns>,
    secret: &str,
    name: &str,
    written: &str,
    cuts: impl Fn(usize) -> Vec<Vec<usize>>,
) {
    for (before, after) in PLACES {
        let text = format!("{before}{written}{after}");
        let (whole, hits) = cut(patterns, text.as_bytes(), &[]);
        let context = || {
            format!("{name}, {} bytes, after {before:?}: {text:?}\n{:?}", secret.len(), String::from_utf8_lossy(&whole))
        };
        assert!(hits.total > 0, "no hit: {}", context());
        assert!(hits.by_secret.keys().eq([&0]), "{}", context());
        assert_eq!(leaks(&whole, secret.as_bytes()), None, "{}", context());
        // A quote that ends the value and one that closes the string around it look like one doubled quote.
        let doubled = secret.ends_with('"') && after.starts_with('"');
        let after = &after[usize::from(doubled)..];
        assert!(whole.starts_with(before.as_bytes()) && whole.ends_with(after.as_bytes()), "around: {}", context());
        assert!(patterns.find_any(text.as_bytes()));
        for cuts in cuts(text.len()) {
            let (pieces, piece_hits) = cut(patterns, text.as_bytes(), &cuts);
            assert!(
                pieces == whole && piece_hits == hits,
                "cut at {cuts:?}: {} {}",
                String::from_utf8_lossy(&pieces),
                context()
            );
        }
    }
}

fn everywhere(len: usize) -> Vec<Vec<usize>> {
    (1..len).map(|at| vec![at]).chain([(1..len).collect(), (1..len).step_by(3).collect()]).collect()
}

fn here_and_there(len: usize) -> Vec<Vec<usize>> {
    (1..len).step_by(len / 13 + 1).map(|at| vec![at]).chain([(1..len).step_by(5).collect()]).collect()
}

#[test]
fn short_keys_in_every_form_cut_everywhere() {
    for len in [12, 16, 40] {
        let secret = key(len);
        let patterns = patterns(&[secret.as_bytes()]);
        FORMS.iter().for_each(|(name, write)| check_form(&patterns, &secret, name, &write(&secret), everywhere));
    }
}

#[test]
fn long_keys_in_every_form() {
    for len in [200, 4096] {
        let secret = key(len);
        let patterns = patterns(&[secret.as_bytes()]);
        FORMS.iter().for_each(|(name, write)| check_form(&patterns, &secret, name, &write(&secret), here_and_there));
    }
}

#[test]
fn keys_of_eight_bytes_have_all_forms_but_case() {
    let secret = "q8/Zk+1_";
    let patterns = patterns(&[secret.as_bytes()]);
    let cased = |name: &str| name.contains("E02") || name.contains("E03");
    let forms = FORMS.iter().filter(|(name, _)| !cased(name));
    forms.for_each(|(name, write)| check_form(&patterns, secret, name, &write(secret), everywhere));
}

#[test]
fn values_that_look_escaped_themselves() {
    let secrets = [
        r"pa%41ss%2Fw\nord-1",
        r"C:\new\table\x41\\z",
        "tom&amp;jerry&#65;&co",
        "it's ''quoted'' \"twice\"\"",
        "a b c d e f + g %20 h",
        "=3Dequals=41signs==",
        "{\"key\":\"va\\\"lue\"}",
        "line one\nline two\r\n  three",
        "]]>cdata]]>breaker",
        "%%%%\\\\\\\\&&&&''''",
        "$HOME `id` $(reboot)!",
        "nul\0digit\u{1}7 \u{7f}\u{8}",
    ];
    for secret in secrets {
        let patterns = patterns(&[secret.as_bytes()]);
        for (name, write) in FORMS {
            check_form(&patterns, secret, name, &write(secret), here_and_there);
        }
        for (i, encode) in crate::encode::ALL.iter().enumerate() {
            let written = String::from_utf8(encode(secret.as_bytes())).unwrap();
            check_form(&patterns, secret, &format!("encoder {i}"), &written, everywhere);
        }
    }
}

#[test]
fn values_that_are_not_ascii() {
    for secret in ["pässwörd-1234-ß", "пароль-и-ключ", "key-🔑-and-🔒-end", "ÿþÿþÿþÿþÿþ"] {
        let patterns = patterns(&[secret.as_bytes()]);
        for (i, encode) in crate::encode::ALL.iter().enumerate() {
            let written = String::from_utf8_lossy(&encode(secret.as_bytes())).into_owned();
            check_form(&patterns, secret, &format!("encoder {i}"), &written, everywhere);
        }
        let json: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        check_form(&patterns, secret, "surrogates", &json, everywhere);
        check_form(&patterns, secret, "surrogates in json", &json.replace('\\', "\\\\"), everywhere);
        check_form(&patterns, secret, "braces", &secret.escape_unicode().to_string(), everywhere);
        check_form(&patterns, secret, "lower", &secret.to_lowercase(), everywhere);
        check_form(&patterns, secret, "percent", &each(secret, |c| format!("%{c:02x}")), everywhere);
    }
}

#[test]
fn values_that_are_not_text() {
    let secret: Vec<u8> = (0..=255u8).rev().step_by(7).chain([0, 0, 0xff, 0xfe, b'\n', b'%', b'"']).collect();
    let patterns = patterns(&[&secret]);
    let latin: String = secret.iter().map(|&c| char::from(c)).collect();
    let lossy = String::from_utf8_lossy(&secret).into_owned();
    let hex: String = secret.iter().map(|c| format!("{c:02x}")).collect();
    let escaped: String = latin.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let texts = [secret.clone(), latin.into_bytes(), lossy.into_bytes(), hex.into_bytes(), escaped.into_bytes()];
    let encoded = crate::encode::ALL.iter().map(|encode| encode(&secret));
    for (i, text) in texts.into_iter().chain(encoded).enumerate() {
        let text = [b"before ", text.as_slice(), b" after"].concat();
        let (whole, hits) = cut(&patterns, &text, &[]);
        assert_eq!(whole, [b"before ", MARKER, b" after"].concat(), "{i}: {}", text.escape_ascii());
        for cuts in everywhere(text.len()) {
            assert_eq!(cut(&patterns, &text, &cuts), (whole.clone(), hits.clone()), "{i} {cuts:?}");
        }
    }
}

fn pem() -> String {
    let body: Vec<String> =
        key(8 * 64 + 31).as_bytes().chunks(64).map(|line| String::from_utf8(line.into()).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.join("\n"))
}

#[test]
fn a_multi_line_key_whole_and_by_line() {
    let secret = pem();
    let patterns = patterns(&[secret.as_bytes()]);
    for (name, write) in FORMS {
        check_form(&patterns, &secret, name, &write(&secret), here_and_there);
    }
    for line in secret.lines().filter(|line| !line.starts_with('-')) {
        check_form(&patterns, line, "line", line, here_and_there);
        check_form(&patterns, line, "line in base64", &base64(line), here_and_there);
    }
    let indented = format!("key: |\n  {}", secret.trim_end().replace('\n', "\n  "));
    assert_eq!(cut(&patterns, indented.as_bytes(), &[]).0, [b"key: |\n  ", MARKER].concat());
    let json = format!("{{\"k\":\"{}\"}}", secret.replace('\n', "\\n"));
    assert_eq!(cut(&patterns, json.as_bytes(), &[]).0, [b"{\"k\":\"", MARKER, b"\"}"].concat());
    let header = b"-----BEGIN PRIVATE KEY-----\nMIIsomethingelse";
    assert_eq!(cut(&patterns, header, &[]).0, header);
}

#[test]
fn a_json_document_whole_and_by_leaf() {
    let key = pem();
    let secret = format!(
        "{{\n  \"type\": \"short\",\n  \"private_key_id\": \"0123456789abcdef0123\",\n  \"private_key\": \"{}\",\n  \"list\": [\"robot@project.example\"]\n}}",
        key.replace('\n', "\\n")
    );
    let patterns = patterns(&[b"something else entirely", secret.as_bytes()]);
    for leaf in ["0123456789abcdef0123", &key, "robot@project.example", key.lines().nth(3).unwrap(), &secret] {
        let (whole, hits) = cut(&patterns, format!("<{leaf}>").as_bytes(), &[]);
        assert_eq!(whole, [b"<", MARKER, b">"].concat(), "{leaf}");
        assert_eq!(hits.by_secret.get(&1), Some(&1));
    }
    for harmless in ["short", "private_key_id", "  \"type\": \"short\","] {
        assert!(!patterns.find_any(harmless.as_bytes()));
    }
}
