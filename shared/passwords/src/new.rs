//! What a new name and a new password must be. A login asks less: it normalises a name, and takes any password.

use crate::stored::normalise;
use daypass_core::config;
use daypass_core::secret::Password;
use daypass_verifier::base::ids::Username;
use std::fmt;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Shortest password that may be set unless configured otherwise, in code points (NIST SP 800-63B-4 §3.1.1.2 for a
/// single factor).
pub const MIN_PASSWORD_CHARS: usize = config::MIN_PASSWORD_CHARS.default as usize;

/// The least that [`MIN_PASSWORD_CHARS`] can be configured down to (the same section, where there is a second factor).
pub const LEAST_MIN_PASSWORD_CHARS: usize = *config::MIN_PASSWORD_CHARS.range.start() as usize;

/// Why a password cannot be set. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRefused {
    /// Fewer code points than this.
    TooShort(usize),
    /// The same as the user's name, whatever the case, or that repeated or with a simple run around it.
    EqualsName,
    /// One of the most common ones, whatever the case, or one repeated or with a simple run around it.
    Common,
    /// Little but repetitions and runs such as `aaaa` or `1234`.
    TooSimple,
    /// Code points that Unicode has not assigned (UAX #15 §12): NFC may change what they are one day.
    Unassigned,
}

impl fmt::Display for PasswordRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(least) => write!(f, "the password is shorter than {least} characters"),
            Self::EqualsName => f.write_str("the password is the user's name"),
            Self::Common => f.write_str("the password is one of the most common ones"),
            Self::TooSimple => f.write_str("the password is little but repetitions and runs of characters"),
            Self::Unassigned => f.write_str("the password holds code points that Unicode has not assigned"),
        }
    }
}

impl std::error::Error for PasswordRefused {}

/// Why no new user can have a name. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRefused {
    /// Not of the profile: nobody could log in with it.
    Profile,
    /// Invisible characters, or a mark that belongs to no letter.
    Invisible,
    /// Letters of several scripts, which can look like another name.
    MixedScripts,
}

impl fmt::Display for NameRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile => write!(f, "{}", crate::NameError),
            Self::Invisible => f.write_str("a new user name has no invisible characters, and starts with no accent"),
            Self::MixedScripts => f.write_str(
                "a new user name has no letters of several scripts, which can look like another name (UTS #39, Highly \
                 Restrictive)",
            ),
        }
    }
}

impl std::error::Error for NameRefused {}

/// Whether a normalised name may be given to a new user.
pub(crate) fn accept_name(name: &Username) -> Result<(), NameRefused> {
    // The two that the profile lets through in some places: joiners of neighbouring letters.
    if name.as_str().contains(['\u{200c}', '\u{200d}']) || name.as_str().starts_with(is_combining_mark) {
        return Err(NameRefused::Invisible);
    }
    // Letters, digits and marks: punctuation such as the @ of an address belongs to every script.
    let letters: String =
        name.as_str().chars().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).collect();
    if letters.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive) {
        Ok(())
    } else {
        Err(NameRefused::MixedScripts)
    }
}

/// Whether a password may be set; `as_name` is what it would be as a name.
pub(crate) fn accept_password(
    password: &Password,
    username: &Username,
    as_name: Option<&Username>,
    least: usize,
) -> Result<(), PasswordRefused> {
    if as_name == Some(username) {
        return Err(PasswordRefused::EqualsName);
    }
    let text = normalise(password);
    if text.chars().count() < least {
        return Err(PasswordRefused::TooShort(least));
    }
    if text.chars().any(|c| c.script() == Script::Unknown) {
        return Err(PasswordRefused::Unassigned);
    }
    let folded: Vec<char> = text.to_lowercase().chars().collect();
    let core = core_of(&folded);
    let same = |core: &[char]| core.iter().collect::<String>();
    // With and without what is cut off: a listed one may end in a run itself.
    for candidate in [&folded[..], core, period_of(&folded)].map(same) {
        if candidate == username.as_str() {
            return Err(PasswordRefused::EqualsName);
        }
        if is_common(&candidate) {
            return Err(PasswordRefused::Common);
        }
    }
    if core.len() < LEAST_MIN_PASSWORD_CHARS {
        return Err(PasswordRefused::TooSimple);
    }
    Ok(())
}

