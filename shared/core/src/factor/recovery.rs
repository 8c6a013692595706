//! Recovery codes: each replaces a lost second factor once.
//!
//! A code has ten characters of Crockford's base32 (50 bits), in two groups. The users table has a keyed digest of each code.

use crate::keys::FactorKeys;
use crate::secret::SecretString;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::ids::UserId;

/// Codes of a user.
pub const CODES: usize = 10;

/// Characters of a code, without the hyphen.
const CHARS: usize = 10;

/// Crockford's base32 in lower case, without `i`, `l`, `o` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The keyed digest of a code of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecoveryDigest([u8; 16]);

impl RecoveryDigest {
    /// From stored bytes; `None` when their number is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// New codes of a user, and their digests.
pub(crate) fn generate(
    user: UserId,
    keys: &FactorKeys,
    entropy: &dyn Entropy,
) -> (Vec<SecretString>, Vec<RecoveryDigest>) {
    let codes = (0..CODES).map(|_| {
        // 256 is a multiple of 32, so each character is as likely.
        let chars = random::<CHARS>(entropy).map(|byte| ALPHABET.get(usize::from(byte % 32)).copied());
        let plain: String = chars.into_iter().flatten().map(char::from).collect();
        let digest = RecoveryDigest(keys.digest(&input(user, &plain)));
        let (head, tail) = plain.split_at(CHARS / 2);
        (SecretString::new(format!("{head}-{tail}")), digest)
    });
    codes.unzip()
}

/// The digest among `stored` of a code as typed; `None` if it is none of theirs.
pub(crate) fn find(
    typed: &str,
    user: UserId,
    keys: &FactorKeys,
    stored: &[RecoveryDigest],
) -> Option<RecoveryDigest> {
    let plain = normalised(typed)?;
    let input = input(user, &plain);
    // A digest is not secret as a code is: comparing it reveals nothing of the key.
    keys.digests(&input).map(RecoveryDigest).find(|digest| stored.contains(digest))
}

fn input(user: UserId, plain: &str) -> Vec<u8> {
    [b"daypass recovery code of ".as_slice(), user.as_bytes(), plain.as_bytes()].concat()
}

/// The code without hyphens and spaces, in lower case. As Crockford's base32 allows, `o` stands for `0`, and `i` and `l` stand
/// for `1`.
fn normalised(typed: &str) -> Option<String> {
    let read = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    if typed.len() > 4 * CHARS {
        return None;
    }
    let plain: String = typed.chars().filter(|c| !matches!(c, '-' | ' ')).map(read).collect();
    let valid = plain.len() == CHARS && plain.bytes().all(|byte| ALPHABET.contains(&byte));
    valid.then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;

    fn keys(seed: u64) -> FactorKeys {
        let document = Document::generate(Algorithm::EdDsa, &Seeded::new(seed), NOW).unwrap();
        FactorKeys::from_document(&document).unwrap()
    }

    #[test]
    fn a_code_is_found_in_every_spelling() {
        let (keys, user) = (keys(1), UserId::from_bytes([1; 16]));
        let (codes, digests) = generate(user, &keys, &Seeded::new(2));
        assert_eq!((codes.len(), digests.len()), (CODES, CODES));
        for (code, digest) in codes.iter().zip(&digests) {
            let code = code.expose();
            assert_eq!(code.len(), 11);
            let spellings = [
                code.to_owned(),
                code.to_uppercase(),
                code.replace('-', ""),
                format!(" {} ", code.replace('-', " ")),
                code.replace('0', "O").replace('1', "l"),
            ];
            for typed in spellings {
                assert_eq!(find(&typed, user, &keys, &digests), Some(*digest), "{typed}");
            }
            assert_eq!(find(code, UserId::from_bytes([2; 16]), &keys, &digests), None, "another user");
            assert_eq!(find(code, user, &self::keys(3), &digests), None, "another key");
            let rest: Vec<_> = digests.iter().copied().filter(|other| other != digest).collect();
            assert_eq!(find(code, user, &keys, &rest), None, "used");
        }
        for wrong in ["", "-", "01234-5678", "01234-56789a", "uuuuu-uuuuu", "💥", &"0".repeat(1000)] {
            assert_eq!(find(wrong, user, &keys, &digests), None, "{wrong}");
        }
        let mut distinct: Vec<&str> = codes.iter().map(SecretString::expose).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), CODES);
    }
}
