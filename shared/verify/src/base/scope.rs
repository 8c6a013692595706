//! Scopes (RFC 6749 §3.3): a set of case-sensitive words.

use std::collections::BTreeSet;
use std::fmt;

/// A set of scope words. Order and repetition have no meaning, so the text form is sorted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Scope(BTreeSet<String>);

/// The reason why a text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeError {
    /// A word holds a character outside `%x21 / %x23-5B / %x5D-7E`, or words are not separated by single spaces.
    Malformed,
    /// Longer than [`Scope::MAX_BYTES`] or more than [`Scope::MAX_WORDS`] words.
    TooLong,
}

impl Scope {
    /// Longest text form, in bytes. With it, a session item stays below 1 KB.
    pub const MAX_BYTES: usize = 256;
    /// Prefixes of words that no user and no client can have: Daypass itself defines those of the first, and a route table
    /// names claims by the second.
    pub const RESERVED: [&str; 2] = ["daypass:", "claim:"];
    /// Requests the right to the account endpoints. It is no word of a granted scope: the right is a claim of its own.
    pub const ACCOUNT: &str = "daypass:account";
    /// Most words. Each adds three bytes to the stored item, and a clause to a condition.
    pub const MAX_WORDS: usize = 32;

    /// Parses a space-delimited scope. The empty text is the empty scope.
    ///
    /// # Errors
    /// [`ScopeError`] when the text is not a scope of RFC 6749 §3.3, or over the limits.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ScopeError::TooLong);
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let words: BTreeSet<String> = text.split(' ').map(str::to_owned).collect();
        if words.len() > Self::MAX_WORDS {
            return Err(ScopeError::TooLong);
        }
        let legal = |word: &String| {
            !word.is_empty() && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        if words.iter().all(legal) { Ok(Self(words)) } else { Err(ScopeError::Malformed) }
    }

    /// Whether every word of `self` is in `granted`.
    #[must_use]
    pub fn is_within(&self, granted: &Self) -> bool {
        self.0.is_subset(&granted.0)
    }

    /// The words that are in both scopes.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Whether a word has a prefix of [`Scope::RESERVED`].
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.iter().any(|word| Self::RESERVED.iter().any(|prefix| word.starts_with(prefix)))
    }

    /// Removes a word. Returns whether it was there.
    pub fn remove(&mut self, word: &str) -> bool {
        self.0.remove(word)
    }

    /// The words, sorted.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether the scope has no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl serde::Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, ScopeError>) {
        assert_eq!(Scope::parse(text).map(|s| s.to_string()), expected.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn table() {
        check("", Ok(""));
        check("b a", Ok("a b"));
        check("a a", Ok("a"));
        check("orders:read https://x/y", Ok("https://x/y orders:read"));
        check("a  b", Err(ScopeError::Malformed));
        check(" a", Err(ScopeError::Malformed));
        check("a\tb", Err(ScopeError::Malformed));
        check("a\"b", Err(ScopeError::Malformed));
        check("a\\b", Err(ScopeError::Malformed));
        check("é", Err(ScopeError::Malformed));
        check(&"a".repeat(257), Err(ScopeError::TooLong));
        let many: Vec<String> = (0..33).map(|n| format!("s{n}")).collect();
        check(&many.join(" "), Err(ScopeError::TooLong));
    }

    #[test]
    fn narrowing() {
        let granted = Scope::parse("a b c").unwrap();
        assert!(Scope::parse("a c").unwrap().is_within(&granted));
        assert!(Scope::default().is_within(&granted));
        assert!(!Scope::parse("a d").unwrap().is_within(&granted));
        assert!(!Scope::parse("A").unwrap().is_within(&granted), "scopes are case-sensitive");
    }
}
