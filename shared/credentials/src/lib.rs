//! Usernames and passwords.
//!
//! Names follow the profile `UsernameCaseMapped` of RFC 8265 §3.3: width-mapped, lower-cased, NFC, and without spaces,
//! controls or compatibility characters. Passwords are normalised to NFC and otherwise hashed as typed, with argon2id
//! (RFC 9106) and a pepper as argon2's secret input, whose id the PHC string carries as `keyid`.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, KeyId, Params, ParamsBuilder, PasswordHasher, Version};
use daypass_core::keys::Peppers;
use daypass_core::{Credentials, Entropy, Password, PasswordCheck, Username};
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Profile;
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes of a new hash: the least that OWASP and ASVS 5.0 (App. C) recommend for argon2id.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Salt and output in bytes (RFC 9106 §4).
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// The most that a stored hash may ask for: 256 MiB and ten passes. More would let one row of the users table take the
/// function down.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 10;

/// Shortest password that may be set, in code points (NIST SP 800-63B-4 §3.1.1.2 for a single factor).
pub const MIN_PASSWORD_CHARS: usize = 15;

/// Why a password cannot be set. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRefused {
    /// Fewer than [`MIN_PASSWORD_CHARS`] code points.
    TooShort,
    /// The same as the user's name, whatever the case.
    EqualsName,
}

impl fmt::Display for PasswordRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "the password is shorter than {MIN_PASSWORD_CHARS} characters"),
            Self::EqualsName => f.write_str("the password is the user's name"),
        }
    }
}

impl std::error::Error for PasswordRefused {}

/// Why no user can have a name. The text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a user name has 1 to {} bytes and no spaces, control characters or look-alike forms (RFC 8265 UsernameCaseMapped)",
            Username::MAX_BYTES
        )
    }
}

impl std::error::Error for NameError {}

/// A hash could not be made: argon2 refused its input, which no password within our limits causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashError(String);

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password cannot be hashed: {}", self.0)
    }
}

impl std::error::Error for HashError {}

/// The one implementation of [`Credentials`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Passwords;

impl Passwords {
    /// With the parameters for new hashes of this build: m = 19,456 KiB, t = 2, p = 1.
    #[must_use]
    pub const fn standard() -> Self {
        Self
    }

    /// Normalises a name.
    ///
    /// # Errors
    /// [`NameError`] when no user can have it.
    pub fn username(&self, typed: &str) -> Result<Username, NameError> {
        let name = UsernameCaseMapped::new().enforce(typed).map_err(|_| NameError)?;
        Username::from_normalised(name.into_owned()).ok_or(NameError)
    }

    /// Whether a new password is good enough for a user.
    ///
    /// # Errors
    /// [`PasswordRefused`] with the reason.
    pub fn accept(&self, password: &Password, username: &Username) -> Result<(), PasswordRefused> {
        if self.username(password.expose()).is_ok_and(|name| name == *username) {
            return Err(PasswordRefused::EqualsName);
        }
        if normalise(password).chars().count() < MIN_PASSWORD_CHARS {
            return Err(PasswordRefused::TooShort);
        }
        Ok(())
    }

    /// A new hash as a PHC string, with a fresh salt and the active pepper.
    ///
    /// # Errors
    /// [`HashError`] when argon2 refuses its input.
    pub fn hash(
        &self,
        password: &Password,
        peppers: &Peppers,
        entropy: &dyn Entropy,
    ) -> Result<String, HashError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let (kid, pepper) = peppers.active();
        let failed = |error: String| HashError(error);
        let params = standard_params(kid).map_err(failed)?;
        let argon2 = Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|error| HashError(error.to_string()))?;
        let hash = argon2
            .hash_password_with_salt(normalise(password).as_bytes(), &salt)
            .map_err(|error| HashError(error.to_string()))?;
        Ok(hash.to_string())
    }

    /// Does the work of checking a password where there is no hash to check: an unknown user takes as long as a known
    /// one.
    fn decoy(&self, password: &Password, peppers: &Peppers) {
        let (kid, pepper) = peppers.active();
        let mut output = [0; OUTPUT_BYTES];
        let hashed = standard_params(kid).ok().and_then(|params| {
            let argon2 =
                Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params).ok()?;
            argon2.hash_password_into(normalise(password).as_bytes(), &[0; SALT_BYTES], &mut output).ok()
        });
        // The result must look needed, or the optimiser could drop the work.
        std::hint::black_box((hashed, output));
    }
}

