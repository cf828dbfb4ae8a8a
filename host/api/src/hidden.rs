//! Text and bytes that are secret while they cross the person's socket: they wipe themselves and do not print.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// A passphrase.
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Reads it; the caller passes it on and keeps no copy.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A secret's value, base64 in JSON, since it may be binary.
pub struct HiddenBytes(Zeroizing<Vec<u8>>);

impl HiddenBytes {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads it; the caller passes it on and keeps no copy.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Hands the bytes on, to be wiped by whoever takes them.
    pub fn take(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl fmt::Debug for HiddenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenBytes")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for HiddenBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for HiddenBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text).map_err(|_| serde::de::Error::custom("the value is not base64"));
        text.zeroize();
        bytes.map(Self::new)
    }
}
