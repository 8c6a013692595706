//! Stored hashes: Daypass' own, and imported ones until the user's next login.
//!
//! Each has one form in the users table. `daypass user import` converts the forms of other systems into these:
//!
//! | form | hash |
//! |---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…[,keyid=…]$salt$output` | argon2 (PHC string), with the pepper that `keyid` names. Also `argon2i` and `argon2d`; without `v=19`, version 1.0 |
//! | `$2b$10$…` | bcrypt; also `2a` and `2y` |
//! | `bcrypt_sha256$$2b$12$…` | bcrypt of the hexadecimal SHA-256 of the password (Django) |
//! | `$wp$2y$10$…` | bcrypt of the base64 of an HMAC-SHA-384 of the password (WordPress 6.8) |
//! | `$bcrypt-pepper$k=…$2a$12$…` | bcrypt of the password and the pepper of that id (Devise) |
//! | `$scrypt$ln=…,r=…,p=…$salt$output` | scrypt |
//! | `$firebase-scrypt$ln=…,r=…,k=…$salt$output` | Firebase: the project's signer key, encrypted with a key from scrypt |
//! | `$pbkdf2-sha256$i=…$salt$output` | PBKDF2; also `sha1`, `sha384`, `sha512` |
//! | `$P$B…` | phpass' portable hash |

use crate::params::{self, BCRYPT_BYTES, Digest, HashParams, TooExpensive};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, digest, hmac};
use data_encoding::{BASE64, BASE64_NOPAD, BitOrder, Encoding, HEXLOWER, Specification};
use daypass_core::keys::Peppers;
use daypass_core::secret::{Password, Secret};
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Longest stored hash, in bytes. It bounds the size of an item.
const MAX_BYTES: usize = 1024;
/// Longest salt and longest output, in bytes.
const MAX_PART: usize = 256;
/// Shortest output, in bytes. A shorter output would match other passwords.
const MIN_OUTPUT: usize = 10;

/// Why a text is rejected as a stored hash. The error does not quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashRefused {
    /// None of the forms.
    Unknown,
    /// One of the forms, but malformed.
    Malformed(&'static str),
    /// Its parameters are over a limit, or its algorithm is not defined for them.
    TooExpensive(TooExpensive),
}

impl fmt::Display for HashRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the hash has no known form"),
            Self::Malformed(what) => write!(f, "the hash is malformed: {what}"),
            Self::TooExpensive(why) => write!(f, "the hash is rejected: {why}"),
        }
    }
}

impl std::error::Error for HashRefused {}

const fn malformed<T>(what: &'static str) -> Result<T, HashRefused> {
    Err(HashRefused::Malformed(what))
}

/// A parsed hash with parameters below the limits.
#[derive(Debug, Clone)]
pub struct StoredHash {
    params: HashParams,
    scheme: Scheme,
    /// Id of its pepper.
    pepper: Option<String>,
}

#[derive(Debug, Clone)]
enum Scheme {
    Argon2 { algorithm: Algorithm, version: Version, params: Params, salt: Vec<u8>, output: Vec<u8> },
    Bcrypt { pre_hash: PreHash, hash: String },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, output: Vec<u8> },
    Firebase { params: scrypt::Params, salt: Vec<u8>, output: Vec<u8> },
    Pbkdf2 { digest: Digest, iterations: u32, salt: Vec<u8>, output: Vec<u8> },
    Phpass { log_rounds: u8, salt: [u8; 8], output: Vec<u8> },
}

/// Transformation of the password before bcrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreHash {
    None,
    Sha256Hex,
    WordPress,
    Pepper,
}

/// Result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    Mismatch,
    Match,
    /// The first 72 bytes match. bcrypt ignores the rest, so the rest is unverified.
    TruncatedMatch,
}

