//! E-mail addresses: the dot-atom form of RFC 5321 §4.1.2 with a domain name, in lower case.

use std::fmt;

/// A normalised e-mail address in ASCII.
///
/// RFC 5321 §2.4 lets a server distinguish `Ada@` from `ada@`. No common provider does, and two users of one mailbox would be
/// worse, so the local part is in lower case too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

/// Why a text is not an e-mail address that Daypass accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// White space anywhere, also at the ends.
    #[error("an e-mail address has no white space")]
    WhiteSpace,
    /// A control character.
    #[error("an e-mail address has no control characters")]
    Control,
    /// A list of addresses.
    #[error("a comma or semicolon separates addresses; give one address")]
    List,
    /// A quoted local part (RFC 5321 §4.1.2).
    #[error("an address with a quoted local part or a backslash is not supported")]
    Quoted,
    /// A comment (RFC 5322 §3.2.2).
    #[error("an address with a comment in parentheses is not supported")]
    Comment,
    /// A display name or angle brackets (RFC 5322 §3.4).
    #[error("give the address alone, without a name and angle brackets")]
    Display,
    /// An IP address as the domain (RFC 5321 §4.1.3).
    #[error("an IP address as the domain is not supported")]
    Literal,
    /// No `@`, or more than one.
    #[error("an e-mail address has exactly one @")]
    At,
    /// A local part that is no dot-atom of 1 to 64 characters.
    #[error(
        "the part before the @ has 1 to 64 ASCII letters, digits and !#$%&'*+-/=?^_`{{|}}~, and single dots between them"
    )]
    Local,
    /// A domain with other letters than ASCII.
    #[error(
        "write the domain in its ASCII form (punycode), such as xn--bcher-kva.example for bücher.example"
    )]
    International,
    /// A domain that is not a host name.
    #[error(
        "the part after the @ is labels of ASCII letters, digits and inner hyphens, at most 63 characters each"
    )]
    Domain,
    /// A domain of one label, such as `localhost`.
    #[error("the domain has at least two labels, such as example.com")]
    NoDot,
    /// Longer than [`EmailAddress::MAX_BYTES`].
    #[error("an e-mail address has at most 254 bytes")]
    TooLong,
}

impl EmailAddress {
    /// Longest address in bytes: a path of RFC 5321 §4.5.3.1.3 without its angle brackets.
    pub const MAX_BYTES: usize = 254;

    /// Parses and normalises an address.
    ///
    /// # Errors
    /// [`AddressError`] with the first fault.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > Self::MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        for character in text.chars() {
            match character {
                c if c.is_whitespace() => return Err(AddressError::WhiteSpace),
                c if c.is_control() => return Err(AddressError::Control),
                ',' | ';' => return Err(AddressError::List),
                '"' | '\\' => return Err(AddressError::Quoted),
                '(' | ')' => return Err(AddressError::Comment),
                '<' | '>' => return Err(AddressError::Display),
                '[' | ']' => return Err(AddressError::Literal),
                _ => {}
            }
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if domain.contains('@') {
            return Err(AddressError::At);
        }
        if local.len() > 64 || !local.split('.').all(is_atom) {
            return Err(AddressError::Local);
        }
        if !domain.is_ascii() {
            return Err(AddressError::International);
        }
        if !domain.split('.').all(is_label) {
            return Err(AddressError::Domain);
        }
        let (_, last) = domain.rsplit_once('.').ok_or(AddressError::NoDot)?;
        // A top-level domain is never numeric (RFC 3696 §2), so this is an IPv4 address.
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::Literal);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An atom of RFC 5322 §3.2.3.
fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
}

/// A label of a host name (RFC 1123 §2.1).
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Result<&str, AddressError>) {
        assert_eq!(EmailAddress::parse(text), expected.map(|text| EmailAddress(text.to_owned())), "{text:?}");
    }

    #[test]
    fn addresses_are_normalised() {
        for (text, normal) in [
            ("ada@example.com", "ada@example.com"),
            ("Ada.Lovelace+Daypass@Example.COM", "ada.lovelace+daypass@example.com"),
            ("o'brien!#$%&*-/=?^_`{|}~@a.b", "o'brien!#$%&*-/=?^_`{|}~@a.b"),
            ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
            ("a@1.2.3.example", "a@1.2.3.example"),
            ("1@2.co", "1@2.co"),
        ] {
            check(text, Ok(normal));
        }
        let local = "l".repeat(64);
        check(&format!("{local}@a.b"), Ok(&format!("{local}@a.b")));
        let label = "d".repeat(63);
        // 64 + 1 + 63 + 1 + 63 + 1 + 61 = 254.
        let longest = format!("{local}@{label}.{label}.{}", "d".repeat(61));
        assert_eq!(longest.len(), EmailAddress::MAX_BYTES);
        check(&longest, Ok(&longest));
        check(&format!("{longest}d"), Err(AddressError::TooLong));
    }

    #[test]
    fn every_fault_has_its_error() {
        use AddressError as E;
        for (text, error) in [
            ("", E::At),
            ("ada", E::At),
            ("ada@b@c.d", E::At),
            (" ada@example.com", E::WhiteSpace),
            ("ada@example.com\n", E::WhiteSpace),
            ("ada\u{a0}@example.com", E::WhiteSpace),
            ("ada\0@example.com", E::Control),
            ("ada\u{85}@example.com", E::WhiteSpace),
            ("ada\u{7f}@example.com", E::Control),
            ("a@b.c,d@e.f", E::List),
            ("a@b.c;d@e.f", E::List),
            ("\"ada\"@example.com", E::Quoted),
            ("ada\\@example.com", E::Quoted),
            ("ada(comment)@example.com", E::Comment),
            ("Ada<ada@example.com>", E::Display),
            ("ada@[192.0.2.1]", E::Literal),
            ("ada@192.0.2.1", E::Literal),
            ("@example.com", E::Local),
            (".ada@example.com", E::Local),
            ("ada.@example.com", E::Local),
            ("a..b@example.com", E::Local),
            ("adä@example.com", E::Local),
            ("a:b@example.com", E::Local),
            ("ada@bücher.example", E::International),
            ("ada@example。com", E::International),
            ("ada@", E::Domain),
            ("ada@.example", E::Domain),
            ("ada@example.com.", E::Domain),
            ("ada@-a.example", E::Domain),
            ("ada@a-.example", E::Domain),
            ("ada@a_b.example", E::Domain),
            ("ada@localhost", E::NoDot),
        ] {
            check(text, Err(error));
        }
        check(&format!("{}@a.b", "l".repeat(65)), Err(E::Local));
        check(&format!("a@{}.b", "d".repeat(64)), Err(E::Domain));
        assert!(E::Local.to_string().contains("`{|}~"), "{}", E::Local);
    }

    proptest! {
        #[test]
        fn a_normalised_address_is_its_own_normal_form(text in "[A-Za-z0-9.+_-]{1,20}@[A-Za-z0-9.-]{1,30}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert_eq!(address.as_str(), text.to_ascii_lowercase());
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address));
            }
        }

        #[test]
        fn any_text_is_an_address_or_an_error(text in ".{0,80}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                // No character can end a header line or a list, or begin another address.
                prop_assert!(address.as_str().bytes().all(|b| b.is_ascii_graphic() && !b",;<>\"()[]\\".contains(&b)));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
            }
        }
    }
}
