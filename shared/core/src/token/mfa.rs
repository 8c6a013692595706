//! The token between the two steps of a login: it says that the password was right, and is verified without a database.
//!
//! The text is `daypass_mfa_` and the base64url of these bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the MAC key, which is a key of refresh tokens |
//! | n | what the login asked for, as JSON |
//! | 32 | HMAC-SHA-256 of a purpose, the issuer, and the bytes before |
//!
//! It opens no session without a second factor. It is not single-use: the second factor is, and so is the session that both open.

use crate::keys::RefreshKeys;
use crate::token::device::Device;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use daypass_verifier::base::ids::{ClientId, UserId, Username};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::json;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Time from the right password to the second factor.
pub const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The first step of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MfaToken {
    /// The id of the user.
    pub user: UserId,
    /// The name of the user.
    pub username: Username,
    /// The client of the login.
    pub client: ClientId,
    /// The scope of the session.
    pub scope: Scope,
    /// Whether the session has the right to the account endpoints.
    pub account: bool,
    /// The version of the password that was right.
    pub password_version: u32,
    /// The device that the login proved, if it did.
    pub device: Option<Device>,
    /// The keyed hash of name and address, if the login came from a known address.
    pub known: Option<[u8; 16]>,
    /// The first bytes of the thumbprint of the key that the first step proved, if it did. The second step proves it too.
    pub key: Option<[u8; 16]>,
    /// The time from which the token is invalid, in whole seconds.
    pub expires_at: Timestamp,
}

/// Why a text is not a token of the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaTokenError {
    /// Not the form: prefix, alphabet, version or content.
    Malformed,
    /// The MAC key that it names is not in the key set.
    UnknownKey,
    /// The MAC is wrong: forged, changed, or of another deployment.
    Forged,
    /// Past its expiry.
    Expired,
    /// The first step had a DPoP proof, and this one has a proof by another key.
    OtherKey,
}

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const PURPOSE: &[u8] = b"daypass mfa token\0";

impl MfaToken {
    /// The first characters of each token. Secret scanners can find tokens by them.
    pub const PREFIX: &'static str = "daypass_mfa_";

    /// The token as text, under the active key.
    #[must_use]
    pub fn mint(&self, keys: &RefreshKeys, issuer: &Issuer) -> String {
        let content = self.content();
        let mut kid = [0; 4];
        let (_, mac) = keys.sign(|active| {
            kid = active;
            input(issuer, &message(kid, &content))
        });
        let bytes = [&message(kid, &content), mac.as_ref()].concat();
        format!("{}{}", Self::PREFIX, BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads and authenticates a token.
    ///
    /// # Errors
    /// [`MfaTokenError`] for every text that is not a token of this deployment within its time.
    pub fn read(
        text: &str,
        keys: &RefreshKeys,
        issuer: &Issuer,
        now: Timestamp,
    ) -> Result<Self, MfaTokenError> {
        let malformed = MfaTokenError::Malformed;
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(malformed)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| malformed)?;
        let length = bytes.len().checked_sub(MAC_BYTES).ok_or(malformed)?;
        let (message, mac) = bytes.split_at_checked(length).ok_or(malformed)?;
        let ([version, kid @ ..], content) = message.split_first_chunk::<5>().ok_or(malformed)?;
        if *version != VERSION {
            return Err(malformed);
        }
        match keys.verify(*kid, &input(issuer, message), mac) {
            None => return Err(MfaTokenError::UnknownKey),
            Some(false) => return Err(MfaTokenError::Forged),
            Some(true) => {}
        }
        let token = Self::parse(content).ok_or(malformed)?;
        if token.expires_at <= now { Err(MfaTokenError::Expired) } else { Ok(token) }
    }

    fn content(&self) -> Vec<u8> {
        let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
        let content = json!({
            "sub": self.user.to_string(),
            "name": self.username.as_str(),
            "client": self.client.as_str(),
            "scope": self.scope.to_string(),
            "account": self.account,
            "password": self.password_version,
            "device": self.device.map(|device| hex(device.as_bytes())),
            "known": self.known.map(|known| hex(&known)),
            "key": self.key.map(|key| hex(&key)),
            "exp": self.expires_at.seconds(),
        });
        content.to_string().into_bytes()
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let members = json::object(content).ok()?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| -> Option<Option<[u8; 16]>> {
            let Some(text) = text(name) else { return Some(None) };
            Some(Some(HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?))
        };
        Some(Self {
            user: UserId::parse(text("sub")?)?,
            username: Username::from_normalised(text("name")?.to_owned())?,
            client: ClientId::parse(text("client")?)?,
            scope: Scope::parse(text("scope")?).ok()?,
            account: members.get("account")?.as_bool()?,
            password_version: members.get("password")?.as_u64()?.try_into().ok()?,
            device: bytes("device")?.map(Device::from_bytes),
            known: bytes("known")?,
            key: bytes("key")?,
            expires_at: Timestamp::from_seconds(members.get("exp")?.as_u64()?),
        })
    }
}

fn message(kid: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&[VERSION], kid.as_slice(), content].concat()
}

