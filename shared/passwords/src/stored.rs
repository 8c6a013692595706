//! Stored hashes: Daypass' own, and imported ones until the user's next login.
//!
//! Each has one form in the users table. `daypass user import` converts the forms of other systems into these:
//!
//! | form | hash |
//! |---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…[,keyid=…]$salt$output` | argon2 (PHC string), with the pepper that `keyid` names. Also `argon2i` and `argon2d`; without `v=19`, version 1.0 |
//! | `$2b$10$…` | bcrypt; also `2a` and `2y` |
//! | `bcrypt_sha256$$2b$12$…` | bcrypt of the hexadecimal SHA-256 of the password (Django) |
//! | `$bcrypt-sha256$v=2,t=2b,r=12$salt$output` | bcrypt of the base64 of an HMAC-SHA-256 of the password, with the salt as its key (Passlib); `$bcrypt-sha256$2b,12$salt$output` of its SHA-256 |
//! | `$wp$2y$10$…` | bcrypt of the base64 of an HMAC-SHA-384 of the password (WordPress 6.8) |
//! | `$bcrypt-pepper$k=…$2a$12$…` | bcrypt of the password and the pepper of that id (Devise) |
//! | `$scrypt$ln=…,r=…,p=…$salt$output` | scrypt |
//! | `$firebase-scrypt$ln=…,r=…,k=…$salt$output` | Firebase: the project's signer key, encrypted with a key from scrypt |
//! | `$pbkdf2-sha256$i=…$salt$output` | PBKDF2; also `sha1`, `sha384`, `sha512` |
//! | `$P$B…` | phpass' portable hash |
//! | `$S$D…` | Drupal's SHA-512 |
//! | `$5$[rounds=…$]salt$output` | SHA-crypt; also `$6$` |
//! | `$y$j9T$salt$output` | yescrypt |
//!
//! `typed=NAME` in front of a hash is the [change](Typed) of the typed password, as in `typed=slashed$P$B…`.

use crate::params::{self, BCRYPT_BYTES, Digest, HashParams, ShaCryptDigest, TooExpensive};
use crate::typed::{HashKind, Typed};
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
    typed: Typed,
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
    Drupal { log_rounds: u8, salt: [u8; 8], output: Vec<u8> },
    ShaCrypt { digest: ShaCryptDigest, rounds: u32, salt: String, output: String },
    Yescrypt { params: yescrypt::Params, salt: Vec<u8>, output: Vec<u8> },
}

