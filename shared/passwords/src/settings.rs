//! Settings of passwords, parsed once at the process start.

use crate::new::{LEAST_MIN_PASSWORD_CHARS, MIN_PASSWORD_CHARS};
use crate::params::{HashParams, MAX_MILLIS};
use crate::typed::HashKind;
use argon2::Algorithm;
use daypass_core::config;
use std::fmt;

/// Memory in KiB and passes of a new hash, with one lane: `m=19456,t=2`.
pub const ARGON2: &str = config::ARGON2.name;
/// [Kinds](HashKind) of the imported hashes that are still in use, separated by spaces.
pub const IMPORTED_HASHES: &str = config::IMPORTED_HASHES.name;
/// Shortest new password, in characters.
pub const MIN_CHARS: &str = config::MIN_PASSWORD_CHARS.name;

/// The greatest value of [`MIN_CHARS`].
const MOST_MIN_PASSWORD_CHARS: usize = *config::MIN_PASSWORD_CHARS.range.end() as usize;

/// Limit of the kinds of imported hashes. Every login does the work of each.
pub const MAX_IMPORTED_KINDS: usize = 4;
/// Longest value of [`IMPORTED_HASHES`], in bytes.
pub const MAX_IMPORTED_BYTES: usize = 256;

/// Least memory in KiB for one, two, and three or more passes (OWASP Password Storage Cheat Sheet, ASVS 5.0 App. C).
const LEAST_MEMORY: [u32; 3] = [47_104, 19_456, 12_288];

/// Default parameters of new hashes: the least memory that OWASP and ASVS 5.0 recommend for two passes.
pub(crate) const STANDARD: HashParams =
    HashParams::Argon2 { algorithm: Algorithm::Argon2id, memory: 19_456, passes: 2, lanes: 1 };

/// All problems of the settings, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// Settings within their ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) standard: HashParams,
    pub(crate) imported: Vec<HashKind>,
    pub(crate) min_chars: usize,
}

impl Settings {
    pub(crate) const fn standard() -> Self {
        Self { standard: STANDARD, imported: Vec::new(), min_chars: MIN_PASSWORD_CHARS }
    }

    /// Reads the settings. A variable that is unset or empty has its default.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::standard();
        let mut problems = Vec::new();
        let get =
            |name: &str| lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if let Some(text) = get(ARGON2) {
            match argon2(&text) {
                Ok(params) => settings.standard = params,
                Err(problem) => problems.push(format!("{ARGON2}: {problem}")),
            }
        }
        if let Some(text) = get(IMPORTED_HASHES) {
            match imported(&text, settings.standard) {
                Ok(kinds) => settings.imported = kinds,
                Err(problem) => problems.push(format!("{IMPORTED_HASHES}: {problem}")),
            }
        }
        if let Some(text) = get(MIN_CHARS) {
            match text.parse() {
                Ok(chars) if (LEAST_MIN_PASSWORD_CHARS..=MOST_MIN_PASSWORD_CHARS).contains(&chars) => {
                    settings.min_chars = chars;
                }
                Ok(_) | Err(_) => problems.push(format!(
                    "{MIN_CHARS}: not a number from {LEAST_MIN_PASSWORD_CHARS} to {MOST_MIN_PASSWORD_CHARS}"
                )),
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError(problems)) }
    }
}

fn argon2(text: &str) -> Result<HashParams, String> {
    let numbers = text.split_once(',').and_then(|(memory, passes)| {
        Some((memory.strip_prefix("m=")?.parse().ok()?, passes.strip_prefix("t=")?.parse().ok()?))
    });
    let Some((memory, passes)) = numbers else { return Err("not of the form m=19456,t=2".to_owned()) };
    let params = HashParams::Argon2 { algorithm: Algorithm::Argon2id, memory, passes, lanes: 1 };
    params.check().map_err(|why| why.to_string())?;
    let [one, two, more] = LEAST_MEMORY;
    let least = match passes {
        1 => one,
        2 => two,
        _ => more,
    };
    if memory < least {
        return Err(format!(
            "below the recommendation of OWASP and ASVS: m={one},t=1 or m={two},t=2 or m={more},t=3"
        ));
    }
    Ok(params)
}