/// Fewest characters that make a run: `aaaa`, `1234`, `dcba`.
const RUN: usize = 4;

/// What is left when repetitions are counted once and runs at either end are cut off, as often as that changes anything.
fn core_of(text: &[char]) -> &[char] {
    let mut core = text;
    loop {
        let before = core.len();
        core = period_of(core);
        let end = run_at_end(core.iter().rev().copied());
        core = core.get(..core.len() - end).unwrap_or_default();
        let start = run_at_end(core.iter().copied());
        core = core.get(start..).unwrap_or_default();
        if core.len() == before {
            return core;
        }
    }
}

/// The shortest piece that the whole repeats at least once, the last time perhaps not to its end.
fn period_of(text: &[char]) -> &[char] {
    let repeats = |length: &usize| text.iter().zip(text.iter().skip(*length)).all(|(a, b)| a == b);
    let period = (1..=text.len() / 2).find(repeats).unwrap_or(text.len());
    text.get(..period).unwrap_or(text)
}

/// How many characters from the start on are one run: each the same as the one before, or each the next, or each the one
/// before it. 0 when that is no run.
fn run_at_end(text: impl Iterator<Item = char>) -> usize {
    let codes: Vec<i64> = text.map(|c| i64::from(u32::from(c))).collect();
    let [first, second, ..] = codes.as_slice() else { return 0 };
    let step = second - first;
    if !(-1..=1).contains(&step) {
        return 0;
    }
    let length = 1 + codes.windows(2).take_while(|pair| matches!(pair, [a, b] if b - a == step)).count();
    if length >= RUN { length } else { 0 }
}

/// Sorted by bytes, one a line, in lower case; data/README.md says where it comes from.
const COMMON: &str = include_str!("../data/common-passwords.txt");

/// Whether the list has it.
fn is_common(word: &str) -> bool {
    let (mut from, mut to) = (0, COMMON.len());
    while from < to {
        let middle = from + (to - from) / 2;
        // The line around the middle: ASCII, so every index is the start of a character.
        let start = COMMON.get(..middle).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let line = COMMON.get(start..).unwrap_or_default().split('\n').next().unwrap_or_default();
        match line.as_bytes().cmp(word.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = start + line.len() + 1,
            std::cmp::Ordering::Greater => to = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_every_line_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() > 10_000, "{}", lines.len());
        assert!(lines.is_sorted());
        for line in &lines {
            assert!(line.len() >= LEAST_MIN_PASSWORD_CHARS && *line == line.to_lowercase(), "{line}");
            assert!(is_common(line), "{line}");
        }
        for absent in ["", "\n", "zzzzzzzzzzzzzzzzzzzzz", "!", "password\n", "baseball\nbaseball1"] {
            assert!(!is_common(absent), "{absent:?}");
        }
    }

    #[test]
    fn what_is_left_without_repetitions_and_runs() {
        let core = |text: &str| core_of(&text.chars().collect::<Vec<_>>()).iter().collect::<String>();
        for (text, left) in [
            ("correct horse battery", "correct horse battery"),
            ("aaaaaaaaaaaaaaa", "a"),
            ("abcabcabcabcabc", "abc"),
            ("password1password1", "password1"),
            ("passwordpasswordpassw", "password"),
            ("12345678901234567890", "0"),
            ("abcdefghijklmnopq", ""),
            ("zyxwvutsrqponmlk", ""),
            ("dragonfly12345678", "dragonfly"),
            ("!!!!!!!dragonfly", "dragonfly"),
            ("dragonfly123", "dragonfly123"),
            ("", ""),
            ("a", "a"),
        ] {
            assert_eq!(core(text), left, "{text}");
        }
    }
}
