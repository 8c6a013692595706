//! Private signing keys: parsed once, then used for every signature.

use super::{KeyError, bad};
use crate::secret::Secret;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use daypass_verifier::jose::jwk::{Algorithm, Jwk};
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::signature::{Error, Signer};

/// A signing key of AWS-LC, one variant for each algorithm.
///
/// jsonwebtoken's own signers parse the key for every signature. This one implements the same trait, and keeps the parsed
/// key.
pub(crate) enum KeyPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl KeyPair {
    /// A new key and its PKCS#8 form (RFC 5958). AWS-LC uses its own random generator.
    ///
    /// # Errors
    /// [`KeyError`] when AWS-LC cannot generate or encode the key.
    pub(super) fn generate(algorithm: Algorithm) -> Result<(Self, Secret), KeyError> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::Es256),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Self::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rs256),
        };
        let encoded = pair.and_then(|pair| {
            let pkcs8 = match &pair {
                Self::Es256(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
                Self::EdDsa(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
                Self::Rs256(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)?.as_ref().to_vec(),
            };
            Ok((pair, Secret::new(pkcs8)))
        });
        encoded.map_err(|_| bad(format!("AWS-LC could not generate a key for {algorithm}")))
    }

    /// Parses a PKCS#8 key (RFC 5958). `None` when it is not one for this algorithm.
    pub(super) fn parse(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Self::Es256)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(Self::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).map(Self::Rs256),
        }
        .ok()
    }

    /// The public half. Its `kid` is the thumbprint of RFC 7638. `None` when AWS-LC returns a point of another form.
    pub(super) fn public(&self) -> Option<Jwk> {
        match self {
            Self::Es256(pair) => {
                // An uncompressed point (SEC 1 §2.3.3): 0x04, x, y.
                let (x, y) = pair.public_key().as_ref().strip_prefix(&[4])?.split_at_checked(32)?;
                Some(Jwk::es256(x, y))
            }
            Self::EdDsa(pair) => Some(Jwk::ed25519(pair.public_key().as_ref())),
            Self::Rs256(pair) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                Some(Jwk::rs256(&public.n, &public.e))
            }
        }
    }
}

impl Signer<Vec<u8>> for KeyPair {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match self {
            // Fixed length: R and S, as RFC 7518 §3.4 has it, not DER.
            Self::Es256(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| Error::new())
    }
}

impl JwtSigner for KeyPair {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256(_) => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa(_) => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256(_) => jsonwebtoken::Algorithm::RS256,
        }
    }
}
