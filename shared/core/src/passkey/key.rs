//! The public key of a credential: a COSE key (RFC 9052 section 7) of one of three algorithms.
//!
//! Authenticators write it in the canonical CBOR of CTAP2 (WebAuthn section 6.5.1), so each algorithm has one layout. A
//! comparison with this layout takes the place of a CBOR parser.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use std::fmt;

/// The COSE algorithms of new credentials, in the order of preference: EdDSA, ES256, RS256 (RFC 9053 and RFC 8812).
pub const ALGORITHMS: [i32; 3] = [-8, -7, -257];

/// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}`, as far as the 32 bytes of x.
const ES256: &[u8] = &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
/// Between x and the 32 bytes of y.
const ES256_Y: &[u8] = &[0x22, 0x58, 32];
/// `{1: 1, 3: -8, -1: 6, -2: x}`, as far as the 32 bytes of x.
const EDDSA: &[u8] = &[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32];
/// `{1: 3, 3: -257, -1: n, -2: e}`, as far as the two bytes of the length of n.
const RS256: &[u8] = &[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59];
/// Between n and the end: the exponent 65,537.
const RS256_E: &[u8] = &[0x21, 0x43, 1, 0, 1];
/// Lengths of n in bytes.
const MODULI: [usize; 3] = [256, 384, 512];

/// A public key in its COSE form. Its layout is checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

/// The members of a key.
enum Parts<'a> {
    Es256 { x: &'a [u8], y: &'a [u8] },
    EdDsa { x: &'a [u8] },
    Rs256 { n: &'a [u8] },
}

impl PublicKey {
    /// Splits the key off the front of `bytes`, and checks that it can verify. `None` when no valid key is there.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (_, rest) = parts(bytes)?;
        let (own, _) = bytes.split_at_checked(bytes.len() - rest.len())?;
        let key = Self(own.to_vec());
        key.verifier().map(|_| (key, rest))
    }

    /// The key with these bytes, as [`PublicKey::as_bytes`] returned them. `None` for other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::split(bytes).filter(|(_, rest)| rest.is_empty()).map(|(key, _)| key)
    }

    /// The COSE form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `signature` is a signature of `message` by this key. ECDSA signatures are in ASN.1 (WebAuthn section 6.5.5).
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier().is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    /// The key as AWS-LC reads it. `None` when the point is not on the curve or the modulus is not valid.
    fn verifier(&self) -> Option<ParsedPublicKey> {
        let (parts, _) = parts(&self.0)?;
        match parts {
            // An uncompressed point (SEC 1 section 2.3.3).
            Parts::Es256 { x, y } => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, [&[4], x, y].concat()).ok()
            }
            Parts::EdDsa { x } => ParsedPublicKey::new(&ED25519, x).ok(),
            Parts::Rs256 { n } => RsaPublicKeyComponents { n, e: &[1, 0, 1] }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .ok(),
        }
    }
}

/// The members of the key at the front of `bytes`, and what follows it.
fn parts(bytes: &[u8]) -> Option<(Parts<'_>, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(ES256) {
        let (x, rest) = rest.split_at_checked(32)?;
        let (y, rest) = rest.strip_prefix(ES256_Y)?.split_at_checked(32)?;
        return Some((Parts::Es256 { x, y }, rest));
    }
    if let Some(rest) = bytes.strip_prefix(EDDSA) {
        let (x, rest) = rest.split_at_checked(32)?;
        return Some((Parts::EdDsa { x }, rest));
    }
    let (length, rest) = bytes.strip_prefix(RS256)?.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (n, rest) = rest.split_at_checked(length)?;
    // A number without leading zeros, of exactly this size.
    let is_full = MODULI.contains(&length) && n.first().is_some_and(|first| *first >= 0x80);
    let rest = rest.strip_prefix(RS256_E)?;
    is_full.then_some((Parts::Rs256 { n }, rest))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bytes)", self.0.len())
    }
}
