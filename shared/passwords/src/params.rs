//! Algorithm and cost parameters of a hash, without its salt and output.
//!
//! Hashes with equal parameters take equal time for one password, so the time does not distinguish a decoy from a real hash.

use argon2::{Algorithm, Argon2, Params, ParamsBuilder, Version};
use aws_lc_rs::digest::{Context, SHA512};
use aws_lc_rs::pbkdf2;
use md5::{Digest as _, Md5};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Limit of the memory of one check, in KiB. `login` has 1,769 MB in `template.yaml` and checks one hash at a time.
pub const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// Limit of the time of one check, in milliseconds of one whole processor as [`HashParams::millis`] estimates them. The
/// table in `shared/dynamodb/src/connect.rs` adds it to the round trips of a login.
pub const MAX_MILLIS: u64 = 1000;

/// Bytes that bcrypt reads, including the final zero byte.
pub(crate) const BCRYPT_BYTES: usize = 72;

/// Nanoseconds of one phpass round with the longest password, which is 4 ×
/// [`Password::MAX_CHARS`](daypass_core::secret::Password::MAX_CHARS) bytes: MD5 of 65 blocks.
/// A short password takes 1/70 of it.
const PHPASS_ROUND_NANOS: u64 = 10_000;

/// Longest password of SHA-crypt, in bytes. A round hashes the password up to three times, so its time grows with the length.
const SHA_CRYPT_BYTES: usize = 256;

/// Longest password of Drupal, in bytes (its `PASSWORD_MAX_LENGTH`).
const DRUPAL_BYTES: usize = 512;

/// Hash functions of PBKDF2 (RFC 8018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Digest {
    /// HMAC-SHA-1.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-384.
    Sha384,
    /// HMAC-SHA-512.
    Sha512,
}

impl Digest {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Identifier in PHC strings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "pbkdf2-sha1",
            Self::Sha256 => "pbkdf2-sha256",
            Self::Sha384 => "pbkdf2-sha384",
            Self::Sha512 => "pbkdf2-sha512",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|digest| digest.name() == name)
    }

    /// Output of one block, in bytes. Each block of a longer output depends on password and salt alone (RFC 8018 §5.2), so a
    /// check compares the first one.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// Algorithm and cost parameters of a hash. Its text form, such as `bcrypt,c=10`, is that of `DAYPASS_IMPORTED_HASHES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashParams {
    /// argon2 (RFC 9106).
    Argon2 {
        /// argon2d, argon2i or argon2id.
        algorithm: Algorithm,
        /// Memory in KiB.
        memory: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes. This build computes them one after the other.
        lanes: u32,
    },
    /// bcrypt, with any pre-hash.
    Bcrypt {
        /// Base-2 logarithm of the rounds.
        cost: u32,
    },
    /// scrypt (RFC 7914), including Firebase's.
    Scrypt {
        /// Base-2 logarithm of N.
        log_n: u8,
        /// Block size factor (RFC 7914 §2).
        r: u32,
        /// Parallelization: sequential runs in this build.
        p: u32,
    },
    /// PBKDF2 (RFC 8018) with HMAC: the first block of the output.
    Pbkdf2 {
        /// Hash function of the HMAC.
        digest: Digest,
        /// Iterations.
        iterations: u32,
    },
    /// phpass' portable hash: iterated MD5 of hash and password.
    Phpass {
        /// Base-2 logarithm of the rounds.
        log_rounds: u8,
    },
    /// Drupal's hash: iterated SHA-512 of hash and password.
    Drupal {
        /// Base-2 logarithm of the rounds.
        log_rounds: u8,
    },
    /// SHA-crypt of Unix (`$5$`, `$6$`).
    ShaCrypt {
        /// SHA-256 or SHA-512.
        digest: ShaCryptDigest,
        /// Rounds.
        rounds: u32,
    },
    /// yescrypt (`$y$`).
    Yescrypt {
        /// Base-2 logarithm of N.
        log_n: u8,
        /// Block size factor.
        r: u32,
        /// Parallelization: sequential runs in this build.
        p: u32,
    },
}

/// Hash functions of SHA-crypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShaCryptDigest {
    /// `$5$`.
    Sha256,
    /// `$6$`.
    Sha512,
}

impl ShaCryptDigest {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256-crypt",
            Self::Sha512 => "sha512-crypt",
        }
    }
}

/// Why a hash with these parameters is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooExpensive {
    /// KiB of memory, above [`MAX_MEMORY_KIB`].
    Memory(u64),
    /// Milliseconds, above [`MAX_MILLIS`].
    Time(u64),
    /// The algorithm is not defined for these parameters.
    NoSuchParameters,
}