impl StoredHash {
    /// Parses a stored hash.
    ///
    /// # Errors
    /// [`HashRefused`] for an unknown form, a malformed hash, or parameters over a limit.
    pub fn parse(text: &str) -> Result<Self, HashRefused> {
        if text.len() > MAX_BYTES {
            return malformed("it is too long");
        }
        if let Some(rest) = text.strip_prefix("bcrypt_sha256$") {
            return Self::bcrypt(PreHash::Sha256Hex, rest, None);
        }
        if let Some(rest) = text.strip_prefix("$wp") {
            return Self::bcrypt(PreHash::WordPress, rest, None);
        }
        if let Some(rest) = text.strip_prefix("$bcrypt-pepper$k=") {
            let Some((kid, _)) = rest.split_once('$') else { return malformed("it ends early") };
            return Self::bcrypt(PreHash::Pepper, &rest[kid.len()..], Some(pepper_id(kid)?));
        }
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return Self::bcrypt(PreHash::None, text, None);
        }
        if let Some(rest) = text.strip_prefix("$P$") {
            return Self::phpass(rest);
        }
        if text.starts_with("$argon2") {
            return Self::argon2(text);
        }
        Self::phc(text)
    }

    /// Algorithm and cost parameters.
    #[must_use]
    pub fn params(&self) -> HashParams {
        self.params
    }

    /// Id of the pepper, or of the old system's secret, that a check needs.
    #[must_use]
    pub fn pepper(&self) -> Option<&str> {
        self.pepper.as_deref()
    }

    fn of(hash_params: HashParams, scheme: Scheme, pepper: Option<String>) -> Result<Self, HashRefused> {
        hash_params.check().map_err(HashRefused::TooExpensive)?;
        Ok(Self { params: hash_params, scheme, pepper })
    }

    fn argon2(text: &str) -> Result<Self, HashRefused> {
        let Ok(hash) = PasswordHash::new(text) else { return malformed("it is not a PHC string") };
        let Ok(algorithm) = hash.algorithm.as_str().parse::<Algorithm>() else {
            return Err(HashRefused::Unknown);
        };
        let version = match hash.version {
            None | Some(0x10) => Version::V0x10,
            Some(0x13) => Version::V0x13,
            Some(_) => return malformed("there is no such version of argon2"),
        };
        let Some(salt) = hash.salt else { return malformed("it has no salt") };
        let Some(output) = hash.hash else { return malformed("it has no output") };
        let Ok(params) = Params::try_from(&hash) else {
            return Err(HashRefused::TooExpensive(TooExpensive::NoSuchParameters));
        };
        let pepper = match HEXLOWER.encode(params.keyid()) {
            none if none.is_empty() => None,
            kid => Some(pepper_id(&kid)?),
        };
        let hash_params = HashParams::Argon2 {
            algorithm,
            memory: params.m_cost(),
            passes: params.t_cost(),
            lanes: params.p_cost(),
        };
        let (salt, output) = (salt.as_ref().to_vec(), output.as_bytes().to_vec());
        Self::of(hash_params, Scheme::Argon2 { algorithm, version, params, salt, output }, pepper)
    }

    fn bcrypt(pre_hash: PreHash, hash: &str, pepper: Option<String>) -> Result<Self, HashRefused> {
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix));
        // The library parses the rest, but accepts wrong lengths.
        let cost =
            hash.get(4..6).filter(|_| known && hash.len() == 60 && hash.as_bytes().get(6) == Some(&b'$'));
        let Some(cost) = cost.and_then(|cost| cost.parse().ok()) else {
            return malformed("it is not of the form $2b$10$ and 53 characters");
        };
        if hash.parse::<bcrypt::HashParts>().is_err() {
            return malformed("it is not of the form $2b$10$ and 53 characters");
        }
        Self::of(HashParams::Bcrypt { cost }, Scheme::Bcrypt { pre_hash, hash: hash.to_owned() }, pepper)
    }

    fn phpass(rest: &str) -> Result<Self, HashRefused> {
        let alphabet = phpass_alphabet();
        let rounds = rest.chars().next().and_then(|c| PHPASS_ALPHABET.find(c)).map(u8::try_from);
        let salt = rest.get(1..9).and_then(|salt| <[u8; 8]>::try_from(salt.as_bytes()).ok());
        let output = rest.get(9..).and_then(|output| alphabet.decode(output.as_bytes()).ok());
        match (rounds, salt, output) {
            (Some(Ok(log_rounds)), Some(salt), Some(output)) if output.len() == 16 => {
                Self::of(HashParams::Phpass { log_rounds }, Scheme::Phpass { log_rounds, salt, output }, None)
            }
            _ => malformed("it is not of the form $P$ and 31 characters"),
        }
    }

    /// `$name$parameters$salt$output`, salt and output in base64 without padding.
    fn phc(text: &str) -> Result<Self, HashRefused> {
        let parts: Vec<&str> = text.split('$').collect();
        let ["", name, parameters, salt, output] = parts.as_slice() else { return Err(HashRefused::Unknown) };
        let decode = |part: &str, least: usize| match BASE64_NOPAD.decode(part.as_bytes()) {
            Ok(bytes) if (least..=MAX_PART).contains(&bytes.len()) => Ok(bytes),
            Ok(_) => malformed("its salt or output is too short or too long"),
            Err(_) => malformed("its salt or output is not base64 without padding"),
        };
        let mut rest = parameters.split(',');
        let mut value = |key: &str| {
            let part = rest.next().and_then(|part| part.strip_prefix(key)?.strip_prefix('='));
            part.map_or(malformed("its parameters are not those of its algorithm"), Ok)
        };
        let number =
            |text: &str| text.parse::<u32>().map_or(malformed("one of its parameters is not a number"), Ok);
        let of_scrypt = |log_n: u32, r: u32, p: u32| {
            let log_n =
                u8::try_from(log_n).map_err(|_| HashRefused::TooExpensive(TooExpensive::NoSuchParameters))?;
            let hash_params = HashParams::Scrypt { log_n, r, p };
            hash_params.check().map_err(HashRefused::TooExpensive)?;
            let params = scrypt::Params::new(log_n, r, p);
            params
                .map(|params| (hash_params, params))
                .map_err(|_| HashRefused::TooExpensive(TooExpensive::NoSuchParameters))
        };
        let stored = if let Some(digest) = Digest::parse(name) {
            let iterations = number(value("i")?)?;
            let (salt, output) = (decode(salt, 1)?, decode(output, MIN_OUTPUT)?);
            let hash_params = HashParams::pbkdf2(digest, iterations, output.len());
            Self::of(hash_params, Scheme::Pbkdf2 { digest, iterations, salt, output }, None)?
        } else if *name == "scrypt" {
            let (hash_params, params) =
                of_scrypt(number(value("ln")?)?, number(value("r")?)?, number(value("p")?)?)?;
            let (salt, output) = (decode(salt, 1)?, decode(output, MIN_OUTPUT)?);
            Self::of(hash_params, Scheme::Scrypt { params, salt, output }, None)?
        } else if *name == "firebase-scrypt" {
            let (hash_params, params) = of_scrypt(number(value("ln")?)?, number(value("r")?)?, 1)?;
            let pepper = Some(pepper_id(value("k")?)?);
            let (salt, output) = (decode(salt, 1)?, decode(output, MIN_OUTPUT)?);
            Self::of(hash_params, Scheme::Firebase { params, salt, output }, pepper)?
        } else {
            return Err(HashRefused::Unknown);
        };
        if rest.next().is_some() {
            return malformed("its parameters are not those of its algorithm");
        }
        Ok(stored)
    }

    /// Compares a password with the hash.
    ///
    /// # Errors
    /// The key set lacks the pepper, or the library rejects the parsed hash. The text is for the log.
    pub(crate) fn check(&self, password: &Password, peppers: &Peppers) -> Result<Checked, &'static str> {
        let pepper = self
            .pepper
            .as_deref()
            .map(|kid| peppers.get(kid).ok_or("the pepper of the stored hash is not in the key set"))
            .transpose()?;
        let typed = password.expose().as_bytes();
        let right = match &self.scheme {
            Scheme::Argon2 { algorithm, version, params, salt, output } => {
                let refused = |_| "argon2 rejects the parameters of the stored hash";
                let secret = pepper.map(Secret::expose).unwrap_or_default();
                let argon2 =
                    Argon2::new_with_secret(secret, *algorithm, *version, params.clone()).map_err(refused)?;
                // Daypass hashes the normalised password; other systems hashed the password as typed.
                let normalised = self.is_ours().then(|| normalise(password));
                let input = normalised.as_ref().map_or(typed, |text| text.as_bytes());
                let mut found = vec![0; output.len()];
                argon2.hash_password_into(input, salt, &mut found).map_err(refused)?;
                equal(&found, output)
            }
            Scheme::Bcrypt { pre_hash, hash } => {
                let input = pre_hash.apply(typed, pepper);
                let right = bcrypt::verify(&*input, hash).map_err(|_| "bcrypt rejects the stored hash")?;
                // A pepper follows the password, so it does not shorten the password's share of the 72 bytes.
                if right
                    && *pre_hash != PreHash::Sha256Hex
                    && *pre_hash != PreHash::WordPress
                    && typed.len() >= BCRYPT_BYTES
                {
                    return Ok(Checked::TruncatedMatch);
                }
                right
            }
            Scheme::Scrypt { params, salt, output } => {
                let mut found = vec![0; output.len()];
                scrypt::scrypt(typed, salt, params, &mut found)
                    .map_err(|_| "scrypt rejects the stored hash")?;
                equal(&found, output)
            }
            Scheme::Firebase { params, salt, output } => {
                let mut key = Zeroizing::new([0; 32]);
                scrypt::scrypt(typed, salt, params, &mut *key)
                    .map_err(|_| "scrypt rejects the stored hash")?;
                let signer = pepper.map(Secret::expose).unwrap_or_default();
                equal(&encrypt(&key, signer).ok_or("AES rejects the signer key")?, output)
            }
            Scheme::Pbkdf2 { digest, iterations, salt, output } => {
                let mut found = vec![0; output.len()];
                params::derive_pbkdf2(*digest, *iterations, salt, typed, &mut found);
                equal(&found, output)
            }
            Scheme::Phpass { log_rounds, salt, output } => {
                equal(&params::phpass(*log_rounds, salt, typed), output)
            }
        };
        Ok(if right { Checked::Match } else { Checked::Mismatch })
    }

    /// Whether Daypass made the hash: argon2 with a pepper.
    fn is_ours(&self) -> bool {
        self.pepper.is_some() && matches!(self.scheme, Scheme::Argon2 { .. })
    }

    /// Whether a rehash would change parameters, version, output length or pepper.
    pub(crate) fn is_old(&self, standard: HashParams, output_bytes: usize, active_pepper: &str) -> bool {
        let Scheme::Argon2 { version, output, .. } = &self.scheme else { return true };
        self.params != standard
            || *version != Version::V0x13
            || output.len() != output_bytes
            || self.pepper.as_deref() != Some(active_pepper)
    }
}