impl Credentials for Passwords {
    fn username(&self, typed: &str) -> Option<Username> {
        Self::username(self, typed).ok()
    }

    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck {
        let Some(stored) = stored else {
            self.decoy(password, peppers);
            return PasswordCheck::Mismatch;
        };
        let stored = match StoredHash::parse(stored, peppers) {
            Ok(stored) => stored,
            Err(problem) => {
                self.decoy(password, peppers);
                return PasswordCheck::Unusable(problem.to_owned());
            }
        };
        match stored.matches(password) {
            Err(problem) => PasswordCheck::Unusable(problem.to_owned()),
            Ok(false) => PasswordCheck::Mismatch,
            Ok(true) => PasswordCheck::Match { outdated: stored.is_old(peppers) },
        }
    }

    fn refusal(&self, password: &Password, username: &Username) -> Option<&'static str> {
        self.accept(password, username).err().map(|refused| match refused {
            PasswordRefused::TooShort => "The new password is too short.",
            PasswordRefused::EqualsName => "The new password is the user name.",
        })
    }

    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String> {
        self.hash(password, peppers, entropy).ok()
    }
}

/// NFC and nothing else (NIST SP 800-63B-4 §3.1.1.2): no trimming, no case folding.
fn normalise(password: &Password) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfc().collect())
}

fn standard_params(kid: &str) -> Result<Params, String> {
    let mut id = Vec::with_capacity(4);
    for pair in kid.as_bytes().chunks(2) {
        let digits =
            std::str::from_utf8(pair).map_err(|_| "the pepper's id is not hexadecimal".to_owned())?;
        id.push(u8::from_str_radix(digits, 16).map_err(|_| "the pepper's id is not hexadecimal".to_owned())?);
    }
    let mut builder = ParamsBuilder::new();
    builder.m_cost(MEMORY_KIB).t_cost(PASSES).p_cost(LANES).output_len(OUTPUT_BYTES);
    builder.keyid(KeyId::new(&id).map_err(|error| error.to_string())?);
    builder.build().map_err(|error| error.to_string())
}

/// A stored argon2id hash that can be checked.
struct StoredHash<'a> {
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
    pepper_id: String,
    pepper: &'a [u8],
}

impl<'a> StoredHash<'a> {
    fn parse(phc: &str, peppers: &'a Peppers) -> Result<Self, &'static str> {
        let hash = PasswordHash::new(phc).map_err(|_| "the stored hash is not a PHC string")?;
        if hash.algorithm.as_str() != "argon2id" || hash.version.is_some_and(|version| version != 19) {
            return Err("the stored hash is not argon2id version 19");
        }
        let params =
            Params::try_from(&hash).map_err(|_| "the stored hash has parameters that argon2 refuses")?;
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
            return Err("the stored hash asks for more memory or passes than is allowed");
        }
        let pepper_id: String = params.keyid().iter().map(|byte| format!("{byte:02x}")).collect();
        let pepper: &[u8] = if pepper_id.is_empty() {
            &[]
        } else {
            peppers.get(&pepper_id).ok_or("the pepper of the stored hash is not in the key set")?.expose()
        };
        let salt = hash.salt.ok_or("the stored hash has no salt")?.as_ref().to_vec();
        let output = hash.hash.ok_or("the stored hash has no output")?.as_bytes().to_vec();
        Ok(Self { params, salt, output, pepper_id, pepper })
    }

    fn matches(&self, password: &Password) -> Result<bool, &'static str> {
        let refused = |_| "argon2 refuses the parameters of the stored hash";
        let argon2 =
            Argon2::new_with_secret(self.pepper, Algorithm::Argon2id, Version::V0x13, self.params.clone())
                .map_err(refused)?;
        let mut output = vec![0; self.output.len()];
        argon2
            .hash_password_into(normalise(password).as_bytes(), &self.salt, &mut output)
            .map_err(refused)?;
        Ok(constant_time_eq(&output, &self.output))
    }

    fn is_old(&self, peppers: &Peppers) -> bool {
        let (active, _) = peppers.active();
        let current = (MEMORY_KIB, PASSES, LANES);
        self.pepper_id != active
            || (self.params.m_cost(), self.params.t_cost(), self.params.p_cost()) != current
            || self.output.len() != OUTPUT_BYTES
    }
}

/// Equal without telling where the first difference is.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests;
