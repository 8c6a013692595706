//! Rules of new usernames and new passwords. A login only normalises a name, and accepts any password.

use crate::stored::normalise;
use daypass_core::config;
use daypass_core::secret::Password;
use daypass_verifier::base::ids::Username;
use std::fmt;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Default minimum length of a new password, in code points (NIST SP 800-63B-4 §3.1.1.2 for a single factor).
pub const MIN_PASSWORD_CHARS: usize = config::MIN_PASSWORD_CHARS.default as usize;

/// Least configurable minimum, in code points (the same section, with a second factor).
pub const LEAST_MIN_PASSWORD_CHARS: usize = *config::MIN_PASSWORD_CHARS.range.start() as usize;

/// Why a new password is rejected. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRefused {
    /// Fewer code points than this minimum.
    TooShort(usize),
    /// The username, case-insensitive, also repeated or with a simple run around it.
    EqualsName,
    /// A common password, case-insensitive, also repeated or with a simple run around it.
    Common,
    /// Mostly repetitions and runs such as `aaaa` or `1234`.
    TooSimple,
    /// Code points that Unicode has not assigned (UAX #15 §12). A later version of NFC may change them.
    Unassigned,
}

impl fmt::Display for PasswordRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(least) => write!(f, "the password is shorter than {least} characters"),
            Self::EqualsName => f.write_str("the password is the user's name"),
            Self::Common => f.write_str("the password is one of the most common ones"),
            Self::TooSimple => f.write_str("the password is mostly repetitions and runs of characters"),
            Self::Unassigned => {
                f.write_str("the password contains code points that Unicode has not assigned")
            }
        }
    }
}

impl std::error::Error for PasswordRefused {}

/// Why a new username is rejected. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRefused {
    /// Outside the profile: a login with it is impossible.
    Profile,
    /// Invisible characters, or a leading combining mark.
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

/// Checks a normalised name of a new user.
pub(crate) fn accept_name(name: &Username) -> Result<(), NameRefused> {
    // The joiners, which the profile permits between some letters.
    if name.as_str().contains(['\u{200c}', '\u{200d}']) || name.as_str().starts_with(is_combining_mark) {
        return Err(NameRefused::Invisible);
    }
    // Letters, digits and marks. Punctuation belongs to every script. UTS #39 §3.3 judges the two parts of an email address
    // each for itself.
    let of_one_script = |part: &str| {
        let letters: String = part.chars().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).collect();
        letters.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive)
    };
    let (local, domain) = name.as_str().rsplit_once('@').unwrap_or((name.as_str(), ""));
    if of_one_script(local) && of_one_script(domain) { Ok(()) } else { Err(NameRefused::MixedScripts) }
}

/// Checks a new password, and whether it is that name if there is one. `as_name` is the password as a normalised name.
pub(crate) fn accept_password(
    password: &Password,
    username: Option<&Username>,
    as_name: Option<&Username>,
    least: usize,
) -> Result<(), PasswordRefused> {
    if as_name.is_some() && as_name == username {
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
    // Complete, without runs, and one repetition: a common password can itself end in a run.
    for candidate in [&folded[..], core, period_of(&folded)].map(same) {
        if username.is_some_and(|name| candidate == name.as_str()) {
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

/// Least length of a run: `aaaa`, `1234`, `dcba`.
const RUN: usize = 4;

/// Reduces repetitions to one and removes runs at both ends, until nothing changes.
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

/// Shortest period of a text that repeats at least once; the last repetition may be incomplete.
fn period_of(text: &[char]) -> &[char] {
    let repeats = |length: &usize| text.iter().zip(text.iter().skip(*length)).all(|(a, b)| a == b);
    let period = (1..=text.len() / 2).find(repeats).unwrap_or(text.len());
    text.get(..period).unwrap_or(text)
}

/// Length of the run at the start: each character equals the previous one, or is the next, or is the one before. 0
/// without a run.
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

/// Sorted by bytes, one per line, in lower case. data/README.md describes the source.
const COMMON: &str = include_str!("../data/common-passwords.txt");

/// Whether the list contains the word.
fn is_common(word: &str) -> bool {
    let (mut from, mut to) = (0, COMMON.len());
    while from < to {
        let middle = from + (to - from) / 2;
        // The line around the middle. The list is ASCII, so every index is a character boundary.
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