impl fmt::Display for TooExpensive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(kib) => {
                write!(f, "a check needs {kib} KiB of memory; the limit is {MAX_MEMORY_KIB} KiB")
            }
            Self::Time(millis) => {
                write!(
                    f,
                    "a check takes up to about {millis} ms of a processor; the limit is {MAX_MILLIS} ms"
                )
            }
            Self::NoSuchParameters => f.write_str("its algorithm has no such parameters"),
        }
    }
}

impl std::error::Error for TooExpensive {}

impl TooExpensive {
    /// Compares an estimated time with [`MAX_MILLIS`].
    pub(crate) const fn of_time(millis: u64) -> Result<(), Self> {
        if millis > MAX_MILLIS { Err(Self::Time(millis)) } else { Ok(()) }
    }
}

impl HashParams {
    /// Checks that a function can afford a check of such a hash.
    ///
    /// # Errors
    /// [`TooExpensive`] over a limit, or if the algorithm has no such parameters.
    pub fn check(self) -> Result<(), TooExpensive> {
        if !self.exists() {
            return Err(TooExpensive::NoSuchParameters);
        }
        if self.memory_kib() > MAX_MEMORY_KIB {
            return Err(TooExpensive::Memory(self.memory_kib()));
        }
        TooExpensive::of_time(self.millis())
    }

    /// Whether the algorithm is defined for these parameters.
    fn exists(self) -> bool {
        match self {
            Self::Argon2 { .. } => self.argon2_params().is_some(),
            Self::Bcrypt { cost } => (4..=31).contains(&cost),
            Self::Scrypt { log_n, r, p } => {
                log_n > 0
                    // RFC 7914 §2. First, because `Params::new` multiplies without a check.
                    && u64::from(r) * u64::from(p) < 1 << 30
                    && scrypt::Params::new(log_n, r, p).is_ok()
            }
            Self::Pbkdf2 { iterations, .. } => iterations > 0,
            Self::Phpass { log_rounds } | Self::Drupal { log_rounds } => (7..=30).contains(&log_rounds),
            Self::ShaCrypt { rounds, .. } => sha_crypt::Params::new(rounds).is_ok(),
            Self::Yescrypt { log_n, r, p } => {
                (1..63).contains(&log_n)
                    && r > 0
                    && p > 0
                    && u64::from(r) * u64::from(p) < 1 << 30
                    && self.yescrypt_params().is_some()
            }
        }
    }

    /// Memory of one check, in KiB.
    #[must_use]
    pub fn memory_kib(self) -> u64 {
        match self {
            Self::Argon2 { memory, .. } => u64::from(memory),
            // RFC 7914 §2: 128 · N · r bytes, and 128 · r · p.
            Self::Scrypt { log_n, r, p } | Self::Yescrypt { log_n, r, p } => {
                let n = 1_u64.checked_shl(u32::from(log_n)).unwrap_or(u64::MAX);
                let blocks = n.saturating_add(u64::from(p));
                blocks.saturating_mul(128).saturating_mul(u64::from(r)) / 1024
            }
            Self::Bcrypt { .. } => 4,
            Self::Pbkdf2 { .. } | Self::Phpass { .. } | Self::Drupal { .. } | Self::ShaCrypt { .. } => 0,
        }
    }

    /// Estimated time of one check, in milliseconds of one whole processor: `daypass user calibrate` on a current processor,
    /// rounded up. An estimate for limits only. The time of phpass, Drupal and SHA-crypt grows with the password, so their
    /// estimate is that of the longest.
    #[must_use]
    pub fn millis(self) -> u64 {
        let nanos = match self {
            Self::Argon2 { memory, passes, .. } => {
                u64::from(memory).saturating_mul(u64::from(passes)).saturating_mul(1_000)
            }
            Self::Bcrypt { cost } => power_of_two(cost).saturating_mul(60_000),
            Self::Scrypt { log_n, r, p } => power_of_two(u32::from(log_n))
                .saturating_mul(u64::from(r).saturating_mul(u64::from(p)))
                .saturating_mul(400),
            Self::Pbkdf2 { digest, iterations } => {
                let each = match digest {
                    Digest::Sha1 | Digest::Sha256 => 300,
                    Digest::Sha384 | Digest::Sha512 => 800,
                };
                u64::from(iterations).saturating_mul(each)
            }
            Self::Phpass { log_rounds } => {
                power_of_two(u32::from(log_rounds)).saturating_mul(PHPASS_ROUND_NANOS)
            }
            Self::Drupal { log_rounds } => power_of_two(u32::from(log_rounds)).saturating_mul(2_000),
            Self::ShaCrypt { digest, rounds } => {
                let each = match digest {
                    ShaCryptDigest::Sha256 => 1_800,
                    ShaCryptDigest::Sha512 => 1_500,
                };
                u64::from(rounds).saturating_mul(each)
            }
            Self::Yescrypt { log_n, r, p } => power_of_two(u32::from(log_n))
                .saturating_mul(u64::from(r).saturating_mul(u64::from(p)))
                .saturating_mul(800),
        };
        nanos.div_ceil(1_000_000)
    }

