//! Undoing one layer of escapes: from the first byte of a possible escape to what it stands for.
//!
//! All notations are undone in one pass, because an answer rarely says which one it uses and often mixes them. Each
//! function here looks at the bytes from a trigger on and decides only what cannot change when more bytes come; else it
//! answers [`Step::More`]. That is what makes a stream cut anywhere come out like the whole.

/// What stands at a trigger byte.
pub(crate) enum Step {
    /// `take` bytes of input stand for the first `n` bytes of `out`.
    Undone { take: usize, out: [u8; 4], n: usize },
    /// Not an escape; the trigger byte is itself.
    Plain,
    /// Undecided until more bytes come.
    More,
}

/// Longest escape that is undone: two halves of a surrogate pair, or `&#x` with eight digits and a semicolon.
pub(crate) const LONGEST: usize = 12;

/// Digits of a numeric character reference; enough for every code point with leading zeros to spare.
const REFERENCE_DIGITS: usize = 8;

/// Undoes percent, backslash and character-reference escapes, and doubled quotes when `quotes` says that they matter.
pub(crate) fn unescape(input: &[u8], quotes: bool) -> Step {
    match input.first() {
        Some(b'%') => percent(input),
        Some(b'\\') => backslash(input),
        Some(b'&') => reference(input),
        Some(&quote @ (b'\'' | b'"')) if quotes => match input.get(1) {
            None => Step::More,
            Some(&next) if next == quote => byte(2, quote),
            Some(_) => Step::Plain,
        },
        _ => Step::Plain,
    }
}

/// Undoes quoted-printable: `=XX`, and the soft line break `=` CR LF.
pub(crate) fn quoted_printable(input: &[u8]) -> Step {
    match (input.get(1), input.get(2)) {
        (None, _) | (Some(b'\r'), None) => Step::More,
        (Some(b'\n'), _) => Step::Undone { take: 2, out: [0; 4], n: 0 },
        (Some(b'\r'), Some(b'\n')) => Step::Undone { take: 3, out: [0; 4], n: 0 },
        _ => match hex(input, 1, 2) {
            Number::Value(value) => byte(3, value as u8),
            Number::Bad => Step::Plain,
            Number::More => Step::More,
        },
    }
}

/// Where the next trigger of [`unescape`] is. Remembers the next one of each class, so that a class which is rare is not
/// searched again from every hit of another: the whole search is linear.
pub(crate) struct Triggers<'a> {
    input: &'a [u8],
    quotes: bool,
    next_escape: Option<usize>,
    next_quote: Option<usize>,
}

impl<'a> Triggers<'a> {
    pub(crate) fn new(input: &'a [u8], quotes: bool) -> Self {
        Triggers { input, quotes, next_escape: Some(0), next_quote: quotes.then_some(0) }.prime()
    }

    fn prime(mut self) -> Self {
        self.next_escape = self.escape_from(0);
        self.next_quote = if self.quotes { self.quote_from(0) } else { None };
        self
    }

    fn escape_from(&self, from: usize) -> Option<usize> {
        Some(from + memchr::memchr3(b'\\', b'%', b'&', self.input.get(from..)?)?)
    }

