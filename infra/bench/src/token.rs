//! The event of every measured function, with a valid token.

use crate::runtime_api::Exchange;
use anyhow::{Context, Result, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::keys::{Document, SigningKeys};
use daypass_core::token::access::{Grant, Signer};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::jose::jwk::{Algorithm, Jwk};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// A token, its public key, and a request with it.
pub(crate) struct Ticket {
    token: String,
    pub(crate) jwks: String,
    /// Point of the public key, in base64url.
    point: [String; 2],
    /// Event of an HTTP API's authorizer, payload 2.0, with the headers of a browser.
    pub(crate) event: String,
    /// The same event with a token that is bound to a key, and with a new proof each time.
    pub(crate) bound: Arc<BoundCalls>,
}

impl Ticket {
    /// An ES256 token with its own key, valid for longer than a measurement.
    ///
    /// # Errors
    /// AWS-LC cannot generate a key.
    pub(crate) fn issue() -> Result<Self> {
        let now = SystemClock.now();
        let document = Document::generate(Algorithm::Es256, &OsEntropy, now)?;
        let signer = Signer {
            keys: SigningKeys::from_document(&document)?,
            issuer: Issuer::parse(ISSUER).map_err(|error| anyhow!("{error}"))?,
            audience: AUDIENCE.to_owned(),
            lifetime: Duration::from_secs(600),
        };
        let grant = Grant {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            client: ClientId::parse("web").context("the client id is malformed")?,
            scope: Scope::parse("orders:read orders:write").ok().context("the scope is malformed")?,
            claims: Claims::default(),
            account: false,
            authentication: Authentication::new(now, Methods::PASSWORD),
            key: None,
            session_end: Timestamp::from_seconds(9_000_000_000),
        };
        let token = signer.issue(&grant, now, &OsEntropy)?;
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        // An uncompressed point (SEC 1 §2.3.3): 0x04, x, y.
        let (x, y) = pair.public_key().as_ref().split_at_checked(33).context("the key has no point")?;
        let jwk = Jwk::es256(x.get(1..).unwrap_or_default(), y);
        let bound = Grant { key: Thumbprint::parse(jwk.kid()), ..grant };
        let bound = BoundCalls::new(pair, &jwk, &signer.issue(&bound, now, &OsEntropy)?);
        let jwks = document.jwks().to_json()?;
        let key: Value = serde_json::from_str(&jwks)?;
        let number =
            |name: &str| key.pointer(&format!("/keys/0/{name}")).and_then(Value::as_str).map(str::to_owned);
        let point = number("x").zip(number("y")).context("the key has no coordinates")?;
        let event = event("Bearer", &token).to_string();
        Ok(Self { token, jwks, point: point.into(), event, bound: Arc::new(bound) })
    }

    /// Arguments of `floor` that verify the token.
    pub(crate) fn arguments(&self) -> [&str; 3] {
        let [x, y] = &self.point;
        [x, y, &self.token]
    }
}

/// Calls with a bound token (RFC 9449). The authorizer accepts each proof once.
pub(crate) struct BoundCalls {
    pair: EcdsaKeyPair,
    /// The header of the proofs, encoded.
    header: String,
    /// The hash of the token, as in the claim `ath`.
    hash: String,
    event: Value,
    proofs: AtomicU64,
    /// Events with proofs that `prepare` has signed.
    prepared: Mutex<Vec<String>>,
}

impl BoundCalls {
    fn new(pair: EcdsaKeyPair, jwk: &Jwk, token: &str) -> Self {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        Self {
            pair,
            header: BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
            hash: BASE64URL_NOPAD.encode(digest(&SHA256, token.as_bytes()).as_ref()),
            event: event("DPoP", token),
            proofs: AtomicU64::default(),
            prepared: Mutex::default(),
        }
    }

    fn prepared(&self) -> MutexGuard<'_, Vec<String>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event with a new proof.
    fn new_event(&self) -> String {
        let mut event = self.event.clone();
        if let Some(headers) = event.get_mut("headers").and_then(Value::as_object_mut) {
            headers.insert("dpop".to_owned(), self.proof().into());
        }
        event.to_string()
    }

    /// `None` if AWS-LC cannot sign.
    fn proof(&self) -> Option<String> {
        let number = self.proofs.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "jti": number.to_string(), "htm": "GET", "htu": "https://api.example.com/orders/42",
            "iat": SystemClock.now().seconds(), "ath": self.hash,
        });
        let input = format!("{}.{}", self.header, BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).ok()?;
        Some(format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }
}

impl Exchange for BoundCalls {
    fn prepare(&self, count: usize) {
        *self.prepared() = (0..count).map(|_| self.new_event()).collect();
    }

    fn event(&self) -> String {
        let prepared = self.prepared().pop();
        prepared.unwrap_or_else(|| self.new_event())
    }
}

fn event(scheme: &str, token: &str) -> Value {
    let authorization = format!("{scheme} {token}");
    json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/orders/42",
        "identitySource": [authorization],
        "routeKey": "GET /orders/{id}",
        "rawPath": "/orders/42",
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate, br",
            "accept-language": "en-GB,en;q=0.9",
            "authorization": authorization,
            "content-length": "0",
            "host": "api.example.com",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https"
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdef1234",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": "GET",
                "path": "/orders/42",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "GET /orders/{id}",
            "stage": "$default",
            "time": "10/Mar/2026:13:40:27 +0000",
            "timeEpoch": 1_773_150_027_000_u64
        },
        "pathParameters": { "id": "42" }
    })
}

/// `GET /revocations` as an HTTP API sends it.
pub(crate) fn get_revocations() -> String {
    json!({
        "version": "2.0",
        "routeKey": "ANY /revocations",
        "rawPath": "/revocations",
        "rawQueryString": "",
        "headers": { "accept": "application/json", "host": "id.example.com" },
        "isBase64Encoded": false,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdef1234",
            "domainName": "id.example.com",
            "domainPrefix": "id",
            "http": {
                "method": "GET",
                "path": "/revocations",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "daypass"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "ANY /revocations",
            "stage": "$default",
            "time": "10/Mar/2026:13:40:27 +0000",
            "timeEpoch": 1_773_150_027_000_u64
        }
    })
    .to_string()
}
