//! Ids that look like the services' own.
//!
//! They are counted, not random: a test that runs twice sees the same ids. They are unique within one fake.

pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids(seed)
    }

    /// `prefix` and `length` letters and digits.
    pub(crate) fn letters(&mut self, prefix: &str, length: usize) -> String {
        self.from(prefix, length, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    }

    /// `prefix` and `length` hexadecimal digits.
    pub(crate) fn hex(&mut self, prefix: &str, length: usize) -> String {
        self.from(prefix, length, b"0123456789abcdef")
    }

    fn from(&mut self, prefix: &str, length: usize, alphabet: &[u8]) -> String {
        self.0 = self.0.wrapping_add(1);
        let mut state = self.0;
        let mut out = String::with_capacity(prefix.len() + length);
        out.push_str(prefix);
        for _ in 0..length {
            state = mixed(state);
            out.push(char::from(alphabet[(state % alphabet.len() as u64) as usize]));
        }
        out
    }
}

/// splitmix64: spreads a counter over all bits.
pub(crate) fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
