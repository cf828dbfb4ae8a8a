//! How the fields of entries are written and read: one byte form for each value.
//!
//! Writing is by hand, into a buffer that is used again, because it stands in the way of every call. Reading may be
//! lenient: [`crate::format::parse_line`] writes what was read once more and compares.

use std::collections::BTreeMap;
use std::io::Write;

use kv_model::{
    CallId, ConnectionName, Digest, Effect, Method, OperationName, Origin, Principal, PrincipalName, ProviderName,
    SecretName, SettingName, SlotName, VaultId,
};
use kv_policy::approval::ApprovalId;

use crate::text::{Claim, Code, is_active};

/// A value that can stand in an entry. There is no implementation for `String`: a text is a name, a code or a claim.
pub(crate) trait Field: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(from: &mut Cursor<'_>) -> Option<Self>;

    /// Writes it behind its label: `,"name":`.
    fn write_member(&self, label: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(label.as_bytes());
        self.write(out);
    }

    fn read_member(label: &str, from: &mut Cursor<'_>) -> Option<Self> {
        from.take(label.as_bytes())?;
        Self::read(from)
    }
}

/// The last field of an entry of a kind that once had no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Later<T> {
    Known(T),
    /// The entry is older than the field.
    Unknown,
}

impl<T> Later<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Later::Known(value) => Some(value),
            Later::Unknown => None,
        }
    }
}

/// What is left of a line.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Steps over these very bytes.
    pub(crate) fn take(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// A string without escapes, as names, codes and digests are.
    pub(crate) fn plain(&mut self) -> Option<&'a str> {
        self.take(b"\"")?;
        let end = self.rest.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.iter().skip(1).position(|byte| {
            let end = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            end
        })?;
        let (text, rest) = self.rest.split_at_checked(end + 2)?;
        self.rest = rest;
        serde_json::from_slice(text).ok()
    }
}

pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// In quotes, lower case.
pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const fn digit(half: u8) -> u8 {
        if half < 10 { b'0' + half } else { b'a' + half - 10 }
    }
    out.push(b'"');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    out.push(b'"');
}

/// For texts that are known to need no escape.
pub(crate) fn write_plain(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Everything that is active on a terminal is written as `\uXXXX`, so that even `cat` on the log is harmless.
fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        return write_plain(text, out);
    }
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            c if is_active(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_number(u64::from(*self), out);
            }

            fn read(from: &mut Cursor<'_>) -> Option<Self> {
                from.number()?.try_into().ok()
            }
        }
    )*};
}

numbers!(u16, u32, u64);

impl Field for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        if *self < 0 {
            out.push(b'-');
        }
        write_number(u64::from(self.unsigned_abs()), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        let sign = if from.take(b"-").is_some() { -1 } else { 1 };
        i32::try_from(i64::try_from(from.number()?).ok()?.checked_mul(sign)?).ok()
    }
}

macro_rules! hex {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_hex(self.as_bytes(), out);
            }

            fn read(from: &mut Cursor<'_>) -> Option<Self> {
                Self::parse(from.plain()?)
            }
        }
    )*};
}

hex!(CallId, Digest, VaultId);

macro_rules! names {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_plain(self.as_str(), out);
            }

            fn read(from: &mut Cursor<'_>) -> Option<Self> {
                Self::parse(from.plain()?).ok()
            }
        }
    )*};
}

names!(ConnectionName, OperationName, PrincipalName, ProviderName, SecretName, SettingName, SlotName);

/// An enum of ours that is one word in the log.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// As in the log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl $crate::field::Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $crate::field::write_plain(self.as_str(), out);
            }

            fn read(from: &mut $crate::field::Cursor<'_>) -> Option<Self> {
                match from.plain()? {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}
pub(crate) use words;

/// A struct that is one object in the log, its members in this order.
macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident {
        $(#[$first_doc:meta])* $first:ident: $first_type:ty,
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $(#[$first_doc])*
            pub $first: $first_type,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::field::Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.$first.write_member(concat!("{\"", stringify!($first), "\":"), out);
                $(self.$field.write_member(concat!(",\"", stringify!($field), "\":"), out);)*
                out.push(b'}');
            }

            fn read(from: &mut $crate::field::Cursor<'_>) -> Option<Self> {
                use $crate::field::Field;
                let $first = Field::read_member(concat!("{\"", stringify!($first), "\":"), from)?;
                $(let $field = Field::read_member(concat!(",\"", stringify!($field), "\":"), from)?;)*
                from.take(b"}")?;
                Some(Self { $first, $($field,)* })
            }
        }
    )*};
}
pub(crate) use objects;