fn imported(text: &str, standard: HashParams) -> Result<Vec<HashKind>, String> {
    let mut kinds: Vec<HashKind> = Vec::new();
    for word in text.split_whitespace() {
        let kind: HashKind = word.parse().map_err(|error| format!("`{word}` is {error}"))?;
        kind.check().map_err(|why| format!("{word}: {why}"))?;
        // A second decoy of one kind costs time and hides nothing.
        if kind != standard.into() && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.len() > MAX_IMPORTED_KINDS {
        return Err(format!("more than {MAX_IMPORTED_KINDS} kinds: every login does the work of each"));
    }
    let sum: u64 = kinds.iter().map(|kind| kind.millis()).sum();
    if sum > 2 * MAX_MILLIS {
        return Err(format!(
            "every login takes up to about {sum} ms of a processor for these; the limit is {} ms",
            2 * MAX_MILLIS
        ));
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Settings, String> {
        Settings::read(|asked| (asked == name).then(|| value.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_the_standard() {
        for value in ["", "  "] {
            for name in [ARGON2, IMPORTED_HASHES, MIN_CHARS] {
                assert_eq!(read(name, value), Ok(Settings::standard()));
            }
        }
    }

    #[test]
    fn parameters_of_new_hashes_have_a_floor_and_a_ceiling() {
        for good in ["m=19456,t=2", "m=47104,t=1", "m=12288,t=3", "m=65536,t=3"] {
            assert!(read(ARGON2, good).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("m=19455,t=2", "below"),
            ("m=47103,t=1", "below"),
            ("m=12287,t=9", "below"),
            ("m=262145,t=1", "memory"),
            ("m=262144,t=9", "ms of a processor"),
            ("m=19456,t=0", "no such parameters"),
            ("t=2,m=19456", "form"),
            ("m=19456", "form"),
            ("m=19456,t=2,p=1", "form"),
            ("m=99999999999,t=2", "form"),
        ] {
            let error = read(ARGON2, bad).unwrap_err();
            assert!(error.starts_with("DAYPASS_ARGON2: ") && error.contains(problem), "{bad}: {error}");
        }
    }

    #[test]
    fn imported_kinds_are_few_and_affordable() {
        let text = "bcrypt,c=10 scrypt,ln=14,r=8,p=1  bcrypt,c=10 argon2id,m=19456,t=2,p=1";
        let kinds = read(IMPORTED_HASHES, text).unwrap().imported;
        assert_eq!(
            kinds.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["bcrypt,c=10", "scrypt,ln=14,r=8,p=1"]
        );
        for (bad, problem) in [
            ("bcrypt", "form"),
            ("bcrypt,c=10,", "form"),
            ("bcrypt,c=+10", "form"),
            ("bcrypt,c=010", "form"),
            ("bcrypt,c=3", "no such parameters"),
            ("bcrypt,c=20", "ms of a processor"),
            ("scrypt,ln=20,r=8,p=1", "memory"),
            ("scrypt,ln=300,r=8,p=1", "form"),
            ("bcrypt,c=13 bcrypt,c=14 bcrypt,c=12 scrypt,ln=17,r=8,p=2", "every login"),
            ("bcrypt,c=4 bcrypt,c=5 bcrypt,c=6 bcrypt,c=7 bcrypt,c=8", "more than 4"),
            ("md5", "form"),
        ] {
            let error = read(IMPORTED_HASHES, bad).unwrap_err();
            assert!(
                error.starts_with("DAYPASS_IMPORTED_HASHES: ") && error.contains(problem),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn short_passwords_have_a_floor() {
        assert_eq!(read(MIN_CHARS, "8").unwrap().min_chars, 8);
        for bad in ["7", "65", "-1", "ten"] {
            assert!(read(MIN_CHARS, bad).is_err(), "{bad}");
        }
    }
}
