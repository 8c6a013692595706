//! Changes that a system made to a typed password before it hashed the password.

use crate::params::{HashParams, InvalidHashParams, TooExpensive};
use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest as _, Md5};
use std::fmt;
use std::str::FromStr;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Bytes of a password in the form that a system hashed.
pub(crate) type Input = Zeroizing<Vec<u8>>;

/// Change of a typed password before its hash. A stored hash names it: `typed=slashed$P$…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Typed {
    /// None.
    AsIs,
    /// Without PHP's white space at both ends (Drupal).
    Trimmed,
    /// Trimmed, and with a backslash before quotes, backslashes and NUL (PHP's `addslashes`). WordPress does this in its
    /// forms, but not in its command and its REST API, so the password without backslashes counts too.
    Slashed,
    /// Trimmed, in NFC, and with `&`, `<`, `>` and `"` as HTML entities (phpBB). Other users of its hash form escape nothing,
    /// so the typed password counts too.
    Html,
    /// UTF-16, little endian.
    Utf16Le,
    /// The low byte of each UTF-16 code unit, as Node.js encodes `latin1`.
    Latin1,
    /// Hexadecimal MD5 of the trimmed password (Drupal's hashes of an older version's hashes).
    Md5,
    /// Base64 of the SHA-512 of a password that is longer than 72 bytes or has a NUL, and other passwords as they are (Symfony).
    Sha512,
}

impl Typed {
    const NAMED: [Self; 7] =
        [Self::Trimmed, Self::Slashed, Self::Html, Self::Utf16Le, Self::Latin1, Self::Md5, Self::Sha512];

    /// Name in stored hashes. Empty for [`Typed::AsIs`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsIs => "",
            Self::Trimmed => "trimmed",
            Self::Slashed => "slashed",
            Self::Html => "html",
            Self::Utf16Le => "utf16le",
            Self::Latin1 => "latin1",
            Self::Md5 => "md5",
            Self::Sha512 => "sha512",
        }
    }

    /// The change of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|typed| typed.name() == name)
    }

    /// Splits the change from a stored hash. `None` for a change of unknown name.
    pub(crate) fn split(stored: &str) -> Option<(Self, &str)> {
        let Some(rest) = stored.strip_prefix("typed=") else { return Some((Self::AsIs, stored)) };
        let name = rest.split('$').next().unwrap_or_default();
        let typed = Self::named(name)?;
        Some((typed, rest.get(name.len()..).unwrap_or_default()))
    }

    /// Writes the change in front of a hash without one.
    #[must_use]
    pub fn stored(self, hash: &str) -> String {
        if self == Self::AsIs { hash.to_owned() } else { format!("typed={}{hash}", self.name()) }
    }

    /// Whether some passwords have two forms, because the system is ambiguous.
    pub(crate) const fn is_ambiguous(self) -> bool {
        matches!(self, Self::Slashed | Self::Html)
    }

    /// The forms of a password that the system may have hashed, each once. Their number depends on the password alone.
    pub(crate) fn inputs(self, password: &str) -> (Input, Option<Input>) {
        let two = |first: String, second: &str| {
            let first = Zeroizing::new(first.into_bytes());
            let second = (first.as_slice() != second.as_bytes()).then(|| bytes(second));
            (first, second)
        };
        match self {
            Self::AsIs => (bytes(password), None),
            Self::Trimmed => (bytes(trim(password)), None),
            Self::Slashed => two(slash(trim(password)), trim(password)),
            Self::Html => {
                let trimmed: Zeroizing<String> = Zeroizing::new(trim(password).nfc().collect());
                two(escape(&trimmed), password)
            }
            Self::Utf16Le => {
                (Zeroizing::new(password.encode_utf16().flat_map(u16::to_le_bytes).collect()), None)
            }
            Self::Latin1 => {
                let low = password.encode_utf16().map(u16::to_le_bytes).map(|[low, _]| low);
                (Zeroizing::new(low.collect()), None)
            }
            Self::Md5 => {
                let hash: [u8; 16] = Md5::digest(trim(password)).into();
                (Zeroizing::new(HEXLOWER.encode(&hash).into_bytes()), None)
            }
            Self::Sha512 if password.len() > 72 || password.contains('\0') => {
                let hash = digest::digest(&digest::SHA512, password.as_bytes());
                (Zeroizing::new(BASE64.encode(hash.as_ref()).into_bytes()), None)
            }
            Self::Sha512 => (bytes(password), None),
        }
    }
}

fn bytes(text: &str) -> Input {
    Zeroizing::new(text.as_bytes().to_vec())
}

/// PHP's `trim`.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\0', '\u{b}'])
}

/// PHP's `addslashes`.
fn slash(text: &str) -> String {
    let mut slashed = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match c {
            '\0' => slashed.push_str("\\0"),
            '\'' | '"' | '\\' => slashed.extend(['\\', c]),
            c => slashed.push(c),
        }
    }
    slashed
}

/// PHP's `htmlspecialchars` with `ENT_COMPAT`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(6 * text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Kind of a hash: its parameters, and the change of the password if it changes the work. The checks of two hashes of one kind
/// take equal time for one password. Its text form, such as `bcrypt,c=10` or `phpass,ln=13,slashed`, is that of
/// `DAYPASS_IMPORTED_HASHES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashKind {
    /// Algorithm and cost parameters.
    pub params: HashParams,
    /// [`Typed::AsIs`], or a change that gives some passwords two forms, or another length to a hash whose time depends on it.
    typed: Typed,
}