impl Field for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        match from.take(b"true") {
            Some(()) => Some(true),
            None => from.take(b"false").map(|()| false),
        }
    }
}

impl Field for Effect {
    fn write(&self, out: &mut Vec<u8>) {
        write_plain(self.as_str(), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        let word = from.plain()?;
        Effect::ALL.into_iter().find(|effect| effect.as_str() == word)
    }
}

impl Field for Method {
    fn write(&self, out: &mut Vec<u8>) {
        write_plain(self.as_str(), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        Method::parse(from.plain()?)
    }
}

impl Field for ApprovalId {
    fn write(&self, out: &mut Vec<u8>) {
        write_plain(&self.to_string(), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        let text = from.plain()?;
        // One way to write it: in upper case.
        ApprovalId::parse(text).filter(|id| id.to_string() == text)
    }
}

impl Field for Origin {
    fn write(&self, out: &mut Vec<u8>) {
        // Lower-case letters, digits and a few marks: nothing to escape. Writing to a `Vec` does not fail.
        let _ = write!(out, "\"{self}\"");
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        Origin::parse(from.plain()?).ok()
    }
}

impl Field for Claim {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self.as_str(), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        Some(Claim::cut(&from.string()?))
    }
}

impl Field for Code {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self.as_str(), out);
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        Some(Code::from_log(&from.string()?))
    }
}

impl Field for Principal {
    fn write(&self, out: &mut Vec<u8>) {
        let uid = match self {
            Principal::Agent { name, uid } => {
                out.extend_from_slice(b"{\"kind\":\"agent\",\"name\":");
                name.write(out);
                uid
            }
            Principal::Operator { uid } => {
                out.extend_from_slice(b"{\"kind\":\"operator\"");
                uid
            }
        };
        out.extend_from_slice(b",\"uid\":");
        uid.write(out);
        out.push(b'}');
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.take(b"{\"kind\":")?;
        let name = match from.plain()? {
            "agent" => {
                from.take(b",\"name\":")?;
                Some(PrincipalName::read(from)?)
            }
            "operator" => None,
            _ => return None,
        };
        from.take(b",\"uid\":")?;
        let uid = u32::read(from)?;
        from.take(b"}")?;
        Some(match name {
            Some(name) => Principal::Agent { name, uid },
            None => Principal::Operator { uid },
        })
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => out.extend_from_slice(b"null"),
            Some(value) => value.write(out),
        }
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        match from.take(b"null") {
            Some(()) => Some(None),
            None => T::read(from).map(Some),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            value.write(out);
        }
        out.push(b']');
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.take(b"[")?;
        let mut values = Vec::new();
        while from.take(b"]").is_none() {
            if !values.is_empty() {
                from.take(b",")?;
            }
            values.push(T::read(from)?);
        }
        Some(values)
    }
}

/// Without it, an entry is the older one of its kind, byte for byte.
impl<T: Field> Field for Later<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Later::Known(value) = self {
            value.write(out);
        }
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        T::read(from).map(Later::Known)
    }

    fn write_member(&self, label: &str, out: &mut Vec<u8>) {
        if let Later::Known(value) = self {
            value.write_member(label, out);
        }
    }

    fn read_member(label: &str, from: &mut Cursor<'_>) -> Option<Self> {
        match from.take(label.as_bytes()) {
            Some(()) => Self::read(from),
            None => Some(Later::Unknown),
        }
    }
}

/// An object whose keys are names, in their order.
impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (key, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            key.write(out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }

    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.take(b"{")?;
        let mut map = BTreeMap::new();
        while from.take(b"}").is_none() {
            if !map.is_empty() {
                from.take(b",")?;
            }
            let key = K::read(from)?;
            from.take(b":")?;
            map.insert(key, V::read(from)?);
        }
        Some(map)
    }
}
