//! What checking a hash costs: its algorithm and parameters, without its salt and output.
//!
//! Two hashes of one shape take the same time whatever the password, so a decoy of that shape cannot be told from them.

use argon2::{Algorithm, Argon2, Params, ParamsBuilder, Version};
use aws_lc_rs::pbkdf2;
use md5::{Digest as _, Md5};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// The most memory in KiB that checking a hash may take. `login` has 1,769 MB in `template.yaml`, and hashes one at a time.
pub const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// The most milliseconds of one whole processor that checking a hash may take, by [`Shape::millis`]. With the two round trips
/// to the tables, a login stays below the ten seconds that its function has.
pub const MAX_MILLIS: u64 = 1000;

/// Bytes that bcrypt looks at, its closing zero included.
pub(crate) const BCRYPT_BYTES: usize = 72;

/// The hash functions that PBKDF2 is used with.
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

    /// The name in the identifiers of PBKDF2 hashes.
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

    /// Bytes of output that one run of the iterations gives; longer outputs take several.
    const fn bytes(self) -> usize {
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

/// The cost of checking a hash. Its text form is what `DAYPASS_IMPORTED_HASHES` takes, such as `bcrypt,c=10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// argon2 (RFC 9106).
    Argon2 {
        /// argon2d, argon2i or argon2id.
        algorithm: Algorithm,
        /// Memory in KiB.
        memory: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes, which this build computes one after the other.
        lanes: u32,
    },
    /// bcrypt, whatever is done to the password before.
    Bcrypt {
        /// The logarithm to base 2 of its rounds.
        cost: u32,
    },
    /// scrypt (RFC 7914), that of Firebase too.
    Scrypt {
        /// The logarithm to base 2 of N.
        log_n: u8,
        /// The block size.
        r: u32,
        /// How often it is done.
        p: u32,
    },
    /// PBKDF2 (RFC 8018) with HMAC.
    Pbkdf2 {
        /// The hash function of the HMAC.
        digest: Digest,
        /// Iterations.
        iterations: u32,
        /// How often those are run for the length of the output.
        blocks: u32,
    },
    /// The portable hash of phpass: iterated MD5.
    Phpass {
        /// The logarithm to base 2 of its rounds.
        log_rounds: u8,
    },
}

/// Why a hash with these parameters is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Takes more memory than [`MAX_MEMORY_KIB`].
    Memory(u64),
    /// Takes more time than [`MAX_MILLIS`].
    Time(u64),
    /// The algorithm does not have such parameters.
    Parameters,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(kib) => {
                write!(f, "checking it would take {kib} KiB of memory, and {MAX_MEMORY_KIB} are allowed")
            }
            Self::Time(millis) => {
                write!(
                    f,
                    "checking it would take about {millis} ms of a processor, and {MAX_MILLIS} are allowed"
                )
            }
            Self::Parameters => f.write_str("its algorithm has no such parameters"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Shape {
    /// PBKDF2 with an output of so many bytes.
    pub(crate) fn pbkdf2(digest: Digest, iterations: u32, output: usize) -> Self {
        let blocks = u32::try_from(output.div_ceil(digest.bytes())).unwrap_or(u32::MAX);
        Self::Pbkdf2 { digest, iterations, blocks }
    }

    /// Whether a function can be asked to check such a hash.
    ///
    /// # Errors
    /// [`Unfit`] with the reason.
    pub fn fits(self) -> Result<(), Unfit> {
        if !self.exists() {
            return Err(Unfit::Parameters);
        }
        if self.memory_kib() > MAX_MEMORY_KIB {
            return Err(Unfit::Memory(self.memory_kib()));
        }
        if self.millis() > MAX_MILLIS {
            return Err(Unfit::Time(self.millis()));
        }
        Ok(())
    }

    /// Whether the algorithm has such parameters.
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
            Self::Pbkdf2 { iterations, blocks, .. } => iterations > 0 && blocks > 0,
            Self::Phpass { log_rounds } => (7..=30).contains(&log_rounds),
        }
    }

    /// Memory in KiB, that of its caller left aside.
    #[must_use]
    pub fn memory_kib(self) -> u64 {
        match self {
            Self::Argon2 { memory, .. } => u64::from(memory),
            // RFC 7914 §2: 128 · N · r bytes, and 128 · r · p.
            Self::Scrypt { log_n, r, p } => {
                let n = 1_u64.checked_shl(u32::from(log_n)).unwrap_or(u64::MAX);
                let blocks = n.saturating_add(u64::from(p));
                blocks.saturating_mul(128).saturating_mul(u64::from(r)) / 1024
            }
            Self::Bcrypt { .. } => 4,
            Self::Pbkdf2 { .. } | Self::Phpass { .. } => 0,
        }
    }

    /// About how many milliseconds of one whole processor it takes: what `daypass user calibrate` measures on a current one,
    /// rounded up. Good for limits, and for nothing finer.
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
            Self::Pbkdf2 { digest, iterations, blocks } => {
                let each = match digest {
                    Digest::Sha1 | Digest::Sha256 => 300,
                    Digest::Sha384 | Digest::Sha512 => 800,
                };
                u64::from(iterations).saturating_mul(u64::from(blocks)).saturating_mul(each)
            }
            Self::Phpass { log_rounds } => power_of_two(u32::from(log_rounds)).saturating_mul(250),
        };
        nanos.div_ceil(1_000_000)
    }

    fn argon2_params(self) -> Option<Params> {
        let Self::Argon2 { memory, passes, lanes, .. } = self else { return None };
        ParamsBuilder::new().m_cost(memory).t_cost(passes).p_cost(lanes).output_len(32).build().ok()
    }

    /// Does the work of checking a password against a hash of this shape, and keeps nothing of it.
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
            Self::Pbkdf2 { digest, iterations, blocks } => {
                let length = digest.bytes() * usize::try_from(blocks).unwrap_or(1).min(64);
                let mut output = vec![0; length];
                derive_pbkdf2(digest, iterations, &[0; 16], password, &mut output);
                std::hint::black_box(output);
                Some(())
            }
            Self::Phpass { log_rounds } => {
                let [first, ..] = &mut output;
                *first = phpass(log_rounds, &[0; 8], password).iter().fold(0, |a, b| a ^ b);
                Some(())
            }
        };
        // The result must look needed, or the optimiser could drop the work.
        std::hint::black_box((done, output));
    }
}

