//! One-time codes by time (RFC 6238), computed with AWS-LC.
//!
//! New secrets use SHA-1, six digits and steps of 30 s: authenticator apps ignore other values of the URI. Imported ones keep the
//! values of their system.

use crate::secret::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::time::Timestamp;

/// Bytes of a new secret: the length of a SHA-1 digest (RFC 4226 §4, R6).
const SECRET_BYTES: usize = 20;

/// Fewest and most bytes of an imported secret. RFC 4226 §4 requires 16. Some systems have 10.
const IMPORTED_BYTES: std::ops::RangeInclusive<usize> = 10..=64;

/// Steps before and after the current one whose codes are accepted: a clock may be 30 s off (RFC 6238 §5.2).
const TOLERANCE: u64 = 1;

/// The hash function of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotpHash {
    /// HMAC-SHA-1, which all apps have.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl TotpHash {
    const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// Its position in [`Self::ALL`], for the stored form.
    const fn byte(self) -> u8 {
        match self {
            Self::Sha1 => 0,
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    const fn hmac(self) -> hmac::Algorithm {
        match self {
            // RFC 6238 §1.2. HMAC does not need a hash without collisions.
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// What one-time codes are computed from.
#[derive(Debug, Clone)]
pub struct Totp {
    hash: TotpHash,
    digits: u8,
    /// Seconds of a step.
    period: u8,
    secret: Secret,
}

impl Totp {
    /// A new secret.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let secret = Secret::new(random::<SECRET_BYTES>(entropy).to_vec());
        Self { hash: TotpHash::Sha1, digits: 6, period: 30, secret }
    }

    /// A secret of another system. `None` unless it has 10 to 64 bytes, 6 to 8 digits and steps of 15 to 120 s.
    #[must_use]
    pub fn imported(hash: TotpHash, digits: u8, period: u8, secret: Secret) -> Option<Self> {
        let fits = IMPORTED_BYTES.contains(&secret.expose().len())
            && (6..=8).contains(&digits)
            && (15..=120).contains(&period);
        fits.then_some(Self { hash, digits, period, secret })
    }

    /// The form that is encrypted: hash, digits, seconds of a step, secret.
    pub(crate) fn to_bytes(&self) -> Secret {
        Secret::new([&[self.hash.byte(), self.digits, self.period], self.secret.expose()].concat())
    }

    /// Reads the form that is encrypted. `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([hash, digits, period], secret) = bytes.split_first_chunk::<3>()?;
        let hash = TotpHash::ALL.into_iter().find(|known| known.byte() == *hash)?;
        Self::imported(hash, *digits, *period, Secret::new(secret.to_vec()))
    }

    /// The secret in base32 (RFC 4648 §6), for a person who types it.
    #[must_use]
    pub fn base32(&self) -> String {
        BASE32_NOPAD.encode(self.secret.expose())
    }

    /// The step of a time: the whole periods since the epoch (RFC 6238 §4.2).
    const fn step_of(&self, time: Timestamp) -> u64 {
        time.seconds() / self.period as u64
    }

    /// The code of a step (RFC 4226 §5.3).
    fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(self.hash.hmac(), self.secret.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
        let bytes = tag.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let number = u32::from_be_bytes(bytes) & 0x7fff_ffff;
        let width = usize::from(self.digits);
        format!("{:0width$}", number % 10_u32.pow(u32::from(self.digits)))
    }

    /// The step that this is the code of, at a time: the current step, the one before or the one after. `None` if it is none of
    /// them, or no later step than `last`. The time depends on the length of `typed` alone.
    #[must_use]
    pub fn accept(&self, typed: &str, now: Timestamp, last: u64) -> Option<u64> {
        // Apps show a blank in the middle.
        let typed: String = typed.chars().filter(|typed| *typed != ' ').collect();
        let current = self.step_of(now);
        let steps = current.saturating_sub(TOLERANCE)..=current + TOLERANCE;
        // If two steps have this code, the later one counts, so that the code is used up.
        steps.fold(None, |found, step| {
            let is_code = verify_slices_are_equal(self.code(step).as_bytes(), typed.as_bytes()).is_ok();
            if is_code && step > last { Some(step) } else { found }
        })
    }

    /// The code at a time.
    ///
    /// For tests and tools, which stand for the app of a user.
    #[must_use]
    pub fn code_at(&self, time: Timestamp) -> String {
        self.code(self.step_of(time))
    }
}

/// The URI that a QR code of an app contains (Key URI Format of Google Authenticator): service and account are its label.
#[must_use]
pub(crate) fn uri(totp: &Totp, service: &str, account: &str) -> String {
    let encoded = |text: &str| {
        // The label has one colon, between its parts. A host with a port has another one.
        let text = text.replace(':', "-");
        // `form_urlencoded` writes a space as `+`, which apps show as it is. A plus sign is `%2B` there.
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    };
    let (service, account) = (encoded(service), encoded(account));
    format!(
        "otpauth://totp/{service}:{account}?secret={secret}&issuer={service}&algorithm={hash}&digits={digits}&period={period}",
        secret = totp.base32(),
        hash = match totp.hash {
            TotpHash::Sha1 => "SHA1",
            TotpHash::Sha256 => "SHA256",
            TotpHash::Sha512 => "SHA512",
        },
        digits = totp.digits,
        period = totp.period,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, Seeded};
    use proptest::prelude::*;
    use std::time::Duration;

    /// RFC 6238, appendix B. Its errata 2866 gives the secrets: as long as the digest of each hash function.
    #[test]
    fn the_vectors_of_rfc_6238() {
        let secret = |length: usize| {
            let digits = b"1234567890".iter().copied().cycle().take(length);
            Secret::new(digits.collect())
        };
        for (seconds, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            let time = Timestamp::from_seconds(seconds);
            for (hash, length, code) in
                [(TotpHash::Sha1, 20, sha1), (TotpHash::Sha256, 32, sha256), (TotpHash::Sha512, 64, sha512)]
            {
                let totp = Totp::imported(hash, 8, 30, secret(length)).unwrap();
                assert_eq!(totp.code_at(time), code, "{hash:?} at {seconds}");
                assert_eq!(of_totp_rs(&totp).generate(seconds).to_string(), code, "{hash:?} at {seconds}");
                assert_eq!(totp.accept(code, time, 0), Some(seconds / 30));
            }
        }
    }

    /// RFC 4226, appendix D: the counters 0 to 9, with six digits.
    #[test]
    fn the_vectors_of_rfc_4226() {
        let secret = Secret::new(b"12345678901234567890".to_vec());
        let totp = Totp::imported(TotpHash::Sha1, 6, 30, secret).unwrap();
        let codes: Vec<String> = (0..10).map(|counter| totp.code(counter)).collect();
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        assert_eq!(codes, expected);
    }

    /// invariant: The one-time codes of the previous, the current and the next time step are accepted, and no others.
    #[test]
    fn three_steps_are_accepted() {
        let totp = Totp::generate(&Seeded::new(1));
        let step = NOW.seconds() / 30;
        for ahead in -40_i64..=40 {
            let code = totp.code(step.checked_add_signed(ahead).unwrap());
            let expected = (-1..=1).contains(&ahead).then(|| step.checked_add_signed(ahead).unwrap());
            assert_eq!(totp.accept(&code, NOW, 0), expected, "{ahead}");
        }
        for wrong in ["", "1", "12345", "1234567", " 123456", "１２３４５６", &totp.base32()] {
            assert_eq!(totp.accept(wrong, NOW, 0), None, "{wrong}");
        }
        // A clock that is 30 s off.
        for app in [NOW.before(Duration::from_secs(30)), NOW + Duration::from_secs(30)] {
            assert!(totp.accept(&totp.code_at(app), NOW, 0).is_some());
        }
    }

    #[test]
    fn a_step_is_accepted_once() {
        let totp = Totp::generate(&Seeded::new(2));
        let step = NOW.seconds() / 30;
        for ahead in 0..3 {
            let (this, code) = (step - 1 + ahead, totp.code(step - 1 + ahead));
            assert_eq!(totp.accept(&code, NOW, this), None);
            assert_eq!(totp.accept(&code, NOW, this + 1), None);
            assert_eq!(totp.accept(&code, NOW, this - 1), Some(this));
        }
    }

    #[test]
    fn the_uri_names_service_account_and_secret() {
        let totp = Totp::generate(&Seeded::new(3));
        let text = uri(&totp, "Käse & Co", "ada+test@example.com");
        assert_eq!(
            text,
            format!(
                "otpauth://totp/K%C3%A4se%20%26%20Co:ada%2Btest%40example.com?secret={}&issuer=K%C3%A4se%20%26%20Co&algorithm=SHA1&digits=6&period=30",
                totp.base32()
            )
        );
        assert_eq!(totp.base32().len(), 32);
    }

    /// The same codes, computed by totp-rs with hash functions of RustCrypto.
    fn of_totp_rs(totp: &Totp) -> totp_rs::Totp {
        let algorithm = match totp.hash {
            TotpHash::Sha1 => totp_rs::Algorithm::SHA1,
            TotpHash::Sha256 => totp_rs::Algorithm::SHA256,
            TotpHash::Sha512 => totp_rs::Algorithm::SHA512,
        };
        let builder = totp_rs::Builder::new().with_algorithm(algorithm).with_digits(totp.digits);
        let builder = builder.with_step_duration(totp.period.into()).with_secret(totp.secret.expose());
        // RFC 4226 §4 requires secrets of 16 bytes, and some systems have 10.
        builder.build_noncompliant()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

        /// invariant: One-time codes, and the steps in which they are accepted, are those of another implementation (totp-rs).
        #[test]
        fn totp_rs_computes_and_accepts_the_same_codes(
            hash in proptest::sample::select(&TotpHash::ALL[..]),
            (digits, period) in (6..=8_u8, 15..=120_u8),
            secret in proptest::collection::vec(any::<u8>(), IMPORTED_BYTES),
            seconds in 1000..100_000_000_000_u64,
            ahead in -3..=3_i64,
        ) {
            let totp = Totp::imported(hash, digits, period, Secret::new(secret)).unwrap();
            let (time, other) = (Timestamp::from_seconds(seconds), of_totp_rs(&totp));
            prop_assert_eq!(totp.code_at(time), other.generate(seconds).to_string());
            let code = totp.code(totp.step_of(time).checked_add_signed(ahead).unwrap());
            prop_assert_eq!(totp.accept(&code, time, 0).is_some(), other.check(&code, seconds).is_some());
        }

        /// invariant: Another implementation (totp-rs) reads the URI of an enrolment, and computes the same codes from it.
        #[test]
        fn totp_rs_reads_the_uri(
            seed in any::<u64>(),
            (service, account) in ("[a-z0-9.:-]{1,40}", "\\PC{1,40}"),
            seconds in 0..100_000_000_000_u64,
        ) {
            let totp = Totp::generate(&Seeded::new(seed));
            let read = totp_rs::Totp::from_url(uri(&totp, &service, &account)).unwrap();
            let code = totp.code_at(Timestamp::from_seconds(seconds));
            prop_assert_eq!(read.generate(seconds).to_string(), code);
            let shown = (service.replace(':', "-"), account.replace(':', "-"));
            prop_assert_eq!((read.issuer().unwrap(), read.account_name()), (shown.0.as_str(), shown.1.as_str()));
        }
    }

    proptest! {
        #[test]
        fn the_encrypted_form_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(totp) = Totp::from_bytes(&bytes) {
                let form = totp.to_bytes();
                prop_assert_eq!(form.expose(), bytes.as_slice());
                prop_assert_eq!(totp.code(1).len(), usize::from(totp.digits));
            }
        }
    }

    #[test]
    fn imported_values_have_limits() {
        let of = |digits, period, length| {
            Totp::imported(TotpHash::Sha1, digits, period, Secret::new(vec![7; length]))
                .and_then(|totp| Totp::from_bytes(totp.to_bytes().expose()))
                .is_some()
        };
        for (digits, period, length) in [(6, 30, 10), (8, 60, 64), (7, 15, 20), (6, 120, 20)] {
            assert!(of(digits, period, length));
        }
        for (digits, period, length) in
            [(5, 30, 20), (9, 30, 20), (6, 14, 20), (6, 121, 20), (6, 30, 9), (6, 30, 65)]
        {
            assert!(!of(digits, period, length));
        }
    }
}
