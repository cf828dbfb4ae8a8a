//! The literal forms in which one value may stand in an answer.
//!
//! Only forms that are searched byte for byte are made here. Escapes have no forms of their own: they are undone before
//! the search (see [`crate::view`]). What this file never does is make a form of a part of a value, except where the
//! value is itself a container of secrets: a line of a multi-line key, a string of a JSON document.

use zeroize::{Zeroize, Zeroizing};

use crate::encode;
use crate::view::undo;

/// Shorter values stand in ordinary text by chance, and a lower or upper case form more so.
pub(crate) const MIN_FORMS: usize = 8;
const MIN_CASED: usize = 12;
/// A line or a JSON string of this many bytes is a secret of its own.
const MIN_PART: usize = 16;
/// Two notations inside one another are foreseen for values up to this size; each of the pairs takes time to try.
const MAX_NESTED: usize = 8 << 10;
/// How deep containers are opened: a PEM key in a JSON document is two.
const PART_DEPTH: usize = 2;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE32_LOWER: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Forms collected so far; each is wiped when dropped.
pub(crate) type Forms = Vec<Zeroizing<Vec<u8>>>;

/// The value, and the secrets inside it when it is a container.
pub(crate) fn parts(value: &[u8]) -> Forms {
    let mut parts = vec![Zeroizing::new(value.to_vec())];
    let mut level = 0..1;
    for _ in 0..PART_DEPTH {
        for i in level.clone() {
            let Some(whole) = parts.get(i).cloned() else { continue };
            // The lines of a JSON document are mostly public (`"type": "service_account",`); its strings are what counts.
            if matches!(whole.trim_ascii_start().first(), Some(b'{' | b'[')) {
                strings(&whole, &mut parts);
            } else {
                lines(&whole, &mut parts);
            }
        }
        level = level.end..parts.len();
    }
    let trimmed = value.trim_ascii();
    if trimmed.len() < value.len() && trimmed.len() >= MIN_FORMS {
        parts.push(Zeroizing::new(trimmed.to_vec()));
    }
    parts
}

fn lines(whole: &[u8], parts: &mut Forms) {
    if !whole.contains(&b'\n') {
        return;
    }
    for line in whole.split(|&c| c == b'\n').map(<[u8]>::trim_ascii) {
        // `-----BEGIN PRIVATE KEY-----` is no secret; masking it would hide that some other key was printed.
        if line.len() >= MIN_PART && !line.starts_with(b"-----") {
            parts.push(Zeroizing::new(line.to_vec()));
        }
    }
}

/// The string leaves of a JSON document. A key is followed by a colon; the rest of the grammar does not matter here,
/// and a value that only looks like JSON gains a few needless patterns at worst.
fn strings(whole: &[u8], parts: &mut Forms) {
    let mut rest = whole;
    while let Some(open) = memchr::memchr(b'"', rest) {
        let inside = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = closing_quote(inside) else { return };
        rest = inside.get(close + 1..).unwrap_or_default();
        let is_key = rest.trim_ascii_start().first() == Some(&b':');
        let leaf = undo(inside.get(..close).unwrap_or_default(), false);
        if !is_key && leaf.len() >= MIN_PART {
            parts.push(leaf);
        }
    }
}

fn closing_quote(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', inside.get(at..)?)?;
        if inside.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Adds every form of one part. `quotes` tells whether the search will undo doubled quotes.
pub(crate) fn derive(value: &[u8], quotes: bool, forms: &mut Forms) {
    forms.push(Zeroizing::new(value.to_vec()));
    if value.len() < MIN_FORMS {
        return;
    }
    cases(value, forms);
    characters(value, forms);
    for (alphabet, alignments) in [(&BASE64[..], 3), (BASE64_URL, 3), (BASE32, 5), (BASE32_LOWER, 5)] {
        for lead in 0..alignments {
            radix(value, lead, alphabet, forms);
        }
    }
    for digits in [HEX_LOWER, HEX_UPPER] {
        for (prefix, separator) in [("", ""), ("", " "), ("", ":"), ("", ","), ("", ", "), ("0x", ","), ("0x", ", ")] {
            hex(value, digits, prefix, separator, forms);
        }
    }
    let plus: Zeroizing<Vec<u8>> = value.iter().map(|&c| if c == b' ' { b'+' } else { c }).collect::<Vec<u8>>().into();
    canonical(value, quotes, forms);
    if plus.as_slice() != value {
        canonical(&plus, quotes, forms);
    }
    forms.push(plus);
    cdata(value, forms);
}

fn cases(value: &[u8], forms: &mut Forms) {
    if value.len() >= MIN_CASED && value.iter().any(u8::is_ascii_alphabetic) {
        forms.push(Zeroizing::new(value.to_ascii_lowercase()));
        forms.push(Zeroizing::new(value.to_ascii_uppercase()));
        if let Ok(text) = std::str::from_utf8(value) {
            forms.push(Zeroizing::new(text.to_lowercase().into_bytes()));
            forms.push(Zeroizing::new(text.to_uppercase().into_bytes()));
        }
    }
    let mut reversed = value.to_vec();
    reversed.reverse();
    forms.push(Zeroizing::new(reversed));
}

/// Forms that treat the value as text: wide encodings, and what becomes of bytes that are not ASCII.
fn characters(value: &[u8], forms: &mut Forms) {
    let chars = Zeroizing::new(encode::chars(value));
    let wide = |width: usize, unit: &mut dyn FnMut(char, &mut Vec<u8>)| {
        let mut out = Vec::with_capacity(value.len() * width);
        chars.iter().for_each(|&c| unit(c, &mut out));
        Zeroizing::new(out)
    };
    forms.push(wide(2, &mut |c, out| c.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.extend(u.to_le_bytes()))));
    forms.push(wide(2, &mut |c, out| c.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.extend(u.to_be_bytes()))));
    forms.push(wide(4, &mut |c, out| out.extend(u32::from(c).to_le_bytes())));
    forms.push(wide(4, &mut |c, out| out.extend(u32::from(c).to_be_bytes())));
    if value.is_ascii() {
        return;
    }
    // Bytes read as Latin-1 and written as UTF-8, the other way about, lossily decoded, and reversed by character.
    forms.push(Zeroizing::new(value.iter().map(|&c| char::from(c)).collect::<String>().into_bytes()));
    forms.push(Zeroizing::new(String::from_utf8_lossy(value).into_owned().into_bytes()));
    forms.push(Zeroizing::new(chars.iter().rev().collect::<String>().into_bytes()));
    if chars.iter().all(|&c| u32::from(c) < 0x100) {
        forms.push(Zeroizing::new(chars.iter().map(|&c| u32::from(c) as u8).collect()));
    }
}

