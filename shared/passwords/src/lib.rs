//! Usernames and passwords.
//!
//! Names follow the profile `UsernameCaseMapped` of RFC 8265 §3.3: width-mapped, lower-cased, NFC, without spaces, controls
//! or compatibility characters. A new name also has letters of one script and no invisible characters.
//!
//! Passwords are normalised to NFC and hashed with argon2id (RFC 9106). The pepper is argon2's secret input, and the PHC
//! string carries its id as `keyid`. The profile `OpaqueString` of RFC 8265 is not used. It maps spaces and rejects code
//! points that an older Unicode table lacks, which would lock users out. NIST SP 800-63B-4 takes passwords as typed.
//!
//! [`StoredHash`] checks imported hashes too, and a login replaces them. [`Passwords::check`](PasswordHasher::check) equalises
//! the time of both.

mod new;
mod params;
mod settings;
mod stored;
mod typed;

pub use new::{LEAST_MIN_PASSWORD_CHARS, MIN_PASSWORD_CHARS, NameRefused, PasswordRefused};
pub use params::{
    Digest, HashParams, InvalidHashParams, MAX_MEMORY_KIB, MAX_MILLIS, ShaCryptDigest, TooExpensive,
};
pub use settings::{
    ARGON2, IMPORTED_HASHES, MAX_IMPORTED_BYTES, MAX_IMPORTED_KINDS, MIN_CHARS, SettingsError,
};
pub use stored::{HashRefused, StoredHash};
pub use typed::{HashKind, Typed};

use argon2::{Algorithm, Argon2, KeyId, Params, ParamsBuilder, PasswordHasher as _, Version};
use daypass_core::keys::Peppers;
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::ports::migration::MARKER;
use daypass_core::secret::Password;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::Username;
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Profile;
use settings::Settings;
use std::fmt;
use stored::{Checked, normalise};

/// Length of the salt, in bytes (RFC 9106 §4).
const SALT_BYTES: usize = 16;
/// Length of the output, in bytes (RFC 9106 §4).
const OUTPUT_BYTES: usize = 32;

/// A name is not a valid username. The text is for the person who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a user name has 1 to {} bytes, no spaces, control characters or look-alike forms (RFC 8265 UsernameCaseMapped), and does not begin with {}",
            Username::MAX_BYTES,
            Username::RESERVED_PREFIX
        )
    }
}

impl std::error::Error for NameError {}

/// argon2 rejected its input. No password within the limits causes this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashError(String);

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password cannot be hashed: {}", self.0)
    }
}

impl std::error::Error for HashError {}

/// The implementation of [`PasswordHasher`].
#[derive(Debug, Clone)]
pub struct Passwords(Settings);

impl Default for Passwords {
    fn default() -> Self {
        Self::standard()
    }
}

impl Passwords {
    /// The defaults: m = 19,456 KiB, t = 2, p = 1, and new passwords of at least [`MIN_PASSWORD_CHARS`] characters.
    #[must_use]
    pub const fn standard() -> Self {
        Self(Settings::standard())
    }

    /// Configured by the variables [`ARGON2`], [`IMPORTED_HASHES`] and [`MIN_CHARS`].
    ///
    /// # Errors
    /// [`SettingsError`] with all invalid values.
    pub fn configured(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Settings::read(lookup).map(Self)
    }

    /// Parameters of new hashes.
    #[must_use]
    pub const fn params(&self) -> HashParams {
        self.0.standard
    }

    /// Normalises a name.
    ///
    /// # Errors
    /// [`NameError`] for an invalid name.
    pub fn username(&self, typed: &str) -> Result<Username, NameError> {
        let profile = UsernameCaseMapped::new();
        let name = profile.enforce(typed).map_err(|_| NameError)?;
        // RFC 8264 §7: the form must be stable. Where case mapping and property tables are of different versions of Unicode,
        // U+13C7 becomes U+AB97, which the profile rejects.
        if profile.enforce(name.as_ref()).ok().as_ref() != Some(&name) {
            return Err(NameError);
        }
        Username::from_normalised(name.into_owned()).ok_or(NameError)
    }

    /// Normalises the name of a new user. It is stricter than [`Passwords::username`] and rejects names that can look like
    /// another user's.
    ///
    /// # Errors
    /// [`NameRefused`] with the reason.
    pub fn new_username(&self, typed: &str) -> Result<Username, NameRefused> {
        let name = self.username(typed).map_err(|NameError| NameRefused::Profile)?;
        new::accept_name(&name)?;
        Ok(name)
    }

    /// Checks a new password of a user.
    ///
    /// # Errors
    /// [`PasswordRefused`] with the reason.
    pub fn accept(&self, password: &Password, username: &Username) -> Result<(), PasswordRefused> {
        self.accept_for(password, Some(username))
    }

