//! The time of an access token: issued and verified by Daypass, which parses its keys once, beside the bare signature and
//! the bare check of jsonwebtoken's own backend, which parses the key each time.
//!
//! ```sh
//! cargo run --release --package daypass-core --example signatures
//! ```
//!
//! The four take turns, so that a busy machine slows all alike. Each figure is the median of its rounds.

use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::keys::{Document, SigningKeys};
use daypass_core::token::access::{Grant, Signer};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::ids::{ClientId, SessionId, UserId};
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::jose::verify::Verifier;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::Value;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
const ROUNDS: usize = 60;
const TURN: u32 = 50;

/// The bytes that stand before the PKCS#1 key in a PKCS#8 key of 2,048-bit RSA. jsonwebtoken takes PKCS#1.
const RSA_PREFIX: usize = 26;

/// Not random: the time of a signature does not depend on the `jti`, and AWS-LC generates the key itself.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    print(&format!(
        "{:<6} {:>15} {:>15} {:>15} {:>15}",
        "", "issue", "parse and sign", "verify", "parse and check"
    ));
    for algorithm in ALGORITHMS {
        let times = measure(algorithm)?.map(|time| format!("{:.1} µs", time.as_secs_f64() * 1e6));
        let [sign, parse_and_sign, verify, parse_and_verify] = times;
        print(&format!(
            "{:<6} {sign:>15} {parse_and_sign:>15} {verify:>15} {parse_and_verify:>15}",
            algorithm.as_str()
        ));
    }
    Ok(())
}

fn measure(algorithm: Algorithm) -> Result<[Duration; 4], Box<dyn Error>> {
    let now = Timestamp::from_seconds(1_800_000_000);
    let document = Document::generate(algorithm, &Sevens, now)?;
    let issuer = Issuer::parse("https://id.example.com")?;
    let signer = Signer {
        keys: SigningKeys::from_document(&document)?,
        issuer: issuer.clone(),
        audience: "https://api.example.com".to_owned(),
        lifetime: Duration::from_secs(300),
    };
    let grant = Grant {
        account: true,
        authentication: Authentication::new(now, Methods::PASSWORD),
        claims: Claims::default(),
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        client: ClientId::parse("web").ok_or("no client id")?,
        scope: Scope::parse("orders:read").map_err(|_| "no scope")?,
        session_end: Timestamp::from_seconds(9_000_000_000),
    };
    let verifier = Verifier::new(issuer, signer.audience.clone(), &document.jwks())?;
    let token = signer.issue(&grant, now, &Sevens)?;
    let (input, signature) = token.rsplit_once('.').ok_or("no token")?;

    let json: Value = serde_json::from_str(&document.to_json()?)?;
    let private = json.pointer("/signing/0/private").and_then(Value::as_str).ok_or("no private key")?;
    let pkcs8 = BASE64URL_NOPAD.decode(private.as_bytes())?;
    let encoding = match algorithm {
        Algorithm::Es256 => EncodingKey::from_ec_der(&pkcs8),
        Algorithm::EdDsa => EncodingKey::from_ed_der(&pkcs8),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(pkcs8.get(RSA_PREFIX..).ok_or("a short key")?),
    };
    let jwk = json.pointer("/signing/0/public").ok_or("no public key")?;
    let decoding = DecodingKey::from_jwk(&serde_json::from_value(jwk.clone())?)?;
    let name: jsonwebtoken::Algorithm = algorithm.as_str().parse()?;

    let (mut rounds, message) = ([const { Vec::new() }; 4], input.as_bytes());
    for _ in 0..ROUNDS {
        let turns: [&dyn Fn() -> bool; 4] = [
            &|| signer.issue(&grant, now, &Sevens).is_ok(),
            &|| jsonwebtoken::crypto::sign(message, &encoding, name).is_ok(),
            &|| verifier.verify(&token, now).is_ok(),
            &|| jsonwebtoken::crypto::verify(signature, message, &decoding, name) == Ok(true),
        ];
        for (turn, times) in turns.into_iter().zip(&mut rounds) {
            let started = Instant::now();
            for _ in 0..TURN {
                if !black_box(turn()) {
                    return Err("a signature or a check failed".into());
                }
            }
            times.push(started.elapsed() / TURN);
        }
    }
    Ok(rounds.map(|mut times| {
        times.sort_unstable();
        times.get(ROUNDS / 2).copied().unwrap_or_default()
    }))
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose of the program")]
fn print(line: &str) {
    println!("{line}");
}