    /// Whether the time of a check grows with the length of its input, by more than one pass over it.
    pub(crate) const fn takes_time_by_length(self) -> bool {
        matches!(self, Self::Phpass { .. } | Self::Drupal { .. } | Self::ShaCrypt { .. })
    }

    fn argon2_params(self) -> Option<Params> {
        let Self::Argon2 { memory, passes, lanes, .. } = self else { return None };
        ParamsBuilder::new().m_cost(memory).t_cost(passes).p_cost(lanes).output_len(32).build().ok()
    }

    pub(crate) fn yescrypt_params(self) -> Option<yescrypt::Params> {
        let Self::Yescrypt { log_n, r, p } = self else { return None };
        yescrypt::Params::new(yescrypt::Mode::Rw, 1_u64.checked_shl(u32::from(log_n))?, r, p).ok()
    }

    /// Does the work of one check and discards the result.
    pub fn work(self, password: &[u8]) {
        let mut output = [0; 64];
        let done = match self {
            Self::Argon2 { algorithm, .. } => self.argon2_params().and_then(|params| {
                let argon2 = Argon2::new(algorithm, Version::V0x13, params);
                argon2.hash_password_into(password, &[0; 16], &mut output[..32]).ok()
            }),
            Self::Bcrypt { cost } => {
                let [first, ..] = &mut output;
                *first = bcrypt::bcrypt(cost, [0; 16], &bcrypt_input(password)).iter().fold(0, |a, b| a ^ b);
                Some(())
            }
            Self::Scrypt { log_n, r, p } => scrypt::Params::new(log_n, r, p)
                .ok()
                .and_then(|params| scrypt::scrypt(password, &[0; 16], &params, &mut output).ok()),
            Self::Pbkdf2 { digest, iterations } => {
                let (output, _) = output.split_at_mut(digest.bytes());
                derive_pbkdf2(digest, iterations, &[0; 16], password, output);
                Some(())
            }
            Self::Phpass { log_rounds } => {
                let [first, ..] = &mut output;
                *first = phpass(log_rounds, &[0; 8], password).iter().fold(0, |a, b| a ^ b);
                Some(())
            }
            Self::Drupal { log_rounds } => {
                let [first, ..] = &mut output;
                *first = drupal(log_rounds, &[0; 8], password).0.iter().fold(0, |a, b| a ^ b);
                Some(())
            }
            Self::ShaCrypt { digest, rounds } => {
                let [first, ..] = &mut output;
                *first = sha_crypt(digest, rounds, &[0; 16], password).0.iter().fold(0, |a, b| a ^ b);
                Some(())
            }
            Self::Yescrypt { .. } => self
                .yescrypt_params()
                .and_then(|params| yescrypt::yescrypt(password, &[0; 16], &params, &mut output[..32]).ok()),
        };
        // Without a use of the result, the optimiser could drop the work.
        std::hint::black_box((done, output));
    }
}

fn power_of_two(exponent: u32) -> u64 {
    1_u64.checked_shl(exponent).unwrap_or(u64::MAX)
}

/// bcrypt's input: the first 72 bytes of password and final zero byte.
fn bcrypt_input(password: &[u8]) -> Vec<u8> {
    password.iter().copied().chain([0]).take(BCRYPT_BYTES).collect()
}

pub(crate) fn derive_pbkdf2(
    digest: Digest,
    iterations: u32,
    salt: &[u8],
    password: &[u8],
    output: &mut [u8],
) {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(digest.algorithm(), iterations, salt, password, output);
}

/// phpass' portable hash: MD5 of salt and password, then MD5 of hash and password for each round.
pub(crate) fn phpass(log_rounds: u8, salt: &[u8; 8], password: &[u8]) -> [u8; 16] {
    let mut hash: [u8; 16] = Md5::new().chain_update(salt).chain_update(password).finalize().into();
    for _ in 0..power_of_two(u32::from(log_rounds)) {
        hash = Md5::new().chain_update(hash).chain_update(password).finalize().into();
    }
    hash
}

