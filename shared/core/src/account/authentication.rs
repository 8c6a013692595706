//! When and how the user of a session authenticated: the claims `auth_time`, `amr` and `acr` of its access tokens.

use daypass_verifier::base::time::Timestamp;

/// The last authentication of a session. A refresh copies it, so it ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentication {
    /// The time, in whole seconds: `auth_time` (OpenID Connect Core §2).
    pub at: Timestamp,
    /// The authentication methods.
    pub methods: Methods,
}

impl Authentication {
    /// An authentication by these methods at `now`.
    #[must_use]
    pub const fn new(now: Timestamp, methods: Methods) -> Self {
        Self { at: Timestamp::from_seconds(now.seconds()), methods }
    }
}

/// An authentication method. The number is its bit in the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The password.
    Password = 1,
    /// A code of RFC 6238, or a recovery code.
    OneTimeCode = 2,
    /// A passkey, without user verification.
    Passkey = 4,
    /// A passkey that verified the user by a PIN or biometrics. It is two factors.
    VerifiedPasskey = 8,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::Password, Self::OneTimeCode, Self::Passkey, Self::VerifiedPasskey];
}

/// A set of authentication methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// The password alone.
    pub const PASSWORD: Self = Self(Method::Password as u8);

    /// These methods, each of which the user showed.
    #[must_use]
    pub fn of(methods: &[Method]) -> Self {
        Self(methods.iter().fold(0, |bits, method| bits | *method as u8))
    }

    /// Reads the stored form. A method of a newer version is left out, which can only lower [`Methods::acr`].
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::of(&Method::ALL).0)
    }

    /// The stored form.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the set has this method.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & method as u8 != 0
    }

    /// Whether the methods are two factors.
    #[must_use]
    pub const fn are_two_factors(self) -> bool {
        let possession = self.contains(Method::OneTimeCode) || self.contains(Method::Passkey);
        self.contains(Method::VerifiedPasskey) || (self.contains(Method::Password) && possession)
    }

    /// The values of `amr` (RFC 8176 §2).
    #[must_use]
    pub fn amr(self) -> Vec<&'static str> {
        let values = [
            ("pwd", self.contains(Method::Password)),
            ("otp", self.contains(Method::OneTimeCode)),
            ("pop", self.contains(Method::Passkey) || self.contains(Method::VerifiedPasskey)),
            ("mfa", self.are_two_factors()),
        ];
        values.into_iter().filter(|(_, has)| *has).map(|(value, _)| value).collect()
    }

    /// The value of `acr`: `2` for two factors, else `1`.
    #[must_use]
    pub const fn acr(self) -> &'static str {
        if self.are_two_factors() { "2" } else { "1" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_become_amr_and_acr() {
        use Method::{OneTimeCode, Passkey, Password, VerifiedPasskey};
        for (methods, amr, acr) in [
            (&[][..], &[][..], "1"),
            (&[Password], &["pwd"], "1"),
            (&[OneTimeCode], &["otp"], "1"),
            (&[Passkey], &["pop"], "1"),
            (&[OneTimeCode, Passkey], &["otp", "pop"], "1"),
            (&[Password, OneTimeCode], &["pwd", "otp", "mfa"], "2"),
            (&[Password, Passkey], &["pwd", "pop", "mfa"], "2"),
            (&[VerifiedPasskey], &["pop", "mfa"], "2"),
        ] {
            let set = Methods::of(methods);
            assert_eq!((set.amr().as_slice(), set.acr()), (amr, acr), "{methods:?}");
            assert_eq!(Methods::from_bits(set.bits()), set);
            assert!(Method::ALL.iter().all(|method| set.contains(*method) == methods.contains(method)));
        }
    }

    #[test]
    fn a_method_of_a_newer_version_raises_nothing() {
        assert_eq!(Methods::from_bits(0b1111_0001), Methods::PASSWORD);
    }

    #[test]
    fn the_time_has_whole_seconds() {
        let at = Authentication::new(Timestamp::from_millis(1_999), Methods::PASSWORD).at;
        assert_eq!(at, Timestamp::from_seconds(1));
    }
}