/// One alignment of base64 or base32: the value after `lead` unknown bytes. Characters that mix bits of the value with a
/// neighbour's are left out; a second form ends as the encoding does when nothing follows.
fn radix(value: &[u8], lead: usize, alphabet: &[u8], forms: &mut Forms) {
    let width = alphabet.len().trailing_zeros() as usize;
    let bit = |i: usize| match (i / 8).checked_sub(lead).and_then(|at| value.get(at)) {
        Some(byte) => usize::from(byte >> (7 - i % 8) & 1),
        None => 0,
    };
    let digit = |i: usize| {
        let index = (i * width..(i + 1) * width).fold(0, |sum, i| sum << 1 | bit(i));
        alphabet.get(index).copied().unwrap_or_default()
    };
    let bits = (lead + value.len()) * 8;
    let (first, whole) = ((lead * 8).div_ceil(width), bits / width);
    let mut core = Vec::with_capacity(whole + 1);
    core.extend((first..whole).map(digit));
    if !bits.is_multiple_of(width) {
        let mut ended = Vec::with_capacity(whole + 1);
        ended.extend((first..=whole).map(digit));
        forms.push(Zeroizing::new(ended));
    }
    forms.push(Zeroizing::new(core));
}

fn hex(value: &[u8], digits: &[u8; 16], prefix: &str, separator: &str, forms: &mut Forms) {
    let mut out = Vec::with_capacity(value.len() * (2 + prefix.len() + separator.len()));
    for (i, byte) in value.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator.as_bytes());
        }
        out.extend_from_slice(prefix.as_bytes());
        out.extend([byte >> 4, byte & 15].iter().filter_map(|&nibble| digits.get(usize::from(nibble))));
    }
    forms.push(Zeroizing::new(out));
}

/// A CDATA section cannot hold its own end, so whoever writes one splits it there.
fn cdata(value: &[u8], forms: &mut Forms) {
    let mut out = Vec::with_capacity(value.len() * 5);
    for (i, &c) in value.iter().enumerate() {
        if c == b'>' && value.get(..i).is_some_and(|before| before.ends_with(b"]]")) {
            out.extend_from_slice(b"]]><![CDATA[>");
        } else {
            out.push(c);
        }
    }
    forms.push(Zeroizing::new(out));
}

/// What the views make of a value that itself looks escaped.
///
/// A value such as `a%41b"c` survives no view unchanged: undoing the JSON around it undoes the percent in it too. Rather
/// than reason about which notation meets which, every encoder is run and its output sent through the very views that
/// the search uses; whatever comes out is one more form. Ordinary values come out as themselves and gain none.
fn canonical(value: &[u8], quotes: bool, forms: &mut Forms) {
    if !value.iter().any(|&c| matches!(c, b'%' | b'\\' | b'&' | b'\'' | b'"' | b'=') || !(b' '..0x7f).contains(&c)) {
        return;
    }
    let mut texts = vec![Zeroizing::new(value.to_vec())];
    let once: Forms = encode::ALL.iter().map(|encode| Zeroizing::new(encode(value))).collect();
    for text in once.iter().filter(|_| value.len() <= MAX_NESTED) {
        texts.extend(encode::ALL.iter().map(|encode| Zeroizing::new(encode(text))));
    }
    texts.extend(once);
    let mut found = Forms::new();
    for text in &texts {
        for view in crate::view::all(text, quotes) {
            if view.len() >= MIN_FORMS && view.as_slice() != value && !found.contains(&view) && found.len() < 64 {
                found.push(view);
            }
        }
    }
    texts.zeroize();
    forms.extend(found);
}