/// Drupal's hash, and whether it covers the whole password: SHA-512 of salt and password, then SHA-512 of hash and password
/// for each round.
pub(crate) fn drupal(log_rounds: u8, salt: &[u8; 8], password: &[u8]) -> ([u8; 64], bool) {
    let part = password.get(..DRUPAL_BYTES).unwrap_or(password);
    let sha512 = |first: &[u8]| {
        let mut context = Context::new(&SHA512);
        context.update(first);
        context.update(part);
        let mut hash = [0; 64];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    };
    let mut hash = sha512(salt);
    for _ in 0..power_of_two(u32::from(log_rounds)) {
        hash = sha512(&hash);
    }
    (hash, part.len() == password.len())
}

/// SHA-crypt, and whether it covers the whole password.
pub(crate) fn sha_crypt(
    digest: ShaCryptDigest,
    rounds: u32,
    salt: &[u8],
    password: &[u8],
) -> (Vec<u8>, bool) {
    let part = password.get(..SHA_CRYPT_BYTES).unwrap_or(password);
    let params = sha_crypt::Params::new(rounds).unwrap_or_default();
    let hash = match digest {
        ShaCryptDigest::Sha256 => sha_crypt::sha256_crypt(part, salt, params).to_vec(),
        ShaCryptDigest::Sha512 => sha_crypt::sha512_crypt(part, salt, params).to_vec(),
    };
    (hash, part.len() == password.len())
}

impl fmt::Display for HashParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2 { algorithm, memory, passes, lanes } => {
                write!(f, "{},m={memory},t={passes},p={lanes}", algorithm.as_str())
            }
            Self::Bcrypt { cost } => write!(f, "bcrypt,c={cost}"),
            Self::Scrypt { log_n, r, p } => write!(f, "scrypt,ln={log_n},r={r},p={p}"),
            Self::Pbkdf2 { digest, iterations } => write!(f, "{},i={iterations},b=1", digest.name()),
            Self::Phpass { log_rounds } => write!(f, "phpass,ln={log_rounds}"),
            Self::Drupal { log_rounds } => write!(f, "drupal,ln={log_rounds}"),
            Self::ShaCrypt { digest, rounds } => write!(f, "{},r={rounds}", digest.name()),
            Self::Yescrypt { log_n, r, p } => write!(f, "yescrypt,ln={log_n},r={r},p={p}"),
        }
    }
}

/// A text is not the text form of a [`HashParams`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHashParams;

impl fmt::Display for InvalidHashParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not of the form that `daypass user import` prints, such as `bcrypt,c=10`, `scrypt,ln=14,r=8,p=1`, \
             `pbkdf2-sha256,i=600000,b=1`, `argon2id,m=102400,t=2,p=8` or `phpass,ln=13`",
        )
    }
}

impl std::error::Error for InvalidHashParams {}

impl FromStr for HashParams {
    type Err = InvalidHashParams;

    fn from_str(text: &str) -> Result<Self, InvalidHashParams> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let mut next = |key: &str| -> Result<u32, InvalidHashParams> {
            let value = parts
                .next()
                .and_then(|part| part.strip_prefix(key)?.strip_prefix('='))
                .ok_or(InvalidHashParams)?;
            value.parse().map_err(|_| InvalidHashParams)
        };
        let small = |number: u32| u8::try_from(number).map_err(|_| InvalidHashParams);
        let params = if let Some(digest) = Digest::parse(name) {
            let (iterations, blocks) = (next("i")?, next("b")?);
            // Earlier versions computed all blocks of an output and counted them.
            let is_canonical = blocks > 0 && format!("{name},i={iterations},b={blocks}") == text;
            return if is_canonical {
                Ok(Self::Pbkdf2 { digest, iterations })
            } else {
                Err(InvalidHashParams)
            };
        } else if let Some(digest) = ShaCryptDigest::ALL.into_iter().find(|digest| digest.name() == name) {
            Self::ShaCrypt { digest, rounds: next("r")? }
        } else if let Ok(algorithm) = Algorithm::from_str(name) {
            Self::Argon2 { algorithm, memory: next("m")?, passes: next("t")?, lanes: next("p")? }
        } else {
            match name {
                "bcrypt" => Self::Bcrypt { cost: next("c")? },
                "scrypt" => Self::Scrypt { log_n: small(next("ln")?)?, r: next("r")?, p: next("p")? },
                "phpass" => Self::Phpass { log_rounds: small(next("ln")?)? },
                "drupal" => Self::Drupal { log_rounds: small(next("ln")?)? },
                "yescrypt" => Self::Yescrypt { log_n: small(next("ln")?)?, r: next("r")?, p: next("p")? },
                _ => return Err(InvalidHashParams),
            }
        };
        // One text form: the printed one.
        if params.to_string() == text { Ok(params) } else { Err(InvalidHashParams) }
    }
}