/// Transformation of the password before bcrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreHash {
    None,
    Sha256Hex,
    Sha256Base64,
    /// With the salt of bcrypt as the key.
    HmacOfSalt,
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
        let Some((typed, text)) = Typed::split(text) else {
            return malformed("there is no such change of a typed password");
        };
        let mut hash = Self::parse_hash(text)?;
        // A Daypass hash is of the normalised password.
        if typed != Typed::AsIs && hash.is_ours() {
            return malformed("its change of the typed password is none of Daypass");
        }
        hash.typed = typed;
        hash.kind().check().map_err(HashRefused::TooExpensive)?;
        Ok(hash)
    }

    fn parse_hash(text: &str) -> Result<Self, HashRefused> {
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
        if let Some(rest) = text.strip_prefix("$bcrypt-sha256$") {
            return Self::passlib_bcrypt(rest);
        }
        if let Some(rest) = text.strip_prefix("$P$") {
            return Self::phpass(rest);
        }
        if let Some(rest) = text.strip_prefix("$S$") {
            return Self::drupal(rest);
        }
        if let Some(rest) = text.strip_prefix("$5$") {
            return Self::sha_crypt(ShaCryptDigest::Sha256, rest);
        }
        if let Some(rest) = text.strip_prefix("$6$") {
            return Self::sha_crypt(ShaCryptDigest::Sha512, rest);
        }
        if let Some(rest) = text.strip_prefix("$y$") {
            return Self::yescrypt(rest);
        }
        if text.starts_with("$argon2") {
            return Self::argon2(text);
        }
        Self::phc(text)
    }

    /// Kind of the hash.
    #[must_use]
    pub fn kind(&self) -> HashKind {
        HashKind::new(self.params, self.typed)
    }

    /// Id of the pepper, or of the old system's secret, that a check needs.
    #[must_use]
    pub fn pepper(&self) -> Option<&str> {
        self.pepper.as_deref()
    }

    /// Length of the secret that the hash needs, in bytes, if the hash tells it: Firebase encrypts its signer key.
    #[must_use]
    pub fn secret_bytes(&self) -> Option<usize> {
        match &self.scheme {
            Scheme::Firebase { output, .. } => Some(output.len()),
            _ => None,
        }
    }

    fn of(hash_params: HashParams, scheme: Scheme, pepper: Option<String>) -> Result<Self, HashRefused> {
        hash_params.check().map_err(HashRefused::TooExpensive)?;
        Ok(Self { params: hash_params, scheme, typed: Typed::AsIs, pepper })
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
        if salt.len() < argon2::MIN_SALT_LEN || output.len() < MIN_OUTPUT {
            return malformed("its salt or output is too short or too long");
        }
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

    /// `$v=2,t=2b,r=12$salt$output`, or `$2b,12$salt$output` of the first version.
    fn passlib_bcrypt(rest: &str) -> Result<Self, HashRefused> {
        let parts: Vec<&str> = rest.split('$').collect();
        let [parameters, salt, output] = parts.as_slice() else { return malformed("it ends early") };
        let (pre_hash, variant, cost) =
            match (parameters.split(',').collect::<Vec<_>>().as_slice(), parameters.len()) {
                (["v=2", variant, cost], _) => {
                    (PreHash::HmacOfSalt, variant.strip_prefix("t="), cost.strip_prefix("r="))
                }
                ([variant, cost], _) => (PreHash::Sha256Base64, Some(*variant), Some(*cost)),
                _ => return malformed("its parameters are not those of its algorithm"),
            };
        let (Some(variant), Some(cost)) = (variant, cost) else {
            return malformed("its parameters are not those of its algorithm");
        };
        Self::bcrypt(pre_hash, &format!("${variant}${cost:0>2}${salt}{output}"), None)
    }

    fn phpass(rest: &str) -> Result<Self, HashRefused> {
        match iterated(rest) {
            Some((log_rounds, salt, output)) if output.len() == 22 => match crypt_base64().decode(output) {
                Ok(output) => Self::of(
                    HashParams::Phpass { log_rounds },
                    Scheme::Phpass { log_rounds, salt, output },
                    None,
                ),
                Err(_) => malformed("it is not of the form $P$ and 31 characters"),
            },
            _ => malformed("it is not of the form $P$ and 31 characters"),
        }
    }

    fn drupal(rest: &str) -> Result<Self, HashRefused> {
        match iterated(rest) {
            Some((log_rounds, salt, output)) if output.len() == DRUPAL_OUTPUT => {
                let output = output.to_vec();
                Self::of(HashParams::Drupal { log_rounds }, Scheme::Drupal { log_rounds, salt, output }, None)
            }
            _ => malformed("it is not of the form $S$ and 52 characters"),
        }
    }

    /// `rounds=5000$salt$output`; the rounds are optional.
    fn sha_crypt(digest: ShaCryptDigest, rest: &str) -> Result<Self, HashRefused> {
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            None => (Some(sha_crypt::Params::RECOMMENDED_ROUNDS), rest),
            Some(rest) => {
                rest.split_once('$').map_or((None, rest), |(rounds, rest)| (rounds.parse().ok(), rest))
            }
        };
        let length = match digest {
            ShaCryptDigest::Sha256 => 43,
            ShaCryptDigest::Sha512 => 86,
        };
        match (rounds, rest.split_once('$')) {
            (Some(rounds), Some((salt, output)))
                if salt.len() <= 16
                    && output.len() == length
                    && output.bytes().all(|byte| CRYPT_ALPHABET.as_bytes().contains(&byte)) =>
            {
                let (salt, output) = (salt.to_owned(), output.to_owned());
                let hash_params = HashParams::ShaCrypt { digest, rounds };
                Self::of(hash_params, Scheme::ShaCrypt { digest, rounds, salt, output }, None)
            }
            _ => malformed("it is not of the form $5$ or $6$, rounds, salt and 43 or 86 characters"),
        }
    }

    fn yescrypt(rest: &str) -> Result<Self, HashRefused> {
        let parts: Vec<&str> = rest.split('$').collect();
        let [parameters, salt, output] = parts.as_slice() else { return malformed("it ends early") };
        let none = HashRefused::TooExpensive(TooExpensive::NoSuchParameters);
        let params: yescrypt::Params = parameters.parse().map_err(|_| none)?;
        let log_n = u8::try_from(params.n().checked_ilog2().unwrap_or(0)).unwrap_or(0);
        let hash_params = HashParams::Yescrypt { log_n, r: params.r(), p: params.p() };
        // Other parameters, such as its time factor, change the cost; no system sets them.
        if hash_params.check().map_err(HashRefused::TooExpensive).map(|()| hash_params.yescrypt_params())?
            != Some(params)
        {
            return Err(none);
        }
        let decode = |part: &str| crypt_base64().decode(part.as_bytes());
        match (decode(salt), decode(output)) {
            (Ok(salt), Ok(output)) if salt.len() <= 64 && output.len() == 32 => {
                Self::of(hash_params, Scheme::Yescrypt { params, salt, output }, None)
            }
            _ => malformed("it is not of the form $y$, parameters, salt and 43 characters"),
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
            let hash_params = HashParams::Pbkdf2 { digest, iterations };
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
        // Daypass hashes the normalised password; other systems hashed the password as typed.
        if self.is_ours() {
            return self.compare(normalise(password).as_bytes(), pepper);
        }
        let (first, second) = self.typed.inputs(password.expose());
        let checked = self.compare(&first, pepper)?;
        // Both forms are always computed, so that the time of a disabled user does not tell a correct password.
        let other = second.map_or(Ok(Checked::Mismatch), |input| self.compare(&input, pepper))?;
        Ok(if checked == Checked::Mismatch { other } else { checked })
    }

    /// Compares one form of the password.
    fn compare(&self, input: &[u8], pepper: Option<&Secret>) -> Result<Checked, &'static str> {
        let right = match &self.scheme {
            Scheme::Argon2 { algorithm, version, params, salt, output } => {
                let refused = |_| "argon2 rejects the parameters of the stored hash";
                let secret = pepper.map(Secret::expose).unwrap_or_default();
                let argon2 =
                    Argon2::new_with_secret(secret, *algorithm, *version, params.clone()).map_err(refused)?;
                let mut found = vec![0; output.len()];
                argon2.hash_password_into(input, salt, &mut found).map_err(refused)?;
                equal(&found, output)
            }
            Scheme::Bcrypt { pre_hash, hash } => {
                let hashed = pre_hash.apply(input, hash, pepper);
                let right = bcrypt::verify(&*hashed, hash).map_err(|_| "bcrypt rejects the stored hash")?;
                // A pepper follows the password, so it does not shorten the password's share of the 72 bytes.
                let truncates =
                    matches!(pre_hash, PreHash::None | PreHash::Pepper) && self.typed != Typed::Sha512;
                if right && truncates && input.len() >= BCRYPT_BYTES {
                    return Ok(Checked::TruncatedMatch);
                }
                right
            }
            Scheme::Scrypt { params, salt, output } => {
                let mut found = vec![0; output.len()];
                scrypt::scrypt(input, salt, params, &mut found)
                    .map_err(|_| "scrypt rejects the stored hash")?;
                equal(&found, output)
            }
            Scheme::Firebase { params, salt, output } => {
                let mut key = Zeroizing::new([0; 32]);
                scrypt::scrypt(input, salt, params, &mut *key)
                    .map_err(|_| "scrypt rejects the stored hash")?;
                let signer = pepper.map(Secret::expose).unwrap_or_default();
                equal(&encrypt(&key, signer).ok_or("AES rejects the signer key")?, output)
            }
            Scheme::Pbkdf2 { digest, iterations, salt, output } => {
                let first = output.get(..digest.bytes()).unwrap_or(output);
                let mut found = vec![0; first.len()];
                params::derive_pbkdf2(*digest, *iterations, salt, input, &mut found);
                equal(&found, first)
            }
            Scheme::Phpass { log_rounds, salt, output } => {
                equal(&params::phpass(*log_rounds, salt, input), output)
            }
            Scheme::Drupal { log_rounds, salt, output } => {
                let (hash, whole) = params::drupal(*log_rounds, salt, input);
                let encoded = crypt_base64().encode(&hash);
                equal(encoded.as_bytes().get(..DRUPAL_OUTPUT).unwrap_or_default(), output) && whole
            }
            Scheme::ShaCrypt { digest, rounds, salt, output } => {
                let (hash, whole) = params::sha_crypt(*digest, *rounds, salt.as_bytes(), input);
                equal(sha_crypt_text(&hash).as_bytes(), output.as_bytes()) && whole
            }
            Scheme::Yescrypt { params, salt, output } => {
                let mut found = [0; 32];
                yescrypt::yescrypt(input, salt, params, &mut found)
                    .map_err(|_| "yescrypt rejects the stored hash")?;
                equal(&found, output)
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
    fn apply(self, typed: &[u8], hash: &str, pepper: Option<&Secret>) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::None => typed.to_vec(),
            Self::Sha256Hex => HEXLOWER.encode(digest::digest(&digest::SHA256, typed).as_ref()).into_bytes(),
            Self::Sha256Base64 => BASE64.encode(digest::digest(&digest::SHA256, typed).as_ref()).into_bytes(),
            Self::HmacOfSalt => {
                let salt = hash.get(7..29).unwrap_or_default();
                let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
                BASE64.encode(hmac::sign(&key, typed).as_ref()).into_bytes()
            }
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

/// Alphabet of phpass, SHA-crypt and yescrypt.
const CRYPT_ALPHABET: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of the output that Drupal stores, in characters: half of it.
const DRUPAL_OUTPUT: usize = 43;

/// Base64 of phpass and yescrypt.
fn crypt_base64() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(CRYPT_ALPHABET);
    specification.bit_order = BitOrder::LeastSignificantFirst;
    // The alphabet is a constant, and a test decodes a hash with it.
    specification.encoding().unwrap_or(BASE64_NOPAD)
}

/// Rounds, salt and encoded output of phpass and Drupal.
fn iterated(rest: &str) -> Option<(u8, [u8; 8], &[u8])> {
    let log_rounds = rest.chars().next().and_then(|c| CRYPT_ALPHABET.find(c))?;
    let salt = <[u8; 8]>::try_from(rest.get(1..9)?.as_bytes()).ok()?;
    Some((u8::try_from(log_rounds).ok()?, salt, rest.get(9..)?.as_bytes()))
}

/// Output of SHA-crypt in its alphabet. Its bytes go in groups of three, in an order of their own.
fn sha_crypt_text(hash: &[u8]) -> String {
    let byte = |at: usize| hash.get(at).copied().unwrap_or_default();
    let mut bytes = Vec::with_capacity(hash.len());
    // The k-th group takes the bytes k, k + third and k + 2 × third, rotated by k. The rest forms the last group.
    let third = hash.len() / 3;
    for k in 0..third {
        let mut group = [k, k + third, k + 2 * third];
        // SHA-256 rotates to the right, and SHA-512 to the left.
        if hash.len() == 32 {
            group.rotate_right(k % 3);
        } else {
            group.rotate_left(k % 3);
        }
        bytes.extend(group.into_iter().rev().map(byte));
    }
    bytes.extend((3 * third..hash.len()).map(byte));
    crypt_base64().encode(&bytes)
}

/// NFC and nothing else (NIST SP 800-63B-4 §3.1.1.2): no trimming, no case folding.
pub(crate) fn normalise(password: &Password) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfc().collect())
}

/// Comparison in constant time.
fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
