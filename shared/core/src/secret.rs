//! Secret values: `Debug` is redacted, `Display` and `Serialize` are missing, and dropping one wipes its memory.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// The bytes of a key. Equality is deliberately absent: keys are used, never compared.
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

/// A secret text, such as a token.
///
/// Reading one from a request makes one copy, and that copy is wiped. The JSON parser decodes a text with escape sequences
/// in a buffer of its own first, and frees that buffer unwiped.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes over the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one computation or the one message that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(..)")
    }
}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(TextVisitor)
    }
}

/// The values of the header with which a trusted proxy authenticates its requests. Two during a rotation.
#[derive(Debug, Clone)]
pub struct ProxySecrets(Vec<SecretString>);

impl ProxySecrets {
    const CHARS: std::ops::RangeInclusive<usize> = 32..=64;

    /// Parses one or two values that a space separates, each of 32 to 64 visible ASCII characters. A comma is not allowed:
    /// API Gateway joins the values of a repeated header with it.
    ///
    /// # Errors
    /// The problem, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_valid = |value: &str| {
            Self::CHARS.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() && b != b',')
        };
        let values: Vec<&str> = text.split(' ').collect();
        if values.len() > 2 || !values.iter().all(|value| is_valid(value)) {
            return Err("is not one or two values of 32 to 64 visible ASCII characters without a comma, \
                        separated by a space"
                .to_owned());
        }
        Ok(Self(values.into_iter().map(|value| SecretString::new(value.to_owned())).collect()))
    }

    /// Whether this is one of the values. The time depends on the length alone.
    #[must_use]
    pub fn contain(&self, value: &[u8]) -> bool {
        let is_equal =
            |secret: &SecretString| verify_slices_are_equal(secret.expose().as_bytes(), value).is_ok();
        self.0.iter().fold(false, |found, secret| is_equal(secret) | found)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = SecretString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretString, E> {
        Ok(SecretString::new(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<SecretString, E> {
        Ok(SecretString::new(text))
    }
}

/// A password as the user typed it, of 1 to [`Password::MAX_CHARS`] code points.
///
/// Nothing is trimmed, truncated or folded (NIST SP 800-63B-4 §3.1.1.2). The hasher normalises it to NFC.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// Longest accepted password in Unicode code points.
    pub const MAX_CHARS: usize = 1024;

    /// Takes over a password; `None` when it is empty or longer than [`Password::MAX_CHARS`] code points.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        Self::within_length(SecretString::new(text))
    }

    fn within_length(secret: SecretString) -> Option<Self> {
        let text = secret.expose();
        // A code point has at least one byte: the byte length decides most cases without counting.
        let fits = text.len() <= Self::MAX_CHARS || text.chars().count() <= Self::MAX_CHARS;
        (fits && !text.is_empty()).then_some(Self(secret))
    }

    /// The text, for the hasher alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl<'de> Deserialize<'de> for Password {
    /// As [`SecretString`]; an error for a text of another length.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secret = SecretString::deserialize(deserializer)?;
        Self::within_length(secret).ok_or_else(|| D::Error::custom("a password has 1 to 1024 characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"key".to_vec())), "Secret(..)");
        assert_eq!(format!("{:?}", SecretString::new("token".into())), "SecretString(..)");
        assert_eq!(format!("{:?}", Password::new("hunter2".into())), "Some(Password(..))");
        let proxy = format!("{:?}", ProxySecrets::parse(&"x".repeat(32)));
        assert_eq!(proxy, "Ok(ProxySecrets([SecretString(..)]))");
    }

    #[test]
    fn proxy_secrets_are_one_or_two_long_values() {
        let (a, b) = ("a".repeat(32), "~!".repeat(32));
        let both = ProxySecrets::parse(&format!("{a} {b}")).unwrap();
        assert!(both.contain(a.as_bytes()) && both.contain(b.as_bytes()));
        let one = ProxySecrets::parse(&a).unwrap();
        assert!(one.contain(a.as_bytes()));
        for other in [b.as_str(), "", &a[1..], &format!("{a}a"), &format!("{a},{a}"), &format!("{a} {b}")] {
            assert!(!one.contain(other.as_bytes()), "{other}");
        }
        for bad in [
            " ".to_owned(),
            "a".repeat(31),
            "a".repeat(65),
            format!("{a}  {b}"),
            format!("{a} "),
            format!("{a}\t{b}"),
            format!("{a} {a} {a}"),
            format!("{a},{a}"),
            "ä".repeat(32),
        ] {
            let problem = ProxySecrets::parse(&bad).unwrap_err();
            assert!(!problem.contains(bad.trim()) || bad.trim().is_empty(), "{problem}");
        }
    }

    #[test]
    fn length_counts_code_points() {
        for (text, fits) in [
            (String::new(), false),
            ("🦀".repeat(1024), true),
            ("🦀".repeat(1025), false),
            ("a".repeat(1025), false),
        ] {
            assert_eq!(Password::new(text.clone()).is_some(), fits);
            let read = serde_json::from_value::<Password>(text.clone().into());
            assert_eq!(read.as_ref().ok().map(Password::expose), fits.then_some(text.as_str()));
            // An error reaches logs and clients.
            assert!(fits || !format!("{read:?}").contains(&text) || text.is_empty());
        }
    }
}
