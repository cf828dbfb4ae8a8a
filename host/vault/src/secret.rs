use std::fmt;

use zeroize::Zeroizing;

/// The bytes of one secret. They are wiped when dropped, and there is no way to clone, compare, print or serialise them.
///
/// ```compile_fail
/// let value = kv_vault::SecretValue::new(b"x".to_vec());
/// let copy = value.clone();
/// ```
/// ```compile_fail
/// let value = kv_vault::SecretValue::new(b"x".to_vec());
/// println!("{value}");
/// ```
/// ```compile_fail
/// let value = kv_vault::SecretValue::new(b"x".to_vec());
/// assert!(value == value);
/// ```
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the buffer over. A buffer that grew while it was filled has left copies behind: fill one of the right capacity.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn from_wiping(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value itself. Clippy forbids this call; each legal place expects that lint and says why it reads.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}