    fn quote_from(&self, from: usize) -> Option<usize> {
        Some(from + memchr::memchr2(b'\'', b'"', self.input.get(from..)?)?)
    }

    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        if self.next_escape.is_some_and(|at| at < from) {
            self.next_escape = self.escape_from(from);
        }
        if self.next_quote.is_some_and(|at| at < from) {
            self.next_quote = self.quote_from(from);
        }
        match (self.next_escape, self.next_quote) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

enum Number {
    Value(u32),
    Bad,
    More,
}

fn hex(input: &[u8], at: usize, digits: usize) -> Number {
    let mut value = 0;
    for i in at..at + digits {
        match input.get(i).map(|&c| char::from(c).to_digit(16)) {
            None => return Number::More,
            Some(None) => return Number::Bad,
            Some(Some(digit)) => value = value << 4 | digit,
        }
    }
    Number::Value(value)
}

fn byte(take: usize, value: u8) -> Step {
    Step::Undone { take, out: [value, 0, 0, 0], n: 1 }
}

fn scalar(take: usize, value: u32) -> Step {
    let Some(c) = char::from_u32(value) else { return Step::Plain };
    let mut out = [0; 4];
    let n = c.encode_utf8(&mut out).len();
    Step::Undone { take, out, n }
}

fn percent(input: &[u8]) -> Step {
    if input.get(1) == Some(&b'u') {
        return utf16_unit(input);
    }
    match hex(input, 1, 2) {
        Number::Value(value) => byte(3, value as u8),
        Number::Bad => Step::Plain,
        Number::More => Step::More,
    }
}

/// `\uXXXX` or `%uXXXX`; a high surrogate takes the low one that follows it in the same notation.
fn utf16_unit(input: &[u8]) -> Step {
    let high = match hex(input, 2, 4) {
        Number::Value(high) => high,
        Number::Bad => return Step::Plain,
        Number::More => return Step::More,
    };
    if !(0xd800..0xdc00).contains(&high) {
        return scalar(6, high);
    }
    match (input.get(6), input.get(7)) {
        (None, _) => return Step::More,
        (Some(c), _) if Some(c) != input.first() => return Step::Plain,
        (_, None) => return Step::More,
        (_, Some(b'u')) => {}
        _ => return Step::Plain,
    }
    match hex(input, 8, 4) {
        Number::Value(low @ 0xdc00..0xe000) => scalar(12, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
        Number::Value(_) | Number::Bad => Step::Plain,
        Number::More => Step::More,
    }
}

fn backslash(input: &[u8]) -> Step {
    let Some(&kind) = input.get(1) else { return Step::More };
    match kind {
        b'n' => byte(2, b'\n'),
        b'r' => byte(2, b'\r'),
        b't' => byte(2, b'\t'),
        b'b' => byte(2, 0x08),
        b'f' => byte(2, 0x0c),
        b'v' => byte(2, 0x0b),
        b'a' => byte(2, 0x07),
        b'e' | b'E' => byte(2, 0x1b),
        b'0'..=b'7' => octal(input),
        b'x' => match hex(input, 2, 2) {
            Number::Value(value) => byte(4, value as u8),
            Number::Bad => Step::Plain,
            Number::More => Step::More,
        },
        b'u' if input.get(2) == Some(&b'{') => braced(input),
        b'u' if input.len() == 2 => Step::More,
        b'u' => utf16_unit(input),
        b'U' => match hex(input, 2, 8) {
            Number::Value(value) => scalar(10, value),
            Number::Bad => Step::Plain,
            Number::More => Step::More,
        },
        // A shell, a regular expression or a quoting function puts a backslash before any punctuation.
        c if c.is_ascii_punctuation() || c == b' ' => byte(2, c),
        _ => Step::Plain,
    }
}

/// One to three octal digits, as in C and in `$'...'` of a shell; no more than fit a byte.
fn octal(input: &[u8]) -> Step {
    let mut value = 0u32;
    let mut take = 1;
    while take < 4 {
        match input.get(take) {
            None => return Step::More,
            Some(&c @ b'0'..=b'7') if value * 8 + u32::from(c - b'0') <= 0xff => {
                value = value * 8 + u32::from(c - b'0')
            }
            Some(_) => break,
        }
        take += 1;
    }
    byte(take, value as u8)
}

/// `\u{H}` to `\u{HHHHHH}`.
fn braced(input: &[u8]) -> Step {
    let mut value = 0;
    for at in 3..10 {
        match input.get(at) {
            None => return Step::More,
            Some(b'}') if at > 3 => return scalar(at + 1, value),
            Some(&c) => match char::from(c).to_digit(16) {
                Some(digit) if at < 9 => value = value << 4 | digit,
                _ => return Step::Plain,
            },
        }
    }
    Step::Plain
}

/// `&#DD;`, `&#xHH;` or one of the named references. The semicolon is required: what writes references writes it, and a
/// query string is full of ampersands.
fn reference(input: &[u8]) -> Step {
    match (input.get(1), input.get(2)) {
        (None, _) | (Some(b'#'), None) => Step::More,
        (Some(b'#'), Some(b'x' | b'X')) => numeric(input, 3, 16),
        (Some(b'#'), _) => numeric(input, 2, 10),
        _ => named(input),
    }
}

fn numeric(input: &[u8], start: usize, radix: u32) -> Step {
    let mut value = 0u32;
    for at in start..=start + REFERENCE_DIGITS {
        match input.get(at) {
            None => return Step::More,
            Some(b';') if at > start => return scalar(at + 1, value),
            Some(&c) => match char::from(c).to_digit(radix) {
                Some(digit) => value = value.saturating_mul(radix).saturating_add(digit),
                None => return Step::Plain,
            },
        }
    }
    Step::Plain
}

fn named(input: &[u8]) -> Step {
    for at in 1..LONGEST {
        match input.get(at) {
            None => return Step::More,
            Some(b';') => {
                let name = input.get(1..at).unwrap_or_default();
                let known = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
                return known.map_or(Step::Plain, |(_, c)| byte(at + 1, *c));
            }
            Some(c) if c.is_ascii_alphabetic() => {}
            Some(_) => return Step::Plain,
        }
    }
    Step::Plain
}

/// The references of HTML that stand for one ASCII byte.
const NAMES: [(&str, u8); 40] = [
    ("amp", b'&'),
    ("AMP", b'&'),
    ("lt", b'<'),
    ("LT", b'<'),
    ("gt", b'>'),
    ("GT", b'>'),
    ("quot", b'"'),
    ("QUOT", b'"'),
    ("apos", b'\''),
    ("sol", b'/'),
    ("bsol", b'\\'),
    ("plus", b'+'),
    ("equals", b'='),
    ("colon", b':'),
    ("semi", b';'),
    ("num", b'#'),
    ("percnt", b'%'),
    ("dollar", b'$'),
    ("excl", b'!'),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("comma", b','),
    ("period", b'.'),
    ("lowbar", b'_'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("lcub", b'{'),
    ("rcub", b'}'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("Hat", b'^'),
    ("grave", b'`'),
    ("Tab", b'\t'),
    ("NewLine", b'\n'),
];
