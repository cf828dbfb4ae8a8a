//! Bodies of several parts, as uploads are.

/// A `multipart/form-data` body. The host encodes it and chooses the boundary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Multipart(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    pub name: String,
    pub filename: Option<String>,
    pub content: PartContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PartContent {
    /// The name of one of the call's attachments.
    Attachment(String),
    Bytes {
        media_type: String,
        data: Vec<u8>,
    },
    Text(String),
}

impl Multipart {
    pub fn new() -> Self {
        Self::default()
    }

    /// A plain field.
    #[must_use]
    pub fn text(self, name: impl Into<String>, value: impl ToString) -> Self {
        self.part(Part { name: name.into(), filename: None, content: PartContent::Text(value.to_string()) })
    }

    /// A plain field, where there is a value.
    #[must_use]
    pub fn text_some(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// A file whose bytes are the call's attachment of the name.
    #[must_use]
    pub fn attachment(
        self,
        name: impl Into<String>,
        filename: impl Into<String>,
        attachment: impl Into<String>,
    ) -> Self {
        let content = PartContent::Attachment(attachment.into());
        self.part(Part { name: name.into(), filename: Some(filename.into()), content })
    }

    /// A file whose bytes the provider has.
    #[must_use]
    pub fn bytes(
        self,
        name: impl Into<String>,
        filename: impl Into<String>,
        media_type: impl Into<String>,
        data: Vec<u8>,
    ) -> Self {
        let content = PartContent::Bytes { media_type: media_type.into(), data };
        self.part(Part { name: name.into(), filename: Some(filename.into()), content })
    }

    #[must_use]
    pub fn part(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }

    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.0
    }
}
