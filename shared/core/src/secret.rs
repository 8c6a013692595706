//! Values that must not be seen: their `Debug` says nothing, there is no `Display` and no `Serialize`, and the memory
//! is wiped when they go.

use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key. Equality is deliberately absent: keys are used, never compared.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one computation that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A password as the user typed it, within the accepted length.
///
/// Nothing is trimmed, truncated or folded (NIST SP 800-63B-4 §3.1.1.2); NFC normalisation is the hasher's affair.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Longest accepted password in Unicode code points.
    pub const MAX_CHARS: usize = 1024;

    /// Takes over a password; `None` when it is empty or longer than [`Password::MAX_CHARS`] code points.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        // A code point has at most four bytes: the byte length answers for most without counting.
        let fits = text.len() <= Self::MAX_CHARS || text.chars().count() <= Self::MAX_CHARS;
        (fits && !text.is_empty()).then_some(Self(text))
    }

    /// The text, for the hasher alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"key".to_vec())), "Secret(..)");
        assert_eq!(format!("{:?}", Password::new("hunter2".into())), "Some(Password(..))");
    }

    #[test]
    fn length_counts_code_points() {
        assert!(Password::new(String::new()).is_none());
        assert!(Password::new("🦀".repeat(1024)).is_some());
        assert!(Password::new("🦀".repeat(1025)).is_none());
        assert!(Password::new("a".repeat(1025)).is_none());
    }
}
