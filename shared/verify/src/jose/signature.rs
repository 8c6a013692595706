//! Signature checks with public keys that AWS-LC has parsed.

use crate::jose::jwk::Algorithm;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::signature::{Error, Verifier};

/// A public key of AWS-LC and the one algorithm that it verifies.
///
/// jsonwebtoken's own verifiers copy and parse the key for every signature. This one implements the same trait, and keeps
/// the parsed key.
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// A P-256 key from its coordinates, 32 bytes each. `None` when the point is not on the curve.
    pub(crate) fn es256(x: &[u8], y: &[u8]) -> Option<Self> {
        // An uncompressed point (SEC 1 §2.3.3).
        let point = [&[4], x, y].concat();
        Self::parsed(Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok())
    }

    /// An Ed25519 key from its 32 bytes.
    pub(crate) fn ed25519(x: &[u8]) -> Option<Self> {
        Self::parsed(Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, x).ok())
    }

    /// An RSA key from its big-endian modulus and exponent.
    pub(crate) fn rs256(n: &[u8], e: &[u8]) -> Option<Self> {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        Self::parsed(Algorithm::Rs256, key.ok())
    }

    fn parsed(algorithm: Algorithm, key: Option<ParsedPublicKey>) -> Option<Self> {
        key.map(|key| Self { algorithm, key })
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.key.verify_sig(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}
