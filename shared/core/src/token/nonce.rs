//! Nonces of DPoP proofs (RFC 9449 §8): they show that a proof was not made long before its use. No table remembers them.
//!
//! The text is the base64url of these bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 4 | id of the MAC key, which is a key of refresh tokens |
//! | 32 | HMAC-SHA-256 of a purpose, the issuer, and the number of the period |

use crate::keys::RefreshKeys;
use data_encoding::BASE64URL_NOPAD;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;

/// Length of a period in seconds. A nonce is valid in its own period and the next one, so a client that renews its access token
/// in time always has a valid one. It is also valid in the period before, because the clock of another process may be ahead.
const PERIOD: u64 = 30 * 60;

const PURPOSE: &[u8] = b"daypass dpop nonce\0";

/// The nonce of now.
#[must_use]
pub fn current(keys: &RefreshKeys, issuer: &Issuer, now: Timestamp) -> String {
    let mut named = [0; 4];
    let (_, mac) = keys.sign(|kid| {
        named = kid;
        input(issuer, now.seconds() / PERIOD)
    });
    BASE64URL_NOPAD.encode(&[&named, mac.as_ref()].concat())
}

/// Whether a text is a nonce that this deployment issued lately.
#[must_use]
pub fn is_valid(nonce: &str, keys: &RefreshKeys, issuer: &Issuer, now: Timestamp) -> bool {
    let Ok(bytes) = BASE64URL_NOPAD.decode(nonce.as_bytes()) else { return false };
    let Some((kid, mac)) = bytes.split_first_chunk::<4>() else { return false };
    let period = now.seconds() / PERIOD;
    (period.saturating_sub(1)..=period + 1)
        .any(|period| keys.verify(*kid, &input(issuer, period), mac) == Some(true))
}

fn input(issuer: &Issuer, period: u64) -> Vec<u8> {
    [PURPOSE, issuer.as_str().as_bytes(), b"\0", &period.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;

    fn deployment() -> (RefreshKeys, Issuer) {
        let document = Document::generate(Algorithm::Es256, &Seeded::new(1), NOW).unwrap();
        (RefreshKeys::from_document(&document).unwrap(), Issuer::parse("https://id.example.com").unwrap())
    }

    #[test]
    fn a_nonce_is_valid_in_its_period_and_the_next() {
        let (keys, issuer) = deployment();
        let start = NOW.seconds() / PERIOD * PERIOD;
        let nonce = current(&keys, &issuer, NOW);
        let at = |seconds: u64| is_valid(&nonce, &keys, &issuer, Timestamp::from_seconds(seconds));
        assert!(at(start) && at(start + PERIOD) && at(start + 2 * PERIOD - 1));
        assert!(at(start - 1), "made by a process whose clock is ahead");
        assert!(!at(start + 2 * PERIOD) && !at(start - PERIOD - 1));
    }

    #[test]
    fn no_other_text_is_a_nonce() {
        let (keys, issuer) = deployment();
        let nonce = current(&keys, &issuer, NOW);
        let other = Issuer::parse("https://other.example.com").unwrap();
        assert!(!is_valid(&nonce, &keys, &other, NOW), "of another issuer");
        for index in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert!(!is_valid(std::str::from_utf8(&changed).unwrap(), &keys, &issuer, NOW), "{index}");
        }
        for bad in ["", "AAAA", &nonce[..20], &format!("{nonce}AAAA"), &format!("{nonce}=")] {
            assert!(!is_valid(bad, &keys, &issuer, NOW), "{bad}");
        }
    }
}
