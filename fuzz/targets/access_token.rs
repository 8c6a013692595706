//! Access tokens: the input as a token, and its two parts as header and payload of a token with a good signature.
#![no_main]

use daypass_core::keys::Document;
use daypass_fuzz::{AUDIENCE, KEYS, KID, NOW, issuer, parts, signed};
use daypass_verifier::jose::verify::{MAX_LIFETIME, Verifier};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(issuer(), AUDIENCE.to_owned(), &Document::jwks(&KEYS)).unwrap());

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        // Nothing but the fixed key signs.
        assert!(VERIFIER.verify(text, NOW).is_err() || text.len() > 300);
    }
    let Some([header, payload]) = parts(input) else { return };
    let Ok(verified) = VERIFIER.verify(&signed(header, payload), NOW) else { return };
    // A reader that is not strict agrees with everything that was accepted.
    let header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&"EdDSA".into(), &KID.as_str().into()));
    assert!(["crit", "b64", "cty", "zip"].iter().all(|name| header.get(name).is_none()));
    let claims: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(claims["iss"], "https://id.example.com");
    assert!(claims["aud"] == AUDIENCE || claims["aud"].as_array().unwrap().contains(&AUDIENCE.into()));
    let (exp, iat) = (claims["exp"].as_f64().unwrap(), claims["iat"].as_f64().unwrap());
    assert!(exp > NOW.seconds() as f64 - 31.0 && iat < NOW.seconds() as f64 + 31.0);
    assert!(exp - iat < MAX_LIFETIME.as_secs_f64() + 1.0);
    for (name, value) in
        [("sub", &verified.subject), ("sid", &verified.session), ("client_id", &verified.client_id)]
    {
        assert_eq!(claims[name], value.as_str());
        assert!(!value.is_empty() && !value.contains(char::is_control));
    }
    assert!(!verified.scope.contains(char::is_control));
});