/// What the MAC covers. All before the message has a known length, and no other input of the key begins alike.
fn input(issuer: &Issuer, message: &[u8]) -> Vec<u8> {
    let issuer = issuer.as_str().as_bytes();
    let length = u32::try_from(issuer.len()).unwrap_or(u32::MAX).to_be_bytes();
    [PURPOSE, &length, issuer, message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Document;
    use crate::testing::{NOW, Seeded};
    use daypass_verifier::jose::jwk::Algorithm;
    use proptest::prelude::*;

    fn keys(seed: u64) -> RefreshKeys {
        let document = Document::generate(Algorithm::EdDsa, &Seeded::new(seed), NOW).unwrap();
        RefreshKeys::from_document(&document).unwrap()
    }

    fn issuer(text: &str) -> Issuer {
        Issuer::parse(text).unwrap()
    }

    fn token() -> MfaToken {
        MfaToken {
            user: UserId::from_bytes([1; 16]),
            username: Username::from_normalised("ada".to_owned()).unwrap(),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            account: true,
            password_version: 7,
            device: Some(Device::generate(&Seeded::new(4))),
            known: Some([3; 16]),
            key: Some([3; 16]),
            expires_at: NOW + LIFETIME,
        }
    }

    #[test]
    fn a_token_reads_back_until_it_expires() {
        let (keys, here) = (keys(1), issuer("https://id.example.com"));
        let bare = MfaToken { device: None, known: None, key: None, scope: Scope::default(), ..token() };
        for token in [token(), bare] {
            let text = token.mint(&keys, &here);
            assert!(text.len() < 2048);
            let read = |now| MfaToken::read(&text, &keys, &here, now);
            let last = NOW + (LIFETIME - Duration::from_secs(1));
            assert_eq!((read(NOW), read(last)), (Ok(token.clone()), Ok(token)));
            assert_eq!(read(NOW + LIFETIME), Err(MfaTokenError::Expired));
        }
    }

    #[test]
    fn other_keys_and_issuers_reject_it() {
        let (own, here) = (keys(1), issuer("https://id.example.com"));
        let text = token().mint(&own, &here);
        let read = |text: &str, keys: &RefreshKeys, issuer: &Issuer| {
            MfaToken::read(text, keys, issuer, NOW).unwrap_err()
        };
        assert_eq!(read(&text, &own, &issuer("https://other.example.com")), MfaTokenError::Forged);
        assert_eq!(read(&text, &keys(2), &here), MfaTokenError::UnknownKey);
        for bad in ["", "daypass_mfa_", &text[..20], &text[12..], &format!("{text}="), "💥"] {
            assert_eq!(read(bad, &own, &here), MfaTokenError::Malformed, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_change_is_rejected(position in 12..300_usize, replacement in "[A-Za-z0-9_-]") {
            let (keys, here) = (keys(1), issuer("https://id.example.com"));
            let mut text = token().mint(&keys, &here);
            prop_assume!(position < text.len() && text[position..=position] != replacement);
            text.replace_range(position..=position, &replacement);
            prop_assert!(MfaToken::read(&text, &keys, &here, NOW).is_err());
        }
    }
}