fn power_of_two(exponent: u32) -> u64 {
    1_u64.checked_shl(exponent).unwrap_or(u64::MAX)
}

/// What bcrypt is given: the password and a closing zero, as far as 72 bytes go.
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

/// The portable hash of phpass: MD5 over salt and password, then again and again over that and the password.
pub(crate) fn phpass(log_rounds: u8, salt: &[u8; 8], password: &[u8]) -> [u8; 16] {
    let mut hash: [u8; 16] = Md5::new().chain_update(salt).chain_update(password).finalize().into();
    for _ in 0..power_of_two(u32::from(log_rounds)) {
        hash = Md5::new().chain_update(hash).chain_update(password).finalize().into();
    }
    hash
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2 { algorithm, memory, passes, lanes } => {
                write!(f, "{},m={memory},t={passes},p={lanes}", algorithm.as_str())
            }
            Self::Bcrypt { cost } => write!(f, "bcrypt,c={cost}"),
            Self::Scrypt { log_n, r, p } => write!(f, "scrypt,ln={log_n},r={r},p={p}"),
            Self::Pbkdf2 { digest, iterations, blocks } => {
                write!(f, "{},i={iterations},b={blocks}", digest.name())
            }
            Self::Phpass { log_rounds } => write!(f, "phpass,ln={log_rounds}"),
        }
    }
}

/// A text is no [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoShape;

impl fmt::Display for NoShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not of the form that `daypass user import` prints, such as `bcrypt,c=10`, `scrypt,ln=14,r=8,p=1`, \
             `pbkdf2-sha256,i=600000,b=1`, `argon2id,m=102400,t=2,p=8` or `phpass,ln=13`",
        )
    }
}

impl std::error::Error for NoShape {}

impl FromStr for Shape {
    type Err = NoShape;

    fn from_str(text: &str) -> Result<Self, NoShape> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let mut next = |key: &str| -> Result<u32, NoShape> {
            let value =
                parts.next().and_then(|part| part.strip_prefix(key)?.strip_prefix('=')).ok_or(NoShape)?;
            value.parse().map_err(|_| NoShape)
        };
        let small = |number: u32| u8::try_from(number).map_err(|_| NoShape);
        let shape = if let Some(digest) = Digest::parse(name) {
            Self::Pbkdf2 { digest, iterations: next("i")?, blocks: next("b")? }
        } else if let Ok(algorithm) = Algorithm::from_str(name) {
            Self::Argon2 { algorithm, memory: next("m")?, passes: next("t")?, lanes: next("p")? }
        } else {
            match name {
                "bcrypt" => Self::Bcrypt { cost: next("c")? },
                "scrypt" => Self::Scrypt { log_n: small(next("ln")?)?, r: next("r")?, p: next("p")? },
                "phpass" => Self::Phpass { log_rounds: small(next("ln")?)? },
                _ => return Err(NoShape),
            }
        };
        // One spelling: what is printed.
        if shape.to_string() == text { Ok(shape) } else { Err(NoShape) }
    }
}
