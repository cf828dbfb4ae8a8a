//! Names: one type each, one closed grammar each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no {kind}: {rule}", shown(.text))]
pub struct NameError {
    /// "connection name", "secret name", ...
    pub kind: &'static str,
    /// The grammar, in words.
    pub rule: &'static str,
    text: String,
}

/// A text that came from outside, cut and without control characters, so that it can stand in a message.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(48).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 48 {
        out.push('…');
    }
    out
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $kind:literal, $rule:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the grammar.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { kind: $kind, rule: $rule, text: text.to_owned() })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// A connection that a person set up: `stripe-test`.
    ConnectionName: "connection name", "1 to 40 of a-z, 0-9, `-`, `_`, beginning with a letter or digit", |t| plain(t, 40, "-_");
    /// A provider: `openai`.
    ProviderName: "provider name", "1 to 40 of a-z, 0-9, `-`, beginning with a letter or digit", |t| plain(t, 40, "-");
    /// An operation of a provider: `chat.completions.create`.
    OperationName: "operation name", "1 to 100 of a-z, 0-9, `-`, `_`, `.`, beginning with a letter or digit", |t| plain(t, 100, "-_.");
    /// An authentication scheme of a manifest.
    SchemeName: "scheme name", "1 to 40 of a-z, 0-9, `-`, `_`, beginning with a letter or digit", |t| plain(t, 40, "-_");
    /// A place that a provider leaves open for a secret.
    SlotName: "slot name", "1 to 40 of a-z, 0-9, `-`, `_`, beginning with a letter or digit", |t| plain(t, 40, "-_");
    /// A setting of a connection; not secret.
    SettingName: "setting name", "1 to 40 of a-z, 0-9, `-`, `_`, beginning with a letter or digit", |t| plain(t, 40, "-_");
    /// Who asks: the name that an agent or a person goes by.
    PrincipalName: "agent name", "1 to 40 of a-z, 0-9, `-`, `_`, `.`, beginning with a letter or digit", |t| plain(t, 40, "-_.");
    /// A secret in the vault: `OPENAI_API_KEY`. It can be the name of an environment variable, since `kv run` makes it one.
    SecretName: "secret name", "1 to 100 of A-Z, a-z, 0-9, `_`, not beginning with a digit", |t| {
        !t.is_empty() && t.len() <= 100
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !t.starts_with(|c: char| c.is_ascii_digit())
    };
}

fn plain(text: &str, most: usize, marks: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= most
        && text.starts_with(letter)
        && text.chars().all(|c| letter(c) || marks.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["a", "stripe-test", "0x", "a_b"] {
            assert!(ConnectionName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a/b", "..", "a\0", "ä", "a b", &"a".repeat(41)] {
            assert!(ConnectionName::parse(bad).is_err(), "{bad}");
        }
        assert!(SecretName::parse("OPENAI_API_KEY").is_ok());
        assert!(SecretName::parse("1A").is_err());
        assert!(SecretName::parse("A=B").is_err());
    }

    #[test]
    fn an_error_shows_no_control_characters() {
        let error = ProviderName::parse("a\u{1b}[31m\n").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && !error.contains('\n'), "{error:?}");
    }
}
