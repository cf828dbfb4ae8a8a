//! Authentication schemes: where on a request a secret goes. Only a manifest holds one; a request names it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{SettingName, SlotName};

/// Text with places for slots and settings: `Bearer {key}`, `{setting:account}`. Braces occur as places only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<TemplatePiece>);

#[derive(Clone, PartialEq, Eq)]
pub enum TemplatePiece {
    Literal(String),
    Setting(SettingName),
    Slot(SlotName),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no template: a place is `{{SLOT}}` or `{{setting:NAME}}`")]
pub struct TemplateError(String);

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let error = || TemplateError(text.chars().filter(|c| !c.is_control()).take(80).collect());
        if text.chars().any(char::is_control) {
            return Err(error());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            if literal.contains('}') {
                return Err(error());
            }
            if !literal.is_empty() {
                pieces.push(TemplatePiece::Literal(literal.to_owned()));
            }
            let (place, after) = after.split_once('}').ok_or_else(error)?;
            pieces.push(match place.strip_prefix("setting:") {
                Some(name) => TemplatePiece::Setting(SettingName::parse(name).map_err(|_| error())?),
                None => TemplatePiece::Slot(SlotName::parse(place).map_err(|_| error())?),
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err(error());
        }
        if !rest.is_empty() {
            pieces.push(TemplatePiece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    pub fn pieces(&self) -> &[TemplatePiece] {
        &self.0
    }

    pub fn slots(&self) -> impl Iterator<Item = &SlotName> {
        self.0.iter().filter_map(|piece| match piece {
            TemplatePiece::Slot(slot) => Some(slot),
            _ => None,
        })
    }

    pub fn settings(&self) -> impl Iterator<Item = &SettingName> {
        self.0.iter().filter_map(|piece| match piece {
            TemplatePiece::Setting(setting) => Some(setting),
            _ => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            TemplatePiece::Literal(text) => f.write_str(text),
            TemplatePiece::Setting(name) => write!(f, "{{setting:{name}}}"),
            TemplatePiece::Slot(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.to_string()
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;
    fn try_from(text: String) -> Result<Self, TemplateError> {
        Template::parse(&text)
    }
}

/// Where a secret goes on a request. These place it as it is; schemes that sign or exchange are still to come, and a
/// manifest that names an unknown type is refused when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scheme {
    /// RFC 7617. Either side may be empty.
    Basic { user: Template, password: Template },
    /// `name: value`, marked sensitive.
    Header { name: String, value: Template },
    /// The login of a connection that is not HTTP: a database's or a machine's. Of what is bound, a key goes before a
    /// password; a certificate goes with its key, and `passphrase` opens a key that is encrypted.
    Login {
        user: Template,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Template>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Template>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<Template>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<Template>,
    },
    /// Put in front of the path as one segment of its own, as Telegram wants its bot token.
    PathPrefix { value: Template },
    /// A query parameter.
    Query { name: String, value: Template },
}

impl Scheme {
    /// What goes onto the wire has these slots in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Scheme::Basic { user, password } => vec![user, password],
            Scheme::Login { user, password, key, passphrase, certificate } => {
                let optional = [password, key, passphrase, certificate];
                [user].into_iter().chain(optional.into_iter().flatten()).collect()
            }
            Scheme::Header { value, .. } | Scheme::PathPrefix { value } | Scheme::Query { value, .. } => vec![value],
        }
    }

    pub fn slots(&self) -> impl Iterator<Item = &SlotName> {
        self.templates().into_iter().flat_map(Template::slots)
    }

    /// The header that this scheme owns, in lower case: neither caller nor provider may set it.
    pub fn header(&self) -> Option<String> {
        match self {
            Scheme::Basic { .. } => Some("authorization".to_owned()),
            Scheme::Header { name, .. } => Some(name.to_ascii_lowercase()),
            Scheme::Login { .. } | Scheme::PathPrefix { .. } | Scheme::Query { .. } => None,
        }
    }

    /// In words, for the person who connects: "header Authorization: Bearer".
    pub fn describe(&self) -> String {
        match self {
            Scheme::Basic { .. } => "HTTP basic authentication".to_owned(),
            Scheme::Header { name, value } => format!("header {name}: {value}"),
            Scheme::Login { .. } => "login".to_owned(),
            Scheme::PathPrefix { .. } => "the first segment of the path".to_owned(),
            Scheme::Query { name, .. } => format!("query parameter {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let template = Template::parse("Bearer {key} {setting:org}").unwrap();
        assert_eq!(template.to_string(), "Bearer {key} {setting:org}");
        assert_eq!(template.slots().count(), 1);
        for bad in ["{", "}", "{}", "{a{b}}", "a}b", "{setting:}", "{A}", "x\n"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Template::parse("").unwrap().pieces().len(), 0);
    }
}
