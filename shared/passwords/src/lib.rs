//! Usernames and passwords.
//!
//! Names follow the profile `UsernameCaseMapped` of RFC 8265 §3.3: width-mapped, lower-cased, NFC, and without spaces,
//! controls or compatibility characters. A new name has to be of one script too, and without anything invisible.
//! Passwords are normalised to NFC and otherwise hashed as typed, with argon2id (RFC 9106) and a pepper as argon2's secret
//! input, whose id the PHC string carries as `keyid`.
//!
//! RFC 8265's own profile for passwords, `OpaqueString`, also turns every other space into U+0020 and refuses some code
//! points at each login. That we leave out: NIST SP 800-63B-4 has passwords taken as they are typed, and a code point that
//! an older table of Unicode does not know would lock its user out.
//!
//! Users who come from another system bring hashes along that other software made: [`StoredHash`] checks them, and a login
//! replaces them. [`Passwords::check`](PasswordHasher::check) says how these stay out of the login's time.

mod new;
mod settings;
mod shape;
mod stored;

pub use new::{LEAST_MIN_PASSWORD_CHARS, MIN_PASSWORD_CHARS, NameRefused, PasswordRefused};
pub use settings::{
    ARGON2, IMPORTED_HASHES, MAX_IMPORTED_BYTES, MAX_IMPORTED_SHAPES, MIN_CHARS, SettingsError,
};
pub use shape::{Digest, MAX_MEMORY_KIB, MAX_MILLIS, NoShape, Shape, Unfit};
pub use stored::{HashRefused, StoredHash};

use argon2::{Algorithm, Argon2, KeyId, Params, ParamsBuilder, PasswordHasher as _, Version};
use daypass_core::keys::Peppers;
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::secret::Password;
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::Username;
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Profile;
use settings::Settings;
use std::fmt;
use stored::{Checked, normalise};

/// Salt and output in bytes (RFC 9106 §4).
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// Why no user can have a name. The text is for the person who typed it.
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

/// The one implementation of [`PasswordHasher`].
#[derive(Debug, Clone)]
pub struct Passwords(Settings);

impl Default for Passwords {
    fn default() -> Self {
        Self::standard()
    }
}

impl Passwords {
    /// With the parameters for new hashes of this build, m = 19,456 KiB, t = 2, p = 1, and new passwords of
    /// [`MIN_PASSWORD_CHARS`] characters.
    #[must_use]
    pub const fn standard() -> Self {
        Self(Settings::standard())
    }

    /// As [`ARGON2`], [`IMPORTED_HASHES`] and [`MIN_CHARS`] say, where they are set.
    ///
    /// # Errors
    /// [`SettingsError`] with every value that is wrong.
    pub fn configured(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Settings::read(lookup).map(Self)
    }

    /// What a hash costs that is made now.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.0.standard
    }

    /// Normalises a name.
    ///
    /// # Errors
    /// [`NameError`] when no user can have it.
    pub fn username(&self, typed: &str) -> Result<Username, NameError> {
        let name = UsernameCaseMapped::new().enforce(typed).map_err(|_| NameError)?;
        Username::from_normalised(name.into_owned()).ok_or(NameError)
    }

    /// Normalises the name of a user who is to be created. Asks for more than [`Passwords::username`], so that nobody gets a
    /// name that looks like somebody else's.
    ///
    /// # Errors
    /// [`NameRefused`] with the reason.
    pub fn new_username(&self, typed: &str) -> Result<Username, NameRefused> {
        let name = self.username(typed).map_err(|NameError| NameRefused::Profile)?;
        new::accept_name(&name)?;
        Ok(name)
    }

    /// Whether a new password is good enough for a user.
    ///
    /// # Errors
    /// [`PasswordRefused`] with the reason.
    pub fn accept(&self, password: &Password, username: &Username) -> Result<(), PasswordRefused> {
        let as_name = self.username(password.expose()).ok();
        new::accept_password(password, username, as_name.as_ref(), self.0.min_chars)
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
        let params = self.params(kid).map_err(HashError)?;
        let argon2 = Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|error| HashError(error.to_string()))?;
        let hash = argon2
            .hash_password_with_salt(normalise(password).as_bytes(), &salt)
            .map_err(|error| HashError(error.to_string()))?;
        Ok(hash.to_string())
    }

    fn params(&self, kid: &str) -> Result<Params, String> {
        let Shape::Argon2 { memory, passes, lanes, .. } = self.0.standard else {
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

    /// What is to be computed beside the comparison with a hash of shape `stored`, so that each login computes the same.
    ///
    /// A hash of a shape that is not among the configured ones stands out by its time already: nothing is added to it.
    fn decoys(&self, stored: Option<Shape>) -> impl Iterator<Item = Shape> {
        let all = || [self.0.standard].into_iter().chain(self.0.imported.iter().copied());
        let known = stored.is_none_or(|stored| all().any(|shape| shape == stored));
        all().filter(move |shape| known && Some(*shape) != stored)
    }
}

impl PasswordHasher for Passwords {
    fn username(&self, typed: &str) -> Option<Username> {
        Self::username(self, typed).ok()
    }

    /// Checks a password, in the same time for every name.
    ///
    /// Every check does the work of one hash of the standard and one of each [imported](IMPORTED_HASHES) shape: one of them
    /// against the stored hash, the others against nothing. So the time tells neither whether there is such a user nor
    /// whether they have moved yet. Without imported shapes that is one hash.
    fn check(&self, password: &Password, stored: Option<&str>, peppers: &Peppers) -> PasswordCheck {
        let (outcome, done) = match stored.map(StoredHash::parse) {
            None => (PasswordCheck::Mismatch, None),
            Some(Err(refused)) => (PasswordCheck::Unusable(refused.to_string()), None),
            Some(Ok(hash)) => match hash.check(password, peppers) {
                Err(problem) => (PasswordCheck::Unusable(problem.to_owned()), None),
                Ok(Checked::Mismatch) => (PasswordCheck::Mismatch, Some(hash.shape())),
                // Nothing to renew it with: somebody may have mistyped what bcrypt never saw.
                Ok(Checked::MatchOfTheBeginning) => {
                    (PasswordCheck::Match { outdated: false }, Some(hash.shape()))
                }
                Ok(Checked::Match) => {
                    let outdated = hash.is_old(self.0.standard, OUTPUT_BYTES, peppers.active().0);
                    (PasswordCheck::Match { outdated }, Some(hash.shape()))
                }
            },
        };
        for shape in self.decoys(done) {
            shape.work(normalise(password).as_bytes());
        }
        outcome
    }

    fn refusal(&self, password: &Password, username: &Username) -> Option<&'static str> {
        self.accept(password, username).err().map(|refused| match refused {
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