impl PreHash {
    fn apply(self, typed: &[u8], pepper: Option<&Secret>) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::None => typed.to_vec(),
            Self::Sha256Hex => HEXLOWER.encode(digest::digest(&digest::SHA256, typed).as_ref()).into_bytes(),
            Self::WordPress => {
                let key = hmac::Key::new(hmac::HMAC_SHA384, b"wp-sha384");
                BASE64.encode(hmac::sign(&key, typed).as_ref()).into_bytes()
            }
            Self::Pepper => [typed, pepper.map(Secret::expose).unwrap_or_default()].concat(),
        })
    }
}

/// A pepper id: 8 hexadecimal digits.
fn pepper_id(text: &str) -> Result<String, HashRefused> {
    let valid = HEXLOWER.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 4);
    if valid {
        Ok(text.to_owned())
    } else {
        malformed("the id of its pepper is not eight hexadecimal digits")
    }
}

/// AES-256-CTR with a zero counter, as in Firebase's scrypt.
fn encrypt(key: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    let mut text = message.to_vec();
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from([0; 16]))).ok()?;
    Some(text)
}

const PHPASS_ALPHABET: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn phpass_alphabet() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(PHPASS_ALPHABET);
    specification.bit_order = BitOrder::LeastSignificantFirst;
    // The alphabet is a constant, and a test decodes a hash with it.
    specification.encoding().unwrap_or(BASE64_NOPAD)
}

/// NFC and nothing else (NIST SP 800-63B-4 §3.1.1.2): no trimming, no case folding.
pub(crate) fn normalise(password: &Password) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfc().collect())
}

/// Comparison in constant time.
fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