impl From<HashParams> for HashKind {
    fn from(params: HashParams) -> Self {
        Self { params, typed: Typed::AsIs }
    }
}

impl HashKind {
    pub(crate) fn new(params: HashParams, typed: Typed) -> Self {
        let changes_work = typed.is_ambiguous() || params.takes_time_by_length();
        Self { params, typed: if changes_work { typed } else { Typed::AsIs } }
    }

    /// Checks that a function can afford a check of such a hash.
    ///
    /// # Errors
    /// [`TooExpensive`] over a limit, or if the algorithm has no such parameters.
    pub fn check(self) -> Result<(), TooExpensive> {
        self.params.check()?;
        TooExpensive::of_time(self.millis())
    }

    /// Estimated time of one check, in milliseconds: that of [`HashParams::millis`] for each form of the longest password.
    #[must_use]
    pub fn millis(self) -> u64 {
        let longest = match self.typed {
            // Normalisation (NFC) triples the longest password, and the second form is the password as it was typed.
            Typed::Html if self.params.takes_time_by_length() => 4,
            Typed::Html | Typed::Slashed => 2,
            _ => 1,
        };
        self.params.millis().saturating_mul(longest)
    }

    /// Does the work of one check and discards the result.
    pub fn work(self, password: &str) {
        let (first, second) = self.typed.inputs(password);
        self.params.work(&first);
        if let Some(second) = second {
            self.params.work(&second);
        }
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.params.fmt(f)?;
        if self.typed == Typed::AsIs { Ok(()) } else { write!(f, ",{}", self.typed.name()) }
    }
}

impl FromStr for HashKind {
    type Err = InvalidHashParams;

    fn from_str(text: &str) -> Result<Self, InvalidHashParams> {
        for typed in Typed::NAMED {
            if let Some(params) = text.strip_suffix(typed.name()).and_then(|text| text.strip_suffix(',')) {
                let kind = Self::new(params.parse()?, typed);
                // A change without influence on the work is not part of a kind, so each kind has one text form.
                return if kind.typed == typed { Ok(kind) } else { Err(InvalidHashParams) };
            }
        }
        text.parse().map(|params: HashParams| params.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each expected form is the output of the named PHP or Node.js function.
    #[test]
    fn forms_of_a_password() {
        let inputs = |typed: Typed, password: &str| {
            let (first, second) = typed.inputs(password);
            (first.to_vec(), second.map(|second| second.to_vec()))
        };
        let one = |bytes: &[u8]| (bytes.to_vec(), None);
        let two = |first: &str, second: &str| (first.as_bytes().to_vec(), Some(second.as_bytes().to_vec()));
        for (typed, password, expected) in [
            (Typed::AsIs, " a'\" ", one(b" a'\" ")),
            (Typed::Trimmed, " \t\u{b}\0a b\r\n", one(b"a b")),
            (Typed::Trimmed, "\u{a0}a", one("\u{a0}a".as_bytes())),
            (Typed::Slashed, " plain ", one(b"plain")),
            (Typed::Slashed, r#" o'neil\ "x" "#, two(r#"o\'neil\\ \"x\""#, r#"o'neil\ "x""#)),
            (Typed::Slashed, "a\0b", two("a\\0b", "a\0b")),
            (Typed::Html, "plain'", one(b"plain'")),
            (Typed::Html, "<a&\">", two("&lt;a&amp;&quot;&gt;", "<a&\">")),
            (Typed::Html, "e\u{301}", two("\u{e9}", "e\u{301}")),
            (Typed::Html, " a", two("a", " a")),
            (Typed::Utf16Le, "a\u{e9}\u{1f980}", one(&[0x61, 0, 0xe9, 0, 0x3e, 0xd8, 0x80, 0xdd])),
            (Typed::Latin1, "a\u{e9}\u{20ac}", one(&[0x61, 0xe9, 0xac])),
            (Typed::Md5, " password ", one(b"5f4dcc3b5aa765d61d8327deb882cf99")),
            (Typed::Sha512, &"a".repeat(72), one("a".repeat(72).as_bytes())),
        ] {
            assert_eq!(inputs(typed, password), expected, "{typed:?} {password:?}");
        }
        let (long, second) = Typed::Sha512.inputs(&"a".repeat(73));
        assert_eq!((long.len(), second), (88, None));
    }

    #[test]
    fn kinds_have_one_text_form() {
        for text in [
            "bcrypt,c=10",
            "bcrypt,c=10,slashed",
            "phpass,ln=11,html",
            "drupal,ln=15,trimmed",
            "sha512-crypt,r=5000",
        ] {
            assert_eq!(text.parse::<HashKind>().map(|kind| kind.to_string()).as_deref(), Ok(text));
        }
        for bad in
            ["bcrypt,c=10,trimmed", "bcrypt,c=10slashed", "slashed", "bcrypt,c=10,slashed,html", ",html"]
        {
            assert!(bad.parse::<HashKind>().is_err(), "{bad}");
        }
        // All blocks of an output, as an earlier version counted them, are one block now.
        let old: HashKind = "pbkdf2-sha1,i=1000,b=4".parse().unwrap();
        assert_eq!(old.to_string(), "pbkdf2-sha1,i=1000,b=1");
        let twice: HashKind = "bcrypt,c=13,html".parse().unwrap();
        assert_eq!(twice.check(), Ok(()));
        let twice: HashKind = "bcrypt,c=14,html".parse().unwrap();
        assert_eq!(twice.check(), Err(TooExpensive::Time(1968)));
    }
}
