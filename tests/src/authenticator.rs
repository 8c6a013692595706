//! An authenticator in software, and the browser in front of it (WebAuthn level 3).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// The origin of the pages, and the relying party's id.
pub const ORIGIN: &str = "https://app.example.com";
/// The domain of [`ORIGIN`]'s passkeys.
pub const RP_ID: &str = "example.com";

const UP: u8 = 0x01;
const UV: u8 = 0x04;
const AT: u8 = 0x40;

/// One credential of ES256.
pub struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    /// The signature counter of the next response. `None` for an authenticator that does not count.
    pub count: Option<u32>,
    /// Whether it verifies its person.
    pub verifies: bool,
    /// Flags of the next responses that are the opposite of what they should be.
    pub flipped: u8,
    user_handle: Option<Value>,
}

/// Base64url without padding.
#[must_use]
pub fn text(bytes: &[u8]) -> Value {
    json!(BASE64URL_NOPAD.encode(bytes))
}

impl Authenticator {
    /// A new credential.
    #[must_use]
    pub fn new(verifies: bool) -> Self {
        let id = crate::bench::random::<20>().to_vec();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { key, id, count: Some(1), verifies, flipped: 0, user_handle: None }
    }

    fn client_data(kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind, "challenge": options["challenge"], "origin": ORIGIN, "crossOrigin": false,
        });
        data.to_string().into_bytes()
    }

    /// RP id hash, flags and counter.
    fn head(&mut self, rp_id: &Value, more: u8) -> Vec<u8> {
        let flags = UP | if self.verifies { UV } else { 0 } | more;
        let count = self.count.unwrap_or(0);
        self.count = self.count.map(|count| count + 1);
        let hash = digest(&SHA256, rp_id.as_str().unwrap_or_default().as_bytes());
        [hash.as_ref(), &[flags ^ self.flipped], &count.to_be_bytes()].concat()
    }

    /// The response to `navigator.credentials.create` with these options.
    pub fn create(&mut self, options: &Value) -> Value {
        self.user_handle = Some(options["user"]["id"].clone());
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let key = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat();
        let head = self.head(&options["rp"]["id"], AT);
        let data = [head.as_slice(), &[0; 16], &[0, 20], &self.id, &key].concat();
        json!({
            "type": "public-key",
            "id": text(&self.id),
            "rawId": text(&self.id),
            "response": {
                "clientDataJSON": text(&Self::client_data("webauthn.create", options)),
                "authenticatorData": text(&data),
            },
            "clientExtensionResults": {},
        })
    }

    /// The response to `navigator.credentials.get` with these options.
    pub fn get(&mut self, options: &Value) -> Value {
        let client_data = Self::client_data("webauthn.get", options);
        let data = self.head(&options["rpId"], 0);
        let message = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "type": "public-key",
            "id": text(&self.id),
            "rawId": text(&self.id),
            "response": {
                "clientDataJSON": text(&client_data),
                "authenticatorData": text(&data),
                "signature": text(signature.as_ref()),
                "userHandle": self.user_handle,
            },
            "clientExtensionResults": {},
        })
    }
}