    fn accept_for(&self, password: &Password, username: Option<&Username>) -> Result<(), PasswordRefused> {
        let as_name = self.username(password.expose()).ok();
        new::accept_password(password, username, as_name.as_ref(), self.0.min_chars)
    }

    /// Hashes a password with a random salt and the active pepper, as a PHC string.
    ///
    /// # Errors
    /// [`HashError`] if argon2 rejects its input.
    pub fn hash(
        &self,
        password: &Password,
        peppers: &Peppers,
        entropy: &dyn Entropy,
    ) -> Result<String, HashError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let (kid, pepper) = peppers.active();
        let params = self.argon2_params(kid).map_err(HashError)?;
        let argon2 = Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|error| HashError(error.to_string()))?;
        let hash = argon2
            .hash_password_with_salt(normalise(password).as_bytes(), &salt)
            .map_err(|error| HashError(error.to_string()))?;
        Ok(hash.to_string())
    }

    fn argon2_params(&self, kid: &str) -> Result<Params, String> {
        let HashParams::Argon2 { memory, passes, lanes, .. } = self.0.standard else {
            return Err("the standard is not argon2".to_owned());
        };
        let id = data_encoding::HEXLOWER
            .decode(kid.as_bytes())
            .map_err(|_| "the pepper's id is not hexadecimal".to_owned())?;
        let mut builder = ParamsBuilder::new();
        builder.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(OUTPUT_BYTES);
        builder.keyid(KeyId::new(&id).map_err(|error| error.to_string())?);
        builder.build().map_err(|error| error.to_string())
    }

    /// Decoys to compute beside the comparison with a hash of the kind `stored`, so that every check does the same work.
    ///
    /// A hash whose kind is not configured stands out by its time and gets no decoys.
    fn decoys(&self, stored: Option<HashKind>) -> impl Iterator<Item = HashKind> {
        let all = || [self.0.standard.into()].into_iter().chain(self.0.imported.iter().copied());
        let known = stored.is_none_or(|stored| all().any(|kind| kind == stored));
        all().filter(move |kind| known && Some(*kind) != stored)
    }
}

impl PasswordHasher for Passwords {
    fn username(&self, typed: &str) -> Option<Username> {
        Self::username(self, typed).ok()
    }

    /// Checks a password with the same work for every name.
    ///
    /// A check computes one hash with the standard parameters and one with each [imported](IMPORTED_HASHES) kind. One of them
    /// is compared with the stored hash, and the others are decoys. The time therefore does not reveal whether the user exists
    /// or was imported. Without imported kinds, a check is one hash. A marked user has no hash, as an unknown name.
    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck {
        let stored = stored.filter(|stored| *stored != MARKER);
        let (outcome, done) = match stored.map(StoredHash::parse) {
            None => (PasswordCheck::Mismatch, None),
            Some(Err(refused)) => (PasswordCheck::Unusable(refused.to_string()), None),
            Some(Ok(hash)) => match hash.check(password, peppers) {
                Err(problem) => (PasswordCheck::Unusable(problem.to_owned()), None),
                Ok(Checked::Mismatch) => (PasswordCheck::Mismatch, Some(hash.kind())),
                // No rehash: the part that bcrypt ignored may be mistyped.
                Ok(Checked::TruncatedMatch) => (PasswordCheck::Match { outdated: false }, Some(hash.kind())),
                Ok(Checked::Match) => {
                    let outdated = hash.is_old(self.0.standard, OUTPUT_BYTES, peppers.active().0);
                    (PasswordCheck::Match { outdated }, Some(hash.kind()))
                }
            },
        };
        // As typed, like the comparison with an imported hash: NFC can triple the length, and phpass takes time by length.
        for kind in self.decoys(done) {
            kind.work(password.expose());
        }
        outcome
    }

    fn refusal(&self, password: &Password, username: Option<&Username>) -> Option<&'static str> {
        self.accept_for(password, username).err().map(|refused| match refused {
            PasswordRefused::TooShort(_) => "The new password is too short.",
            PasswordRefused::EqualsName => "The new password is the user name.",
            PasswordRefused::Common => "The new password is one of the most common ones.",
            PasswordRefused::TooSimple => {
                "The new password is little but repetitions and runs of characters."
            }
            PasswordRefused::Unassigned => {
                "The new password holds code points that Unicode has not assigned."
            }
        })
    }

    fn rehash(&self, password: &Password, peppers: &Peppers, entropy: &dyn Entropy) -> Option<String> {
        self.hash(password, peppers, entropy).ok()
    }
}

#[cfg(test)]
mod tests;
